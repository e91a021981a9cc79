"""The demo and the report of a run: experiments that end in a page."""

from .run_page import run_report

__all__ = ["run_report"]
