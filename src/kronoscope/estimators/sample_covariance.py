"""The covariance without structure."""

from __future__ import annotations

from dataclasses import dataclass

from ..processes import DenseGaussian
from .base import Estimator, Moments


@dataclass(frozen=True, eq=False, repr=False)
class SampleCovariance(Estimator):
    """K = (1/n) sum_i (x_i - mean)(x_i - mean)', the maximum-likelihood covariance without any structure.

    It maximises the noised likelihood at every ``min_time`` too, since alpha^2 K + sigma^2 I then equals the
    noised second moment; so ``min_time`` changes nothing but the number of sequences asked for: with
    ``min_time`` 0 at least N d (one more for a free mean), else a singular K is accepted.
    Parameters: N d (N d + 1) / 2.
    """

    def _covariance_parameters(self, frames: int, features: int) -> int:
        return frames * features * (frames * features + 1) // 2

    def _least_sequences(self, frames: int, features: int) -> int:
        return frames * features

    def _fit(self, moments: Moments, num_parameters: int) -> DenseGaussian:
        return DenseGaussian(moments.second_moment, moments.mean.shape[1], moments.mean, num_parameters)
