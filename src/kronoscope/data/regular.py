"""Irregular times on a regular grid: every row goes to the nearest frame, and what has no row is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._errors import InputError
from .sequences import FloatArray, Source, counted, nanoseconds

# A grid this much finer than its rows is a mistaken unit, and would fill the memory with missing values.
_MOST_FRAMES_A_ROW = 1000


def parse_step(text: str | float | pd.Timedelta) -> pd.Timedelta | float:
    """A step between frames: a span of time such as "10min" or "1h", or a number for times that are numbers.

    Raises:
        InputError: It is neither, or not positive.
    """
    try:
        step: pd.Timedelta | float = float(text) if not isinstance(text, pd.Timedelta) else text
    except ValueError:
        try:
            step = pd.Timedelta(text)
        except ValueError:
            raise InputError(f"step must be a span such as 10min or 1h, or a number, got {text!r}") from None
    positive = nanoseconds(step) > 0 if isinstance(step, pd.Timedelta) else 0 < step < np.inf
    if not positive:
        raise InputError(f"step must be positive, got {text}")
    return step


def on_grid(source: Source, step: str | float | pd.Timedelta) -> tuple[Source, NDArray[np.int64]]:
    """The rows of a long series moved to the nearest frame of a grid of that step, and which rows those are.

    The grid stands at whole steps from midnight (in the zone of the times) before the first row, or from 0 for times
    that are numbers. Of several rows that are nearest to one frame the nearest stays; the notes count them and say how
    far a row was moved at most. Frames without a row are absent, as after any gap.

    Raises:
        InputError: No times, a step of the wrong kind, or one far finer than the rows.
    """
    step = parse_step(step)
    times = source.times
    if source.values.ndim != 2 or times is None:
        raise InputError("step puts the irregular times of a long series on a grid, but there are no times")
    if isinstance(times, pd.DatetimeIndex):
        if not isinstance(step, pd.Timedelta):
            raise InputError(f"step must be a span such as 10min, because the times are clock times, got {step:g}")
        whole, unit = np.asarray(times.as_unit("ns").asi8), nanoseconds(step)
        anchor = int(times.min().normalize().as_unit("ns").value)
        frame = np.rint((whole - anchor) / unit).astype(np.int64)
        moved = np.abs(whole - anchor - frame * unit) / unit
    else:
        if isinstance(step, pd.Timedelta):
            raise InputError(f"step must be a number, because the times are numbers, got {step}")
        frame = np.rint(times / step).astype(np.int64)
        moved = np.abs(times / step - frame)
    if np.ptp(frame) > _MOST_FRAMES_A_ROW * len(frame):
        raise InputError(
            f"step {_show(step)} makes {int(np.ptp(frame)) + 1} frames of {counted(len(frame), 'row')}: give a "
            f"larger one"
        )
    order = np.lexsort((moved, frame))  # the nearest row of each frame first
    rows = np.sort(order[np.unique(frame[order], return_index=True)[1]])
    stamps = _at(frame[rows], times, step)
    notes = _notes(moved, rows, step)
    gridded = replace(source, values=source.values[rows], times=stamps, step=step, notes=(*source.notes, *notes))
    return gridded, rows


def _at(
    frame: NDArray[np.int64], times: pd.DatetimeIndex | FloatArray, step: pd.Timedelta | float
) -> pd.DatetimeIndex | FloatArray:
    if isinstance(step, pd.Timedelta):
        assert isinstance(times, pd.DatetimeIndex)
        anchor = int(times.min().normalize().as_unit("ns").value)
        index = pd.DatetimeIndex(anchor + frame * nanoseconds(step))
        return index if times.tz is None else index.tz_localize("UTC").tz_convert(times.tz)
    return np.asarray(frame * step, dtype=np.float64)


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
