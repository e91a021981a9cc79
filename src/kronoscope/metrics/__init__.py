"""Numbers with error bars: score error in nats, distances between Gaussian laws and between samples."""

from .gaussian import bures_wasserstein, gaussian_kl, total_variation_bound
from .samples import EnergyDistance, energy_distance
from .score_error import ErrorByTime, ScoreKL, score_kl

__all__ = [
    "EnergyDistance",
    "ErrorByTime",
    "ScoreKL",
    "bures_wasserstein",
    "energy_distance",
    "gaussian_kl",
    "score_kl",
    "total_variation_bound",
]
