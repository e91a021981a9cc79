"""Times of a long series: parsing, time zones, and the step between frames."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._errors import InputError
from .clock_zones import ABBREVIATION, require_zone
from .messages import counted
from .time_forms import FloatArray, TimeForm, Times, day_comes_first, guess_patterns, offset_of, read_numbers, text_form

# A clock time that ends in a zone: 2013-01-01T06:00:00Z, 2013-01-01 06:00-05:00.
_ZONED = r"[T ]\d{1,2}[\d:.,]*\s*(?:[AaPp][Mm])?\s*(?:[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)\s*$"
_YEARS = (1678, 2261)
# Numeric times this share of a step away from the grid still stand on it.
ON_GRID = 1e-2
# The share by which gaps between times of few digits may differ from a multiple of their step.
_ROUNDED = 0.02


@dataclass(frozen=True, eq=False)
class Reading:
    """A column of times as clock times or float64 numbers, how the column writes them, and notes."""

    times: Times
    form: TimeForm
    notes: tuple[str, ...] = ()
    abbreviations: NDArray[np.object_] | None = None

    def in_zone(self, timezone: str | None) -> tuple[pd.DatetimeIndex, NDArray[np.bool_], list[str]]:
        """Clock times shown in a zone: see :func:`in_zone`. Abbreviations of it tell apart the hour that repeats."""
        assert isinstance(self.times, pd.DatetimeIndex)
        if self.abbreviations is None:
            return in_zone(self.times, timezone)
        zone = None if timezone is None else str(check_zone(timezone))
        times = require_zone(self.times, self.abbreviations, zone)
        return times, np.ones(len(times), dtype=bool), []


def parse(column: pd.Series, name: str, form: TimeForm | None = None, otherwise: str = "") -> Reading:
    """A column of times; the one reader of times of every format and command.

    Text is read as ISO 8601, or in one other format throughout the column. A column that reads both with the day
    first and with the month first, but differently, is refused; so is a mixture of stamps with and without a zone.
    Whole numbers are dates (YYYYMMDD, YYYYMMDDHH and the like) or Unix times where all of them are, with a note; other
    numbers stay numbers. Unix times are universal time.

    Args:
        column: The column.
        name: Its name, for messages.
        form: How the record to which this column belongs writes its times. Numbers are then read in that form, and text
            with the day or the month first.
        otherwise: What else the user may do where the first row is not a time.

    Raises:
        InputError: for missing, infinite or unreadable times, by row (rows count from 1).
    """
    missing = np.flatnonzero(column.isna().to_numpy())
    if missing.size:
        raise InputError(f"the time column '{name}' is empty in row {missing[0] + 1}: fill it in or remove the row")
    if pd.api.types.is_bool_dtype(column.dtype):
        raise InputError(f"the time column '{name}' holds true and false, which are not times")
    if pd.api.types.is_numeric_dtype(column.dtype):
        times, form = read_numbers(_numbers(column, name), _storage(column), name, form)
    elif column.dtype.kind == "M":
        times, form = _in_nanoseconds(pd.DatetimeIndex(column), column, name), TimeForm()
    else:
        text = column.astype(str).str.strip()
        if text.str.fullmatch(r"[+-]?\d+(\.0*)?").all():
            numbers = _numbers(pd.to_numeric(text), name)
            times, form = read_numbers(numbers, "text", name, form)
        else:
            day_first = None if form is None else form.day_first
            text, abbreviations = _without_abbreviations(text)
            index, pattern = _read_text(text, name, day_first, otherwise)
            index = _in_nanoseconds(index, text, name)
            if abbreviations is not None:
                return Reading(
                    index, TimeForm("text", "", "text", day_first=day_comes_first(pattern)), (), abbreviations
                )
            form = replace(text_form(text, index), day_first=day_comes_first(pattern))
            times = index.tz_convert(check_zone(offset_of(form.zone))) if form.has_fixed_zone else index
    note = form.note(name, times)
    return Reading(times, form, (note,) if note else ())


def _without_abbreviations(text: pd.Series) -> tuple[pd.Series, NDArray[np.object_] | None]:
    """Clock times without the abbreviations of a zone that end them (CET, CEST), and these; UTC and GMT alone stay."""
    endings = text.str.extract(ABBREVIATION)[0]
    if endings.isna().any() or set(endings) <= {"UTC", "GMT"}:
        return text, None
    return text.str.replace(ABBREVIATION, "", regex=True), endings.to_numpy(dtype=object)


def _storage(column: pd.Series) -> str:
    return "int64" if pd.api.types.is_integer_dtype(column.dtype) else "float64"


def _numbers(column: pd.Series, name: str) -> FloatArray | NDArray[np.int64]:
    """Finite numbers in float64; int64 where the column holds whole numbers, of which float64 keeps 15 digits."""
    try:
        if pd.api.types.is_integer_dtype(column.dtype) and column.max() < 2**63:
            return column.to_numpy(dtype=np.int64)
        numbers = column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"the time column '{name}' holds numbers that are not real") from None
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise InputError(f"the time column '{name}' is infinite in row {bad[0] + 1}: correct or remove that row")
    return numbers


def _in_nanoseconds(index: pd.DatetimeIndex, written: pd.Series, name: str) -> pd.DatetimeIndex:
    outside = np.flatnonzero((index.year < _YEARS[0]) | (index.year > _YEARS[1]))
    if outside.size:
        row = int(outside[0])
        raise InputError(
            f"the time column '{name}' holds {str(written.iloc[row])[:40]!r} in row {row + 1}: times must lie in the "
            f"years {_YEARS[0]} to {_YEARS[1]}; correct or remove that row"
        )
    return index.as_unit("ns")


def _read_text(text: pd.Series, name: str, day_first: bool | None, otherwise: str) -> tuple[pd.DatetimeIndex, str]:
    """The times, and the pattern that they follow."""
    zoned = text.str.contains(_ZONED, regex=True).to_numpy(dtype=bool)
    if zoned.any() and not zoned.all():
        with_zone, without = int(np.argmax(zoned)), int(np.argmin(zoned))
        raise InputError(
            f"the time column '{name}' mixes times with a zone (row {with_zone + 1}) and without (row {without + 1}): "
            "write all of them with their zone, or none"
        )
    utc = bool(zoned.all())
    iso = _in_format(text, "ISO8601", utc)
    if iso is not None:
        return iso, ""
    readings = {pattern: _in_format(text, pattern, utc) for pattern in guess_patterns(text.iloc[0])}
    possible = {pattern: index for pattern, index in readings.items() if index is not None}
    if not possible:
        raise InputError(_unreadable(text, name, otherwise))
    if day_first is not None:
        has_order = any(day_comes_first(pattern) is not None for pattern in readings)
        chosen = [p for p in possible if not has_order or day_comes_first(p) == day_first]
        if not chosen:
            other = "month" if day_first else "day"
            raise InputError(f"the time column '{name}' has the {other} first: give dayfirst= (--{other}first)")
        possible = {pattern: possible[pattern] for pattern in chosen}
    pattern, index = next(iter(possible.items()))
    if not all(index.equals(other) for other in possible.values()):
        raise InputError(
            f"the time column '{name}' may have the day or the month first{_or_year(possible)} "
            f"({text.iloc[0][:40]!r}): give dayfirst= (--dayfirst or --monthfirst)"
        )
    return index, pattern


def _or_year(patterns: Collection[str]) -> str:
    return ", or a year of two digits" if any(pattern.startswith("%y") for pattern in patterns) else ""


def _in_format(text: pd.Series, pattern: str, utc: bool) -> pd.DatetimeIndex | None:
    try:
        return pd.DatetimeIndex(pd.to_datetime(text, format=pattern, utc=utc))
    except (ValueError, OverflowError):
        return None


def _unreadable(text: pd.Series, name: str, otherwise: str) -> str:
    """Which row cannot be read, in the words of a message."""
    row = 0
    for pattern in ("ISO8601", *guess_patterns(text.iloc[0])):
        unread = pd.to_datetime(text, format=pattern, utc=True, errors="coerce").isna().to_numpy()
        row = max(row, int(np.argmax(unread)))
    like = f" of the form of {text.iloc[0][:40]!r} in row 1" if row else ""
    advice = "correct or remove that row" if row or not otherwise else otherwise
    return (
        f"the time column '{name}' holds {text.iloc[row][:40]!r} in row {row + 1}, which is not a time{like}: "
        f"{advice}. Times are read as ISO 8601 (2013-01-31T06:00, 2013-01-31 06:00:00+01:00), in one "
        "other format throughout (31.01.2013 06:00), as numbers such as 20130131, or as Unix time"
    )


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


def check_zone(timezone: str) -> dt.tzinfo:
    """The zone of that IANA name; a fixed offset is written UTC+01:00, as in the record of a run.

    Raises:
        InputError: if there is none.
    """
    fixed = re.fullmatch(r"UTC([+-])(\d{2}):(\d{2})", timezone)
    if fixed:
        span = dt.timedelta(hours=int(fixed[2]), minutes=int(fixed[3]))
        return dt.timezone(span if fixed[1] == "+" else -span)
    try:
        return zoneinfo.ZoneInfo(timezone)
    except Exception:
        raise InputError(f"timezone must be an IANA name such as 'America/New_York', got {timezone!r}") from None


def most_common_step(times: Times) -> pd.Timedelta | float:
    """The most common difference of sorted times; the smallest of equally common ones.

    Raises:
        InputError: with fewer than two times, or if a time occurs twice.
    """
    if len(times) < 2:
        raise InputError(f"at least 2 times are needed to know the step, got {len(times)}")
    if not isinstance(times, pd.DatetimeIndex):
        refuse_repeats(np.diff(times) == 0, times)
        step = _numeric_step(times)
        span = (times[-1] - times[0]) / step
        if not span <= 2**53:
            raise InputError(
                f"the times span {span:.3g} of their most common step {step:g}: they do not lie on a regular grid"
            )
        return step
    gaps = np.diff(np.asarray(times.as_unit("ns").asi8))
    refuse_repeats(gaps == 0, times)
    values, counts = np.unique(gaps, return_counts=True)
    return pd.Timedelta(int(values[np.argmax(counts)]), unit="ns")


def refuse_repeats(same_as_next: NDArray[np.bool_], times: Times) -> None:
    """Refuse sorted times of which one is the same as the next."""
    if same_as_next.any():
        raise InputError(f"the time {times[int(np.argmax(same_as_next))]} occurs more than once")


def _numeric_step(times: FloatArray) -> float:
    # Differences of 0.1, 0.2, 0.3, ... agree only up to round-off: count them rounded, then average the winners.
    with np.errstate(over="ignore", invalid="ignore"):
        gaps = np.diff(times)
    mantissa, exponent = np.frexp(gaps)
    rounded = np.ldexp(np.rint(mantissa * 2**20), exponent)
    values, counts = np.unique(rounded, return_counts=True)
    step = float(gaps[rounded == values[np.argmax(counts)]].mean())
    return max(step, _even_step(times, gaps, step), key=lambda candidate: _share_on_grid(times, candidate))


def _even_step(times: FloatArray, gaps: FloatArray, step: float) -> float:
    """The step of which times written with few digits (0.3333, 0.6667, 1) are multiples: the mean over their span."""
    with np.errstate(over="ignore", invalid="ignore"):
        multiples = gaps / step
        whole = np.rint(multiples)
        alike = (whole > 0) & (np.abs(multiples - whole) <= _ROUNDED * whole)
        return float((times[-1] - times[0]) / whole.sum()) if alike.all() else step


def _share_on_grid(times: FloatArray, step: float) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        steps = (times - times[0]) / step
        return float((np.abs(steps - np.rint(steps)) <= ON_GRID).mean())
