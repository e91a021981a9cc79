"""The order of the frames within the sequences of an xarray source, from their coordinate of times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from .._errors import InputError
from .grid_layout import Layout
from .sequence_order import SequenceOrder, order_in_time
from .time_forms import Times
from .times import in_zone, parse


def order_of_each(data: xr.Dataset, layout: Layout, timezone: str | None) -> SequenceOrder:
    """The order of the frames of each sequence by its own times; ``rows`` number the frames of a sequence."""
    assert layout.sequence is not None
    assert layout.clock is not None
    stamps = data[layout.clock].transpose(layout.sequence, layout.time).values
    count, frames = stamps.shape
    times = parse(pd.Series(stamps.ravel()), layout.clock).times
    if isinstance(times, pd.DatetimeIndex):
        times, keep, _ = in_zone(times, timezone)
        if not keep.all():
            raise InputError(f"some times of '{layout.clock}' occur twice in {timezone}")
    named = layout.sequence in data.coords
    labels = [str(label) for label in data[layout.sequence].values] if named else list(map(str, range(count)))
    rows = np.arange(count * frames).reshape(count, frames)
    order = order_in_time(times, rows, labels, layout.clock, _advice(layout.clock), dates_only=False)
    return replace(order, rows=order.rows % frames)


def order_of_all(data: xr.Dataset, clock: str, count: int) -> SequenceOrder | None:
    """The order of the frames that all sequences share; None where the coordinate holds no times and no numbers."""
    stamps = data[clock].values
    times: Times
    if stamps.dtype.kind in "mM":
        times = pd.DatetimeIndex(stamps.astype(f"{stamps.dtype.kind}8[ns]").astype(np.int64))
    elif stamps.dtype.kind in "iuf":
        times = stamps.astype(np.float64)
    else:
        return None
    if not np.isfinite(np.asarray(times, dtype=np.float64)).all():
        raise InputError(f"the coordinate '{clock}' is empty or infinite at some frames: {_advice(clock)}")
    rows = np.arange(len(stamps))[None]
    order = order_in_time(times, rows, ["0 (as every other)"], clock, _advice(clock), dates_only=False)
    return replace(order, rows=np.broadcast_to(order.rows, (count, len(stamps))))


def _advice(clock: str) -> str:
    return (
        f"Fill in the frames between; to take the frames as even in the order of the file, write it without that "
        f"coordinate (xarray: data.drop_vars('{clock}'))"
    )
