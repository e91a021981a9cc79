"""The way out: sequences in the form of their source, under a temporary name until the file is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from .._errors import InputError, first_line
from .._files import replacing
from . import grids
from .block_grid import offset_unit
from .csv_format import TEXTS
from .messages import list_names
from .reading import ARRAYS, ENDINGS, TABLES
from .sequences import Container, ending_of
from .steps import Starts, Step, nanoseconds
from .stores import foreign_files, is_store
from .tables import SEQUENCE
from .time_forms import FloatArray, Times


def write(
    path: str | os.PathLike[str],
    values: ArrayLike,
    container: Container,
    feature_names: Sequence[str],
    *,
    starts: Starts = None,
    force: bool = False,
) -> Path:
    """Write sequences (n, N, d) in the format that the ending of ``path`` says.

    A table has the columns ``sequence`` (from 0), the offset within it and the features. The offset is ``frame``
    (0 to N-1) without times, ``offset`` for numeric times, else elapsed time as ``offset_days``, ``offset_hours``,
    ``offset_minutes`` or ``offset_seconds``: the largest unit of which the step is a whole number. With ``starts``
    there is also the column of times of the source. An .npz file holds one array under the source's key, or
    "values". A grid has the source's dimensions, coordinates and attributes. Another ending than the source's is
    fine. :func:`read` takes all of these back.

    Args:
        path: the file to make; its folder must exist.
        values: (n, N, d), finite, in the units of the source.
        container: of the set that these sequences are like.
        feature_names: d names.
        starts: time of the first frame of each sequence, to be written too (tables and grids).
        force: replace a file that exists.

    Returns:
        ``path``.

    Raises:
        InputError: if the file exists, cannot be written (nothing is left behind), or the values do not fit.
    """
    path = Path(path)
    array = _check(values, feature_names, starts)
    with whole_file(path, force) as partial:
        _write_as(ending_of(path), partial, array, container, tuple(feature_names), starts)
    return path


@contextmanager
def whole_file(path: Path, force: bool) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; the file gets its own name only when it is whole.

    Raises:
        InputError: as :func:`check_target`, or if the file cannot be written; nothing is left behind.
    """
    check_target(path, force)
    try:
        with replacing(path) as partial:
            yield partial
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path} cannot be written: {first_line(error)}") from None


def write_table(path: Path, table: pd.DataFrame, force: bool = False) -> Path:
    """Write a table as .csv or .parquet.

    Raises:
        InputError: another ending, a file that exists (without ``force``), or one that cannot be written.
    """
    if ending_of(path) not in TABLES:
        raise InputError(f"{path}: a table needs the ending {list_names(TABLES)}, got '{ending_of(path)}'")
    with whole_file(path, force) as partial:
        _save_table(partial, table)
    return path


def _save_table(path: Path, table: pd.DataFrame) -> None:
    if ending_of(path) in TEXTS:
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)


def to_array(
    values: ArrayLike, container: Container, feature_names: Sequence[str], *, starts: Starts = None
) -> np.ndarray | xr.DataArray | xr.Dataset:
    """Sequences (n, N, d) in memory: an xarray object for a grid, else a numpy array, in the source's dtype."""
    array = _check(values, feature_names, starts)
    if container.kind == "grid":
        return grids.build(array, container, tuple(feature_names), starts)
    return array.astype(container.dtype)


def _check(values: ArrayLike, feature_names: Sequence[str], starts: Starts) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 3 or not array.size or array.shape[2] != len(feature_names):
        raise InputError(f"values must have shape (n, N, {len(feature_names)}), got {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"values must be finite, but {int((~np.isfinite(array)).sum())} are NaN or infinite")
    if starts is not None and len(starts) != len(array):
        raise InputError(f"starts must have one time a sequence ({len(array)}), got {len(starts)}")
    return array


def check_target(path: Path, force: bool) -> None:
    """Refuse a file that cannot be written, before the work that would fill it.

    Raises:
        InputError: unknown ending, missing folder, or a file that exists (without ``force``).
    """
    ending = ending_of(path)
    if ending not in ENDINGS:
        raise InputError(f"{path}: the ending must be one of {list_names(ENDINGS)}, got '{ending}'")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist")
    if not os.path.lexists(path):
        return
    if not force:
        raise InputError(f"{path}: exists already; give force=True (--force) to replace it")
    if path.is_dir():
        if ending != ".zarr" or not is_store(path):
            raise InputError(f"{path} is a folder that is not a zarr store; it is not replaced. Take another name")
        foreign = foreign_files(path)
        if foreign:
            raise InputError(
                f"{path} holds {foreign[0]}, which is not part of a zarr store, so --force does not replace it. Move "
                f"{foreign[0]} elsewhere, or take another name"
            )


def _write_as(
    ending: str, path: Path, values: FloatArray, container: Container, names: tuple[str, ...], starts: Starts
) -> None:
    if ending in TABLES:
        _save_table(path, _table(values, container, names, starts))
    elif ending in ARRAYS:
        with path.open("xb") as file:
            if ending == ".npy":
                np.save(file, values.astype(container.dtype), allow_pickle=False)
            else:
                np.savez(file, allow_pickle=False, **{container.key or "values": values.astype(container.dtype)})
    else:
        grid = grids.build(values, container, names, starts)
        if ending == ".nc":
            path.write_bytes(bytes(grid.to_netcdf(engine="h5netcdf")))
        else:
            grid.to_zarr(path, mode="w-", consolidated=False)


def _table(values: FloatArray, container: Container, names: tuple[str, ...], starts: Starts) -> pd.DataFrame:
    n, frames, _ = values.shape
    step = container.step
    offset = np.arange(frames)
    columns: dict[str, object] = {SEQUENCE: np.repeat(np.arange(n), frames)}
    if step is None:
        columns["frame"] = np.tile(offset, n)
    elif isinstance(step, pd.Timedelta):
        unit, size = offset_unit(step)
        elapsed = offset * nanoseconds(step)
        columns[f"offset_{unit}"] = np.tile(elapsed / size if nanoseconds(step) % size else elapsed // size, n)
    else:
        columns["offset"] = np.tile(offset * step, n)
    if starts is not None:
        columns[container.time_name or "time"] = _all_times(starts, container, frames)
    for name in names:
        if name in columns:
            raise InputError(f"a feature is named '{name}', as a column of generated tables; rename it in the source")
    features = dict(zip(names, values.astype(container.dtype).reshape(n * frames, -1).T))
    return pd.DataFrame({**columns, **features})


def _all_times(starts: Times, container: Container, frames: int) -> pd.Index:
    """The time of every frame of every sequence, as the source writes them; without a step, its sequence's start."""
    times = _clock(starts, container.step, frames)
    return pd.Index(times) if container.time_form is None else container.time_form.show(times)


def _clock(starts: Times, step: Step, frames: int) -> Times:
    if isinstance(starts, pd.DatetimeIndex):
        after = pd.to_timedelta(
            np.arange(frames) * (nanoseconds(step) if isinstance(step, pd.Timedelta) else 0), unit="ns"
        )
        return starts.repeat(frames) + pd.TimedeltaIndex(np.tile(after, len(starts)))
    return np.add.outer(starts, np.arange(frames) * (step if isinstance(step, float) else 0.0)).ravel()
