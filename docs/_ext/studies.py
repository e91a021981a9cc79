"""The gallery of studies: claims, checks and figures from stored results, and every stored page in full."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from kronoscope import report
from kronoscope.report import numerals
from kronoscope_evidence.registry import MODULES, study
from kronoscope_evidence.results import Results, is_stored, stored

FOLDER = "studies"


@dataclass(frozen=True)
class Entry:
    """A study as the gallery lists it."""

    name: str
    claim: str
    minutes: tuple[float, float]
    stored: bool


def entries() -> list[Entry]:
    """All studies by name, stored ones first."""
    listed = [Entry(name, study(name).claim, study(name).minutes, is_stored(name)) for name in MODULES]
    return sorted(listed, key=lambda entry: (not entry.stored, entry.name))


def write_pages(app: Sphinx, error: Exception | None) -> None:
    """Render the page of every stored result into the site."""
    if error is None and app.builder.format == "html":
        folder = Path(app.outdir) / FOLDER
        folder.mkdir(exist_ok=True)
        for entry in entries():
            if entry.stored:
                page = stored(entry.name).page()
                report.write(page, folder / f"{entry.name}.html", force=True)
                for figure in figures_of(page)[:1]:
                    report.plot(figure).savefig(folder / f"{entry.name}.svg", metadata={"Date": None})


class Gallery(SphinxDirective):
    """``{study-gallery}``: one section for each study."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(map(section, entries())), allow_section_headings=True)


class Checks(SphinxDirective):
    """``{study-checks} NAME``: the checks of a stored result as a table."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(checks_table(stored(self.arguments[0])))


class StoredTable(SphinxDirective):
    """``{study-table} NAME`` with ``:caption:``: the table of the study's page whose caption begins so."""

    required_arguments = 1
    option_spec: ClassVar = {"caption": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        name, caption = self.arguments[0], self.options["caption"]
        tables = tables_of(stored(name).page())
        chosen = [table for table in tables if table.caption.startswith(caption)]
        if len(chosen) != 1:
            captions = "; ".join(table.caption for table in tables)
            raise self.error(f"{len(chosen)} tables of {name} have a caption that begins with {caption!r}: {captions}")
        return self.parse_text_to_nodes(table_text(chosen[0]))


def tables_of(page: report.Report) -> list[report.Table]:
    """The tables of a page."""
    return [block for part in page.sections for block in part.blocks if isinstance(block, report.Table)]


def figures_of(page: report.Report) -> list[report.Figure]:
    """The figures of a page."""
    return [block for part in page.sections for block in part.blocks if isinstance(block, report.Figure)]


def section(entry: Entry) -> str:
    """Markdown: the claim, what came out or what it costs, and where the page is."""
    command = f"`kronoscope reproduce {entry.name} --out {entry.name}`"
    lines = [f"## {entry.name}", "", entry.claim, ""]
    if entry.stored:
        results = stored(entry.name)
        lines += [":::{div} study-checks", checks_table(results), ":::", ""]
        for figure in figures_of(results.page())[:1]:
            alternative = html.escape(figure.caption.split(". ")[0], quote=True)
            image = f'<img src="{FOLDER}/{entry.name}.svg" alt="{alternative}" loading="lazy">'
            lines += [f'<a class="study-picture" href="{FOLDER}/{entry.name}.html">{image}</a>', ""]
        lines += [f'<a href="{FOLDER}/{entry.name}.html">Full page</a> · {command}', ""]
    else:
        lines += [f"Not stored: {command} takes about {minutes(entry.minutes[0])} on two cores.", ""]
    return "\n".join(lines)


def minutes(number: float) -> str:
    """A duration in words."""
    return "a minute" if number == 1 else f"{number:g} minutes"


def checks_table(results: Results) -> str:
    """Markdown table of the checks: what was measured, what it is compared with, whether the claim holds."""
    rows = ["| measured | value | expected | holds |", "|---|---|---|---|"]
    words = {True: "yes", False: "**no**", None: "–"}
    for check in results.checks():
        rows.append(f"| {cell(check.label)} | {cell(check.shown)} | {cell(check.expected)} | {words[check.holds]} |")
    return "\n".join(rows)


def table_text(table: report.Table) -> str:
    """A report's table in Markdown."""
    heads = [f"{column.label} ({column.unit})" if column.unit else column.label for column in table.columns]
    rows = ["| " + " | ".join(map(cell, heads)) + " |", "|---" * len(heads) + "|"]
    for row in table.rows:
        texts = [cell(numerals.cell(value, column)) for value, column in zip(row, table.columns, strict=True)]
        rows.append("| " + " | ".join(texts) + " |")
    return "\n".join(rows)


def cell(text: str) -> str:
    """Text of a cell; a vertical line would end it."""
    return text.replace("|", "\\|")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("study-gallery", Gallery)
    app.add_directive("study-checks", Checks)
    app.add_directive("study-table", StoredTable)
    app.connect("build-finished", write_pages, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
