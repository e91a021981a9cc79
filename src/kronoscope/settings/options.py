"""What the command line knows of a field of a record: help, range, choices. It is the field's metadata."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any

_KEY = "option"


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``.

    Attributes:
        low, high: The ends, which belong to it unless ``is_open``.
        is_open: Whether the ends do not belong to it.
    """

    low: float
    high: float
    is_open: bool = False

    def holds(self, value: float) -> bool:
        """Whether ``value`` is a number in the range; NaN is none."""
        return self.low < value < self.high if self.is_open else self.low <= value <= self.high

    def __str__(self) -> str:
        if self.is_open:
            return f"greater than {plain(self.low)} and less than {plain(self.high)}"
        return f"from {plain(self.low)} to {plain(self.high)}"


COUNT = Range(1, 10**9)  # what the data or the memory bound more tightly, and say so better
SHARE = Range(0, 1, is_open=True)


@dataclass(frozen=True)
class Option:
    """How a field of a record appears on the command line.

    Attributes:
        help: One or two sentences.
        bounds: The numbers that are allowed.
        choices: The words that are allowed; none where any text is. They are listed after ``help``.
        unset: What happens where the option is left out and the record has no value to show.
        flags: Names on the command line that differ from the field's.
    """

    help: str
    bounds: Range | None = None
    choices: tuple[str, ...] = ()
    unset: str = ""
    flags: tuple[str, ...] = ()


def described(help: str, **details: Any) -> Mapping[str, Option]:
    """Metadata of a field that makes it an option of the command line; see :class:`Option`."""
    return {_KEY: Option(help, **details)}


def options_of(record: type[Any]) -> dict[str, tuple[Field[Any], Option]]:
    """The fields of a record that are options of the command line, by name."""
    return {field.name: (field, field.metadata[_KEY]) for field in fields(record) if _KEY in field.metadata}


def option_of(record: type[Any], name: str) -> Option:
    """How that field of the record appears on the command line."""
    return options_of(record)[name][1]


def check_keywords(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a keyword that a function does not take, and name the one that was meant.

    Raises:
        TypeError: As Python raises for a function that lists its keywords.
    """
    names = [*known]
    for name in given:
        if name not in names:
            raise TypeError(
                f"{function}() got an unexpected keyword argument {name!r}{suggestion(name, names) or '.'} It takes "
                f"{', '.join(names)}"
            )


def suggestion(word: str, known: Iterable[str]) -> str:
    """ "; did you mean ...?" where a known word is like ``word``, else nothing."""
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def plain(value: float) -> str:
    """A number as a message writes it."""
    if isinstance(value, float):
        return f"{value:g}" if not math.isfinite(value) or value != int(value) or abs(value) > 1e9 else str(int(value))
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
