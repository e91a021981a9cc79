"""A report as one HTML page that needs nothing else: no network, no script, no font of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from . import drawing, numerals, palette
from ._files import write_text
from .figures import Figure, LinePanel, MatrixPanel, Panel
from .gif import sources
from .movies import Animation
from .records import Block, Cell, Column, Report, Section, Table

SENTENCE = 60  # characters; a table that has longer texts stacks its cells on a narrow screen
LONG = 280  # characters; a longer text is set in two columns on a wide screen
LONG_NUMBER = 8  # characters; a strip with a longer headline number is set smaller
MANY = 6  # columns; a table with more has less room between them
WHOLE = 145  # characters in a line of a table; where numbers would need more, they break before or after ±


def render(report: Report) -> str:
    """The page. The same records give the same bytes, whatever the user's matplotlib settings are.

    Text of the records is shown as it is: markup in it, a feature named ``<script>`` say, stays inert.
    """
    if not isinstance(report, Report):
        raise TypeError(f"report must be a Report, got {type(report).__name__}")
    environment = Environment(
        loader=PackageLoader("kronoscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = numerals.cell
    environment.filters["fact"] = numerals.fact
    environment.tests["long"] = lambda text: len(text) > LONG
    environment.tests["long_number"] = lambda text: len(text) > LONG_NUMBER
    counter = _Counter()
    return environment.get_template("page.html").render(
        report=report,
        sections=[_section(section, number, counter) for number, section in enumerate(report.sections, 1)],
        style=Markup(environment.get_template("style.css").render(palette=palette)),
    )


def write(report: Report, path: str | Path, force: bool = False) -> Path:
    """Render ``report`` to the file ``path``, which appears whole or not at all.

    Raises:
        InputError: The file exists and ``force`` is False, or its folder does not exist.
    """
    return write_text(path, render(report), force)


class _Counter:
    """Numbers figures and tables through the page."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def next(self, kind: str) -> int:
        self._seen[kind] = self._seen.get(kind, 0) + 1
        return self._seen[kind]


def _section(section: Section, number: int, counter: _Counter) -> dict[str, Any]:
    blocks = [_block(block, counter) for block in section.blocks]
    shown = {"title": section.title, "lead": section.lead, "folded": section.folded and bool(blocks)}
    return {"id": f"section-{number}", **shown, "blocks": blocks}


def _block(block: Block, counter: _Counter) -> dict[str, Any]:
    if isinstance(block, Table):
        number = counter.next("table")
        return {"kind": "table", "record": block, "number": number, **_table(block, f"table-{number}")}
    if isinstance(block, Figure):
        number = counter.next("figure")
        return {"kind": "figure", "record": block, "number": number, **_figure(block, f"figure-{number}")}
    if isinstance(block, Animation):
        number = counter.next("figure")
        movies = [
            {"title": movie.title, "sources": sources(movie, block.limits, block.milliseconds)}
            for movie in block.movies
        ]
        scale = _scale_of(block.limits, block.value_label, False)
        context = {"id": f"figure-{number}", "movies": movies, "scale": scale}
        return {"kind": "animation", "record": block, "number": number, **context}
    return {"kind": type(block).__name__.lower(), "record": block}


def _table(table: Table, name: str) -> dict[str, Any]:
    numeric = [any(_is_number(row[j]) for row in table.rows) for j in range(len(table.columns))]
    dots = [
        Markup(drawing.dot(role, f"{name}-row-{i}")) if role else None for i, role in enumerate(table.row_roles or ())
    ]
    wordy = any(isinstance(cell, str) and len(cell) > SENTENCE for row in table.rows for cell in row)
    conditions = {"wordy": wordy, "many": len(table.columns) > MANY, "tight": _least_width(table, numeric) > WHOLE}
    looks = [look for look, applies in conditions.items() if applies]
    dots = dots or [None] * len(table.rows)
    return {"id": name, "numeric": numeric, "looks": looks, "dots": dots}


def _least_width(table: Table, numeric: Sequence[bool]) -> int:
    """Characters of a line in which no number and no word breaks, with two between columns."""
    width = 2 * len(table.columns)
    for j, head in enumerate(table.columns):
        column = Column(head) if isinstance(head, str) else head
        texts = [numerals.cell(row[j], column) for row in table.rows]
        words = texts if numeric[j] else [word for text in texts for word in text.split()]
        width += max(map(len, [*words, *column.label.split()]), default=0)
    return width


def _is_number(cell: Cell) -> bool:
    return cell is not None and not isinstance(cell, str)


def _figure(figure: Figure, name: str) -> dict[str, Any]:
    panels = [
        {
            "record": panel,
            "kind": type(panel).__name__.removesuffix("Panel").lower(),
            "drawings": _drawings(panel, figure, f"{name}-panel-{i}"),
        }
        for i, panel in enumerate(figure.panels, 1)
    ]
    return {"id": name, "panels": panels, "legend": _legend(figure, name), "scale": _scale(figure)}


def _drawings(panel: Panel, figure: Figure, name: str) -> list[tuple[str, Markup]]:
    """The panel for a wide place, and for a narrow one where it would shrink too far to be read."""
    width = drawing.WIDTHS[figure.columns]
    if isinstance(panel, MatrixPanel):
        limits = figure.colour_limits
        assert limits is not None
        return [("only", Markup(drawing.matrix_panel(panel, limits, min(width, 400), name)))]
    draw: Any = drawing.line_panel if isinstance(panel, LinePanel) else drawing.bar_panel
    if width < 1.2 * drawing.PHONE:
        return [("only", Markup(draw(panel, width, name)))]
    return [
        ("wide", Markup(draw(panel, width, name))),
        ("narrow", Markup(draw(panel, drawing.PHONE, f"{name}-narrow"))),
    ]


def _legend(figure: Figure, name: str) -> list[tuple[str, Markup]]:
    return [(line.label, Markup(drawing.swatch(line, f"{name}-legend-{i}"))) for i, line in enumerate(figure.legend, 1)]


def _scale(figure: Figure) -> dict[str, Any] | None:
    limits = figure.colour_limits
    if limits is None:
        return None
    first = figure.matrices[0]
    return _scale_of(limits, first.value_label, first.diverging)


def _scale_of(limits: Sequence[float], label: str, diverging: bool) -> dict[str, Any]:
    low, high = limits
    marks = [numerals.brief(mark) for mark in (low, (low + high) / 2, high)]
    return {"label": label, "kind": "diverging" if diverging else "sequential", "marks": marks}
