"""Printed output of a cell in one piece.

IPython hands on what ``%%bash`` prints in chunks of 100 bytes, and myst-nb would end each chunk with a line break.
"""

from myst_nb.core import render
from nbformat import NotebookNode
from sphinx.application import Sphinx

merge_lines = render.coalesce_streams


def merge_chunks(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join the chunks of each stream as they are, then do what myst-nb does."""
    merged: list[NotebookNode] = []
    for output in outputs:
        previous = merged[-1] if merged else None
        both = output["output_type"] == "stream" and previous is not None and previous["output_type"] == "stream"
        if previous is not None and both and output["name"] == previous["name"]:
            merged[-1] = NotebookNode({**previous, "text": previous["text"] + output["text"]})
        else:
            merged.append(output)
    return merge_lines(merged)


def setup(app: Sphinx) -> dict[str, bool]:
    render.coalesce_streams = merge_chunks
    return {"parallel_read_safe": True, "parallel_write_safe": True}
