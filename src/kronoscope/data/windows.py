"""Windows of N frames over a long series that may have gaps, in the phase of the blocks of a fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._errors import InputError
from .blocks import _calendar_period, _calendar_starts, show_step
from .sequences import FloatArray, Source, Starts, Step
from .times import ticks

Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Windows:
    """Where the frames of each window stand in the series.

    Attributes:
        rows: (windows, N), row of the series; -1 where it has none.
        times: (windows * N,) clock times or numbers, window by window.
        named: Whether the times are the file's own; else they count rows from 0.
    """

    rows: Whole
    times: pd.DatetimeIndex | FloatArray
    named: bool

    def values(self, source: Source) -> FloatArray:
        """(windows, N, d), NaN where there is no row."""
        return np.where((self.rows >= 0)[..., None], source.values[self.rows], np.nan)

    def starts(self) -> Starts:
        """Clock times of the first frames; None for times that are numbers."""
        return self.times[:: self.rows.shape[1]] if isinstance(self.times, pd.DatetimeIndex) else None


@dataclass(frozen=True, eq=False)
class _Grid:
    """A series' rows in order of time, their times as whole numbers, and the period of a calendar (None without)."""

    order: Whole
    whole: Whole
    unit: int
    frames: int
    period: int | None
    anchor: int
    times: Starts
    step: Step

    @classmethod
    def of(cls, source: Source, frames: int, step: Step, calendar: str, starts: Starts) -> _Grid:
        if source.times is None:
            rows = np.arange(len(source.values))
            return cls(rows, rows, 1, frames, None, 0, None, None)
        times = source.times
        order = np.argsort(np.asarray(times.asi8 if isinstance(times, pd.DatetimeIndex) else times), kind="stable")
        grid = ticks(times[order], source.step)
        if not _same_step(step, grid.step):
            expected = "nothing (no times)" if step is None else show_step(step)
            raise InputError(f"the run has a step of {expected}, but the times here have {show_step(grid.step)}")
        zoned = isinstance(times, pd.DatetimeIndex) and times.tz is not None
        period = _calendar_period(calendar, grid.step, frames, zoned)
        anchor = int(grid.whole[0])
        if isinstance(starts, pd.DatetimeIndex) and isinstance(times, pd.DatetimeIndex) and len(starts):
            anchor = int(starts.as_unit("ns").asi8[0])
        return cls(order, grid.whole, grid.unit, frames, period, anchor, times[order], grid.step)

    def block_starts(self, whole: Whole) -> Whole:
        """Starts of the blocks in which these times stand; days on which clocks change have none."""
        if self.period is None:
            length = self.unit * self.frames
            return np.unique(self.anchor + (whole - self.anchor) // length * length)
        assert isinstance(self.times, pd.DatetimeIndex)
        index = (
            pd.DatetimeIndex(whole, tz="UTC").tz_convert(self.times.tz) if self.times.tz else pd.DatetimeIndex(whole)
        )
        return _calendar_starts(index, self.unit, self.period)[1]

    def windows(self, starts: Whole) -> Windows:
        wanted = starts[:, None] + self.unit * np.arange(self.frames)
        at = np.minimum(np.searchsorted(self.whole, wanted), len(self.whole) - 1)
        rows = np.where(self.whole[at] == wanted, self.order[at], -1)
        flat = wanted.ravel()
        if self.times is None:
            return Windows(rows, flat.astype(np.float64), False)
        if isinstance(self.times, pd.DatetimeIndex):
            index = pd.DatetimeIndex(flat)
            return Windows(rows, index.tz_localize("UTC").tz_convert(self.times.tz) if self.times.tz else index, True)
        assert isinstance(self.step, float)
        return Windows(rows, self.times[0] + (flat - self.whole[0]) * self.step, True)


def _same_step(step: Step, other: Step) -> bool:
    """Whether two steps are one up to rounding; times as dates and as numbers are never the same."""
    if isinstance(step, pd.Timedelta) and isinstance(other, pd.Timedelta):
        return bool(np.isclose(other / step, 1.0, rtol=1e-6))
    if isinstance(step, pd.Timedelta) or isinstance(other, pd.Timedelta) or step is None or other is None:
        return False
    return bool(np.isclose(other, step, rtol=1e-6, atol=0.0))


def block_windows(source: Source, frames: int, step: Step, calendar: str = "auto", starts: Starts = None) -> Windows:
    """The blocks of the series, whole or not, by the rules of :func:`cut`.

    Args:
        source: A long series.
        frames: N.
        step: Time between frames in the run; None without times.
        calendar: As for ``read``.
        starts: Starts of the run's sequences, which say where blocks begin; None: with the first row.

    Raises:
        InputError: Times of another step, or that repeat.
    """
    grid = _Grid.of(source, frames, step, calendar, starts)
    return grid.windows(grid.block_starts(grid.whole))


def last_window(
    source: Source,
    frames: int,
    step: Step,
    *,
    ahead: int | None,
    in_phase: bool,
    calendar: str = "auto",
    starts: Starts = None,
    origin: str | None = None,
) -> tuple[Windows, int]:
    """The window that reaches beyond the end of the series, and how many of its frames lie before the forecast.

    Args:
        source, frames, step, calendar, starts: As for :func:`block_windows`.
        ahead: Frames to forecast; None: a quarter of a window, or in phase, what is left of the block.
        in_phase: Whether the window must be a block of the run, because its mean depends on the frame.
        origin: Time (without times: row from 0) of the first frame to forecast; None: the one after the last value.

    Raises:
        InputError: No value before the forecast, or a window that cannot hold it.
    """
    grid = _Grid.of(source, frames, step, calendar, starts)
    seen = grid.whole[np.isfinite(source.values[grid.order]).any(axis=1)]
    first = int(seen[-1]) + grid.unit if origin is None else _origin(grid, origin)
    if ahead is not None and not 1 <= ahead < frames:
        raise InputError(f"steps must be at least 1 and less than the {frames} frames of a sequence, got {ahead}")
    if in_phase or grid.period is not None:
        begin = grid.block_starts(np.array([first]))
        if not len(begin):
            raise InputError("the day of the forecast has 23 or 25 hours, of which the run learnt nothing")
        past = (first - int(begin[0])) // grid.unit
        if (first - int(begin[0])) % grid.unit or not 0 <= past < frames:
            raise InputError("the times of the series are not in step with those of the run's sequences")
        if past == 0:
            raise InputError(
                "the forecast would begin with a new block, in which nothing is observed, and the mean of the run "
                "depends on the place in the block: give an --origin within a block"
            )
        if ahead is not None and past + ahead > frames:
            raise InputError(f"steps must be at most {frames - past}, which are left of the block, got {ahead}")
    else:
        past = frames - (max(1, frames // 4) if ahead is None else ahead)
        begin = np.array([first - past * grid.unit])
    return grid.windows(begin[:1]), past


def _origin(grid: _Grid, origin: str) -> int:
    try:
        if not isinstance(grid.times, pd.DatetimeIndex):
            number = float(origin)
            place = number
            if grid.times is not None:
                assert isinstance(grid.step, float)
                place = float(grid.whole[0]) + (number - grid.times[0]) / grid.step
            if abs(place - round(place)) > 1e-6:
                raise InputError(f"origin must be a time of a frame, got {origin}")
            return round(place)
        stamp = pd.Timestamp(origin)
        if grid.times.tz is not None and stamp.tzinfo is None:
            stamp = stamp.tz_localize(grid.times.tz)
        if grid.times.tz is None and stamp.tzinfo is not None:
            raise InputError(f"origin must be without a time zone, as the times of the series, got {origin}")
        whole = int(stamp.as_unit("ns").value)
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"origin must be a time of the series, got {origin!r}") from None
    if (whole - int(grid.whole[0])) % grid.unit:
        raise InputError(f"origin must be a time of a frame, got {origin}")
    return whole
