"""Plain records to one HTML file: what a report says, and a page that shows it. Runs no model."""

from ._files import check_target, write_text
from .codec import from_json, load_records, save_records, to_json
from .figures import Bar, BarPanel, Figure, Line, LinePanel, MatrixPanel
from .movies import Animation, Movie
from .page import render, write
from .palette import ROLES
from .plotting import Plot, plot
from .records import Column, Estimate, Facts, Number, Report, Section, Table, Text, Verdict

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
