"""The studies behind kronoscope's claims: each measures one claim of the theory and writes a page.

The library never imports this package; the command line imports it for ``kronoscope reproduce`` and ``report``.
"""

from .registry import MODULES, study
from .results import STORED, Header, Results, is_stored, is_study, load, stored
from .running import render, reproduce
from .study import Check, Run, Study

__all__ = [
    "MODULES",
    "STORED",
    "Check",
    "Header",
    "Results",
    "Run",
    "Study",
    "is_stored",
    "is_study",
    "load",
    "render",
    "reproduce",
    "stored",
    "study",
]
