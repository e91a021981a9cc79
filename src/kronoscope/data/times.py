"""Times of a long series: parsing, time zones, and the step between frames."""

from __future__ import annotations

import warnings
import zoneinfo
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._errors import InputError
from .sequences import FloatArray, Step, counted, first_line, nanoseconds

# A clock time that ends in a zone: 2013-01-01T06:00:00Z, 2013-01-01 06:00-05:00.
_ZONED = r"[T ]\d{1,2}:?\d{2}.*?(?:[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)\s*$"
# Numeric times this share of a step away from the grid still stand on it.
_ON_GRID = 1e-2


def parse(column: pd.Series, name: str) -> pd.DatetimeIndex | FloatArray:
    """A column of times as a DatetimeIndex (numbers stay numbers, float64).

    Text is read as ISO 8601, or in one other format throughout the column. A column that reads both with the day
    first and with the month first, but differently, is refused; so is a mixture of stamps with and without a zone.

    Raises:
        InputError: for missing, infinite or unreadable times, by row (rows count from 1).
    """
    missing = np.flatnonzero(column.isna().to_numpy())
    if missing.size:
        raise InputError(f"the time column '{name}' is empty in row {missing[0] + 1}")
    if pd.api.types.is_bool_dtype(column.dtype):
        raise InputError(f"the time column '{name}' holds true and false, which are no times")
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _numbers(column, name)
    try:
        index = pd.DatetimeIndex(column) if column.dtype.kind == "M" else _read_text(column.astype(str), name)
        return index.as_unit("ns")
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"the time column '{name}' cannot be read as times: {first_line(error)}") from None


def _numbers(column: pd.Series, name: str) -> FloatArray:
    try:
        numbers = column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"the time column '{name}' holds numbers that are no real numbers") from None
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise InputError(f"the time column '{name}' is infinite in row {bad[0] + 1}")
    return numbers


def _read_text(text: pd.Series, name: str) -> pd.DatetimeIndex:
    zoned = text.str.contains(_ZONED, regex=True).to_numpy(dtype=bool)
    if zoned.any() and not zoned.all():
        with_zone, without = int(np.argmax(zoned)), int(np.argmin(zoned))
        raise InputError(
            f"the time column '{name}' mixes times with a zone (row {with_zone + 1}) and without (row {without + 1})"
        )
    utc = bool(zoned.all())
    try:
        return pd.DatetimeIndex(pd.to_datetime(text, format="ISO8601", utc=utc))
    except (ValueError, OverflowError) as not_iso:
        readings = [r for r in (_other_format(text, utc, day_first) for day_first in (False, True)) if r is not None]
        if not readings:
            raise InputError(f"the time column '{name}' cannot be read as times: {first_line(not_iso)}") from None
    if len(readings) == 2 and not readings[0].equals(readings[1]):
        raise InputError(
            f"the time column '{name}' may have the day or the month first ('{text.iloc[0]}'); write YYYY-MM-DD"
        )
    return readings[0]


def _other_format(text: pd.Series, utc: bool, day_first: bool) -> pd.DatetimeIndex | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pandas warns where it would guess row by row
        try:
            return pd.DatetimeIndex(pd.to_datetime(text, utc=utc, dayfirst=day_first))
        except (ValueError, OverflowError, UserWarning):
            return None


