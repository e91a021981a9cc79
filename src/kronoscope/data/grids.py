"""xarray sources (.nc, .zarr, arrays in memory) as sequences or one long series, and how to build them again.

| variables | dimensions | read as |
|---|---|---|
| one | time, then others | a long series, one feature for each combination of the others |
| one | two or more, the second is time or the first "sequence" | (sequence, time, features), at least one feature |
| one | three, none is time | (sequence, time, feature) |
| one | two, none is time | a long series (time, feature) |
| several, alike | two, the second is time or the first "sequence" | (sequence, time), one feature a variable |
| several, alike | one | a long series (time), one feature a variable |

A dimension is time if ``time`` names it or one of its coordinates, if a coordinate of it holds clock times or time
spans, or if it is called "time" (:mod:`grid_layout`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from .._errors import InputError, first_line
from .calendars import decodable, numbers_note
from .chunks import read_values, share_of_record
from .feature_columns import columns_option
from .grid_layout import Layout, layout_of, with_time_coordinates
from .grid_order import order_of_all, order_of_each
from .grid_variables import choose_variables
from .messages import list_names
from .sequences import Container, Coordinate, Source, decoded_text
from .sizes import check_size, check_store, check_variables
from .steps import Starts, Step
from .time_forms import FloatArray, TimeForm
from .times import parse

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
            check_store(path, ending)
            if ending == ".nc":
                engine = {"engine": netcdf_engine(path)}
            raw = stack.enter_context(xr.open_dataset(path, decode_cf=False, **engine))
            check_variables(len(raw.variables))
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
        InputError: for variables that are not numbers or differ in their dimensions, and for names that are not there.
    """
    if columns is not None and (not columns or len(set(columns)) < len(columns)):
        raise InputError("columns must name at least one column, and none twice")
    data = with_time_coordinates(_with_text(data), time)
    names, described = choose_variables(data, columns)
    layout = layout_of(data, tuple(str(dim) for dim in data[names[0]].dims), time)
    attrs = {name: _plain(data[name].attrs) for name in names}
    container = replace(container, attrs=_plain(data.attrs), variable_attrs=attrs, dtype=_dtype(data, names))
    data, shared = _share(data, layout, frames, max_sequences)
    counted = [numbers_note(data[name]) for name in (layout.sequence, layout.clock) if name in data.coords]
    notes = [*described, *layout.notes, *filter(None, counted), *shared]
    _check_kept(data, names, layout, columns)
    if layout.features:
        if len(names) > 1:
            option = columns_option(names[:1])
            raise InputError(
                f"several variables over ({', '.join(layout.dims)}): choose one of them with columns= ({option})"
            )
        variable = None if names[0] == _NAMELESS else names[0]
        container = replace(container, variable=variable, variable_attrs={variable or _NAMELESS: attrs[names[0]]})
        values, features, container = _with_features(data, names[0], layout, columns, container)
    else:
        arrays = [read_values(data[name].transpose(*layout.dims), name) for name in names]
        values, features = np.stack(arrays, axis=-1), tuple(names)
        container = replace(container, dims=layout.dims)
    build_source = _long if layout.sequence is None else _stacked
    source = build_source(data, layout, values, features, container, timezone)
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


def _share(data: xr.Dataset, layout: Layout, frames: int | None, most: int | None) -> tuple[xr.Dataset, list[str]]:
    """The part of a large record that ``max_sequences`` asks for, not yet read."""
    first, sequences = layout.dims[0], layout.sequence is not None
    length = data.sizes[first]
    rows = (
        None
        if most is None or (frames is None and not sequences)
        else share_of_record(length, None if sequences else frames, most)
    )
    if rows is None:
        return data, []
    return data.isel({first: rows}), [f"{len(rows)} of {length} entries of '{first}' read, spread over the record."]


def _check_kept(data: xr.Dataset, names: list[str], layout: Layout, columns: Sequence[str] | None) -> None:
    """Refuse what would not fit, by what of it is asked for."""
    size = sum(data[name].size for name in names)
    if columns is not None and len(names) == 1 and len(layout.features) == 1 and list(columns) != names:
        size = size // data.sizes[layout.features[0]] * len(columns)
    try:
        check_size(size, "what is asked for")
    except InputError as error:
        raise InputError(f"{error}; ask for less with max_sequences and columns (--max-sequences, --columns)") from None


def _dtype(data: xr.Dataset, names: list[str]) -> str:
    kinds = {data[name].dtype for name in names}
    return str(kinds.pop().newbyteorder("=")) if len(kinds) == 1 and data[names[0]].dtype.kind == "f" else "float64"


