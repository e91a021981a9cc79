"""Times of xarray files that follow no calendar of ours: they stay numbers."""

from __future__ import annotations

import xarray as xr

_STANDARD = ("standard", "gregorian", "proleptic_gregorian")


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
    return f"The times of '{coordinate.name}' are read as numbers: {units}{which}."
