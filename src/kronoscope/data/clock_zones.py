"""Time zones that fit clock times: those whose clocks show them, with the abbreviations that stand behind them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._errors import InputError

# Zones to suggest, of those that change their clocks; the first that fits is named.
_SUGGESTED = (
    "Europe/Berlin", "Europe/London", "Europe/Helsinki", "Europe/Lisbon", "America/New_York", "America/Chicago",
    "America/Denver", "America/Los_Angeles", "America/Halifax", "America/Santiago", "Australia/Sydney",
    "Australia/Adelaide", "Pacific/Auckland", "Asia/Jerusalem", "Asia/Tokyo", "Asia/Kolkata",
)  # fmt: skip
_CHECKED = 2000
# An abbreviation of a zone at the end of a clock time: 2024-01-01 00:00 CET.
ABBREVIATION = r"(?<=\d)\s?(?!AM$|PM$)([A-Z]{2,5})$"


def localized(index: pd.DatetimeIndex, zone: str, abbreviations: NDArray[np.object_]) -> pd.DatetimeIndex | None:
    """Clock times as times of the zone, told apart by their abbreviations where clocks go back; None if they are not.

    Args:
        index: clock times without a zone.
        zone: IANA name.
        abbreviations: (T,), such as "CET" and "CEST".
    """
    first = np.ones(len(index), dtype=bool)
    summer = index.tz_localize(zone, ambiguous=first, nonexistent="NaT")
    winter = index.tz_localize(zone, ambiguous=~first, nonexistent="NaT")
    if summer.hasnans:
        return None
    is_summer = np.asarray(summer.strftime("%Z")) == abbreviations
    if not (is_summer | (np.asarray(winter.strftime("%Z")) == abbreviations)).all():
        return None
    return pd.DatetimeIndex(np.where(is_summer, summer.asi8, winter.asi8), tz="UTC").as_unit("ns").tz_convert(zone)


def require_zone(index: pd.DatetimeIndex, abbreviations: NDArray[np.object_], timezone: str | None) -> pd.DatetimeIndex:
    """As :func:`localized`, for the zone that the user gave.

    Raises:
        InputError: no zone, or one in which the times have other abbreviations; one that fits is named.
    """
    times = None if timezone is None else localized(index, timezone, abbreviations)
    if times is not None:
        return times
    rows = np.unique(np.linspace(0, len(index) - 1, _CHECKED).astype(np.int64))
    fits = (zone for zone in _SUGGESTED if localized(index[rows], zone, abbreviations[rows]) is not None)
    names = " and ".join(dict.fromkeys(abbreviations))
    say = (
        f"the times end in {names}, which more than one zone uses"
        if timezone is None
        else (f"the times end in {names}, which are not those of {timezone}")
    )
    raise InputError(f"{say}: give timezone= (--timezone {next(fits, 'Region/City')}), the zone of the clock")


def zone_of_repeats(times: pd.DatetimeIndex) -> str | None:
    """A zone in which clocks go back at all times that occur twice, and skip none of them."""
    index = pd.DatetimeIndex(times.sort_values())
    repeated = index.duplicated(keep=False)
    everything = np.ones(len(index), dtype=bool)
    for zone in _SUGGESTED:
        twice = index[repeated].tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward").isna()
        if twice.all() and not index.tz_localize(zone, ambiguous=everything, nonexistent="NaT").hasnans:
            return zone
    return None
