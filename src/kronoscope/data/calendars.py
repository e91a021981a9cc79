"""Times of xarray files that follow no calendar of ours, and variables that only describe others."""

from __future__ import annotations

import xarray as xr

_STANDARD = ("standard", "gregorian", "proleptic_gregorian")
# Endings of variables that hold the ends of each interval of a coordinate.
_BOUNDS = ("_bnds", "_bounds", "_bnd")


def decodable(raw: xr.Dataset) -> dict[str, bool]:
    """Whether each variable that is not decoded yet can become clock times.

    Times of other calendars (noleap, 360_day) and in units without a fixed length (months, years) cannot; nor can
    those that xarray does not understand. They stay numbers, as they are in the file.
    """
    return {str(name): _is_decodable(raw[name].variable) for name in raw.variables}


def _is_decodable(variable: xr.Variable) -> bool:
    units = str(variable.attrs.get("units", ""))
    if " since " not in units:
        return True
    if str(variable.attrs.get("calendar", "standard")).lower() not in _STANDARD:
        return False
    if units.split()[0].lower().rstrip("s") in ("month", "year", "common_year"):
        return False
    try:
        xr.conventions.decode_cf_variable("time", variable)
    except Exception:  # whatever it is, the numbers can be read
        return False
    return True


def numbers_note(coordinate: xr.DataArray) -> str | None:
    """That times stayed numbers, where their units say that they are times."""
    units = str(coordinate.attrs.get("units", ""))
    if " since " not in units or coordinate.dtype.kind not in "iuf":
        return None
    calendar = coordinate.attrs.get("calendar")
    which = f" in the calendar '{calendar}'" if calendar else ""
    return f"The times of '{coordinate.name}' stay numbers: {units}{which}."


def describing(data: xr.Dataset) -> list[str]:
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
