"""A .nc file or .zarr store copied with numbers put into some cells: the copy is otherwise the same, byte for byte."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from scipy.io import netcdf_file

from . import grids
from .packing import pack
from .time_forms import FloatArray

Cells = tuple[NDArray[np.int64], FloatArray]


def fill(path: Path, partial: Path, variables: Mapping[str, Cells]) -> int:
    """Copy ``path`` to ``partial`` and put values into the given cells of variables (numbers of a flattened array).

    Values are packed as the variable is. Returns how many of them the packing could not hold: those stand at its end.
    """
    if path.suffix.lower() == ".zarr":
        shutil.copytree(path, partial, copy_function=shutil.copyfile)
        put, engine = _put_zarr, "zarr"
    else:
        shutil.copyfile(path, partial)
        engine = grids.netcdf_engine(path)
        put = _put_classic if engine == "scipy" else _put_hdf5
    outside = 0
    raw: dict[str, tuple[NDArray[np.int64], np.ndarray]] = {}
    keywords: dict[str, Any] = {"consolidated": False} if engine == "zarr" else {}
    with xr.open_dataset(path, decode_cf=False, engine=engine, **keywords) as stored:
        for name, (cells, values) in variables.items():
            order = np.argsort(cells)
            numbers, lost = pack(values[order], stored[name].dtype, stored[name].attrs)
            raw[name] = cells[order], numbers
            outside += lost
    put(partial, raw)
    return outside


def _put_hdf5(path: Path, raw: Mapping[str, tuple[NDArray[np.int64], np.ndarray]]) -> None:
    with h5py.File(path, "r+") as file:
        for name, (cells, numbers) in raw.items():
            variable = file[name]
            index = np.unravel_index(cells, variable.shape)
            first, last = int(index[0].min()), int(index[0].max()) + 1
            part = variable[first:last]
            part[(index[0] - first, *index[1:])] = numbers
            variable[first:last] = part


def _put_zarr(path: Path, raw: Mapping[str, tuple[NDArray[np.int64], np.ndarray]]) -> None:
    group = zarr.open_group(path, mode="r+")
    for name, (cells, numbers) in raw.items():
        variable = group[name]
        assert isinstance(variable, zarr.Array)
        variable.set_coordinate_selection(np.unravel_index(cells, variable.shape), numbers)


def _put_classic(path: Path, raw: Mapping[str, tuple[NDArray[np.int64], np.ndarray]]) -> None:
    """Netcdf 3 is written in place: scipy would write the whole file anew."""
    places = {}
    with netcdf_file(path, "r", mmap=True, maskandscale=False) as file:
        for name in raw:
            data = file.variables[name].data
            root = data
            while isinstance(root.base, np.ndarray):
                root = root.base
            places[name] = data.ctypes.data - root.ctypes.data, data.shape, data.strides, data.dtype
            del data, root
    stored = np.memmap(path, dtype=np.uint8, mode="r+")
    for name, (cells, numbers) in raw.items():
        offset, shape, strides, dtype = places[name]
        variable: np.ndarray = np.ndarray(shape, dtype, stored, offset, strides)
        variable[np.unravel_index(cells, shape)] = numbers
    stored.flush()
