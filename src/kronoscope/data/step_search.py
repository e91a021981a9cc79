"""A step that puts irregular times on a grid: looked for where the most common difference does not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._errors import InputError
from .block_grid import BlockGrid, offset_unit, show_step
from .feature_columns import leave_out_time
from .sequences import Source
from .steps import nanoseconds
from .time_forms import FloatArray, Times

_UNITS = {"days": "D", "hours": "h", "minutes": "min", "seconds": "s"}
# Days of a mean Gregorian month.
_MONTH = 30.436875
_SPANS = (
    *(f"{k}s" for k in (1, 2, 5, 10, 15, 20, 30)),
    *(f"{k}min" for k in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)),
    *(f"{k}h" for k in (1, 2, 3, 4, 6, 8, 12)),
    *(f"{k}D" for k in (1, 2, 7, 14)),
    *(f"{months * _MONTH:.12g}D" for months in (1, 2, 3, 4, 6, 12)),
)
# How far a step may be from the median difference.
_REACH = 0.25
_ROUNDING = 1e-3
_ON_GRID = 1e-2
# Less than the 5 / 7 of all days that are weekdays, since some are holidays.
_WEEKDAYS = 0.55
# A grid on which fewer of the rows stand, or with rows at fewer of its frames, is not that of the series.
_MOSTLY = 0.5


def refuse_irregular(source: Source, grid: BlockGrid, missing: str) -> None:
    """Refuse a long series whose times mostly stand off the grid of their most common step, or skip weekends.

    Raises:
        InputError: so they do; the options that read the series are named.
    """
    times = source.times
    if times is None or grid.step is None:
        return
    places = grid.place(times)
    off = int((~places.on_grid & ~places.odd).sum())
    if off > _MOSTLY * len(times):
        raise InputError(
            f"{off} of {len(times)} rows stand off the grid of the most common step, {show_step(grid.step)}: "
            f"{advise_step(times)}"
        )
    daily = isinstance(times, pd.DatetimeIndex) and grid.step == pd.Timedelta("1D")
    if missing == "drop" and grid.frames > 1 and daily and _are_business_days(times):
        raise InputError(
            f"the times are business days, so that blocks of {grid.frames} days lack weekends: "
            f"{leave_out_time(source.bases)}, or give missing= (--missing mask --network unrolled)"
        )


def advise_step(times: Times) -> str:
    """The options that put times, none of them twice, on a grid, as advice for the user."""
    places = _places(times)
    gaps = pd.Series(np.diff(places))
    common = float(gaps.mode().iloc[0]) if len(gaps) else 1.0
    steps = (places - places[0]) / common
    if (np.abs(steps - np.rint(steps)) < _ON_GRID).mean() > _MOSTLY:
        clock = isinstance(times, pd.DatetimeIndex)
        return f"give step= (--step {step_text(pd.Timedelta(int(common), unit='ns') if clock else common)})"
    step = regular_step(times)
    if step is not None:
        return f"give step= (--step {step})"
    return (
        f"give step= and missing= (--step {_rough_step(times)} --missing mask --network unrolled), which moves rows to "
        "the nearest frame and learns around frames without one"
    )


def step_text(step: pd.Timedelta | float) -> str:
    """The step as --step takes it."""
    if not isinstance(step, pd.Timedelta):
        return f"{step:.15g}"
    unit, size = offset_unit(step)
    whole, rest = divmod(nanoseconds(step), size)
    return f"{nanoseconds(step)}ns" if rest else f"{whole}{_UNITS[unit]}"


def regular_step(times: Times) -> str | None:
    """A step, as --step takes it, on whose grid every row gets a frame of its own and most frames have a row.

    Round spans and mean months are tried for clock times, the mean difference for numbers; None if none fits.
    """
    if len(times) < 3:
        return None
    places = _places(times)
    if isinstance(times, pd.DatetimeIndex):
        candidates = {text: float(nanoseconds(pd.Timedelta(text))) for text in _SPANS}
    else:
        text = step_text(_parts_of_one(float(places[-1] - places[0]) / (len(places) - 1)))
        candidates = {text: float(text)}
    gap = float(np.median(np.diff(places)))
    away = {text: abs(size - gap) for text, size in candidates.items()}
    near = {text: distance for text, distance in away.items() if distance <= _REACH * gap}
    return min((text for text in near if _fits(places, candidates[text])), key=near.__getitem__, default=None)


def _parts_of_one(step: float) -> float:
    """The step, or 1/12, 1/4 and the like if it is one of these up to rounding: months and quarters of a year."""
    parts = round(1 / step) if 0 < step < 1 else 0
    return 1 / parts if parts > 1 and abs(step * parts - 1) < _ROUNDING else step


def _places(times: Times) -> FloatArray:
    """The times in order, in nanoseconds from the midnight before them, or as numbers."""
    if not isinstance(times, pd.DatetimeIndex):
        return np.sort(np.asarray(times, dtype=np.float64))
    whole = np.sort(np.asarray(times.as_unit("ns").asi8))
    return (whole - int(times.min().normalize().as_unit("ns").value)).astype(np.float64)


def _fits(places: FloatArray, step: float) -> bool:
    frames = np.rint(places / step)
    return bool((np.diff(frames) > 0).all()) and len(frames) > _MOSTLY * (frames[-1] - frames[0] + 1)


def _rough_step(times: Times) -> str:
    """About the median difference: the next round span, or two digits of a number."""
    gap = float(np.median(np.diff(_places(times))))
    if not isinstance(times, pd.DatetimeIndex):
        return f"{gap:.2g}"
    return min(_SPANS, key=lambda text: abs(np.log(nanoseconds(pd.Timedelta(text)) / max(gap, 1.0))))


def _are_business_days(times: Times) -> bool:
    """Whether the times are days from Monday to Friday, of three weeks at least, one a day."""
    assert isinstance(times, pd.DatetimeIndex)
    days = times.tz_localize(None).normalize()
    span = (days.max() - days.min()).days
    return bool(span >= 21 and (days.day_of_week < 5).all() and len(days.unique()) == len(days) > _WEEKDAYS * span)
