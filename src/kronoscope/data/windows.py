"""Windows of N frames over a long series that may have gaps, in the phase of the blocks of a fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._display import Displayed
from .._errors import InputError
from .block_grid import BlockGrid, Places
from .blocks import in_order
from .sequences import Source
from .steps import Starts
from .time_forms import FloatArray
from .times import check_zone

Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Windows(Displayed):
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


def block_windows(source: Source, grid: BlockGrid) -> Windows:
    """The blocks of a long series, whole or not, where :func:`cut` would cut them.

    Args:
        source: A long series.
        grid: Where the blocks of the run begin.

    Raises:
        InputError: Times of another kind or step than the grid's, or that repeat.
    """
    order, places = _placed(source, grid)
    return _windows(source, grid, order, places, np.unique(places.starts[places.on_grid]))


def last_window(
    source: Source, grid: BlockGrid, *, ahead: int | None, in_phase: bool, origin: str | None = None
) -> tuple[Windows, int]:
    """The window that reaches beyond the end of the series, and how many of its frames lie before the forecast.

    Args:
        source, grid: As for :func:`block_windows`.
        ahead: Frames to forecast; None: a quarter of a window, or in phase, what is left of the block.
        in_phase: Whether the window must be a block of the run, because its mean depends on the frame.
        origin: Time (without times: row from 0) of the first frame to forecast; None: the one after the last value.

    Raises:
        InputError: No value before the forecast, or a window that cannot hold it.
    """
    order, places = _placed(source, grid)
    frames, unit = grid.frames, grid.unit
    if ahead is not None and not 1 <= ahead < frames:
        raise InputError(f"steps must be at least 1 and less than the {frames} frames of a sequence, got {ahead}")
    if origin is None:
        seen = places.whole[places.on_grid & np.isfinite(source.values[order]).any(axis=1)]
        if not len(seen):
            raise InputError(
                "no value lies on the time grid of the run, so there is nothing to forecast from: "
                "give times with the run's step"
            )
        first = int(seen[-1]) + unit
    else:
        first = _origin(grid, origin)
    place = grid.place_whole(np.array([first]))
    if in_phase or grid.calendar != "none":
        past, begin = _in_block(grid, place, ahead), place.starts
    else:
        past = frames - (max(1, frames // 4) if ahead is None else ahead)
        begin = np.array([first - past * unit])
    return _windows(source, grid, order, places, begin), past


def _in_block(grid: BlockGrid, place: Places, ahead: int | None) -> int:
    """How many frames of the block lie before the forecast."""
    if place.odd[0]:
        raise InputError(
            "the day of the forecast has 23 or 25 hours, on which the run was not trained; give another --origin"
        )
    past = int(place.frame[0])
    if past < 0:
        raise InputError("the times of the series do not lie on the time grid of the run's sequences")
    if past == 0:
        raise InputError(
            "the forecast would begin with a new block, in which nothing is observed, and the mean of the run "
            "depends on the place in the block: give an --origin within a block"
        )
    if ahead is not None and past + ahead > grid.frames:
        raise InputError(f"steps must be at most {grid.frames - past}, which are left of the block, got {ahead}")
    return past


def _placed(source: Source, grid: BlockGrid) -> tuple[Whole, Places]:
    """The rows in order of time and their places; rows of another step than the run's are refused."""
    if source.step is None:
        grid.check_step(source.times)
    return in_order(source, grid)


def _windows(source: Source, grid: BlockGrid, order: Whole, places: Places, starts: Whole) -> Windows:
    wanted = starts[:, None] + grid.unit * np.arange(grid.frames)
    on_grid = np.flatnonzero(places.on_grid)
    whole = places.whole[on_grid]
    if not len(whole):
        rows = np.full(wanted.shape, -1)
    else:
        at = np.minimum(np.searchsorted(whole, wanted), len(whole) - 1)
        rows = np.where(whole[at] == wanted, order[on_grid[at]], -1)
    return Windows(rows, grid.shown(wanted.ravel()), source.times is not None)


def _origin(grid: BlockGrid, origin: str) -> int:
    """The origin as a whole number of the grid."""
    try:
        if not isinstance(grid.step, pd.Timedelta):
            place = (float(origin) - grid.origin) / (grid.step or 1.0)
            if not abs(place - round(place)) <= 1e-6:
                raise InputError(f"origin must be a time of a frame, got {origin}")
            return round(place)
        stamp = pd.Timestamp(origin)
        if grid.timezone is not None and stamp.tzinfo is None:
            stamp = stamp.tz_localize(check_zone(grid.timezone))
        if grid.timezone is None and stamp.tzinfo is not None:
            raise InputError(f"origin must be without a time zone, as the times of the series, got {origin}")
        whole = int(stamp.as_unit("ns").value)
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"origin must be a time of the series, got {origin!r}") from None
    place_of = grid.place_whole(np.array([whole]))
    if not place_of.on_grid[0] and not place_of.odd[0]:
        raise InputError(f"origin must be a time of a frame, got {origin}")
    return whole
