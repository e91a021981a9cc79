"""A long series cut into blocks of N frames by time stamp, never by row count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import _checks
from .._errors import InputError
from .sequences import FloatArray, Source, Starts, Step, counted, list_names, nanoseconds
from .times import Ticks, ticks

CALENDARS = ("auto", "none", "day", "week")
MISSING = ("drop", "mask")
_DAY = 86_400 * 10**9
_PERIODS = {"day": _DAY, "week": 7 * _DAY}
Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks: values (n, N, d), their starts, the step, and what was left out."""

    values: FloatArray
    starts: Starts
    step: Step
    notes: tuple[str, ...]


def cut(
    source: Source, frames: int | None, calendar: str = "auto", zoned: bool = False, missing: str = "drop"
) -> Blocks:
    """The blocks of a long series: the complete ones, or with ``missing="mask"`` all that have a value, NaN elsewhere.

    With times, a block is the frames ``start + k * step``, k = 0..frames-1, where ``step`` is the most common time
    difference. With "drop" a block is left out, and counted in the notes, if one of these stamps is absent or one of
    its values is missing. ``calendar="none"`` starts blocks every ``frames`` steps from the first stamp, so frame k has
    the same phase in all; "day" and "week" start them at local midnight (of Mondays), and leave out days of 23 or
    25 hours; "auto" is "day" or "week" where ``zoned`` and the block lasts that long, else "none". Without times,
    rows count.

    Raises:
        InputError: if ``frames`` is missing, times repeat, or no block is complete.
    """
    if calendar not in CALENDARS:
        raise InputError(f"calendar must be one of {list_names(CALENDARS)}, got {calendar!r}")
    if frames is None:
        raise InputError("one long series needs frames= (--frames), the number of frames of a sequence")
    frames = _checks.count("frames", frames)
    if len(source.values) < frames:
        raise InputError(f"{counted(len(source.values), 'row')} are too few for a sequence of {frames} frames")
    if source.times is None:
        if calendar in _PERIODS:
            raise InputError(f"calendar={calendar!r} needs times, but the series has none")
        return _by_row(source, frames, missing)
    return _by_time(source, source.times, frames, calendar, zoned, missing)


def _by_row(source: Source, frames: int, missing: str) -> Blocks:
    blocks, rest = divmod(len(source.values), frames)
    values = source.values[: blocks * frames].reshape(blocks, frames, -1)
    notes = [f"{counted(rest, 'row')} at the end left out: too few for a block of {frames}."] if rest else []
    keep, left_out = usable(values, source.names, "block", missing)
    if not keep.any():
        raise InputError(f"no block of {frames} rows is {_WANTED[missing]}. {' '.join(left_out)}")
    return Blocks(values[keep], None, None, (*notes, *left_out))


def _by_time(
    source: Source,
    times: pd.DatetimeIndex | FloatArray,
    frames: int,
    calendar: str,
    zoned: bool,
    missing: str,
) -> Blocks:
    order = np.argsort(np.asarray(times.asi8 if isinstance(times, pd.DatetimeIndex) else times), kind="stable")
    times, values = times[order], source.values[order]
    grid = ticks(times, source.step)
    period = _calendar_period(calendar, grid.step, frames, zoned)
    if period is None:
        on_grid, starts, notes = _regular_starts(grid, frames)
    else:
        assert isinstance(times, pd.DatetimeIndex)
        on_grid, starts, notes = _calendar_starts(times, grid.unit, period)
    if not on_grid.all():
        count = counted(int((~on_grid).sum()), "row")
        notes.append(f"{count} left out: off the grid of step {show_step(grid.step)} on which the blocks stand.")
    rows = np.flatnonzero(on_grid)
    whole = grid.whole[rows]
    wanted = starts[:, None] + grid.unit * np.arange(frames)  # (blocks, frames)
    at = np.minimum(np.searchsorted(whole, wanted), len(whole) - 1)
    there = whole[at] == wanted
    full = there.all(axis=1) if missing == "drop" else there.any(axis=1)
    if missing == "drop" and not full.all():
        notes.append(f"{int((~full).sum())} of {counted(len(full), 'block')} left out: some of their times are absent.")
    found = np.where(there[full][..., None], values[rows[at[full]]], np.nan)
    keep, left_out = usable(found, source.names, "block", missing)
    if not keep.any():
        why = " ".join([*notes, *left_out])
        what = f"no block of {frames} frames with step {show_step(grid.step)}"
        raise InputError(f"{what} is {_WANTED[missing]}. {why}".strip())
    return Blocks(found[keep], _stamps(starts[full][keep], times, grid), grid.step, (*notes, *left_out))


def _stamps(whole: Whole, times: pd.DatetimeIndex | FloatArray, grid: Ticks) -> Starts:
    """Whole numbers of a grid as times like those of the series, whether one of its rows stands there or not."""
    if isinstance(times, pd.DatetimeIndex):
        index = pd.DatetimeIndex(whole)
        return index.tz_localize("UTC").tz_convert(times.tz) if times.tz is not None else index
    at = np.minimum(np.searchsorted(grid.whole, whole), len(times) - 1)
    assert isinstance(grid.step, float)
    return np.where(grid.whole[at] == whole, times[at], times[0] + (whole - grid.whole[0]) * grid.step)


