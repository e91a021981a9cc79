"""Pages with cells as notebooks: a download link at the end of each, and the .ipynb file itself."""

import re
from pathlib import Path

import nbformat
from sphinx.application import Sphinx

FOLDER = "notebooks"
HEAD = "---\nfile_format: mystnb\n"
CELL = re.compile(r"^```\{code-cell\} ipython3\n((?::[^\n]*\n)*)(.*?)^```$", re.MULTILINE | re.DOTALL)


def has_cells(text: str) -> bool:
    """Whether the page is a notebook."""
    return text.startswith(HEAD)


def add_link(app: Sphinx, name: str, source: list[str]) -> None:
    """A link to the notebook at the end of the page."""
    if has_cells(source[0]):
        target = "../" * name.count("/") + f"{FOLDER}/{file_of(name)}"
        source[0] += f'\n\n<p><a href="{target}" download>Download this page as a notebook</a></p>\n'


def file_of(name: str) -> str:
    """Name of the notebook's file."""
    return f"kronoscope-{name.rpartition('/')[2]}.ipynb"


def notebook_of(text: str) -> nbformat.NotebookNode:
    """The page as a notebook without outputs; links within the site and roles become plain text."""
    body = text.split("---\n", 2)[2]
    parts = CELL.split(body)
    cells = []
    for number in range(0, len(parts), 3):
        prose = re.sub(r"\{(?:func|class|meth|mod|attr)\}(`[^`]+`)", r"\1", parts[number])
        prose = re.sub(r"(?<!!)\[([^\]]+)\]\((?!http)[^)]+\)", r"\1", prose)
        prose = re.sub(r"(?m)^:{3,}.*\n?", "", prose).strip()
        if prose:
            cells.append(nbformat.v4.new_markdown_cell(prose, id=f"text-{number}"))
        if number + 2 < len(parts):
            cells.append(nbformat.v4.new_code_cell(parts[number + 2].rstrip(), id=f"code-{number}"))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def write_notebooks(app: Sphinx, error: Exception | None) -> None:
    """Write every notebook into the site."""
    if error is None and app.builder.format == "html":
        folder = Path(app.outdir) / FOLDER
        folder.mkdir(exist_ok=True)
        for name in app.env.found_docs:
            text = Path(app.env.doc2path(name)).read_text(encoding="utf-8")
            if has_cells(text):
                nbformat.write(notebook_of(text), folder / file_of(name))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", add_link)
    app.connect("build-finished", write_notebooks, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
