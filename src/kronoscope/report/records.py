"""Records of a report: what it says, without how it looks. Frozen, checked on construction, plain numbers and text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

from .._display import Displayed
from .._errors import InputError
from . import _fields
from .figures import Figure
from .movies import Animation
from .palette import ROLES


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error, in the same unit. Printed to two digits of the error."""

    value: float
    standard_error: float

    def __post_init__(self) -> None:
        _fields.settle(
            self,
            value=_fields.number("value", self.value),
            standard_error=_fields.number("standard_error", self.standard_error),
        )
        if self.standard_error < 0:
            raise InputError(f"standard_error must be 0 or greater, got {self.standard_error:g}")


Cell = str | int | float | Estimate | None


@dataclass(frozen=True)
class Text:
    """Paragraphs, separated by blank lines.

    Args:
        text: Plain text; markup in it is shown, not obeyed.
        style: "body", "note" (set apart) or "code" (verbatim, for commands).
    """

    text: str
    style: str = "body"

    def __post_init__(self) -> None:
        _fields.settle(self, text=_fields.text("text", self.text, empty=False))
        _fields.one_of("style", self.style, ("body", "note", "code"))

    @property
    def paragraphs(self) -> tuple[str, ...]:
        """The text cut at blank lines."""
        return tuple(part.strip() for part in self.text.split("\n\n") if part.strip())


@dataclass(frozen=True, repr=False)
class Facts(Displayed):
    """Names and values, such as sizes and settings. ``items`` is a mapping or a sequence of (name, value)."""

    items: Mapping[str, Cell] | Sequence[tuple[str, Cell]]

    def __post_init__(self) -> None:
        _fields.settle(self, items=_pairs("items", self.items))


@dataclass(frozen=True)
class Number:
    """One number of a :class:`Verdict`.

    Args:
        value: As it is to be shown, with its unit: "86 %".
        label: What it is, in a few words.
        explanation: One line: against what it is to be read.
        standing: "good", "bad" or "neutral".
    """

    value: str
    label: str
    explanation: str = ""
    standing: str = "neutral"

    def __post_init__(self) -> None:
        _fields.settle(
            self,
            value=_fields.text("value", self.value, empty=False),
            label=_fields.text("label", self.label, empty=False),
            explanation=_fields.text("explanation", self.explanation),
        )
        _fields.one_of("standing", self.standing, ("good", "bad", "neutral"))


@dataclass(frozen=True, repr=False)
class Verdict(Displayed):
    """A strip of one to five numbers that say how it went."""

    numbers: Sequence[Number]

    def __post_init__(self) -> None:
        _fields.settle(self, numbers=_fields.records("numbers", self.numbers, Number, least=1))
        if len(self.numbers) > 5:
            raise InputError(f"numbers must be at most 5, got {len(self.numbers)}: show fewer")


@dataclass(frozen=True)
class Column:
    """Head of a table's column.

    Args:
        label: What the column holds.
        unit: Its unit, shown in the head; may be empty.
        digits: Significant digits of its numbers.
        decimals: Digits after the point instead, where the numbers of a column are of one size.
    """

    label: str
    unit: str = ""
    digits: int = 3
    decimals: int | None = None

    def __post_init__(self) -> None:
        _fields.settle(
            self,
            label=_fields.text("label", self.label),
            unit=_fields.text("unit", self.unit),
            digits=_fields.whole("digits", self.digits, least=1),
            decimals=None if self.decimals is None else _fields.whole("decimals", self.decimals),
        )


