"""A .nc file or .zarr store written again with times that it lacked: encodings and attributes stay."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from .._errors import InputError
from . import grids
from .packing import pack, to_dtype
from .time_forms import FloatArray, TimeForm, Times

Whole = NDArray[np.int64]
# What netCDF writes where a variable has no value and says no mark of its own.
_DEFAULT_FILLS = {
    "i1": -127,
    "u1": 255,
    "i2": -32767,
    "u2": 65535,
    "i4": -2147483647,
    "u4": 4294967295,
    "i8": -9223372036854775806,
    "u8": 18446744073709551614,
}


@dataclass(frozen=True, eq=False)
class NewTimes:
    """Times that a grid is to get.

    Attributes:
        dim: the dimension of time.
        clock: the coordinate that holds the times.
        rows: (T,) places along the dimension whose times are known.
        old, new: times there, and those that the grid lacks.
        form: how the coordinate writes them.
        values: for each variable of values, those at the new times, (M, ...); NaN where there is none.
    """

    dim: str
    clock: str
    rows: Whole
    old: Times
    new: Times
    form: TimeForm | None
    values: Mapping[str, FloatArray]

    def as_stored(self, attrs: Mapping[str, Any]) -> NewTimes:
        """The same with times without a zone: those of the clock, unless the coordinate stores universal time."""
        if not isinstance(self.old, pd.DatetimeIndex) or not isinstance(self.new, pd.DatetimeIndex) or not self.old.tz:
            return self
        zone = "UTC" if "timezone" in attrs or (self.form and (self.form.zone or self.form.kind == "unix")) else None
        old, new = ((t.tz_convert(zone) if zone else t).tz_localize(None) for t in (self.old, self.new))
        return replace(self, old=old, new=new)

    def order(self, length: int) -> Whole:
        """The order of the old entries along the dimension and the new ones behind them, in the old direction."""
        old, new = _numbers(self.old), _numbers(self.new)
        rise = np.argsort(old)
        backwards = len(old) > 1 and self.rows[rise[0]] > self.rows[rise[-1]]
        at = np.searchsorted(old[rise], new)
        after = (
            self.rows[rise[np.minimum(at, len(old) - 1)]] - 1 if backwards else self.rows[rise[np.maximum(at, 1) - 1]]
        )
        key = np.concatenate([np.arange(length), after + 0.5])
        return np.lexsort((np.concatenate([np.zeros(length), -new if backwards else new]), key))


def fill(path: Path, partial: Path, cells: Mapping[str, tuple[Whole, FloatArray]], times: NewTimes) -> int:
    """Write ``path`` to ``partial`` with values in cells and with new times; how many the packing could not hold.

    Raises:
        InputError: a file with groups, or a coordinate of whole numbers that cannot hold a new time.
    """
    ending = path.suffix.lower()
    options: dict[str, Any] = {"engine": "zarr", "consolidated": False}
    if ending == ".nc":
        options = {"engine": grids.netcdf_engine(path)}
        _refuse_groups(path, options["engine"])
    as_stored = {"mask_and_scale": False, "decode_times": False, "decode_coords": False}
    with xr.open_dataset(path, **as_stored, **options) as opened:  # type: ignore[arg-type]
        stored = opened.load()
    outside = 0
    for filled, (at, values) in cells.items():
        numbers, lost = pack(values, stored[filled].dtype, stored[filled].attrs)
        stored[filled].values.reshape(-1)[at] = numbers
        outside += lost
    times = times.as_stored(stored[times.clock].attrs)
    order = times.order(stored.sizes[times.dim])
    variables: dict[Hashable, xr.Variable] = {}
    for name, variable in stored.variables.items():
        if times.dim not in variable.dims:
            variables[name] = variable
            continue
        axis = variable.dims.index(times.dim)
        first = np.moveaxis(variable.values, axis, 0)
        if name == times.clock:
            new = _coordinate(first, times)
        elif name in times.values:
            new, lost = _packed(first, times.values[str(name)], variable.attrs)
            outside += lost
        else:
            new = _without_value(first, len(times.new), variable.attrs)
        joined = np.concatenate([first, new.reshape(len(new), *first.shape[1:]).astype(first.dtype)])[order]
        variables[name] = xr.Variable(variable.dims, np.moveaxis(joined, 0, axis), variable.attrs, variable.encoding)
    written = xr.Dataset(
        {name: v for name, v in variables.items() if name in stored.data_vars},
        {name: v for name, v in variables.items() if name in stored.coords},
        stored.attrs,
    )
    written.encoding = dict(stored.encoding)
    _save(written, path, partial, options["engine"])
    return outside


def _refuse_groups(path: Path, engine: str) -> None:
    if engine == "scipy":
        return
    with h5py.File(path, "r") as file:
        groups = [name for name, item in file.items() if isinstance(item, h5py.Group)]
    if groups:
        raise InputError(
            f"the file lacks times, and they cannot be added beside its group '{groups[0]}': give a file without groups"
        )


def _numbers(times: Times) -> np.ndarray:
    return np.asarray(times.as_unit("ns").asi8 if isinstance(times, pd.DatetimeIndex) else times)


def _coordinate(stored: np.ndarray, times: NewTimes) -> np.ndarray:
    """The new times as the coordinate stores them: on the line through the old ones, where it stores numbers."""
    if stored.dtype.kind not in "iuf":
        assert times.form is not None
        return np.asarray(times.form.show(times.new).astype(str), dtype=object)
    old, new = _numbers(times.old), _numbers(times.new)
    order = np.argsort(old)
    old, values = old[order], stored[times.rows[order]].astype(np.float64)
    right = np.clip(np.searchsorted(old, new), 1, len(old) - 1)
    share = (new - old[right - 1]) / (old[right] - old[right - 1])
    written = values[right - 1] + share * (values[right] - values[right - 1])
    if stored.dtype.kind == "f":
        return np.asarray(np.round(written, 9))
    if np.abs(written - np.rint(written)).max() > 1e-6:
        raise InputError(f"the whole numbers of the coordinate '{times.clock}' cannot hold the times that are absent")
    return to_dtype(written, stored.dtype)[0]


def _packed(stored: np.ndarray, values: FloatArray, attrs: Mapping[str, Any]) -> tuple[np.ndarray, int]:
    known = np.isfinite(values)
    new = _without_value(stored, len(values), attrs).reshape(values.shape).copy()
    numbers, outside = pack(values[known], stored.dtype, attrs)
    new[known] = numbers
    return new, outside


def _without_value(stored: np.ndarray, count: int, attrs: Mapping[str, Any]) -> np.ndarray:
    """Entries of a variable that says nothing of new times; its value where it is the same at all times."""
    shape = (count, *stored.shape[1:])
    if len(stored) and (stored == stored[:1]).all():
        return np.broadcast_to(stored[:1], shape)
    for mark in ("_FillValue", "missing_value"):
        if mark in attrs:
            return np.full(shape, np.ravel(attrs[mark])[0], dtype=stored.dtype)
    if stored.dtype.kind in "iu":
        return np.full(shape, _DEFAULT_FILLS[stored.dtype.str[1:]], dtype=stored.dtype)
    if stored.dtype.kind in "fmM":
        return np.full(shape, np.nan if stored.dtype.kind == "f" else "NaT", dtype=stored.dtype)
    return np.full(shape, "" if stored.dtype.kind in "OUT" else b"" if stored.dtype.kind == "S" else 0, stored.dtype)


def _save(data: xr.Dataset, path: Path, partial: Path, engine: str) -> None:
    for variable in data.variables.values():
        kept = {k: v for k, v in variable.encoding.items() if k not in ("original_shape", "source", "preferred_chunks")}
        if kept.get("chunksizes"):
            kept.pop("contiguous", None)
        if "_FillValue" not in variable.attrs:
            kept["_FillValue"] = None
        variable.encoding = kept
    if engine == "zarr":
        version = 3 if (path / "zarr.json").exists() else 2
        head = path / "zarr.json"
        consolidated = "consolidated_metadata" in head.read_text() if version == 3 else (path / ".zmetadata").exists()
        data.to_zarr(partial, mode="w-", consolidated=consolidated, zarr_format=version)
    elif engine == "scipy":
        with path.open("rb") as file:
            is_classic = file.read(4)[3] == 1
        data.to_netcdf(partial, engine="scipy", format="NETCDF3_CLASSIC" if is_classic else "NETCDF3_64BIT")
    else:
        partial.write_bytes(bytes(data.to_netcdf(engine="h5netcdf")))
