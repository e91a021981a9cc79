"""Numbers in the types of a file: whole numbers are rounded, packed ones scaled, and nothing wraps around."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .time_forms import FloatArray


def to_dtype(values: FloatArray, dtype: np.dtype[Any], reserved: tuple[float, ...] = ()) -> tuple[np.ndarray, int]:
    """The values in ``dtype``, and how many of them it could not hold.

    Whole numbers are rounded. A value beyond the largest or smallest number of the type becomes that number; one that
    would equal a ``reserved`` number, which marks a missing value, becomes the nearest that does not.
    """
    if dtype.kind not in "iu":
        return values.astype(dtype), 0
    limits = np.iinfo(dtype)
    whole = np.rint(values)
    # float64 does not hold every end of 64 bits: the ends are put in place after the comparison
    above, below = whole >= float(limits.max), whole <= float(limits.min)
    outside = int((whole > float(limits.max)).sum() + (whole < float(limits.min)).sum())
    stored = np.where(above | below, 0.0, whole).astype(dtype)
    stored[above], stored[below] = limits.max, limits.min
    for number in reserved:
        same = stored == number
        upwards = (number < limits.max) & ((values >= number) | (number == limits.min))
        stored[same] = np.where(upwards[same], min(number + 1, limits.max), max(number - 1, limits.min)).astype(dtype)
    return stored, outside


def pack(values: FloatArray, dtype: np.dtype[Any], attrs: Mapping[str, Any]) -> tuple[np.ndarray, int]:
    """The values as a variable with these attributes stores them: stored * scale_factor + add_offset = value.

    Args:
        values: in the units of the decoded variable.
        dtype: of the stored numbers.
        attrs: of the stored variable: scale_factor, add_offset, _FillValue, missing_value, _Unsigned.

    Returns:
        The stored numbers, and how many of them lay beyond the range of ``dtype``: those stand at its end.
    """
    numbers = values
    if "scale_factor" in attrs or "add_offset" in attrs:
        offset, scale = (float(np.ravel(attrs.get(name, unit))[0]) for name, unit in _UNIT_PACKING)
        numbers = (values - offset) / scale
    reserved = tuple(n for name in ("_FillValue", "missing_value") for n in _whole(attrs.get(name)))
    unsigned = str(attrs.get("_Unsigned", "")).lower() == "true" and dtype.kind == "i"
    inner = np.dtype(f"{dtype.byteorder}u{dtype.itemsize}") if unsigned else dtype
    if unsigned:
        reserved = tuple(n % 2 ** (8 * dtype.itemsize) for n in reserved)
    stored, outside = to_dtype(numbers, inner, reserved)
    return stored.view(dtype) if unsigned else stored, outside


_UNIT_PACKING = (("add_offset", 0.0), ("scale_factor", 1.0))


def _whole(marks: Any) -> list[int]:
    if marks is None:
        return []
    numbers = np.ravel(np.asarray(marks))
    return [int(n) for n in numbers if numbers.dtype.kind in "iuf" and np.isfinite(n) and float(n).is_integer()]
