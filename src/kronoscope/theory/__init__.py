"""The statements of Fu et al. (2025) as numbers: conditions, sizes, bounds, and what was measured (docs/paper.md)."""

from .approximation import CompiledNetwork, Theorem1, theorem1
from .budget import ErrorBudget, Term, error_budget
from .embedding import Assumption1, assumption1, circle, line, sphere
from .estimation import InformationFloor, Theorem2, theorem2
from .records import Condition, Quantity, Statement
from .solver import Corollary1, Lemma1, corollary1, lemma1

__all__ = [
    "Assumption1",
    "CompiledNetwork",
    "Condition",
    "Corollary1",
    "ErrorBudget",
    "InformationFloor",
    "Lemma1",
    "Quantity",
    "Statement",
    "Term",
    "Theorem1",
    "Theorem2",
    "assumption1",
    "circle",
    "corollary1",
    "error_budget",
    "lemma1",
    "line",
    "sphere",
    "theorem1",
    "theorem2",
]
