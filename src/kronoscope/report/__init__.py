"""Plain records to one HTML file: what a report says, and a page that shows it. Runs no model."""

import importlib
from typing import TYPE_CHECKING, Any

from ._files import check_target, write_text
from .codec import from_json, load_records, save_records, to_json
from .figures import Bar, BarPanel, Figure, Line, LinePanel, MatrixPanel
from .movies import Animation, Movie
from .palette import ROLES
from .records import Column, Estimate, Facts, Number, Report, Section, Table, Text, Verdict

if TYPE_CHECKING:
    from .page import render, write
    from .plotting import Plot, plot

__all__ = [
    "ROLES",
    "Animation",
    "Bar",
    "BarPanel",
    "Column",
    "Estimate",
    "Facts",
    "Figure",
    "Line",
    "LinePanel",
    "MatrixPanel",
    "Movie",
    "Number",
    "Plot",
    "Report",
    "Section",
    "Table",
    "Text",
    "Verdict",
    "check_target",
    "from_json",
    "load_records",
    "plot",
    "render",
    "save_records",
    "to_json",
    "write",
    "write_text",
]

_DRAWN = {"render": "page", "write": "page", "Plot": "plotting", "plot": "plotting"}


def __getattr__(name: str) -> Any:
    """What draws is loaded on first use, as matplotlib takes a while; records are there at once."""
    if name in _DRAWN:
        return getattr(importlib.import_module(f".{_DRAWN[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
