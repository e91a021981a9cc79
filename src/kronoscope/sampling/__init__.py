"""Samplers as tables of coefficients, the one runner that reads them, and the exact law of a sampler."""

from .builders import GRIDS, SAMPLERS, ddim, dpm_solver, euler_maruyama, exponential_sde, heun
from .conditional import CONDITIONAL_METHODS, guided_score, sample_given
from .exact import law, law_error
from .likelihood import FlowLikelihood, flow_log_prob
from .optimised_grid import optimised
from .runner import sample
from .tables import SamplerTable

__all__ = [
    "CONDITIONAL_METHODS",
    "GRIDS",
    "SAMPLERS",
    "FlowLikelihood",
    "SamplerTable",
    "ddim",
    "dpm_solver",
    "euler_maruyama",
    "exponential_sde",
    "flow_log_prob",
    "guided_score",
    "heun",
    "law",
    "law_error",
    "optimised",
    "sample",
    "sample_given",
]
