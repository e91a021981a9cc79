"""What the dimensions of xarray variables mean: which holds sequences, which time, and which features."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from .._errors import InputError
from .messages import list_names

# Dimensions that number sequences, as in generated files.
SEQUENCES = ("sequence", "sample")
# Dimensions that say where a frame stands within its sequence: those of generated files, and parts of a day.
WITHIN = ("time", "frame", "offset", "lead", "lead_time", "step", "hour", "minute", "second", "time_of_day")


@dataclass(frozen=True)
class Layout:
    """What the dimensions of the variables mean.

    Attributes:
        sequence: the dimension of the sequences; None for one long series.
        time: the dimension of the frames.
        features: the dimensions whose entries are features, in the order of the file.
        clock: the coordinate that holds the times of the frames; None without one. It may lie on another name than
            ``time``, and on (sequence, time).
        notes: what the user must know of a choice.
    """

    sequence: str | None
    time: str
    features: tuple[str, ...]
    clock: str | None
    notes: tuple[str, ...] = ()

    @property
    def dims(self) -> tuple[str, ...]:
        """Sequence (if any), time and features, the order in which values are read."""
        return (*((self.sequence,) if self.sequence is not None else ()), self.time, *self.features)


def with_time_coordinates(data: xr.Dataset, time: str | None) -> xr.Dataset:
    """The data set with variables of clock times, and the one that ``time`` names, as coordinates."""
    names = [name for name in data.data_vars if data[name].dtype.kind == "M" or name == time]
    return data.set_coords(names) if names else data


def layout_of(data: xr.Dataset, dims: tuple[str, ...], time: str | None) -> Layout:
    """The meaning of the dimensions of some variables.

    The dimension of time is the one that ``time`` names, by itself or by one of its coordinates. Else it is the one
    with a coordinate of clock times or time spans, or called "time". A dimension before it holds sequences, in three
    dimensions those behind it hold features; without a dimension of time three stand for (sequence, time, feature) and
    two for (time, feature).

    Raises:
        InputError: ``time`` names nothing that dates a dimension, or the dimensions could mean several things.
    """
    where: str | None
    if time is not None:
        where, clock = _named(data, dims, time)
        clocks = {where: clock or _clock(data, where)}
    else:
        clocks = {dim: _clock(data, dim) for dim in dims}
        where = _found(data, dims, clocks)
    if where is None:
        return _by_place(data, dims, clocks)
    place = dims.index(where)
    before, after = dims[:place], dims[place + 1 :]
    if not before and len(dims) > 2 and time is None and after[0].lower() in WITHIN:
        return _by_place(data, dims, clocks)
    if before and (before[0] in SEQUENCES or len(before) == 1):
        features = (*before[1:], *after)
        return Layout(before[0], where, features, _per_sequence(data, before[0], where, time) or clocks[where])
    notes: tuple[str, ...] = ()
    if len(before) + len(after) > 1:
        other = (*before, *after)[0]
        notes = (
            f"The dimension '{where}' holds the times, so every combination of {list_names((*before, *after))} is a "
            f"feature; if '{other}' holds the times of the frames of a sequence, give time= (--time {other}).",
        )
    return Layout(None, where, (*before, *after), clocks[where], notes)


def _by_place(data: xr.Dataset, dims: tuple[str, ...], clocks: dict[str, str | None]) -> Layout:
    """Dimensions of which none is known to be time."""
    if len(dims) == 3 or (len(dims) > 1 and dims[0] in SEQUENCES):
        return Layout(dims[0], dims[1], dims[2:], _per_sequence(data, dims[0], dims[1], None) or clocks[dims[1]])
    if len(dims) > 3 or not dims:
        raise InputError(
            f"values must have 1 to 3 dimensions, got ({', '.join(dims)}); where one holds the times, name it with "
            "time= (--time)"
        )
    return Layout(None, dims[0], dims[1:], clocks[dims[0]])


def _named(data: xr.Dataset, dims: tuple[str, ...], time: str) -> tuple[str, str | None]:
    """The dimension that ``time`` names, and the coordinate where it is one."""
    if time in dims:
        return time, None
    if time in data.coords:
        on = tuple(str(dim) for dim in data[time].dims)
        if len(on) == 1 and on[0] in dims:
            return on[0], time
        if len(on) == 2 and on == dims[:2]:
            return on[1], time
    candidates = [
        *dims,
        *(str(n) for n, c in data.coords.items() if n not in dims and c.dims and set(c.dims) <= set(dims)),
    ]
    raise InputError(
        f"time names '{time}', but these values have only the dimensions and coordinates {list_names(candidates)}: "
        "name the one that holds the times"
    )


def _found(data: xr.Dataset, dims: tuple[str, ...], clocks: dict[str, str | None]) -> str | None:
    """The dimension that holds the times; None where nothing says so."""
    if dims[0] in SEQUENCES and len(dims) > 1:
        inside = [dim for dim in dims[1:] if _holds_times(data, clocks[dim])]
        return inside[0] if len(inside) == 1 else next((dim for dim in dims[1:] if dim == "time"), None)
    timed = [dim for dim in dims if _holds_times(data, clocks[dim])]
    if len(dims) > 1 and len(timed) > 1 and dims[1] in timed:
        return dims[1]  # dated sequences of dated frames
    if len(timed) > 1:
        raise InputError(
            f"each of the dimensions {list_names(timed)} has times: name the one of the frames with time= (--time)"
        )
    if timed:
        return timed[0]
    return next((dim for dim in dims if dim.lower() == "time"), None)


def _holds_times(data: xr.Dataset, clock: str | None) -> bool:
    if clock is None:
        return False
    coordinate = data[clock]
    says = coordinate.attrs.get("standard_name") == "time" or " since " in str(coordinate.attrs.get("units", ""))
    return coordinate.dtype.kind in "mM" or says


def _clock(data: xr.Dataset, dim: str) -> str | None:
    """The coordinate that dates a dimension: one of clock times, else its own.

    Raises:
        InputError: several coordinates of clock times and none of the dimension's own name.
    """
    own = dim if dim in data.coords else None
    if own is not None and data[own].dtype.kind in "mM":
        return own
    others = [str(name) for name, c in data.coords.items() if c.dims == (dim,) and c.dtype.kind == "M" and name != dim]
    if len(others) > 1:
        raise InputError(
            f"the coordinates {list_names(others)} all hold times of the dimension '{dim}': choose one with time= "
            f"(--time {others[0]})"
        )
    return others[0] if others else own


def _per_sequence(data: xr.Dataset, sequence: str, time: str, named: str | None) -> str | None:
    """A coordinate of clock times on (sequence, time), each sequence with times of its own."""
    if named is not None and named in data.coords:
        return named if data[named].ndim == 2 else None
    names = [str(name) for name, c in data.coords.items() if c.dims == (sequence, time) and c.dtype.kind == "M"]
    if len(names) > 1:
        raise InputError(
            f"the coordinates {list_names(names)} all hold times of the frames: choose one with time= "
            f"(--time {names[0]})"
        )
    return names[0] if names else None
