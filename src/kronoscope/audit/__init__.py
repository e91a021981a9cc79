"""Real against generated sequences: which dependence is off, where and by how much, with measured error rates.

``kronoscope.audit`` is both this package and its one verb: ``ks.audit(real, generated)`` calls :func:`audit`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .records import AuditResult, Cell, Question
from .resampling import FEWEST
from .run import audit

__all__ = ["FEWEST", "AuditResult", "Cell", "Question", "audit"]


class _Callable(ModuleType):
    # Importing this package binds the module to the name kronoscope.audit, where people expect the function.
    def __call__(self, *args: Any, **kwargs: Any) -> AuditResult:
        return audit(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
