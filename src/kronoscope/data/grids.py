"""xarray sources (.nc, .zarr, arrays in memory): what their dimensions mean, and how to build them again.

| variables | dimensions | read as |
|---|---|---|
| one | three | (sequence, time, feature), as they stand |
| one | two, the second is time or the first "sequence" | (sequence, time), one feature |
| one | two | a long series (time, feature) |
| several, alike | two | (sequence, time), one feature a variable |
| several, alike | one | a long series (time), one feature a variable |

A dimension is time if ``time`` names it, if it is called "time", or if its coordinate holds times or time spans.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from .._errors import InputError
from .calendars import decodable, numbers_note
from .chunks import read_values, share_of_record
from .feature_columns import columns_option
from .grid_variables import choose_variables
from .sequences import Container, Coordinate, FloatArray, Source, Starts, Step, decoded_text, first_line, list_names
from .sizes import check_size
from .time_forms import TimeForm
from .times import in_zone, parse

# What xarray calls the variable of a DataArray without a name in a file.
_NAMELESS = "__xarray_dataarray_variable__"


@contextmanager
def opened(path: Path, ending: str) -> Iterator[xr.Dataset]:
    """The data set, whose values are read as they are asked for; variables of a .zarr store in order of their names.

    Raises:
        InputError: if it cannot be read.
    """
    engine: dict[str, Any] = {"engine": "zarr", "consolidated": False}
    with ExitStack() as stack:
        try:
            if ending == ".nc":
                engine = {"engine": netcdf_engine(path)}
            raw = stack.enter_context(xr.open_dataset(path, decode_cf=False, **engine))
            check_size(sum(raw[name].size for name in raw.coords), "the coordinates")
            # Spans of time are decoded along dimensions only: a variable may well be measured in hours.
            spans = {str(name): name in raw.dims for name in raw.variables}
            data = xr.decode_cf(raw, decode_times=decodable(raw), decode_timedelta=spans)
            data = data.assign_coords(data.coords.to_dataset().load().coords)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"cannot be read as {ending}: {first_line(error)}") from None
        # A zarr store lists its arrays in no fixed order.
        yield data[sorted(data.data_vars, key=str)] if ending == ".zarr" else data


def load(path: Path, ending: str) -> xr.Dataset:
    """The whole data set, in memory.

    Raises:
        InputError: if it cannot be read, or is too large.
    """
    with opened(path, ending) as data:
        check_size(sum(variable.size for variable in data.variables.values()), "the data set")
        try:
            return data.load()
        except Exception as error:
            raise InputError(f"cannot be read as {ending}: {first_line(error)}") from None


def dataset_of(x: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """The object as a data set.

    Raises:
        InputError: an array with the name of one of its coordinates.
    """
    if isinstance(x, xr.Dataset):
        return x
    if x.name is not None and x.name in x.coords:
        raise InputError(
            f"the array is called '{x.name}', as one of its coordinates: rename it with x.rename('values')"
        )
    return x.to_dataset(name=x.name if x.name is not None else _NAMELESS)


def netcdf_engine(path: Path) -> str:
    with path.open("rb") as raw:
        if raw.read(3) == b"CDF":
            return "scipy"
    with h5py.File(path, "r") as file:  # refuses damage cleanly, where h5netcdf also prints a traceback
        file["/"].visititems(lambda *_: None)
    return "h5netcdf"


def to_source(
    data: xr.Dataset,
    container: Container,
    *,
    time: str | None = None,
    columns: Sequence[str] | None = None,
    timezone: str | None = None,
    frames: int | None = None,
    max_sequences: int | None = None,
) -> Source:
    """The variables as sequences or as one long series, by the table at the top.

    With ``max_sequences`` no more is read of a large record than holds about that many sequences (of ``frames``).

    Raises:
        InputError: for variables that are no numbers or differ in their dimensions, and for names that are not there.
    """
    if columns is not None and (not columns or len(set(columns)) < len(columns)):
        raise InputError("columns must name at least one column, and none twice")
    data = _with_text(data)
    names, described = choose_variables(data, columns)
    dims = tuple(str(dim) for dim in data[names[0]].dims)
    timed = [_is_time(data, dim, time) for dim in dims]
    if time is not None and not any(timed):
        raise InputError(f"time names '{time}', but these values have only the dimensions {list_names(dims)}")
    attrs = {name: _plain(data[name].attrs) for name in names}
    container = replace(container, attrs=_plain(data.attrs), variable_attrs=attrs, dtype=_dtype(data, names))
    sequences = len(dims) == 2 and (timed[1] or dims[0] == "sequence")
    data, shared = _share(data, dims, sequences or len(dims) == 3, frames, max_sequences)
    counted = [numbers_note(data[dim]) for dim in dims[:2] if dim in data.coords]
    notes = [*described, *filter(None, counted), *shared]
    _check_kept(data, names, dims, columns)
    if len(names) == 1 and len(dims) in (2, 3) and not sequences:
        variable = None if names[0] == _NAMELESS else names[0]
        data, values, features = _with_features(data, names[0], columns)
        container = replace(container, variable=variable, variable_attrs={variable or _NAMELESS: attrs[names[0]]})
    elif len(dims) == 2 and timed[0] and not sequences:
        option = columns_option(names[:1])
        raise InputError(f"several variables over ({', '.join(dims)}): choose one of them with columns= ({option})")
    elif len(dims) in (1, 2):
        values, features = np.stack([read_values(data[name], name) for name in names], axis=-1), tuple(names)
    else:
        raise InputError(f"values must have 1 to 3 dimensions, got ({', '.join(dims)})")
    if values.ndim == 2:
        source = _long(data, dims, values, features, container, timezone)
        return replace(source, notes=(*notes, *source.notes))
    called = [dim == time or "time" in dim.lower() for dim in dims]
    if any(called) and not called[1]:
        raise InputError(f"the dimensions must be in the order (sequence, time, feature), got ({', '.join(dims)})")
    source = _stacked(data, dims, values, features, container, timezone)
    return replace(source, notes=(*notes, *source.notes))


def _with_text(data: xr.Dataset) -> xr.Dataset:
    """The data set with text in place of bytes (arrays of characters, say) in its coordinates."""
    text = {}
    for name, coord in data.coords.items():
        if coord.dtype.kind in "SO" and any(isinstance(item, bytes) for item in coord.values.ravel()):
            decoded = [decoded_text(item) for item in coord.values.ravel()]
            values = np.array(decoded, dtype=object).reshape(coord.shape)
            text[name] = (coord.dims, values, coord.attrs)
    return data.assign_coords(text) if text else data


def _share(
    data: xr.Dataset, dims: tuple[str, ...], sequences: bool, frames: int | None, most: int | None
) -> tuple[xr.Dataset, list[str]]:
    """The part of a large record that ``max_sequences`` asks for, not yet read."""
    length = data.sizes[dims[0]]
    rows = (
        None
        if most is None or (frames is None and not sequences)
        else share_of_record(length, None if sequences else frames, most)
    )
    if rows is None:
        return data, []
    return data.isel({dims[0]: rows}), [f"{len(rows)} of {length} entries of '{dims[0]}' read, spread over the record."]


def _check_kept(data: xr.Dataset, names: list[str], dims: tuple[str, ...], columns: Sequence[str] | None) -> None:
    """Refuse what would not fit, by what of it is asked for."""
    size = sum(data[name].size for name in names)
    if columns is not None and len(names) == 1 and list(columns) != names:
        size = size // data.sizes[dims[-1]] * len(columns)
    try:
        check_size(size, "what is asked for")
    except InputError as error:
        raise InputError(f"{error}; ask for less with max_sequences and columns (--max-sequences, --columns)") from None


def _is_time(data: xr.Dataset, dim: str, time: str | None) -> bool:
    if time is not None:
        return dim == time or (time in data.coords and data[time].dims == (dim,))
    return dim == "time" or (dim in data.coords and data[dim].dtype.kind in "mM")


def _dtype(data: xr.Dataset, names: list[str]) -> str:
    kinds = {data[name].dtype for name in names}
    return str(kinds.pop().newbyteorder("=")) if len(kinds) == 1 and data[names[0]].dtype.kind == "f" else "float64"


def _with_features(
    data: xr.Dataset, name: str, columns: Sequence[str] | None
) -> tuple[xr.Dataset, FloatArray, tuple[str, ...]]:
    """One variable whose last dimension holds the features, which ``columns`` may choose by label."""
    dim = data[name].dims[-1]
    labels = [str(label) for label in data[dim].values] if dim in data.coords else None
    features = labels or [f"feature_{j}" for j in range(data.sizes[dim])]
    if len(set(features)) < len(features):
        raise InputError(f"the coordinate '{dim}' gives two features the same name")
    if columns is not None and list(columns) != [name]:
        missing = [column for column in columns if column not in features]
        if missing:
            raise InputError(f"there is no feature '{missing[0]}'; there are {list_names(features)}")
        data = data.isel({dim: [features.index(column) for column in columns]})
        features = list(columns)
    return data, read_values(data[name], name), tuple(features)


def _long(
    data: xr.Dataset,
    dims: tuple[str, ...],
    values: FloatArray,
    features: tuple[str, ...],
    container: Container,
    timezone: str | None,
) -> Source:
    times, form, keep, notes, _ = _dates(data, dims[0], timezone, container.time_form)
    container = replace(container, time_form=form)
    if times is not None and len(times) > 1:
        ahead = np.diff(np.asarray(times.asi8 if isinstance(times, pd.DatetimeIndex) else times)) > 0
        if not ahead.all():
            at = int(np.argmin(ahead))
            raise InputError(f"the coordinate '{dims[0]}' must increase, but {times[at + 1]} comes after {times[at]}")
    sample = "sequence" if "sequence" not in dims else "sample"
    container = replace(container, dims=(sample, *dims), coords=_coordinates(data, dims[1:]), time_name=dims[0])
    return Source(values[keep], features, container, features, times, notes=tuple(notes))


def _stacked(
    data: xr.Dataset,
    dims: tuple[str, ...],
    values: FloatArray,
    features: tuple[str, ...],
    container: Container,
    timezone: str | None,
) -> Source:
    dated = dims[0] in data.coords and data[dims[0]].dtype.kind == "M"
    starts, sample_attrs = None, None
    if dated:
        starts, _, keep, _, sample_attrs = _dates(data, dims[0], timezone)
        if not keep.all():
            raise InputError(f"some times of '{dims[0]}' occur twice in {timezone}")
    elif timezone is not None:
        raise InputError(f"timezone needs clock times, but the dimension '{dims[0]}' has none")
    container = replace(
        container,
        dims=dims,
        coords=_coordinates(data, dims[1:]),
        time_name=dims[1],
        step=_step(data, dims[1]),
        sample_attrs=sample_attrs,
    )
    return Source(values, features, container, features, starts=starts)


def _dates(
    data: xr.Dataset, dim: str, timezone: str | None, form: TimeForm | None = None
) -> tuple[Starts, TimeForm | None, np.ndarray, list[str], dict[str, Any]]:
    """The coordinate of ``dim`` as times in the zone, how it writes them, the rows to keep, notes, its attributes."""
    everything = np.ones(data.sizes[dim], dtype=bool)
    if dim not in data.coords:
        if timezone is not None:
            raise InputError(f"timezone needs clock times, but the dimension '{dim}' has no coordinate")
        return None, None, everything, [], {}
    attrs = _plain(data[dim].attrs)
    if data[dim].dtype.kind == "m":
        seconds = data[dim].values.astype("timedelta64[ns]").astype(np.int64) / 1e9
        return seconds, TimeForm("number", "", "float64"), everything, [], attrs
    form = TimeForm("number", "", "float64") if numbers_note(data[dim]) else form
    read = parse(pd.Series(data[dim].values), dim, form)
    times, notes = read.times, list(read.notes)
    written_zone = attrs.pop("timezone", None)  # ours: such stamps are universal time
    if not isinstance(times, pd.DatetimeIndex):
        if timezone is not None:
            raise InputError(f"timezone needs clock times, but the coordinate '{dim}' holds numbers")
        return times, read.form, everything, notes, attrs
    times = times.tz_localize("UTC") if written_zone and times.tz is None else times
    shown, keep, more = in_zone(times, timezone or written_zone)
    return shown, read.form, keep, [*notes, *more], attrs


def _step(data: xr.Dataset, dim: str) -> Step:
    """The step of a time coordinate within sequences; None where there is none or it is uneven."""
    if dim not in data.coords or data.sizes[dim] < 2:
        return None
    values = data[dim].values
    if values.dtype.kind in "mM":
        gaps = np.diff(values.astype(f"{values.dtype.kind}8[ns]").astype(np.int64))
        return pd.Timedelta(int(gaps[0]), unit="ns") if gaps[0] > 0 and np.ptp(gaps) == 0 else None
    if values.dtype.kind not in "iuf":
        return None
    gaps = np.diff(values.astype(np.float64))
    return float(gaps.mean()) if gaps[0] > 0 and np.ptp(gaps) <= 1e-6 * gaps[0] else None


def _coordinates(data: xr.Dataset, dims: tuple[str, ...]) -> tuple[Coordinate, ...]:
    """The coordinates that live on ``dims`` alone (or on none), as plain JSON."""
    kept = []
    for name, coord in data.coords.items():
        array = coord.values
        plain_text = array.dtype.kind in "OT" and all(isinstance(item, str) for item in array.ravel())
        if not set(coord.dims) <= set(dims) or not (plain_text or array.dtype.kind in "biufmMU"):
            continue
        if array.dtype.kind in "mM":
            array = array.astype(f"{array.dtype.kind}8[ns]")
            plain, dtype = array.astype(np.int64).tolist(), str(array.dtype)
        else:
            text = array.dtype.kind not in "biuf"
            plain, dtype = (array.astype(object).tolist(), "str") if text else (array.tolist(), str(array.dtype))
        kept.append(Coordinate(str(name), tuple(map(str, coord.dims)), plain, dtype, _plain(coord.attrs)))
    return tuple(kept)


def _plain(attrs: dict[Any, Any]) -> dict[str, Any]:
    """Attributes as plain JSON: text, numbers and lists of them; others are left out."""
    plain = {}
    for name, value in attrs.items():
        value = decoded_text(value) if isinstance(value, bytes) else value
        value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        items = value if isinstance(value, list) else [value]
        if all(isinstance(item, str | bool | int | float) for item in items):
            plain[str(name)] = value
    return plain


def build(
    values: FloatArray, container: Container, feature_names: tuple[str, ...], starts: Starts = None
) -> xr.DataArray | xr.Dataset:
    """Sequences (n, N, d) with the dimensions, coordinates and attributes of ``container``.

    From a source of another kind: a DataArray "values" with the dimensions (sequence, frame or offset, feature).
    ``starts`` become the coordinate of the sequence dimension, in universal time with the attribute ``timezone``.
    """
    grid = container.kind == "grid"
    step = container.step
    dims = container.dims if grid else ("sequence", "frame" if step is None else "offset", "feature")
    coords: dict[str, xr.Variable] = {}
    for c in container.coords:
        coords[c.name] = xr.Variable(c.dims, _coordinate_values(c), c.attrs)
    if not grid:
        coords["feature"] = xr.Variable(("feature",), np.array(feature_names, dtype=object))
    if step is not None and dims[1] not in coords:
        offsets = np.arange(values.shape[1]) * (step.to_timedelta64() if isinstance(step, pd.Timedelta) else step)
        coords[dims[1]] = xr.Variable((dims[1],), offsets)
    if starts is not None:
        coords[dims[0]] = _start_coordinate(starts, dims[0], container)
    values = values.astype(container.dtype)
    if len(dims) == 3:
        name = container.variable if grid else "values"
        attrs = container.variable_attrs.get(name or _NAMELESS, {})
        array = xr.DataArray(values, coords, dims, name, attrs)
        if not container.attrs:
            return array
        return array.to_dataset(name=name or _NAMELESS).assign_attrs(container.attrs)
    variables = {
        name: xr.Variable(dims, values[..., j], container.variable_attrs.get(name))
        for j, name in enumerate(feature_names)
    }
    return xr.Dataset(variables, coords, container.attrs)


def _coordinate_values(coordinate: Coordinate) -> np.ndarray:
    return np.array(coordinate.values, dtype=object if coordinate.dtype == "str" else coordinate.dtype)


def _start_coordinate(starts: pd.DatetimeIndex | FloatArray, dim: str, container: Container) -> xr.Variable:
    attrs = dict(container.sample_attrs or {})
    if isinstance(starts, pd.DatetimeIndex):
        if starts.tz is not None:
            attrs["timezone"] = str(starts.tz)
            starts = starts.tz_convert("UTC").tz_localize(None)
        return xr.Variable((dim,), starts.to_numpy(), attrs)
    return xr.Variable((dim,), starts, attrs)
