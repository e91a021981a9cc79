"""Times that occur more than once in a long series, and what the user can do about each kind."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection

import numpy as np
import pandas as pd

from .._errors import InputError
from .clock_zones import zone_of_repeats
from .feature_columns import columns_option, leave_out_time, numeric_columns
from .sequences import Source
from .step_search import advise_step
from .time_forms import Times

# A table is long, with one row a time and a series, if at least this share of its rows have a time of another row.
_SHARED = 0.5
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


def refuse_repeated_times(source: Source) -> None:
    """Refuse a long series in which a time occurs twice, with the options that read it.

    Raises:
        InputError: it does.
    """
    times = source.times
    if times is None or not pd.Index(times).has_duplicates:
        return
    same = pd.Index(times).duplicated()
    stamp = times[int(np.argmax(same))]
    shown = f"{stamp:g}" if isinstance(stamp, float) else str(stamp)
    raise InputError(f"the time {shown} occurs more than once; {_way_out(source, times, float(same.mean()))}")


def _way_out(source: Source, times: Times, share: float) -> str:
    if isinstance(times, pd.DatetimeIndex) and times.tz is None:
        zone = zone_of_repeats(times)
        if zone is not None:
            return f"where clocks go back, give timezone= (--timezone {zone}), the zone of the clock"
    if share >= _SHARED:
        return leave_out_time(source.bases)
    once = times.unique() if isinstance(times, pd.DatetimeIndex) else np.unique(times)
    return f"to keep one row a time, {advise_step(once)}"


def refuse_long_table(table: pd.DataFrame, time: str, special: Collection[str | None]) -> None:
    """Refuse a table with a column that tells several series apart, if it is not named as the pivot.

    Raises:
        InputError: most times occur more than once, and once for each value of a column, which is named.
    """
    if not len(table) or table[time].duplicated(keep=False).mean() < _SHARED:
        return
    if _CLOCK.fullmatch(str(table[time].iloc[0])):  # the column of dates is not a pivot
        return
    columns = [name for name in table.columns if name not in special and table[name].dtype.kind != "f"]
    kinds = {name: int(table[name].nunique(dropna=False)) for name in columns}
    for name in sorted(columns, key=lambda name: kinds[name]):
        if 1 < kinds[name] <= len(table) / 2 and not table.duplicated([time, name]).any():
            first = table.loc[table[time].duplicated(), time].iloc[0]
            values = numeric_columns(table, {*special, name})
            only = "" if len(values) == len(table.columns) - 2 else f" {columns_option(values)}"
            raise InputError(
                f"the time {first} occurs more than once, with {kinds[name]} values of '{name}': give pivot= (--pivot "
                f"{shlex.quote(name)}{only}), which makes a feature of each"
            )