def _with_features(
    data: xr.Dataset, name: str, layout: Layout, columns: Sequence[str] | None, container: Container
) -> tuple[FloatArray, tuple[str, ...], Container]:
    """The values of one variable whose last dimensions hold the features, which ``columns`` may choose by label."""
    labels = [_labels(data, dim) for dim in layout.features]
    if len(labels) > 1 or labels[0] is not None:
        numbered = (label or range(data.sizes[dim]) for label, dim in zip(labels, layout.features))
        features = ["_".join(map(str, parts)) for parts in itertools.product(*numbered)]
    else:
        features = [f"feature_{j}" for j in range(data.sizes[layout.features[0]])]
    if len(set(features)) < len(features):
        raise InputError(f"the coordinates of {list_names(layout.features)} give two features the same name")
    chosen = None
    if columns is not None and list(columns) != [name]:
        missing = [column for column in columns if column not in features]
        if missing:
            raise InputError(f"there is no feature '{missing[0]}'; there are {list_names(features)}")
        chosen = [features.index(column) for column in columns]
        features = list(columns)
    dims, shape = layout.features, tuple(data.sizes[dim] for dim in layout.features)
    if chosen is not None and len(dims) == 1:
        data = data.isel({dims[0]: chosen})
    values = read_values(data[name].transpose(*layout.dims), name)
    values = values.reshape(*values.shape[: -len(dims)], -1)
    coords = _coordinates(data, dims)
    if chosen is not None and len(dims) > 1:
        values, dims, shape = values[..., chosen], ("feature",), (len(chosen),)
        coords = (Coordinate("feature", ("feature",), features, "str"),)
    container = replace(container, dims=(*layout.dims[: -len(layout.features)], *dims), coords=coords)
    return values, tuple(features), replace(container, feature_shape=shape if len(dims) > 1 else ())


def _labels(data: xr.Dataset, dim: str) -> list[str] | None:
    return [str(label) for label in data[dim].values] if dim in data.coords else None


def _long(
    data: xr.Dataset,
    layout: Layout,
    values: FloatArray,
    features: tuple[str, ...],
    container: Container,
    timezone: str | None,
) -> Source:
    times, form, keep, notes, _ = _dates(data, layout.time, layout.clock, timezone, container.time_form)
    sample = "sequence" if "sequence" not in container.dims else "sample"
    container = replace(
        container, time_form=form, dims=(sample, *container.dims), time_name=layout.clock or layout.time
    )
    return Source(values[keep], features, container, features, times, notes=tuple(notes))


def _stacked(
    data: xr.Dataset,
    layout: Layout,
    values: FloatArray,
    features: tuple[str, ...],
    container: Container,
    timezone: str | None,
) -> Source:
    sequence, clock = layout.sequence, layout.clock
    starts: Starts = None
    step: Step = None
    sample_attrs = None
    notes: list[str] = []
    if sequence is not None and sequence in data.coords and data[sequence].dtype.kind == "M":
        starts, _, keep, notes, sample_attrs = _dates(data, sequence, sequence, timezone)
        if not keep.all():
            raise InputError(f"some times of '{sequence}' occur twice in {timezone}")
    own = clock is not None and data[clock].ndim == 2
    if timezone is not None and starts is None and not own:
        raise InputError(f"timezone needs clock times, but the dimension '{sequence}' has none: leave out --timezone")
    if clock is not None:
        order = order_of_each(data, layout, timezone) if own else order_of_all(data, clock, len(values))
        if order is not None:
            values = np.take_along_axis(values, order.rows[..., None], axis=1)
            step, starts = order.step, order.starts if own and starts is None else starts
    container = replace(container, time_name=clock or layout.time, step=step, sample_attrs=sample_attrs)
    return Source(values, features, container, features, starts=starts, notes=tuple(notes))


def _dates(
    data: xr.Dataset, dim: str, clock: str | None, timezone: str | None, form: TimeForm | None = None
) -> tuple[Starts, TimeForm | None, np.ndarray, list[str], dict[str, Any]]:
    """The times of ``dim`` in the zone, how they are written, the rows to keep, notes, and attributes."""
    everything = np.ones(data.sizes[dim], dtype=bool)
    if clock is None:
        if timezone is not None:
            raise InputError(
                f"timezone needs clock times, but the dimension '{dim}' has no coordinate: leave out --timezone"
            )
        return None, None, everything, [], {}
    coordinate = data[clock]
    attrs = _plain(coordinate.attrs)
    if coordinate.dtype.kind == "m":
        seconds = coordinate.values.astype("timedelta64[ns]").astype(np.int64) / 1e9
        return seconds, TimeForm("number", "", "float64"), everything, [], attrs
    form = TimeForm("number", "", "float64") if numbers_note(coordinate) else form
    read = parse(pd.Series(coordinate.values), clock, form)
    times, notes = read.times, list(read.notes)
    written_zone = attrs.pop("timezone", None)  # ours: such stamps are universal time
    if not isinstance(times, pd.DatetimeIndex):
        if timezone is not None:
            raise InputError(
                f"timezone needs clock times, but the coordinate '{clock}' holds numbers: leave out --timezone"
            )
        return times, read.form, everything, notes, attrs
    if written_zone and times.tz is None:
        read = replace(read, times=times.tz_localize("UTC"))
    shown, keep, more = read.in_zone(timezone or written_zone)
    return shown, read.form, keep, [*notes, *more], attrs


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
    if container.feature_shape:
        values = values.reshape(*values.shape[:2], *container.feature_shape)
    if len(dims) > 2:
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
