"""Real against generated sequences: which dependence is off, where and by how much, with measured error rates.

``ks.audit(real, generated)`` is :func:`audit`; its records stand here.
"""

from .records import AuditResult, Cell, Question
from .resampling import FEWEST
from .run import audit

__all__ = ["FEWEST", "AuditResult", "Cell", "Question", "audit"]
