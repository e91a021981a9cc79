"""Which variables of an xarray source hold the values."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from .._errors import InputError
from .feature_columns import columns_option
from .messages import list_names

# Endings of variables that hold the ends of each interval of a coordinate.
_BOUNDS = ("_bnds", "_bounds", "_bnd")


def choose_variables(data: xr.Dataset, columns: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The variables that hold values, and notes on those left out.

    Raises:
        InputError: a name that is not there, or variables that are not real numbers or differ in their dimensions.
    """
    every = [str(name) for name in data.data_vars]
    if not every:
        raise InputError("there is no variable in it")
    left_out = _describing(data) if columns is None else []
    names = [name for name in every if name not in left_out] or every
    if columns is not None and (len(names) > 1 or set(columns) <= set(names)):
        missing = [name for name in columns if name not in names]
        if missing:
            raise InputError(f"there is no variable '{missing[0]}'; there are {list_names(names)}")
        names = list(columns)
    real = [name for name in names if data[name].dtype.kind in "iuf"]
    alike = [name for name in real if data[name].dims == data[real[0]].dims]
    choose = f"choose variables with columns= ({columns_option(alike)})" if alike else "there is none of real numbers"
    for name in names:
        if name not in real:
            raise InputError(
                f"the variable '{name}' is not an array of real numbers (dtype {data[name].dtype}); {choose}"
            )
        if data[name].dims != data[names[0]].dims:
            raise InputError(f"the variables '{names[0]}' and '{name}' have different dimensions; {choose}")
    notes = [f"Left out, since they describe other variables: {list_names(left_out)}."] if names != every else []
    return names, notes if columns is None else []


def _describing(data: xr.Dataset) -> list[str]:
    """Variables that describe others: bounds of a coordinate, and grid mappings."""
    named = set()
    for variable in data.variables.values():
        named |= {str(variable.attrs.get(key)) for key in ("bounds", "climatology", "grid_mapping")}
    return [str(name) for name in data.data_vars if str(name) in named or _is_bounds(data, str(name))]


def _is_bounds(data: xr.Dataset, name: str) -> bool:
    coordinate = next((name.removesuffix(end) for end in _BOUNDS if name.endswith(end)), None)
    dims = data[name].dims
    return (
        coordinate in data.coords
        and len(dims) > 1
        and data[coordinate].dims == dims[:-1]
        and data.sizes[dims[-1]] in (2, 4)
    )
