"""Samplers as tables of coefficients, the one runner that reads them, and the exact law of a sampler."""

from .builders import SAMPLERS, ddim, dpm_solver, euler_maruyama, exponential_sde, heun
from .exact import law, law_error
from .runner import sample
from .tables import SamplerTable

__all__ = [
    "SAMPLERS",
    "SamplerTable",
    "ddim",
    "dpm_solver",
    "euler_maruyama",
    "exponential_sde",
    "heun",
    "law",
    "law_error",
    "sample",
]
