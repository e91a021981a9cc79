"""A file with missing values, read without leaving anything out, and written back with its gaps filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from .._errors import InputError
from . import grids, reading, regular, tables
from .limits import Limits, apply_limits
from .sequences import Container, FloatArray, Source
from .writing import whole_file

Content = pd.DataFrame | np.ndarray | xr.Dataset


@dataclass(frozen=True, eq=False)
class GappyFile:
    """What a file holds, with the place in it of every value.

    Attributes:
        path: The file.
        source: Its values; NaN where one is missing or outside its limits.
        cells: Like ``source.values``: number of the value's cell in the file, counted variable by variable; -1 where
            the file has none (a pivoted table without that row).
        empty: Like ``source.values``: the cell is there, and no value in it.
    """

    path: Path
    source: Source
    cells: NDArray[np.int64]
    empty: NDArray[np.bool_]
    _content: Content
    _key: str | None = None

    def on_grid(self, step: str | float) -> GappyFile:
        """The same file with its rows on a grid of that step, as ``read`` puts them there."""
        source, rows = regular.on_grid(self.source, step)
        return replace(self, source=source, cells=self.cells[rows], empty=self.empty[rows])

    def write(self, out: Path, values: FloatArray, force: bool = False) -> int:
        """Write the file again with ``values`` (like ``source.values``) in its empty cells and nothing else changed.

        Returns:
            How many cells were filled; where ``values`` is NaN none is.

        Raises:
            InputError: Another ending than the file's, a file that exists (without ``force``), or one that cannot be
                written.
        """
        ending = self.path.suffix.lower()
        if out.suffix.lower() != ending:
            raise InputError(f"{out}: the ending must be that of the source, '{ending}', got '{out.suffix}'")
        chosen = self.empty & np.isfinite(values)
        cells, new = self.cells[chosen], values[chosen]
        with whole_file(out, force) as partial:
            if isinstance(self._content, pd.DataFrame):
                _write_table(self.path, partial, self._content, cells, new)
            elif isinstance(self._content, np.ndarray):
                array = self._content.copy()
                array.reshape(-1)[cells] = new
                with partial.open("xb") as file:
                    if ending == ".npy":
                        np.save(file, array, allow_pickle=False)
                    else:
                        np.savez(file, allow_pickle=False, **{self._key or "values": array})
            else:
                _write_grid(partial, self._content, cells, new)
        return len(cells)


def open_gappy(
    path: Path,
    *,
    time: str | None = None,
    columns: Sequence[str] | None = None,
    pivot: str | None = None,
    timezone: str | None = None,
    limits: Limits | None = None,
) -> GappyFile:
    """Read a file as :func:`read` does, but cut nothing and keep what is missing. The options are those of ``read``.

    Raises:
        InputError: One line that says what is wrong with the file or an option.
    """
    try:
        ending = reading._ending(path)
        container = Container("array", ending, timezone=timezone)
        content: Content
        numbered: Content
        key = None
        told: dict[str, Any] = {"time": time, "columns": columns, "timezone": timezone}
        if ending in reading.TABLES:
            content = tables.load(path, ending)[0]
            container = replace(container, kind="table", time_name=time)
            numbered = _number_table(content, {time, pivot, tables.SEQUENCE, *tables.OFFSETS})
            source, places = (tables.to_source(c, container, pivot=pivot, **told) for c in (content, numbered))
        elif ending in reading.ARRAYS:
            reading._refuse(ending, pivot=pivot, **told)
            content, key = reading._load_numpy(path, ending)
            source = reading._from_numpy(content, key, ending)
            places = replace(source, values=np.arange(content.size, dtype=np.float64).reshape(content.shape))
        else:
            reading._refuse(ending, pivot=pivot)
            container = replace(container, kind="grid")
            content = grids.load(path, ending)
            source, places = (grids.to_source(c, container, **told) for c in (content, _number_grid(content)))
        cells = np.where(np.isfinite(places.values), places.values, -1).astype(np.int64)
        empty = np.isnan(source.values) & (cells >= 0)
        return GappyFile(path, apply_limits(source, limits), cells, empty, content, key)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _number_table(table: pd.DataFrame, special: set[str | None]) -> pd.DataFrame:
    """The table with the number of its cell in place of every value."""
    rows = np.arange(len(table), dtype=np.float64)
    names = [name for name in table.columns if name not in special]
    return table.assign(**{name: list(table.columns).index(name) * len(table) + rows for name in names})


def _number_grid(grid: xr.Dataset) -> xr.Dataset:
    numbered, before = grid.copy(), 0
    for name in grid.data_vars:
        variable = grid[name]
        numbers = before + np.arange(variable.size, dtype=np.float64).reshape(variable.shape)
        numbered[name] = (variable.dims, numbers, variable.attrs)
        before += variable.size
    return numbered


def _write_table(path: Path, partial: Path, table: pd.DataFrame, cells: NDArray[np.int64], new: FloatArray) -> None:
    at, rows = np.divmod(cells, len(table))
    if path.suffix.lower() == ".csv":  # as text, so that what stands there already keeps every digit
        text = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
        for column in np.unique(at):
            here = at == column
            name = table.columns[column]
            text.loc[text.index[rows[here]], name] = [repr(float(value)) for value in new[here]]
        text.to_csv(partial, index=False)
        return
    filled = table.copy()
    for column in np.unique(at):
        here = at == column
        name = table.columns[column]
        numbers = filled[name].to_numpy(dtype=np.float64, na_value=np.nan).copy()
        numbers[rows[here]] = new[here]
        dtype = filled[name].dtype
        filled[name] = numbers.astype(dtype) if isinstance(dtype, np.dtype) and dtype.kind == "f" else numbers
    filled.to_parquet(partial, index=False)


def _write_grid(partial: Path, grid: xr.Dataset, cells: NDArray[np.int64], new: FloatArray) -> None:
    filled, before = grid.copy(deep=True), 0
    for name in grid.data_vars:
        size = filled[name].size
        here = (cells >= before) & (cells < before + size)
        if here.any():
            values = np.array(filled[name].values)
            values.reshape(-1)[cells[here] - before] = new[here]
            filled[name] = filled[name].copy(data=values)
        before += size
    if partial.suffix.lower() == ".nc":
        partial.write_bytes(bytes(filled.to_netcdf(engine="h5netcdf")))
    else:
        filled.to_zarr(partial, mode="w-", consolidated=False)
