"""Numbers with error bars: score error in nats, distances between laws and between samples, dependence by lag."""

from .dependence import CorrelationBand, correlation_band, lagged_correlation
from .gaussian import bures_wasserstein, gaussian_kl, total_variation_bound
from .published import PUBLISHED, TRAINED, PublishedMetric, published_metrics
from .samples import EnergyDistance, energy_distance
from .score_error import ErrorByTime, ScoreKL, score_kl
from .total_variation import TotalVariation, total_variation

__all__ = [
    "PUBLISHED",
    "TRAINED",
    "CorrelationBand",
    "EnergyDistance",
    "ErrorByTime",
    "PublishedMetric",
    "ScoreKL",
    "TotalVariation",
    "bures_wasserstein",
    "correlation_band",
    "energy_distance",
    "gaussian_kl",
    "lagged_correlation",
    "published_metrics",
    "score_kl",
    "total_variation",
    "total_variation_bound",
]
