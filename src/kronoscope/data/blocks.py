"""A long series cut into blocks of N frames by time stamp, never by row count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._errors import InputError
from .block_grid import BlockGrid, Places, show_step
from .messages import counted, list_names
from .sequences import Source
from .steps import Starts, Step
from .time_forms import FloatArray
from .times import refuse_repeats

MISSING = ("drop", "mask")
Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks: values (n, N, d), their starts, the step, and what was left out."""

    values: FloatArray
    starts: Starts
    step: Step
    notes: tuple[str, ...]


def cut(source: Source, grid: BlockGrid, missing: str = "drop") -> Blocks:
    """The blocks of a long series: the complete ones, or with ``missing="mask"`` all that have a value, NaN elsewhere.

    A block is the frames of ``grid`` from one of its starts. With "drop" a block is left out, and counted in the notes,
    if one of its stamps is absent or one of its values is missing. Without times rows count, and those at the end that
    are too few for a block are left out.

    Raises:
        InputError: if times repeat, or no block is complete.
    """
    frames = grid.frames
    if len(source.values) < frames:
        rows = counted(len(source.values), "row")
        raise InputError(f"{rows} are too few for a sequence of {frames} frames: give fewer frames= (--frames)")
    if source.times is None:
        return _by_row(source, grid, missing)
    return _by_time(source, grid, missing)


def in_order(source: Source, grid: BlockGrid) -> tuple[Whole, Places]:
    """The rows of a long series in order of time, and where they stand on the grid.

    Raises:
        InputError: a time, or a frame of the grid, occurs twice.
    """
    places = grid.place(source.times, len(source.values))
    if source.times is None:
        return np.arange(len(source.values)), places
    order = np.argsort(np.asarray(source.times), kind="stable")
    times = source.times[order]
    numbers = np.asarray(times.asi8 if isinstance(times, pd.DatetimeIndex) else times)
    refuse_repeats(np.diff(numbers) == 0, times)
    places = Places(**{name: values[order] for name, values in vars(places).items()})
    rows = np.flatnonzero(places.on_grid)
    refuse_repeats(np.diff(places.whole[rows]) == 0, times[rows])
    return order, places


def _by_row(source: Source, grid: BlockGrid, missing: str) -> Blocks:
    frames = grid.frames
    blocks, rest = divmod(len(source.values), frames)
    values = source.values[: blocks * frames].reshape(blocks, frames, -1)
    notes = [f"{counted(rest, 'row')} at the end left out: too few for a block of {frames}."] if rest else []
    keep, left_out = usable(values, source.names, "block", missing)
    if not keep.any():
        raise InputError(f"no block of {frames} rows is {_WANTED[missing]}. {' '.join(left_out)}")
    return Blocks(values[keep], None, None, (*notes, *left_out))


def _by_time(source: Source, grid: BlockGrid, missing: str) -> Blocks:
    order, places = in_order(source, grid)
    assert source.times is not None
    times, values = source.times[order], source.values[order]
    rows = np.flatnonzero(places.on_grid)
    starts = np.unique(places.starts[rows])
    notes = _left_out(grid, places, times, starts)
    whole = places.whole[rows]
    wanted = starts[:, None] + grid.unit * np.arange(grid.frames)  # (blocks, frames)
    at = np.minimum(np.searchsorted(whole, wanted), len(whole) - 1)
    there = whole[at] == wanted
    full = there.all(axis=1) if missing == "drop" else there.any(axis=1)
    if missing == "drop" and not full.all():
        notes.append(f"{int((~full).sum())} of {counted(len(full), 'block')} left out: some of their times are absent.")
    blocks = np.where(there[full][..., None], values[rows[at[full]]], np.nan)
    keep, left_out = usable(blocks, source.names, "block", missing)
    if not keep.any():
        why = " ".join([*notes, *left_out])
        what = f"no block of {grid.frames} frames with step {show_step(grid.step)}"
        raise InputError(f"{what} is {_WANTED[missing]}. {why}".strip())
    return Blocks(blocks[keep], grid.shown(starts[full][keep]), grid.step, (*notes, *left_out))


def _left_out(grid: BlockGrid, places: Places, times: Starts, starts: Whole) -> list[str]:
    """Notes on blocks without a row, days on which clocks change, and rows off the grid."""
    notes = []
    if grid.calendar == "none" and len(starts):
        span = (int(starts[-1]) - int(starts[0])) // (grid.unit * grid.frames) + 1
        if span > len(starts):
            notes.append(f"{counted(span - len(starts), 'block')} of the span of time left out: no row at all.")
    if places.odd.any():
        assert isinstance(times, pd.DatetimeIndex)
        odd = grid.odd_days(times)
        noun, rest = ("day", "23 or 25 hours") if grid.calendar == "day" else ("week", "an hour more or less")
        dates = list_names(odd, 4)
        notes.append(f"{counted(len(odd), noun)} of {rest} left out, because the clocks changed ({dates}).")
    off = int((~places.on_grid & ~places.odd).sum())
    if off:
        step = show_step(grid.step)
        notes.append(f"{counted(off, 'row')} left out: off the grid of step {step} on which the blocks stand.")
    return notes


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
        return ~empty, [f"{counted(len(bad), noun)} left out: no observed value."]
    notes = [
        f"{100 * gone[~empty].mean():.2g} % of the values are missing, in {these} ({causes}): the network "
        "is trained on the other values."
    ]
    if empty.any():
        notes.append(f"{int(empty.sum())} of {counted(len(bad), noun)} left out: no observed value.")
    return ~empty, notes
