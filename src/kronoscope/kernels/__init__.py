"""Covariance functions of sequence times, their algebra and their decay patterns."""

from .base import Decay, Kernel, Product, Scaled, StationaryKernel, Sum
from .compact import Wendland, White
from .exponential import PowerExponential
from .expression import parse
from .matern import Matern
from .periodic import CircularPowerExponential, Constant, Cosine, Periodic
from .polynomial import Cauchy, FractionalGaussianNoise, RationalQuadratic

__all__ = [
    "Cauchy",
    "CircularPowerExponential",
    "Constant",
    "Cosine",
    "Decay",
    "FractionalGaussianNoise",
    "Kernel",
    "Matern",
    "Periodic",
    "PowerExponential",
    "Product",
    "RationalQuadratic",
    "Scaled",
    "StationaryKernel",
    "Sum",
    "Wendland",
    "White",
    "parse",
]
