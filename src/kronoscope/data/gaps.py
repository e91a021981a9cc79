"""A file with missing values, read without leaving anything out, and written back with its gaps filled."""

from __future__ import annotations

import gzip
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from .._display import Displayed
from .._errors import InputError
from ..settings.reading import Limits
from . import array_cells, csv_cells, grid_cells, grid_rows, grids, parquet_cells, reading, regular, tables
from .absent import NewRows, absent_stamps, new_frames, new_rows, with_stamps
from .block_grid import BlockGrid
from .csv_format import PLAIN, CsvOptions, open_bytes
from .csv_reading import CsvTable
from .grid_layout import with_time_coordinates
from .limits import apply_limits, within_limits
from .messages import counted
from .sequences import Container, Source, ending_of
from .time_forms import FloatArray, TimeForm
from .writing import whole_file

Cells = Mapping[str, tuple[NDArray[np.int64], FloatArray]]


@dataclass(frozen=True)
class Filled:
    """What was written: how many values, and a plain sentence on each thing that a reader should know."""

    number: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class GappyFile(Displayed):
    """What a file holds, with the place in it of every value.

    Attributes:
        path: The file.
        source: Its values; NaN where one is missing or outside its limits.
        cells: Like ``source.values``: number of the value's cell in the file, counted variable by variable; -1 where
            the file has none (a pivoted table without that row).
        empty: Like ``source.values``: the cell is there, and no value in it, or one outside its limits.
        sizes: How many cells each variable (column) of the file has, in the order in which they are counted.
        num_rows: How many rows the file has, or how many times its grid.
        stride: How many entries of a grid's variable follow each other at one time, in the dimensions behind time.
        limits: By column, as they were applied.
        csv: How the text of a .csv file is written.
        table: What a table holds; None for other formats.
        time, pivot: Its columns of times and of pivot values.
    """

    path: Path
    source: Source
    cells: NDArray[np.int64]
    empty: NDArray[np.bool_]
    sizes: Mapping[str, int]
    num_rows: int
    stride: int
    limits: Limits
    csv: CsvTable | None = None
    table: pd.DataFrame | None = None
    time: str | None = None
    pivot: str | None = None

    def on_grid(self, grid: BlockGrid) -> GappyFile:
        """The same file with its rows moved to the nearest frames of the grid, as ``read`` does with ``step``."""
        source, rows = regular.on_grid(self.source, grid)
        return replace(self, source=source, cells=self.cells[rows], empty=self.empty[rows])

    def arranged(self, order: NDArray[np.int64]) -> GappyFile:
        """The same file with its features in that order, and no others."""
        names, bases = (tuple(part[j] for j in order) for part in (self.source.names, self.source.bases))
        source = replace(self.source, values=self.source.values[..., order], names=names, bases=bases)
        return replace(self, source=source, cells=self.cells[..., order], empty=self.empty[..., order])

    def with_absent(self, grid: BlockGrid) -> GappyFile:
        """The same file with a row for each frame of the grid that it lacks between its first and its last row.

        Their entries, and those of a pivoted table that have no row, count as empty cells.

        Raises:
            InputError: Rows of another step than the grid's.
        """
        stamps, notes = absent_stamps(self.source, grid)
        source = with_stamps(self.source, stamps) if len(stamps) else self.source
        source = replace(source, notes=(*source.notes, *notes))
        none = np.full((len(stamps), source.values.shape[1]), -1)
        cells = np.concatenate([self.cells, none])
        empty = np.isnan(source.values) & ((cells < 0) | np.concatenate([self.empty, none < 0]))
        return replace(self, source=source, cells=cells, empty=empty)

    def with_absent_frames(self) -> GappyFile:
        """The same table of sequences, in which frames without a row between others of a sequence are empty cells."""
        there = np.asarray((self.cells >= 0).any(axis=2))
        if self.table is None or self._offset is None or there.all():
            return self
        inner = np.maximum.accumulate(there, axis=1) & np.maximum.accumulate(there[:, ::-1], axis=1)[:, ::-1]
        return replace(self, empty=self.empty | (inner & ~there)[..., None])

    @property
    def _offset(self) -> str | None:
        """The column that numbers the frames of a table of sequences."""
        return next((name for name in tables.OFFSETS if self.table is not None and name in self.table.columns), None)

    def write(self, out: Path, values: FloatArray, force: bool = False) -> Filled:
        """Write the file again with ``values`` (like ``source.values``) in its empty cells and nothing else changed.

        Returns:
            How many cells were filled (where ``values`` is NaN none is), and notes.

        Raises:
            InputError: Another ending than the file's, a file that exists (without ``force``), or one that cannot be
                written.
        """
        ending = ending_of(self.path)
        if ending_of(out) != ending:
            raise InputError(f"{out}: the ending must be that of the source, '{ending}', got '{ending_of(out)}'")
        chosen = self.empty & np.isfinite(values)
        values, notes = within_limits(self.source, np.where(chosen, values, np.nan), self.limits)
        cells = self._by_variable(chosen & (self.cells >= 0), values)
        added = chosen & (self.cells < 0)
        with whole_file(out, force) as partial:
            outside, rows = self._fill(ending, partial, cells, added, values)
        if rows:
            notes.append(f"{counted(rows, 'row')} added for times that were absent.")
        if outside:
            notes.append(
                f"{counted(outside, 'value')} beyond the range of the file's numbers, written as the last one in it."
            )
        return Filled(int(chosen.sum()), tuple(notes))

    def _by_variable(self, chosen: NDArray[np.bool_], values: FloatArray) -> Cells:
        """The chosen values by variable, with the numbers of their cells in it."""
        cells, new = self.cells[chosen], values[chosen]
        before, by_name = 0, {}
        for name, size in self.sizes.items():
            here = (cells >= before) & (cells < before + size)
            if here.any():
                by_name[name] = (cells[here] - before, new[here])
            before += size
        return by_name

    def _fill(
        self, ending: str, partial: Path, cells: Cells, added: NDArray[np.bool_], values: FloatArray
    ) -> tuple[int, int]:
        """Write the file; how many values its types could not hold, and how many rows are new."""
        if ending in reading.ARRAYS:
            return array_cells.fill(self.path, partial, *next(iter(cells.values()), _NONE)), 0
        if self.table is None:
            if not added.any():
                return grid_cells.fill(self.path, partial, cells), 0
            times = self._new_times(added, values)
            return grid_rows.fill(self.path, partial, cells, times), len(times.new)
        rows = None
        if added.any():
            if added.ndim == 3:
                assert self._offset is not None
                rows = new_frames(self.table, self.source, added, values, self._offset)
            else:
                assert self.time is not None
                rows = new_rows(self.table, self.source, added, values, self.time, self.pivot)
        number = 0 if rows is None else len(rows)
        if self.csv is None:
            return parquet_cells.fill(self.path, partial, cells, rows), number
        with open_bytes(self.path) as file:
            filled = _filled_csv(file.read(), self.csv, cells, rows)
        partial.write_bytes(filled if ending == ".csv" else gzip.compress(filled, mtime=0))
        return 0, number

    def _new_times(self, added: NDArray[np.bool_], values: FloatArray) -> grid_rows.NewTimes:
        """The absent times of a grid that get a value, and those values by variable."""
        times, container = self.source.times, self.source.container
        assert times is not None
        assert container.time_name is not None
        old, new = np.flatnonzero((self.cells >= 0).all(axis=1)), np.flatnonzero(added.any(axis=1))
        first, chosen = self.cells[old[0]], np.where(added, values, np.nan)[new]
        before, by_name = 0, {}
        for name, size in self.sizes.items():
            here = np.flatnonzero((first >= before) & (first < before + size))
            if len(here):
                rows = (self.cells[old, here[0]] - before) // self.stride % self.num_rows
                outer, inner = divmod(first[here] - before, self.num_rows * self.stride)
                by_name[name] = np.full((len(new), size // self.num_rows), np.nan)
                by_name[name][:, outer * self.stride + inner % self.stride] = chosen[:, here]
            before += size
        dim = container.dims[1]
        return grid_rows.NewTimes(dim, container.time_name, rows, times[old], times[new], container.time_form, by_name)


_NONE: tuple[NDArray[np.int64], FloatArray] = (np.zeros(0, dtype=np.int64), np.zeros(0))


def open_gappy(
    path: Path,
    *,
    time: str | None = None,
    columns: Sequence[str] | None = None,
    pivot: str | None = None,
    timezone: str | None = None,
    limits: Limits | None = None,
    text: CsvOptions = PLAIN,
    time_form: TimeForm | None = None,
) -> GappyFile:
    """Read a file as :func:`read` does, but cut nothing and keep what is missing. The options are those of ``read``.

    ``time_form`` says how the record to which the file belongs writes its times.

    Raises:
        InputError: One line that says what is wrong with the file or an option.
    """
    try:
        ending, stride = reading.known_ending(path), 1
        container = Container("array", ending, timezone=timezone, time_form=time_form)
        reader_options: dict[str, Any] = {"time": time, "columns": columns, "timezone": timezone}
        csv, table = None, None
        if ending in reading.TABLES:
            loaded = reading.load_table(path, ending, text, time=time, columns=columns, pivot=pivot)
            table, csv = loaded.table, loaded.csv
            container = replace(container, kind="table", time_name=time)
            ordering = {tables.SEQUENCE, *tables.OFFSETS} if tables.SEQUENCE in table.columns else set()
            numbered = _number_table(table, {time, pivot, *ordering})
            reader_options |= {"pivot": pivot, "fill_frames": True}
            source, places = (tables.to_source(content, container, **reader_options) for content in (table, numbered))
            source = loaded.describe(source)
            sizes, rows = {str(name): len(table) for name in table.columns}, len(table)
        elif ending in reading.ARRAYS:
            reading.refuse_options(ending, pivot=pivot, **reader_options)
            array, key = reading.load_numpy(path, ending)
            source = reading.numpy_source(array, key, ending)
            places = replace(source, values=np.arange(array.size, dtype=np.float64).reshape(array.shape))
            sizes, rows = {"array": array.size}, len(array)
        else:
            reading.refuse_options(ending, pivot=pivot)
            container = replace(container, kind="grid")
            grid = with_time_coordinates(grids.load(path, ending), time)
            source, places = (grids.to_source(c, container, **reader_options) for c in (grid, _number_grid(grid)))
            sizes = {str(name): int(grid[name].size) for name in grid.data_vars}
            rows, stride = _times_of(grid, source)
        cells = np.where(np.isfinite(places.values), places.values, -1).astype(np.int64)
        source = apply_limits(source, limits)
        empty = np.isnan(source.values) & (cells >= 0)
        return GappyFile(path, source, cells, empty, sizes, rows, stride, limits or {}, csv, table, time, pivot)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _number_table(table: pd.DataFrame, special: set[str | None]) -> pd.DataFrame:
    """The table with the number of its cell in place of every value."""
    rows = np.arange(len(table), dtype=np.float64)
    names = [name for name in table.columns if name not in special]
    return table.assign(**{name: list(table.columns).index(name) * len(table) + rows for name in names})


def _times_of(grid: xr.Dataset, source: Source) -> tuple[int, int]:
    """How many times a long series has, and how many entries of its variables follow each other at one time."""
    if source.values.ndim != 2:
        return 0, 1
    time = source.container.dims[1]
    named = (source.container.variable, *source.names)
    dims = grid[next((name for name in named if name in grid.data_vars), next(iter(grid.data_vars)))].dims
    behind = dims[dims.index(time) + 1 :]
    return int(grid.sizes[time]), math.prod(grid.sizes[dim] for dim in behind)


def _number_grid(grid: xr.Dataset) -> xr.Dataset:
    numbered, before = grid.copy(), 0
    for name in grid.data_vars:
        variable = grid[name]
        numbers = before + np.arange(variable.size, dtype=np.float64).reshape(variable.shape)
        numbered[name] = (variable.dims, numbers, variable.attrs)
        before += variable.size
    return numbered


def _filled_csv(content: bytes, csv: CsvTable, cells: Cells, new: NewRows | None) -> bytes:
    """The bytes of the file with new numbers in its cells, and new rows.

    Raises:
        InputError: The text has other rows than the table that was read from it.
    """
    form = csv.format
    text = csv_cells.CsvText.parse(content, form.encoding, form.separator, form.first_row)
    rows = len(csv.table)
    if len(text.rows) != rows:
        raise InputError(f"the {rows} rows of the table cannot be located in the text: save it as a plain .csv first")
    places = {name: place for place, name in enumerate(form.names)}
    marks = {name: csv.marks.get(name, form.decimal) for name in places}
    columns = [csv_cells.Column(places[name], *cell, marks[name]) for name, cell in cells.items()]
    if new is None:
        return text.filled(columns)
    count = np.arange(len(new))
    numbers = [csv_cells.Column(places[name], count, values, marks[name]) for name, values in new.values.items()]
    copied = frozenset(places[name] for name in new.constant)
    stamps = [str(stamp) for stamp in new.stamps]
    return text.filled(columns, csv_cells.Inserted(new.after, new.like, places[new.time], stamps, numbers, copied))
