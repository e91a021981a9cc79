"""The order of the rows within sequences, and the step between them, from their times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._errors import InputError
from .block_grid import show_step
from .steps import Step
from .time_forms import FloatArray, Times

# Numeric times this share of a step away from even spacing are even.
_EVEN = 1e-2


@dataclass(frozen=True, eq=False)
class SequenceOrder:
    """Rows of n sequences in order of time.

    Attributes:
        rows: (n, N), the row of each frame.
        starts: (n,), times of the first frames.
        step: between frames; None where there is one frame, or the times only date the sequences.
    """

    rows: NDArray[np.int64]
    starts: Times
    step: Step


def order_in_time(
    times: Times, rows: NDArray[np.int64], labels: Sequence[Any], name: str, advice: str, *, dates_only: bool
) -> SequenceOrder:
    """Sort the rows of each sequence by time; every sequence must have the same even step.

    Args:
        times: (T,), of all rows.
        rows: (n, N), the rows of each sequence, in any order.
        labels: n, what the file calls them.
        name: of the column or coordinate of times, for messages.
        advice: what to do about uneven times, the end of a message.
        dates_only: whether one time for all rows of a sequence may date the sequence, as in generated files.

    Raises:
        InputError: a sequence whose times repeat or are uneven, by name and time.
    """
    numbers = np.asarray(times.asi8 if isinstance(times, pd.DatetimeIndex) else times)
    order = np.argsort(numbers[rows], axis=1, kind="stable")
    rows = np.take_along_axis(rows, order, axis=1)
    gaps = np.diff(numbers[rows], axis=1)
    starts = times[rows[:, 0]]
    if not gaps.size or (dates_only and not gaps.any()):
        return SequenceOrder(rows, starts, None)
    repeated = np.argwhere(gaps == 0)
    if len(repeated):
        sequence, frame = repeated[0]
        raise InputError(
            f"the time {times[rows[sequence, frame]]} in '{name}' occurs more than once in sequence "
            f"{_label(labels[sequence])}: remove one of these rows"
        )
    step = _common(gaps)
    uneven = np.argwhere(np.abs(gaps - step) > (0 if isinstance(times, pd.DatetimeIndex) else _EVEN * step))
    if len(uneven):
        sequence, frame = uneven[0]
        before, after = times[rows[sequence, frame]], times[rows[sequence, frame + 1]]
        raise InputError(
            f"sequence {_label(labels[sequence])} is uneven in time: in '{name}' {after} comes after {before}, but the "
            f"step is {show_step(_as_step(step, times))}. {advice}"
        )
    return SequenceOrder(rows, starts, _as_step(float(gaps.mean()), times))


def _label(label: Any) -> str:
    return " ".join(str(label).split())[:40]


def _common(gaps: NDArray[Any]) -> float:
    """The most common gap, the smallest of equally common ones, up to the round-off of numbers."""
    if gaps.dtype.kind == "i":
        values, counts = np.unique(gaps, return_counts=True)
        return float(values[np.argmax(counts)])
    rounded = np.round(gaps / gaps.min(), 2)
    values, counts = np.unique(rounded, return_counts=True)
    return float(gaps[rounded == values[np.argmax(counts)]].mean())


def _as_step(step: float, times: Times) -> pd.Timedelta | float:
    return pd.Timedelta(round(step), unit="ns") if isinstance(times, pd.DatetimeIndex) else step


def even_offsets(offsets: FloatArray, name: str) -> float | None:
    """The step of the offsets (n, N) of sequences in order; None for one frame.

    Raises:
        InputError: offsets that are missing, repeated, uneven, or differ between sequences.
    """
    if np.isnan(offsets).any() or np.any(np.abs(offsets - offsets[0]) > 1e-9 * np.ptp(offsets[0])):
        raise InputError(
            f"the column '{name}' says where a row stands in its sequence, so it must be the same in all sequences: "
            "rename it in the source, if it is a feature"
        )
    gaps = np.diff(offsets[0])
    if not gaps.size:
        return None
    if np.any(gaps == 0):
        raise InputError(f"the column '{name}' repeats a value within a sequence")
    step = _common(gaps)
    uneven = np.flatnonzero(np.abs(gaps - step) > _EVEN * step)
    if len(uneven):
        before, after = offsets[0, uneven[0]], offsets[0, uneven[0] + 1]
        raise InputError(
            f"the column '{name}' is uneven: {after:g} comes after {before:g}, but the step is {step:g}. Fill in the "
            f"rows between, or number the frames in a column 'frame' (0, 1, 2, ...) in place of '{name}'"
        )
    return float(gaps.mean())
