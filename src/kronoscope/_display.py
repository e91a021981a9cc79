"""Objects that one can look at: a repr of one short line, a table in a notebook, a DataFrame of their rows."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import torch

from . import _numerals

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 399
"""Most characters of a repr."""
LONGEST_FACT = 90
MOST_ROWS = 16
"""Rows of a table in a notebook; a DataFrame holds all."""

_RULE = "border-bottom:1px solid rgba(128,128,128,.35);"
_CELL = f"padding:.2em .8em .2em 0;vertical-align:baseline;background:transparent;{_RULE}"
_TABLE = "border-collapse:collapse;border:0;margin:.3em 0;color:inherit;background:transparent;font-size:.92em;"


@dataclasses.dataclass(frozen=True)
class Uncertain:
    """A number with its standard error and unit, as a fact of a :class:`Displayed` object."""

    value: float
    standard_error: float | None = None
    unit: str = ""


class Displayed:
    """An object with a short repr, in a terminal and in a notebook.

    A dataclass needs ``repr=False``, as it would write a repr of its own otherwise.
    """

    def _facts(self) -> Mapping[str, object]:
        """What the object is, by name, the most essential first. By default the public fields of a dataclass."""
        if not dataclasses.is_dataclass(self):
            return {}
        public = [field.name for field in dataclasses.fields(self) if not field.name.startswith("_")]
        return {name.replace("_", " "): getattr(self, name) for name in public}

    def _columns(self) -> Mapping[str, Sequence[object]]:
        """Rows that belong to the object, by column. By default none."""
        return {}

    def __repr__(self) -> str:
        return _line(type(self).__name__, self._facts())

    def _repr_html_(self) -> str:
        return _html(type(self).__name__, self._facts(), self._columns())


class Tabular(Displayed, ABC):
    """A displayed object with rows."""

    @abstractmethod
    def _columns(self) -> Mapping[str, Sequence[object]]:
        """The rows by column, under plain names."""

    def to_frame(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame: one row a record, one column a quantity."""
        import pandas as pd  # loaded where a table is asked for

        return pd.DataFrame({name: list(values) for name, values in self._columns().items()})


def columns_of(records: Iterable[object], *names: str) -> dict[str, Sequence[object]]:
    """The named attributes of records as columns; an underscore in a name becomes a space."""
    rows = list(records)
    return {name.replace("_", " "): [getattr(row, name) for row in rows] for name in names}


def _line(title: str, facts: Mapping[str, object]) -> str:
    """``title(name=value, ...)``; facts that no longer fit are left out, and three dots stand for them."""
    parts: list[str] = []
    room = LONGEST - len(title) - len("(, ...)")
    for name, value in facts.items():
        part = f"{name.replace(' ', '_').replace('-', '_')}={_plain(value)}"
        room -= len(part) + 2
        if room < 0:
            parts.append("...")
            break
        parts.append(part)
    return f"{title}({', '.join(parts)})"


def _plain(value: object) -> str:
    """A fact on one line of ASCII numbers."""
    if isinstance(value, Uncertain):
        error = "" if value.standard_error is None else f" +- {value.standard_error:.2g}"
        return f"{value.value:.4g}{error}{' ' if value.unit else ''}{value.unit}"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = _shortened(_described(value))
    return f"'{text}'" if isinstance(value, str) and "," in text else text


def _rich(value: object) -> str:
    """A fact with a true minus and powers of ten, as on the pages."""
    if isinstance(value, Uncertain):
        return f"{_rich_number(value.value, value.standard_error)}{' ' if value.unit else ''}{value.unit}"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int | np.integer):
        return _numerals.decimal(int(value), 0)
    if isinstance(value, float | np.floating):
        return _rich_number(float(value), None)
    return _shortened(_described(value))


def _rich_number(value: float, error: float | None) -> str:
    if not math.isfinite(value):
        return f"{value}"
    if error is None or not math.isfinite(error):
        return _numerals.brief(value, 4)
    return _numerals.estimate(value, error)


def _described(value: object) -> str:
    """Anything but a number in a few words: an array by its shape, a long list by its length."""
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"{str(value.dtype).removeprefix('torch.')} array {tuple(value.shape)}".replace(",)", ")")
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, Mapping):
        return f"{len(value)} entries"
    if isinstance(value, tuple | list):
        short = len(value) <= 6 and all(isinstance(entry, str | int | float) for entry in value)
        return f"({', '.join(map(_plain, value))})" if short else f"{len(value)} entries"
    if callable(value) and not dataclasses.is_dataclass(value):
        return getattr(value, "__name__", type(value).__name__)
    return repr(value)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_FACT else f"{text[: LONGEST_FACT - 4]} ..."


def _html(title: str, facts: Mapping[str, object], columns: Mapping[str, Sequence[object]]) -> str:
    """A compact table without script or address; text keeps the colour of the page, light or dark."""
    rows = [
        f'<tr style="background:transparent"><th style="text-align:left;font-weight:400;opacity:.7;{_CELL}">'
        f'{escape(name)}</th><td style="text-align:left;{_CELL}">{escape(_rich(value))}</td></tr>'
        for name, value in facts.items()
    ]
    heading = f'<div style="font-weight:600">{escape(title)}</div>'
    body = f'<table style="{_TABLE}"><tbody>{"".join(rows)}</tbody></table>' if rows else ""
    return f'<div style="overflow-x:auto">{heading}{body}{_html_rows(columns)}</div>'


def _html_rows(columns: Mapping[str, Sequence[object]]) -> str:
    length = max((len(values) for values in columns.values()), default=0)
    if not length:
        return ""
    sides = {name: "right" if all(map(_is_number, values)) else "left" for name, values in columns.items()}
    heads = "".join(
        f'<th style="text-align:{sides[name]};font-weight:600;{_CELL}">{escape(name)}</th>' for name in columns
    )
    rows = [
        "".join(
            f'<td style="text-align:{sides[name]};{_CELL}">{escape(_rich(values[i]))}</td>'
            for name, values in columns.items()
        )
        for i in range(min(length, MOST_ROWS))
    ]
    body = "".join(f'<tr style="background:transparent">{row}</tr>' for row in rows)
    left = f'<div style="opacity:.7">and {length - MOST_ROWS} more rows: to_frame()</div>' if length > MOST_ROWS else ""
    head = f'<thead><tr style="background:transparent">{heads}</tr></thead>'
    return f'<table style="{_TABLE}">{head}<tbody>{body}</tbody></table>{left}'


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float | np.number) and not isinstance(value, bool))
