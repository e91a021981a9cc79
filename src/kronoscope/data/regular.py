"""Irregular times on a regular grid: every row goes to the nearest frame, and what has no row is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._errors import InputError
from .block_grid import BlockGrid
from .messages import counted
from .sequences import Source
from .steps import Starts, nanoseconds
from .time_forms import FloatArray

# A grid this much finer than its rows is a mistaken unit, and would fill the memory with missing values.
_MOST_FRAMES_A_ROW = 1000


def parse_step(text: str | float | timedelta) -> pd.Timedelta | float:
    """A step between frames: a span of time such as "10min" or "1h", or a number for times that are numbers.

    Raises:
        InputError: It is neither, or not positive.
    """
    try:
        step: pd.Timedelta | float = pd.Timedelta(text) if isinstance(text, timedelta) else float(text)
    except ValueError:
        try:
            step = pd.Timedelta(text)
        except ValueError:
            raise InputError(f"step must be a span such as 10min or 1h, or a number, got {text!r}") from None
    positive = nanoseconds(step) > 0 if isinstance(step, pd.Timedelta) else 0 < step < np.inf
    if not positive:
        raise InputError(f"step must be positive, got {text}")
    return step


def check_kind(step: str | float | timedelta, times: Starts) -> pd.Timedelta | float:
    """The step, if it fits the kind of times.

    Raises:
        InputError: No times, or a step of the wrong kind.
    """
    step = parse_step(step)
    if times is None:
        raise InputError("step puts the irregular times of a long series on a grid, but there are no times")
    if isinstance(times, pd.DatetimeIndex) and not isinstance(step, pd.Timedelta):
        raise InputError(f"step must be a span such as 10min, because the times are clock times, got {step:g}")
    if not isinstance(times, pd.DatetimeIndex) and isinstance(step, pd.Timedelta):
        raise InputError(f"step must be a number, because the times are numbers, got {step}")
    return step


def on_grid(source: Source, grid: BlockGrid) -> tuple[Source, NDArray[np.int64]]:
    """The rows of a long series moved to the nearest frame of a grid, and which rows those are.

    Of several rows that are nearest to one frame the nearest stays; the notes count them and say how far a row was
    moved at most. Frames without a row are absent, as after any gap.

    Raises:
        InputError: Times of another kind than the grid's, or a step far finer than the rows.
    """
    times = source.times
    if source.values.ndim != 2 or times is None or grid.step is None:
        raise InputError("step puts the irregular times of a long series on a grid, but there are no times")
    whole, moved = grid.nearest(times)
    span = int(np.ptp(whole)) // grid.unit
    if span > _MOST_FRAMES_A_ROW * len(whole):
        raise InputError(
            f"step {_show(grid.step)} makes {span + 1} frames of {counted(len(whole), 'row')}: give a larger one"
        )
    order = np.lexsort((moved, whole))  # the nearest row of each frame first
    rows = np.sort(order[np.unique(whole[order], return_index=True)[1]])
    notes = (*source.notes, *_notes(moved, rows, grid.step))
    stamps = grid.shown(whole[rows])
    return replace(source, values=source.values[rows], times=stamps, step=grid.step, notes=notes), rows


def _notes(moved: FloatArray, rows: NDArray[np.int64], step: pd.Timedelta | float) -> list[str]:
    notes = []
    shifted, most = int((moved[rows] > 1e-9).sum()), float(moved[rows].max())
    if shifted:
        reach = _show((most * step).round("s")) if isinstance(step, pd.Timedelta) else f"{most * step:.3g}"
        these = counted(shifted, "row")
        notes.append(f"{these} moved to the nearest frame of step {_show(step)}, by {reach} at most.")
    dropped = len(moved) - len(rows)
    if dropped:
        notes.append(f"{counted(dropped, 'row')} left out: another row is nearer to the same frame.")
    return notes


def _show(step: pd.Timedelta | float) -> str:
    return str(step.to_pytimedelta()) if isinstance(step, pd.Timedelta) else f"{step:g}"
