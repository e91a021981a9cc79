"""Audit of real against generated sequences: which dependence differs, where and by how much, with error rates.

``ks.audit(real, generated)`` is :func:`audit`; its records stand here.
"""

from .questions import Cell, Question
from .records import AuditResult
from .resampling import FEWEST
from .run import audit

__all__ = ["FEWEST", "AuditResult", "Cell", "Question", "audit"]
