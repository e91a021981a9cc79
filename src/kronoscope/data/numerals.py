"""Columns of text that hold numbers with a decimal comma or with thousands separators."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._errors import InputError

MARKS = (".", ",")
_EXPONENT = r"(?:[eE][+-]?\d+)?"
# Marks between thousands that are never decimal marks: blanks (also those that do not break) and apostrophes.
_QUIET = re.compile(r"(?<=\d)[ \u00a0\u2009\u202f'\u2019](?=\d{3}(?!\d))", re.ASCII)


def _pattern(decimal: str) -> re.Pattern[str]:
    """Numbers with this decimal mark, the other mark being allowed between thousands."""
    mark, between = re.escape(decimal), re.escape("," if decimal == "." else ".")
    grouped = rf"[1-9]\d{{0,2}}(?:{between}\d{{3}})+"
    return re.compile(rf"[+-]?(?:(?:{grouped}|\d+)(?:{mark}\d*)?|{mark}\d+){_EXPONENT}", re.ASCII)


_NUMBERS = {mark: _pattern(mark) for mark in MARKS}


def proves(cells: list[str]) -> tuple[bool, bool]:
    """Whether some cell can only be a number with a decimal point, and whether one can only have a decimal comma."""
    point, comma = ([_NUMBERS[mark].fullmatch(cell) is not None for cell in cells] for mark in MARKS)
    only_point = any(p and not c for p, c in zip(point, comma))
    return only_point, any(c and not p for p, c in zip(point, comma))


def has_open_points(cells: list[str]) -> bool:
    """Whether some cell is a number whose point is a decimal mark or stands between thousands ('1.234')."""
    return any("." in cell and all(_NUMBERS[mark].fullmatch(cell) for mark in MARKS) for cell in cells)


def convert(table: pd.DataFrame, passed_over: set[str], decimal: str | None) -> tuple[pd.DataFrame, dict[str, str]]:
    """The table with numbers in place of such text, and the decimal mark of each column that had it.

    A column is converted if all its cells are numbers with one decimal mark. Text that is not a number stays.

    Args:
        table: as pandas read it.
        passed_over: columns that hold no values.
        decimal: the mark that decides where both are possible.

    Raises:
        InputError: a column that gives other numbers with a decimal comma than with thousands separators.
    """
    kinds = zip(table.columns, table.dtypes, strict=True)
    names = [n for n, dtype in kinds if n not in passed_over and pd.api.types.is_string_dtype(dtype)]
    if not names:
        return table, {}
    cells = table[names].to_numpy(dtype=object)
    missing = np.asarray(pd.isna(cells))
    text = np.where(missing, "0", cells).astype(str).ravel().tolist()
    text = [_QUIET.sub("", cell.strip().replace("\u2212", "-")) for cell in text]
    point, comma = (np.all(_fits(text, mark).reshape(cells.shape), axis=0) for mark in MARKS)
    columns = np.array(text, dtype=object).reshape(cells.shape)
    numbers, marks = {}, {}
    for j in range(len(names)):
        if not point[j] and not comma[j]:
            continue
        column = columns[:, j].tolist()
        mark = "." if point[j] else ","
        if point[j] and comma[j]:
            if decimal is None and _floats(column, ".") != _floats(column, ","):
                raise InputError(_doubt(names[j], column))
            mark = decimal or mark
        numbers[names[j]] = np.where(missing[:, j], np.nan, _floats(column, mark))
        marks[names[j]] = mark
    return (table.assign(**numbers) if numbers else table), marks


def _fits(text: list[str], decimal: str) -> NDArray[np.bool_]:
    return np.array([_NUMBERS[decimal].fullmatch(cell) is not None for cell in text], dtype=bool)


def _floats(column: list[str], decimal: str) -> list[float]:
    other = "," if decimal == "." else "."
    return [float(cell.replace(other, "").replace(decimal, ".")) for cell in column]


def _doubt(name: str, column: list[str]) -> str:
    row = next(k for k, cell in enumerate(column) if _floats([cell], ".") != _floats([cell], ","))
    cell = column[row]
    first, second = (f"{_floats([cell], mark)[0]:g}" for mark in (",", "."))
    return (
        f"the column '{name}' may have a decimal comma or thousands separators ({cell!r} in row {row + 1} is "
        f"{first} or {second}): give decimal= (--decimal , for {first} or --decimal . for {second})"
    )
