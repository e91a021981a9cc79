"""The page of a run: what was fitted, and how what it generates compares with the data it never saw."""

from .dependence import Comparison, compare
from .run_folder_page import complete_run, draw_run_page, write_run_page
from .run_page import run_report

__all__ = ["Comparison", "compare", "complete_run", "draw_run_page", "run_report", "write_run_page"]
