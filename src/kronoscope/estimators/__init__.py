"""Laws fitted to sequences by maximum likelihood, and the information floor of their structures."""

from .base import Estimator
from .floor import sample_covariance_kl, score_kl_floor
from .sample_covariance import SampleCovariance
from .separable import Separable
from .stationary import BlockToeplitz, StationarySeparable

__all__ = [
    "BlockToeplitz",
    "Estimator",
    "SampleCovariance",
    "Separable",
    "StationarySeparable",
    "sample_covariance_kl",
    "score_kl_floor",
]
