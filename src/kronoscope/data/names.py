"""Names that generated files use themselves, so that a source may not: found before anything is learnt."""

from __future__ import annotations

import pandas as pd

from .._errors import InputError
from .sequences import Source
from .tables import OFFSETS, SEQUENCE

# Columns of forecasts besides that of the times, which keeps its name.
FORECAST_COLUMNS = (SEQUENCE, "feature", "draw", "value", "mean", "lower", "upper")


def check_names(source: Source, option: str | None = "columns= (--columns {})") -> None:
    """Refuse names that a generated file could not hold beside its own.

    Args:
        source: what was read.
        option: chooses other features, with a place for their names; None where there is no such option.

    Raises:
        InputError: a feature, a column of times, a coordinate or a variable that must be renamed.
    """
    container = source.container
    taken = {SEQUENCE, *OFFSETS, *([container.time_name] if container.time_name else [])}
    for name, base in zip(source.names, source.bases):
        if name.strip() in taken:  # readers take off blanks
            others = [b for b in dict.fromkeys(source.bases) if b != base and b not in taken]
            leave = f", or leave it out with {option.format(','.join(others))}" if option and others else ""
            raise InputError(
                f"a feature cannot be called '{name}', because files of generated sequences have a column of that "
                f"name: rename it in the source{leave}"
            )
    if container.kind == "table" and container.time_name is not None:
        is_clock = isinstance(source.times if source.starts is None else source.starts, pd.DatetimeIndex)
        if container.time_name in {*FORECAST_COLUMNS, *(OFFSETS if is_clock else ())}:
            raise InputError(
                f"the column of times cannot be called '{container.time_name}', because generated tables have a column "
                "of that name: rename it in the source"
            )
    if container.kind == "grid" and source.values.ndim == 2:
        added = container.dims[0]
        if container.variable == added or added in {coordinate.name for coordinate in container.coords}:
            what = "variable" if container.variable == added else "coordinate"
            raise InputError(
                f"a {what} cannot be called '{added}', because files of generated sequences have a dimension of that "
                "name: rename it in the source"
            )