def in_zone(index: pd.DatetimeIndex, timezone: str | None) -> tuple[pd.DatetimeIndex, NDArray[np.bool_], list[str]]:
    """Times shown in ``timezone``, which of them to keep, and notes.

    Stamps without a zone are taken as local times of ``timezone``. The hour that is repeated when clocks go back
    cannot be told apart in them, so those rows are left out and noted; a local time that does not exist, because
    clocks went forward, shows that the stamps are of another zone and is refused.
    """
    everything = np.ones(len(index), dtype=bool)
    if timezone is None:
        return index, everything, []
    zone = check_zone(timezone)
    if index.tz is not None:
        return index.tz_convert(zone), everything, []
    skipped = np.asarray(index.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward").isna())
    exists = np.asarray(index.tz_localize(zone, ambiguous=everything, nonexistent="NaT").notna())
    if not exists.all():
        raise InputError(
            f"{index[int(np.argmin(exists))]} does not exist in {timezone} (clocks went forward): "
            "the times are of another zone; give them with their offset, such as 2013-01-01T06:00Z"
        )
    local = index[~skipped].tz_localize(zone, ambiguous="raise", nonexistent="raise")
    notes = []
    if skipped.any():
        rows = counted(int(skipped.sum()), "row")
        notes = [f"{rows} left out: the clock of {timezone} shows these times twice (first {index[skipped][0]})."]
    return local, ~skipped, notes


def check_zone(timezone: str) -> zoneinfo.ZoneInfo:
    """The zone of that IANA name.

    Raises:
        InputError: if there is none.
    """
    try:
        return zoneinfo.ZoneInfo(timezone)
    except Exception:
        raise InputError(f"timezone must be an IANA name such as 'America/New_York', got {timezone!r}") from None


@dataclass(frozen=True, eq=False)
class Ticks:
    """Sorted times as whole numbers: nanoseconds of clock time, or numbers counted in steps from the first.

    ``on_grid`` says which stand a whole number of steps after the first, and ``unit`` is the step in whole numbers.
    """

    whole: NDArray[np.int64]
    on_grid: NDArray[np.bool_]
    step: pd.Timedelta | float
    unit: int


def ticks(times: pd.DatetimeIndex | FloatArray, step: Step = None) -> Ticks:
    """Sorted times on their grid. None as step is the most common difference (the smallest of equally common ones).

    Raises:
        InputError: with fewer than two times, or if a time occurs twice.
    """
    if len(times) < 2:
        raise InputError(f"at least 2 times are needed to know the step, got {len(times)}")
    if isinstance(times, pd.DatetimeIndex):
        whole = np.asarray(times.as_unit("ns").asi8)
        _refuse_repeats(np.diff(whole) == 0, times)
        unit = _most_common(np.diff(whole)) if not isinstance(step, pd.Timedelta) else nanoseconds(step)
        return Ticks(whole, (whole - whole[0]) % unit == 0, pd.Timedelta(unit, unit="ns"), unit)
    _refuse_repeats(np.diff(times) == 0, times)
    with np.errstate(over="ignore", invalid="ignore"):
        step = step if isinstance(step, float) else _numeric_step(times)
        steps = (times - times[0]) / step
    if not steps[-1] <= 2**53:
        raise InputError(f"the times span {steps[-1]:.3g} of their most common step {step:g}: they follow no grid")
    whole = np.rint(steps).astype(np.int64)
    on_grid = np.abs(steps - whole) <= _ON_GRID
    rows = np.flatnonzero(on_grid)
    _refuse_repeats(np.diff(whole[rows]) == 0, times[rows])
    return Ticks(whole, on_grid, step, 1)


def _refuse_repeats(same_as_next: NDArray[np.bool_], times: pd.DatetimeIndex | FloatArray) -> None:
    if same_as_next.any():
        raise InputError(f"the time {times[int(np.argmax(same_as_next))]} occurs more than once")


def _most_common(gaps: NDArray[np.int64]) -> int:
    values, counts = np.unique(gaps, return_counts=True)
    return int(values[np.argmax(counts)])


def _numeric_step(times: FloatArray) -> float:
    # Differences of 0.1, 0.2, 0.3, ... agree only up to round-off: count them rounded, then average the winners.
    gaps = np.diff(times)
    mantissa, exponent = np.frexp(gaps)
    rounded = np.ldexp(np.rint(mantissa * 2**20), exponent)
    values, counts = np.unique(rounded, return_counts=True)
    return float(gaps[rounded == values[np.argmax(counts)]].mean())
