"""Columns of a table as numbers; where one holds something else, the error names options that work."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionDtype

from .._errors import InputError
from .time_forms import FloatArray

# Texts among the numbers of a column are called marks of missing values up to so many, if half of it are numbers.
_MOST_MARKS = 5
_LONGEST_OPTION = 400
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?([T ].*)?|\d{1,2}:\d{2}(:\d{2})?")


def to_numbers(
    table: pd.DataFrame,
    names: Sequence[str],
    special: Collection[str | None] = (),
    *,
    is_text: bool = False,
    reserved: Collection[str] = (),
) -> FloatArray:
    """The columns as (T, d) in float64, NaN where a value is missing.

    Args:
        table: as it was read.
        names: of the columns.
        special: columns that hold times, sequences or pivot values.
        is_text: whether the file is a .csv, in which na_values can name marks of missing values.
        reserved: names that no feature may have, which the advice of an error leaves out.

    Raises:
        InputError: a column without values, of something else than real numbers, or with an infinite one.
    """
    chosen = table[list(names)]
    plain = all(isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in set(chosen.dtypes))
    if not plain:
        for name, dtype in zip(names, chosen.dtypes, strict=True):
            if not _is_real(dtype) and not chosen[name].isna().all():
                raise InputError(_not_numbers(table, name, special, reserved, is_text))
    values = np.asarray(chosen.to_numpy(dtype=np.float64, na_value=np.nan))
    empty = np.flatnonzero(np.isnan(values).all(axis=0))
    if empty.size:
        others = _leave_out(table, names[int(empty[0])], {*special, *reserved})
        raise InputError(f"the column '{names[int(empty[0])]}' is empty; {others}")
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        row, place = infinite[np.argmin(infinite[:, 1])]
        raise InputError(f"the column '{names[place]}' is infinite in row {row + 1}")
    return values


def _is_numeric(column: pd.Series) -> bool:
    return _is_real(column.dtype) or bool(column.isna().all())


def _is_real(dtype: np.dtype | ExtensionDtype) -> bool:
    return pd.api.types.is_numeric_dtype(dtype) and dtype.kind not in "bc"


def _not_numbers(
    table: pd.DataFrame, name: str, special: Collection[str | None], reserved: Collection[str], is_text: bool
) -> str:
    column = table[name]
    text = column.map(str)  # bytes, too, which need not be text
    readable = (pd.to_numeric(text, errors="coerce").notna() | column.isna()).to_numpy()
    row = int(np.argmin(readable)) if not readable.all() else 0
    example = str(column.iloc[row])[:40]
    problem = f"the column '{name}' does not hold numbers ({example!r} in row {row + 1})"
    others = _leave_out(table, name, {*special, *reserved})
    marks = list(dict.fromkeys(text[~readable])) if is_text and 2 * readable.sum() >= len(column) else []
    if 0 < len(marks) <= _MOST_MARKS and all(mark.isprintable() for mark in marks):
        option = " ".join(f"--na-values={shlex.quote(mark)}" for mark in marks)
        return f"{problem}; if that means a missing value, give na_values= ({option}), else {others}"
    if not any(special) and _DATE.fullmatch(example):
        return f"{problem}; if it holds times, give time= (--time {shlex.quote(name)}), else {others}"
    return f"{problem}; {others}"


def _leave_out(table: pd.DataFrame, name: str, special: Collection[str | None]) -> str:
    """How to choose the columns of numbers without this one."""
    others = numeric_columns(table, {*special, name}) if len(table.columns) < _LONGEST_OPTION else []
    option = columns_option(others)
    if not others or len(option) > _LONGEST_OPTION:
        return "choose the columns of numbers with columns= (--columns), or name it in time= or pivot="
    return f"choose the columns of numbers with columns= ({option})"


def numeric_columns(table: pd.DataFrame, special: Collection[str | None]) -> list[str]:
    """The columns that can be features, except special ones."""
    kinds = [name for name in table.columns if name not in special and _is_numeric(table[name])]
    return [name for name in kinds if not table[name].isna().all()]


def columns_option(names: Sequence[str]) -> str:
    """The option of the command line that chooses these columns."""
    quoted = ['"' + name.replace('"', '""') + '"' if set(name) & set(',"') else name for name in names]
    return f"--columns {shlex.quote(','.join(quoted))}"


def leave_out_time(names: Collection[str]) -> str:
    """That rows can count as frames instead of their times."""
    option = columns_option(list(dict.fromkeys(names)))
    return f"if the rows are in order of time, leave out time= (--time) and give columns= ({option})"
