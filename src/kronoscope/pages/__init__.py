"""The page of a run: what was fitted, and how what it generates compares with the data it never saw."""

from .dependence import Comparison, compare
from .run_folder_page import complete_run, draw_run_page, save_run_page, write_run_page
from .run_page import RunShown, report_of, run_report

__all__ = [
    "Comparison",
    "RunShown",
    "compare",
    "complete_run",
    "draw_run_page",
    "report_of",
    "run_report",
    "save_run_page",
    "write_run_page",
]