def _calendar_period(calendar: str, step: Step, frames: int, zoned: bool) -> int | None:
    """Length of a calendar block in nanoseconds, or None for blocks that follow no calendar."""
    lasts = nanoseconds(step) * frames if isinstance(step, pd.Timedelta) else None
    if calendar == "auto":
        return lasts if zoned and lasts in _PERIODS.values() else None
    if calendar == "none":
        return None
    if lasts != _PERIODS[calendar]:
        raise InputError(
            f"calendar={calendar!r} needs frames * step to be {_PERIODS[calendar] // _DAY * 24} h, "
            f"but {frames} frames of {show_step(step)} are something else"
        )
    return lasts


def _regular_starts(grid: Ticks, frames: int) -> tuple[NDArray[np.bool_], Whole, list[str]]:
    """Rows on the grid of the first one, and the starts of all blocks in which a row falls."""
    first, length = grid.whole[0], grid.unit * frames
    block = np.unique((grid.whole[grid.on_grid] - first) // length)
    empty = int(block[-1] - block[0] + 1 - len(block))
    notes = [f"{counted(empty, 'block')} of the span of time left out: no row at all."] if empty else []
    return grid.on_grid, first + block * length, notes


def _calendar_starts(times: pd.DatetimeIndex, unit: int, period: int) -> tuple[NDArray[np.bool_], Whole, list[str]]:
    """Rows with the usual phase after midnight, and the starts of the days (weeks) in which a row falls."""
    midnight = times.tz_localize(None).normalize()
    if period > _DAY:
        midnight = midnight - pd.to_timedelta(midnight.day_of_week, unit="D")
    began = _first_instant(midnight, times)
    phase = (times.asi8 - began) % unit
    values, counts = np.unique(phase, return_counts=True)
    usual = int(values[np.argmax(counts)])
    days = midnight.unique()
    starts = _first_instant(days, times)
    usual_length = _first_instant(days + pd.Timedelta(period, unit="ns"), times) - starts == period
    odd = days[~usual_length]
    on_grid = (phase == usual) & ~np.asarray(midnight.isin(odd))
    notes = []
    if len(odd):
        noun, rest = ("day", "23 or 25 hours") if period == _DAY else ("week", "an hour more or less")
        dates = list_names([f"{day:%Y-%m-%d}" for day in odd], 4)
        notes = [f"{counted(len(odd), noun)} of {rest} left out, because the clocks changed ({dates})."]
        on_grid |= np.asarray(midnight.isin(odd))  # counted as days, not again as rows
    return on_grid, starts[usual_length] + usual, notes


def _first_instant(midnight: pd.DatetimeIndex, like: pd.DatetimeIndex) -> Whole:
    """Nanoseconds at which these local dates begin; a midnight that clocks skip begins with the next instant."""
    if like.tz is None:
        return np.asarray(midnight.as_unit("ns").asi8)
    first = np.ones(len(midnight), dtype=bool)
    return np.asarray(midnight.tz_localize(like.tz, ambiguous=first, nonexistent="shift_forward").as_unit("ns").asi8)


_WANTED = {"drop": "complete", "mask": "with a value"}


def usable(values: FloatArray, names: tuple[str, ...], noun: str, missing: str) -> tuple[NDArray[np.bool_], list[str]]:
    """Which of the (n, N, d) sequences to keep, and notes.

    Without a missing value those that have one are left out; under a mask those that have nothing else.
    """
    if missing not in MISSING:
        raise InputError(f"missing must be one of {list_names(MISSING)}, got {missing!r}")
    gone = np.isnan(values)
    holed = np.asarray(gone.any(axis=1))  # (n, d)
    bad = np.asarray(holed.any(axis=1))
    if not bad.any():
        return ~bad, []
    causes = list_names([f"{name} in {count}" for name, count in zip(names, holed.sum(axis=0)) if count])
    these = f"{int(bad.sum())} of {counted(len(bad), noun)}"
    if missing == "drop":
        return ~bad, [f"{these} left out: missing values ({causes})."]
    empty = np.asarray(gone.all(axis=(1, 2)))
    if empty.all():
        return ~empty, [f"{counted(len(bad), noun)} left out: no value at all."]
    notes = [f"{100 * gone[~empty].mean():.2g} % of the values are missing, in {these} ({causes}): learnt around."]
    if empty.any():
        notes.append(f"{int(empty.sum())} of {counted(len(bad), noun)} left out: no value at all.")
    return ~empty, notes


def show_step(step: Step) -> str:
    """A step for a message, in the largest unit of which it is a whole number."""
    if not isinstance(step, pd.Timedelta):
        return f"{step:g}"
    unit, size = offset_unit(step)
    number = nanoseconds(step) / size
    return f"{number:g} {unit[:-1] if number == 1 else unit}"


def offset_unit(step: pd.Timedelta) -> tuple[str, int]:
    """The largest of days, hours, minutes and seconds that divides the step, and its nanoseconds; else seconds."""
    sizes = {"days": _DAY, "hours": _DAY // 24, "minutes": _DAY // 1440, "seconds": 10**9}
    return next(((unit, size) for unit, size in sizes.items() if nanoseconds(step) % size == 0), ("seconds", 10**9))
