"""Covariance functions of sequence times, their algebra and their decay patterns."""

from .algebra import Product, Scaled, Sum
from .base import Decay, Kernel, StationaryKernel
from .exponential import PowerExponential

__all__ = ["Decay", "Kernel", "PowerExponential", "Product", "Scaled", "StationaryKernel", "Sum"]
