"""Laws fitted to sequences by maximum likelihood or shrinkage, and the information floor of their structures."""

from .base import Estimator
from .floor import sample_covariance_kl, score_kl_floor
from .regularised import LedoitWolf, Tapered
from .sample_covariance import SampleCovariance
from .separable import Separable
from .stationary import BlockToeplitz, StationarySeparable

__all__ = [
    "BlockToeplitz",
    "Estimator",
    "LedoitWolf",
    "SampleCovariance",
    "Separable",
    "StationarySeparable",
    "Tapered",
    "sample_covariance_kl",
    "score_kl_floor",
]