@dataclass(frozen=True, repr=False)
class Table(Displayed):
    """A table. Numbers stand right-aligned, a missing cell (None) is a dash.

    Args:
        columns: Heads; a text is a head without a unit.
        rows: Cells, as many in a row as there are columns.
        caption: How to read the table.
        note: Below the table: provenance, abbreviations.
        row_roles: Role of each row, which gives it the colour that it has in the figures; None or an entry None
            gives none.
        highlight_rows: Indices of the rows to stress.
        highlight_cells: (row, column) of the cells to stress.

    Raises:
        InputError: An empty caption, a row of the wrong length, a number that is not finite, or an index out of range.
    """

    columns: Sequence[Column | str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    note: str = ""
    row_roles: Sequence[str | None] | None = None
    highlight_rows: Sequence[int] = ()
    highlight_cells: Sequence[tuple[int, int]] = ()

    def __post_init__(self) -> None:
        columns = _fields.records(
            "columns", [Column(c) if isinstance(c, str) else c for c in self.columns], Column, least=1
        )
        rows = tuple(tuple(_cell(f"rows[{i}][{j}]", c) for j, c in enumerate(row)) for i, row in enumerate(self.rows))
        for i, row in enumerate(rows):
            if len(row) != len(columns):
                raise InputError(f"rows[{i}] must hold {len(columns)} cells, got {len(row)}")
        cells = tuple(
            (_within("highlight_cells", i, len(rows)), _within("highlight_cells", j, len(columns)))
            for i, j in self.highlight_cells
        )
        _fields.settle(
            self,
            columns=columns,
            rows=rows,
            caption=_fields.text("caption (how to read the table)", self.caption, empty=False),
            note=_fields.text("note", self.note),
            row_roles=_row_roles(self.row_roles, len(rows)),
            highlight_rows=tuple(_within("highlight_rows", i, len(rows)) for i in self.highlight_rows),
            highlight_cells=cells,
        )


Block = Text | Facts | Verdict | Table | Figure | Animation


@dataclass(frozen=True, repr=False)
class Section(Displayed):
    """A titled part of the report.

    Args:
        title: Also its entry in the table of contents.
        lead: What the section shows, in a sentence or two; may be empty.
        blocks: Texts, facts, verdicts, tables, figures and animations, in order.
        folded: Whether only title and lead are shown until a reader opens the section.
    """

    title: str
    lead: str = ""
    blocks: Sequence[Block] = ()
    folded: bool = False

    def __post_init__(self) -> None:
        _fields.settle(
            self,
            title=_fields.text("title", self.title, empty=False),
            lead=_fields.text("lead", self.lead),
            blocks=_fields.records("blocks", self.blocks, (Text, Facts, Verdict, Table, Figure, Animation)),
        )
        if not isinstance(self.folded, bool):
            raise TypeError(f"folded must be True or False, got {self.folded!r}")


@dataclass(frozen=True, repr=False)
class Report(Displayed):
    """A whole report.

    Args:
        title: Of the page.
        subtitle: One sentence on what was done; may be empty.
        facts: Names and values under the title: data, seed, version. A mapping or a sequence of pairs.
        sections: In order; more than three get a table of contents.
        verdict: Headline numbers at the top.

    Example:
        >>> from kronoscope.report import Report, Section, Text, from_json, to_json
        >>> report = Report("Run 7", facts={"seed": 0}, sections=[Section("Data", blocks=[Text("One year.")])])
        >>> from_json(to_json(report)) == report
        True
    """

    title: str
    subtitle: str = ""
    facts: Mapping[str, Cell] | Sequence[tuple[str, Cell]] = ()
    sections: Sequence[Section] = ()
    verdict: Verdict | None = None

    def __post_init__(self) -> None:
        _fields.settle(
            self,
            title=_fields.text("title", self.title, empty=False),
            subtitle=_fields.text("subtitle", self.subtitle),
            facts=_pairs("facts", self.facts),
            sections=_fields.records("sections", self.sections, Section),
        )
        if self.verdict is not None and not isinstance(self.verdict, Verdict):
            raise TypeError(f"verdict must be a Verdict, got {type(self.verdict).__name__}")


def _cell(name: str, value: Cell) -> Cell:
    if value is None or isinstance(value, Estimate):
        return value
    if isinstance(value, str):
        return _fields.text(name, value)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    return _fields.number(name, value)


def _pairs(name: str, items: Mapping[str, Cell] | Sequence[tuple[str, Cell]]) -> tuple[tuple[str, Cell], ...]:
    pairs = items.items() if isinstance(items, Mapping) else items
    return tuple((_fields.text(f"{name} (name)", key, empty=False), _cell(f"{name}[{key}]", v)) for key, v in pairs)


def _within(name: str, index: int, size: int) -> int:
    if _fields.whole(name, index) >= size:
        raise InputError(f"{name} must be less than {size}, got {index}")
    return int(index)


def _row_roles(roles: Sequence[str | None] | None, rows: int) -> tuple[str | None, ...] | None:
    if roles is None:
        return None
    if len(roles) != rows:
        raise InputError(f"row_roles must hold {rows} entries, got {len(roles)}")
    return tuple(None if role is None else _fields.one_of("row_roles", role, ROLES) for role in roles)
