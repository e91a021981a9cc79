"""Linear iterations as data: tables of coefficients, one runner, proven rates, and a lower bound for every method."""

from .builders import BUILDERS, chebyshev, chebyshev_steps, gradient_descent, heavy_ball
from .rates import iterations_needed, residual_bound
from .runner import relative_error, residual_factors, run
from .spectrum import krylov_floor, spectrum_optimal
from .table import Recurrence
from .tridiagonal import CyclicReduction, MarkovRecurrence, cyclic_reduction, markov_recurrence

__all__ = [
    "BUILDERS",
    "CyclicReduction",
    "MarkovRecurrence",
    "Recurrence",
    "chebyshev",
    "chebyshev_steps",
    "cyclic_reduction",
    "gradient_descent",
    "heavy_ball",
    "iterations_needed",
    "krylov_floor",
    "markov_recurrence",
    "relative_error",
    "residual_bound",
    "residual_factors",
    "run",
    "spectrum_optimal",
]
