"""Time stamps that a long series lacks between its first and its last row, as rows of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .block_grid import BlockGrid
from .messages import counted
from .sequences import Source, decoded_text
from .tables import SEQUENCE
from .time_forms import FloatArray, Times
from .times import parse

Whole = NDArray[np.int64]
_QUARTER = 900 * 10**9


def absent_stamps(source: Source, grid: BlockGrid) -> tuple[Times, list[str]]:
    """The frames of the grid's blocks between the first and the last row that no row stands at, and notes.

    Frames that have no row are left absent where they stand in no block (clocks change on their day), where a clock
    shows their time twice, so that rows cannot be told apart, and in blocks without any row where these would be more
    than all rows of the source.

    Raises:
        InputError: rows of another step than the grid's.
    """
    grid.check_step(source.times)
    places = grid.place(source.times, len(source.values))
    present = np.unique(places.whole[places.on_grid])
    if source.times is None or not len(present):
        return grid.shown(np.zeros(0, dtype=np.int64)), []
    first, last, notes = int(present[0]), int(present[-1]), []
    starts = np.unique(places.starts[places.on_grid])
    bare = (last - first) // (grid.unit * grid.frames) + 1 - len(starts)
    if bare * grid.frames > len(present):
        frames = (starts[:, None] + grid.unit * np.arange(grid.frames)).ravel()
        frames = frames[(frames > first) & (frames < last)]
        notes.append(f"{counted(bare, 'block')} without any row not filled in, because they would be most of the file.")
    else:
        unit = grid.unit if grid.calendar == "none" else math.gcd(grid.unit, _QUARTER)  # days begin at other phases
        frames = np.arange(first, last + 1, unit, dtype=np.int64)
    frames = frames[~np.isin(frames, places.whole)]
    if not len(frames):
        return grid.shown(frames), notes
    at = grid.place_whole(frames)
    left = int((at.odd & ((frames - first) % grid.unit == 0)).sum())
    stamps = grid.shown(frames[at.on_grid])
    form = source.container.time_form
    if isinstance(stamps, pd.DatetimeIndex) and stamps.tz is not None and form is not None:
        wall = stamps.tz_localize(None)
        is_single = np.asarray(wall.tz_localize(stamps.tz, ambiguous="NaT", nonexistent="NaT").notna())
        if form.kind != "unix" and not form.zone:
            stamps, left = stamps[is_single], left + int((~is_single).sum())
    if left:
        notes.append(f"{counted(left, 'time')} without a row not added, because the clocks change on these days.")
    return stamps, notes


def with_stamps(source: Source, stamps: Times) -> Source:
    """The source with rows without a value at these times, after its own rows."""
    values = np.concatenate([source.values, np.full((len(stamps), source.values.shape[1]), np.nan)])
    if isinstance(stamps, pd.DatetimeIndex):
        assert isinstance(source.times, pd.DatetimeIndex)
        return replace(
            source, values=values, times=pd.DatetimeIndex(source.times.append(stamps.as_unit(source.times.unit)))
        )
    assert source.times is not None
    return replace(source, values=values, times=np.concatenate([np.asarray(source.times), stamps]))


@dataclass(frozen=True, eq=False)
class NewRows:
    """Rows that a table is to get, in the order in which they are to stand.

    Attributes:
        after: (M,) the row of the file after which each is to stand; -1: before the first.
        like: (M,) a row of the file for the same pivot value.
        stamps: (M,) times as the column writes them.
        values: (M,) numbers of each column of values; NaN where the cell stays empty.
        time: name of the column of times.
        constant: other columns, whose value in ``like`` holds for the new row too.
    """

    after: Whole
    like: Whole
    stamps: pd.Index
    values: Mapping[str, FloatArray]
    time: str
    constant: frozenset[str]

    def __len__(self) -> int:
        return len(self.after)

    def renamed(self, names: Mapping[str, str]) -> NewRows:
        """The same with other names of columns."""
        values = {names[name]: numbers for name, numbers in self.values.items()}
        constant = frozenset(names[name] for name in self.constant)
        return replace(self, values=values, time=names[self.time], constant=constant)


def new_rows(
    table: pd.DataFrame, source: Source, chosen: NDArray[np.bool_], values: FloatArray, time: str, pivot: str | None
) -> NewRows:
    """Rows for the chosen entries of a source that have no cell in its table.

    Args:
        table: the file's.
        source: read from it; its rows with these entries may have no row in the table.
        chosen: like ``source.values``, the entries.
        values: like ``source.values``.
        time: the table's column of times.
        pivot: the table's column of pivot values.
    """
    form = source.container.time_form
    assert form is not None
    assert source.times is not None
    codes, kinds = (np.zeros(len(table), np.int64), [""]) if pivot is None else pd.factorize(table[pivot])
    suffixes = [f"_{decoded_text(kind)}" if pivot is not None else "" for kind in kinds]
    bases = list(dict.fromkeys(source.bases))
    place = {(name, base): j for j, (name, base) in enumerate(zip(source.names, source.bases))}
    entries = np.where(chosen, values, np.nan)
    empty = np.full(len(entries), np.nan)
    of_kind = [
        np.stack([entries[:, place[base + s, base]] if (base + s, base) in place else empty for base in bases], axis=1)
        for s in suffixes
    ]  # of each pivot value, (rows, columns)
    at, new_codes = np.nonzero(np.isfinite(np.stack(of_kind, axis=1)).any(axis=2))
    numbers = np.stack(of_kind, axis=1)[at, new_codes]
    written = parse(table[time], time, form).times
    stamps = _as_written(source.times[at], written)
    order, after = _places(_numbers(written), codes, _numbers(stamps), new_codes)
    new_codes = new_codes[order]
    first = np.array([int(np.argmax(codes == code)) for code in range(len(suffixes))])
    near = np.maximum(after, 0)
    like = np.where(codes[near] == new_codes, near, first[new_codes])
    return NewRows(
        after,
        like,
        form.show(stamps[order]),
        {base: numbers[order, j] for j, base in enumerate(bases)},
        time,
        _constant(table, codes, {time, pivot, *source.bases}) | ({pivot} if pivot is not None else set()),
    )


def new_frames(
    table: pd.DataFrame, source: Source, chosen: NDArray[np.bool_], values: FloatArray, offset: str
) -> NewRows:
    """Rows for the chosen entries (n, N, d) of a table of sequences whose frames the column ``offset`` numbers."""
    codes, labels = pd.factorize(table[SEQUENCE])
    frames = np.sort(table[offset].unique())
    assert chosen.shape[:2] == (len(labels), len(frames))
    which, at = np.nonzero(chosen.any(axis=2))
    order, after = _places(table[offset].to_numpy(np.float64), codes, frames[at].astype(np.float64), which)
    which, at = which[order], at[order]
    first = np.array([int(np.argmax(codes == code)) for code in range(len(labels))])
    near = np.maximum(after, 0)
    entries = np.where(chosen, values, np.nan)[which, at]
    return NewRows(
        after,
        np.where(codes[near] == which, near, first[which]),
        pd.Index(frames[at]),
        {base: entries[:, j] for j, base in enumerate(source.bases)},
        offset,
        _constant(table, codes, {SEQUENCE, offset, *source.bases}) | {SEQUENCE},
    )


def _as_written(stamps: Times, written: Times) -> Times:
    """Times of a source with or without a zone, as the column itself holds them."""
    if not isinstance(stamps, pd.DatetimeIndex) or not isinstance(written, pd.DatetimeIndex):
        return stamps
    if written.tz is None:
        return stamps.tz_localize(None)
    return stamps.tz_localize(written.tz) if stamps.tz is None else stamps.tz_convert(written.tz)


def _numbers(times: Times) -> NDArray[np.float64] | Whole:
    return np.asarray(times.as_unit("ns").asi8) if isinstance(times, pd.DatetimeIndex) else np.asarray(times)


def _places(times: np.ndarray, codes: Whole, new_times: np.ndarray, new_codes: Whole) -> tuple[Whole, Whole]:
    """The order of new rows, and the row of the file after which each belongs, by the order in which the file is.

    That is by time, or by pivot value (in order of their first rows) and time, either of them backwards too. In a file
    of no order a row stands after the one before it in time, of the same pivot value.
    """
    for keys, new_keys in (
        ((times, codes), (new_times, new_codes)),
        ((-times, codes), (-new_times, new_codes)),
        ((codes, times), (new_codes, new_times)),
        ((codes, -times), (new_codes, -new_times)),
        ((times,), (new_times,)),
        ((-times,), (-new_times,)),
    ):
        ranks = np.zeros(len(times) + len(new_times), dtype=np.int64)
        for key, new_key in zip(keys, new_keys):
            _, part = np.unique(np.concatenate([key, new_key]), return_inverse=True)
            ranks = ranks * (int(part.max(initial=0)) + 1) + part
        old, new = ranks[: len(times)], ranks[len(times) :]
        if (np.diff(old) >= 0).all():
            order = np.lexsort((new_codes, new))
            return order, np.searchsorted(old, new[order], side="right") - 1
    after = np.full(len(new_times), -1)
    for code in np.unique(new_codes):
        rows, here = np.flatnonzero(codes == code), np.flatnonzero(new_codes == code)
        rows = rows[np.argsort(times[rows], kind="stable")]
        at = np.searchsorted(times[rows], new_times[here]) - 1
        after[here] = np.where(at >= 0, rows[np.maximum(at, 0)], -1)
    order = np.lexsort((new_times, after))
    return order, after[order]


def _constant(table: pd.DataFrame, codes: Whole, special: set[str | None]) -> frozenset[str]:
    """Columns that hold one value throughout, or one for each pivot value."""
    names = [name for name in table.columns if name not in special]
    counts = table[names].groupby(codes).nunique(dropna=False) if names else pd.DataFrame()
    return frozenset(str(name) for name in names if (counts[name] <= 1).all())
