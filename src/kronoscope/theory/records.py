"""What the functions of this package return: named conditions, values with their formulas, and one way to show them."""

from __future__ import annotations

import html
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from .._display import Displayed

MET, VIOLATED, UNRESOLVED = "met", "violated", "unresolved in float64"
EXPLICIT, UP_TO_CONSTANT = "explicit", "up to a constant"


@dataclass(frozen=True, repr=False)
class Condition(Displayed):
    """One condition of a theorem, evaluated.

    Attributes:
        statement: The condition in symbols.
        status: "met", "violated" or "unresolved in float64".
        value: The number that decides.
        needed: What ``value`` must be, in words.
        how: How the decision was made: "float64", "mpmath, 60 digits", "by definition" ...
        note: What the reader should know beside it; may be empty.
    """

    statement: str
    status: str
    value: float
    needed: str
    how: str = "float64"
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the condition is known to hold."""
        return self.status == MET

    def __post_init__(self) -> None:
        assert self.status in (MET, VIOLATED, UNRESOLVED), self.status


@dataclass(frozen=True, repr=False)
class Quantity(Displayed):
    """A size or a bound as a theorem states it.

    Attributes:
        value: The formula evaluated, with every unknown constant set to 1.
        formula: In symbols.
        kind: "explicit": the value is the statement; "up to a constant": the statement has a constant that [F] does
            not give.
        measured: The counterpart that was measured, or None.
        note: What was measured and how; may be empty.
    """

    value: float
    formula: str
    kind: str
    measured: float | None = None
    note: str = ""

    def __float__(self) -> float:
        return self.value

    def __post_init__(self) -> None:
        assert self.kind in (EXPLICIT, UP_TO_CONSTANT), self.kind


Row = tuple[str, str, str, str, str]
CONDITION_COLUMNS: Row = ("condition", "status", "value", "needed", "decided by")
COLUMNS: Row = ("quantity", "value", "stated as", "kind", "measured")


class Statement(ABC):
    """A numbered statement of [F], evaluated for one process. ``print`` shows it as a table, and so does a notebook."""

    @property
    @abstractmethod
    def title(self) -> str:
        """Which statement, and for what."""

    @property
    @abstractmethod
    def all_conditions(self) -> Mapping[str, Condition]:
        """Every condition that the statement has, by name."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """Quantity, value, formula, kind, measured counterpart."""

    @property
    def applies(self) -> bool:
        """Whether all conditions are met."""
        return all(condition.met for condition in self.all_conditions.values())

    @property
    def verdict(self) -> str:
        """In words, which conditions are in the way."""
        parts = []
        for status in (VIOLATED, UNRESOLVED):
            names = [name for name, condition in self.all_conditions.items() if condition.status == status]
            parts += [f"{status}: {', '.join(names)}"] if names else []
        return f"does not apply ({'; '.join(parts)})" if parts else "applies: all conditions are met"

    @property
    def remarks(self) -> list[str]:
        """Sentences below the tables: the notes of the conditions, and what the values are worth."""
        notes = [f"{name}: {condition.note}" for name, condition in self.all_conditions.items() if condition.note]
        if self.applies or not self.rows():
            return notes
        return [
            *notes,
            "Not every condition is met: the values are the formulas evaluated, and are not bounds here.",
        ]

    def __repr__(self) -> str:
        return f"<{self.title}: {self.verdict}>"[:400]

    def __str__(self) -> str:
        tables = [_aligned(rows) for rows in self._tables()]
        return "\n".join([f"{self.title}: {self.verdict}", *tables, *(f"  {remark}" for remark in self.remarks)])

    def _repr_html_(self) -> str:
        head = f"<p><b>{html.escape(self.title)}</b>: {html.escape(self.verdict)}</p>"
        remarks = "".join(f"<p>{html.escape(remark)}</p>" for remark in self.remarks)
        return head + "".join(_html_table(rows) for rows in self._tables()) + remarks

    def _tables(self) -> list[list[Row]]:
        """Conditions, and quantities where there are any."""
        rows = self.rows()
        conditions = [CONDITION_COLUMNS, *(_shown(name, c) for name, c in self.all_conditions.items())]
        return [conditions, [COLUMNS, *rows]] if rows else [conditions]


def row(name: str, quantity: Quantity) -> Row:
    """A quantity as a row of the table."""
    measured = "" if quantity.measured is None else number(quantity.measured)
    note = f" ({quantity.note})" if measured and quantity.note else ""
    return name, number(quantity.value), quantity.formula, quantity.kind, measured + note


def number(value: float) -> str:
    """Four digits at most; whole numbers below a million are written out."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4g}"


def _shown(name: str, condition: Condition) -> Row:
    return f"{name}: {condition.statement}", condition.status, number(condition.value), condition.needed, condition.how


def _aligned(rows: list[Row]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _html_table(rows: list[Row]) -> str:
    head, *body = rows
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in body)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"
