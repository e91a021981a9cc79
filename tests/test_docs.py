"""The pages of docs/: their code runs, their names exist, and what their extensions write is right."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not {"_build", "api"} & set(path.relative_to(DOCS).parts[:1]))
FENCE = re.compile(r"^(`{3,}|:{3,})(\S*)[^\n]*\n", re.MULTILINE)
PLAIN = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STATEMENTS = ("Assumption 1", "Lemma 1", "Corollary 1", "Theorem 1", "Theorem 2")

sys.path.insert(0, str(DOCS / "_ext"))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [page for page in PAGES if PLAIN.search(text_of(page))], ids=lambda page: page.stem)
def test_plain_python_blocks_run(page, tmp_path, monkeypatch):
    """Cells run when the site is built; other Python blocks run here, those of a page in one namespace."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in PLAIN.findall(text_of(page)):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_every_block_is_of_a_kind_that_is_executed(page):
    text = text_of(page)
    kinds = {kind for fence, kind in FENCE.findall(text) if fence.startswith("`")}
    assert all(kind == "" or kind.startswith("{") or kind in ("math", "python") for kind in kinds), kinds
    if "{code-cell}" in text:
        assert text.startswith("---\nfile_format: mystnb\n")  # else the build shows cells without executing them


def test_names_in_roles_exist():
    """``{func}`kronoscope.x``` and the like: Sphinx leaves a dead one as plain text, without a warning."""
    dead = []
    for page in PAGES:
        for name in re.findall(r"\{(?:func|class|meth|mod|attr)\}`~?(kronoscope[\w.]*)`", text_of(page)):
            parts, found = name.split(".")[1:], importlib.import_module("kronoscope")
            for part in parts:
                found = getattr(found, part, None)
            if found is None:
                dead.append(f"{page.name}: {name}")
    assert not dead


def test_studies_named_in_the_pages_exist():
    import studies

    import kronoscope_evidence

    known = {entry.name for entry in studies.entries()}
    assert known >= set(kronoscope_evidence.MODULES)
    for page in PAGES:
        for name in re.findall(r"(?:kronoscope reproduce|\{study-\w+\}) ([a-z][a-z-]+)", text_of(page)):
            assert name in known, f"{page.name}: {name}"


def test_the_map_has_a_row_for_each_statement_of_the_paper():
    text = text_of(DOCS / "paper-map.md")
    for statement in (
        "Assumption 1",
        "Lemma 1",
        "Corollary 1",
        "Theorem 1",
        "Theorem 2",
        "Figure 1",
        "Figure 3a",
        "Figure 4",
    ):
        assert re.search(rf"(?m)^\| {statement} \|", text), statement


def test_dead_links_are_found(tmp_path):
    import links

    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="b.html#there">b</a><a href="#here">a</a><a href="c.html">c</a>'
    )
    (tmp_path / "b.html").write_text('<img src="missing.png"><a href="https://example.org/x">out</a>')
    assert links.dead_links(tmp_path) == [
        "a.html: b.html#there (no such anchor)",
        "a.html: c.html",
        "b.html: missing.png",
    ]


def test_docstrings_are_escaped_but_not_their_roles():
    import api_pages

    line = "E|s - s*|^2 of :func:`x`, ``a*b``, x_ and `text`"
    assert api_pages.plain(line) == r"E\|s - s\*\|^2 of :func:`x`, ``a*b``, x\_ and \`text\`"
    assert api_pages.separated(["Of", "    f(x)", "where x.", "Args:", "    x: y"]) == [
        "Of", "", "    f(x)", "", "where x.", "Args:", "    x: y",
    ]  # fmt: skip


def test_tables_of_stored_results_are_those_of_the_pages():
    import studies

    from kronoscope_evidence.results import STORED, load

    stored = sorted(STORED.glob("*.json"))
    assert stored
    for path in stored:
        results = load(path)
        table = studies.checks_table(results)
        assert len(table.splitlines()) == len(results.checks()) + 2
        for check in results.checks():
            assert studies.cell(check.shown) in table
        assert json.loads(path.read_text())["quick"] is False  # a quick run is no evidence


def test_a_page_becomes_a_notebook():
    import notebooks

    prose = "# A\n\n{func}`ks.fit` and [b](../b.md).\n\n"
    page = f"{notebooks.HEAD}---\n\n{prose}```{{code-cell}} ipython3\n:tags: [x]\n1 + 1\n```\nend\n"
    cells = notebooks.notebook_of(page).cells
    assert [(cell.cell_type, cell.source) for cell in cells] == [
        ("markdown", "# A\n\n`ks.fit` and b."), ("code", "1 + 1"), ("markdown", "end"),
    ]  # fmt: skip
    for path in PAGES:
        text = text_of(path)
        assert notebooks.has_cells(text) == ("{code-cell}" in text), path.name
        if notebooks.has_cells(text):
            codes = [cell for cell in notebooks.notebook_of(text).cells if cell.cell_type == "code"]
            assert len(codes) == text.count("```{code-cell}"), path.name


def test_a_name_that_two_packages_export_is_documented_once():
    import api_pages

    import kronoscope as ks

    assert api_pages.home_of(ks.models, "fit", ks.fit) == "kronoscope"
    assert api_pages.home_of(ks.metrics, "score_kl", ks.metrics.score_kl) == "kronoscope.metrics"
    assert api_pages.home_of(ks.pages, "score_kl", ks.metrics.score_kl) == "kronoscope.metrics"
