"""Cells of tables and facts as text."""

from __future__ import annotations

from .. import _numerals
from .._numerals import THIN, brief, decimal, power_of_ten, significant
from .records import Cell, Column, Estimate

__all__ = ["THIN", "brief", "cell", "decimal", "fact", "power_of_ten", "significant"]


def fact(value: Cell) -> str:
    """A fact: like a table's cell, without trailing zeros, since nothing stands above or below it."""
    return brief(value, 4) if isinstance(value, float) else cell(value)


def cell(value: Cell, column: Column | None = None) -> str:
    """A table's or a fact's cell as text; None is a dash."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, Estimate):
        return _numerals.estimate(value.value, value.standard_error)
    if column is not None and column.decimals is not None:
        return decimal(value, column.decimals)
    if isinstance(value, int):
        return decimal(value, 0)
    return significant(value, column.digits if column is not None else 4)
