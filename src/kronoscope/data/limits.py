"""Physical limits: values outside them become missing, and far outliers without a limit are pointed out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._errors import InputError
from ..settings.reading import Limits
from .messages import counted, list_names
from .sequences import Source
from .time_forms import FloatArray

# Without a limit, a value this many interquartile ranges from the median is pointed out and kept.
OUTLIER_RANGES = 20.0
_FEATURES_AT_ONCE = 4096


def parse_limits(texts: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Limits as they are written on the command line, ``name=low:high``; either side may be left empty.

    >>> parse_limits(["wind_speed=0:253", "precip=0:"])
    {'wind_speed': (0.0, 253.0), 'precip': (0.0, inf)}

    Raises:
        InputError: if a text has another form or a name occurs twice.
    """
    limits: dict[str, tuple[float, float]] = {}
    for text in texts:
        name, equals, bounds = text.rpartition("=")
        low, colon, high = bounds.partition(":")
        if not (name and equals and colon):
            raise InputError(f"limits must be written NAME=LOW:HIGH, got {text!r}")
        if name in limits:
            raise InputError(f"limits for {name!r} are given twice")
        try:
            pair = (float(low) if low.strip() else -math.inf, float(high) if high.strip() else math.inf)
        except ValueError:
            raise InputError(f"limits must be written NAME=LOW:HIGH with numbers, got {text!r}") from None
        limits[name] = _check_pair(name, pair)
    return limits


def _check_pair(name: str, pair: tuple[float | None, float | None]) -> tuple[float, float]:
    try:
        low, high = (float(end) if end is not None else side for end, side in zip(pair, (-math.inf, math.inf)))
    except (TypeError, ValueError):
        raise InputError(f"the limits of {name!r} must be a pair (low, high), got {pair!r}") from None
    if not low < high:
        raise InputError(f"the limits of {name!r} must have low < high, got {low:g} and {high:g}")
    return low, high


def apply_limits(source: Source, limits: Limits | None) -> Source:
    """The source with values outside their column's limits set to NaN, and notes on them and on far outliers.

    A limit names a feature, or the column from which several pivoted features come. Each note on limits gives
    the count and the value furthest outside with its time. A value further than 20 interquartile ranges from the
    median of its feature, in a feature without limits, is kept and noted.

    Raises:
        InputError: if a limit names no column.
    """
    pairs = {name: _check_pair(name, pair) for name, pair in (limits or {}).items()}
    known = [*dict.fromkeys((*source.bases, *source.names))]
    for name in pairs:
        if name not in known:
            raise InputError(f"limits name '{name}', which is not a column of values; these are {list_names(known)}")
    values = source.values.copy()
    notes = []
    for name, (low, high) in pairs.items():
        chosen = [j for j, (f, b) in enumerate(zip(source.names, source.bases)) if name in (f, b)]
        part = values[..., chosen]
        excess = np.fmax(low - part, part - high)
        outside = excess > 0
        if outside.any():
            worst = tuple(int(i) for i in np.unravel_index(np.nanargmax(excess), part.shape))
            where = _where(source, (*worst[:-1], chosen[worst[-1]]))
            notes.append(
                f"{counted(int(outside.sum()), 'value')} of {name} outside its limits {low:g} to {high:g} taken as "
                f"missing (the furthest: {part[worst]:.6g}{where})."
            )
            part[outside] = np.nan
            values[..., chosen] = part
    limited = [f in pairs or b in pairs for f, b in zip(source.names, source.bases)]
    warned = [_far_outlier(values, int(j), source) for j in np.flatnonzero(_far(values)) if not limited[j]]
    return replace(source, values=values, notes=(*source.notes, *notes, *filter(None, warned)))


def within_limits(source: Source, values: FloatArray, limits: Limits) -> tuple[FloatArray, list[str]]:
    """Computed values like ``source.values`` with those beyond a limit put on it, and notes that count them."""
    values, notes = values.copy(), []
    for name, pair in limits.items():
        low, high = _check_pair(name, pair)
        chosen = [j for j, (f, b) in enumerate(zip(source.names, source.bases)) if name in (f, b)]
        part = values[..., chosen]
        outside = (part < low) | (part > high)
        if outside.any():
            number = counted(int(outside.sum()), "value")
            notes.append(f"{number} of {name} computed beyond its limits {low:g} to {high:g}, written as the limit.")
            values[..., chosen] = np.clip(part, low, high)
    return values, notes


def _far(values: FloatArray) -> NDArray[np.bool_]:
    """Which features may have a value far from the others: (d,). A few at a time, since sorting takes a copy."""
    flat = values.reshape(-1, values.shape[-1])
    pieces = [_far_columns(flat[:, j : j + _FEATURES_AT_ONCE]) for j in range(0, flat.shape[1], _FEATURES_AT_ONCE)]
    return np.concatenate(pieces)


def _far_columns(columns: FloatArray) -> NDArray[np.bool_]:
    """Whether each column reaches 20 of its interquartile ranges from its median, up to round-off."""
    ordered = np.sort(columns, axis=0)  # NaN comes last
    there = np.isfinite(ordered).sum(axis=0)
    places = np.arange(ordered.shape[1])
    last = np.maximum(there - 1, 0)

    def quantile(share: float) -> FloatArray:
        exact = share * last
        below, above = (ordered[np.minimum(end(exact).astype(int), last), places] for end in (np.floor, np.ceil))
        return np.asarray(below + (above - below) * (exact - np.floor(exact)))

    with np.errstate(over="ignore", invalid="ignore"):
        low, middle, high = (quantile(share) for share in (0.25, 0.5, 0.75))
        reach = np.maximum(ordered[last, places] - middle, middle - ordered[0])
        return np.asarray(reach >= (1 - 1e-9) * OUTLIER_RANGES * (high - low)) & (there > 0)


def beyond_limits(values: FloatArray, names: Sequence[str], limits: Limits) -> list[str]:
    """Notes that count generated values (..., d) beyond a limit of a feature or of its column before the pivot."""
    notes = []
    for name, pair in limits.items():
        low, high = _check_pair(name, pair)
        columns = [j for j, feature in enumerate(names) if feature == name or feature.startswith(f"{name}_")]
        part = values[..., columns]
        outside = (part < low) | (part > high)
        if outside.any():
            share = f"{counted(int(outside.sum()), 'value')} of {part.size}"
            notes.append(
                f"{share} of {name} lie beyond its limits {low:g} to {high:g}: limits select the values to train "
                "on; they do not constrain what the model generates."
            )
    return notes


def _far_outlier(values: FloatArray, j: int, source: Source) -> str | None:
    column = values[..., j]
    if np.isnan(column).all():
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        low, middle, high = np.nanquantile(column, [0.25, 0.5, 0.75])
        distance = np.abs(column - middle)
        count = int((distance > OUTLIER_RANGES * (high - low)).sum())
    if high == low or not count:  # a feature that rarely moves has no scale by which to judge
        return None
    worst = tuple(int(i) for i in np.unravel_index(np.nanargmax(distance), column.shape))
    base = source.bases[j]
    return (
        f"Warning: {counted(count, 'value')} of {source.names[j]} more than {OUTLIER_RANGES:g} interquartile ranges "
        f"from the median, kept (the furthest: {column[worst]:.6g}{_when(source, worst)}); if that cannot "
        f"be, give its limits with --limits {base}=LOW:HIGH."
    )


def _where(source: Source, index: tuple[int, ...]) -> str:
    """Feature (where the column's name does not say it) and time of a value: " in temp_EWR at 2013-01-01"."""
    name, base = source.names[index[-1]], source.bases[index[-1]]
    return (f" in {name}" if name != base else "") + _when(source, index[:-1])


def _when(source: Source, index: tuple[int, ...]) -> str:
    if len(index) == 1:
        return f" in row {index[0] + 1}" if source.times is None else f" at {source.times[index[0]]}"
    if isinstance(source.starts, pd.DatetimeIndex):
        return f" in frame {index[1]} of the sequence from {source.starts[index[0]]}"
    return f" in frame {index[1]} of sequence {index[0]}"
