"""Sample covariances that are tapered in the lag, or shrunk: for few sequences."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError
from ..processes import DenseGaussian
from .base import Estimator, Moments

_FOLDS = 5


@dataclass(frozen=True, eq=False, repr=False)
class LedoitWolf(Estimator):
    """K = (1 - s) S + s m I with m = tr S / (N d) and the s that estimates the least mean squared error of K.

        s = min(1, b^2 / |S - m I|_F^2),    b^2 = ( (1/n) sum_i |x_i|^4 - |S|_F^2 ) / n

    Linear shrinkage of the sample covariance: no structure, and positive definite for any n. ``min_time`` changes
    nothing. Parameters: N d (N d + 1) / 2, those that are shrunk; it is not maximum likelihood, so p/(2n) is no
    promise of its error.

    Source: Ledoit and Wolf, *Journal of Multivariate Analysis* 88 (2004) 365-411, section 3.
    """

    def _covariance_parameters(self, frames: int, features: int) -> int:
        return frames * features * (frames * features + 1) // 2

    def _least_sequences(self, frames: int, features: int) -> int:
        return 1

    def _fit(self, moments: Moments, num_parameters: int) -> DenseGaussian:
        flat, second = moments.centred.flatten(1), moments.second_moment
        identity = torch.eye(len(second), dtype=torch.float64)
        target = second.diagonal().mean() * identity
        distance = float((second - target).square().sum())
        noise = float(flat.square().sum(1).square().mean() - second.square().sum()) / len(flat)
        share = 1.0 if distance <= noise else max(0.0, noise / distance)
        covariance = (1 - share) * second + share * target
        return DenseGaussian(covariance, moments.mean.shape[1], moments.mean, num_parameters)


@dataclass(frozen=True, eq=False, repr=False)
class Tapered(Estimator):
    """K = the sample covariance with the blocks of lag h = |i - j| multiplied by w(h), projected to a covariance.

        w(h) = 1 for h <= k/2,    2 - 2h/k for k/2 < h < k,    0 for h >= k

    w is not a covariance, so the product may have negative eigenvalues; they are set to 0, which at most doubles the
    distance to the truth. Where that happens K is singular, and its score exists for t > 0 alone. ``min_time`` changes
    nothing. Parameters: the entries that are kept, N d(d+1)/2 + d^2 sum_{0<h<k} (N - h).

    Source: Cai, Zhang and Zhou, *Annals of Statistics* 38 (2010) 2118-2144, equations 4 and 5; the choice of k in the
    manner of Bickel and Levina, *Annals of Statistics* 36 (2008) 199-227, section 5.

    Args:
        min_time, mean: As for every estimator.
        bandwidth: k, in frames; None chooses, by five folds, the one whose tapered covariance is
            closest to the sample covariance of the sequences left out.
    """

    bandwidth: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bandwidth is not None:
            _checks.count("bandwidth", self.bandwidth)

    def _covariance_parameters(self, frames: int, features: int) -> int:
        return _kept(frames, features, frames if self.bandwidth is None else self.bandwidth)

    def _least_sequences(self, frames: int, features: int) -> int:
        return 2 if self.bandwidth is None else 1

    def _fit(self, moments: Moments, num_parameters: int) -> DenseGaussian:
        frames, features = moments.mean.shape
        bandwidth = self.bandwidth or _chosen(moments.centred)
        of_mean = num_parameters - self._covariance_parameters(frames, features)
        weights = _taper(frames, torch.tensor([bandwidth]))[0][_lags(frames)]
        tapered = moments.second_moment * weights.repeat_interleave(features, 0).repeat_interleave(features, 1)
        values, vectors = torch.linalg.eigh(tapered)
        covariance = tapered if float(values[0]) >= 0 else (vectors * values.clamp_min(0)) @ vectors.mT
        count = of_mean + _kept(frames, features, bandwidth)
        return DenseGaussian(0.5 * (covariance + covariance.mT), features, moments.mean, count)


def _kept(frames: int, features: int, bandwidth: int) -> int:
    """Free entries of a symmetric matrix of blocks whose lags are below the bandwidth."""
    blocks = sum(frames - lag for lag in range(1, min(bandwidth, frames)))
    return frames * features * (features + 1) // 2 + features**2 * blocks


def _chosen(centred: Tensor) -> int:
    """The bandwidth of the least sum over folds of |taper(S of the other sequences) - S of the fold|_F^2."""
    n, frames, features = centred.shape
    if n < 2:
        raise InputError("x must have at least 2 sequences for a bandwidth to be chosen; give Tapered a bandwidth")
    candidates = torch.arange(1, 2 * frames + 1)
    weights = _taper(frames, candidates)  # (candidates, lags)
    fold = torch.arange(n) % _FOLDS
    flat = centred.flatten(1)
    total = flat.mT @ flat
    loss = torch.zeros(len(candidates), dtype=torch.float64)
    for index in range(min(_FOLDS, n)):
        part = flat[fold == index]
        own = part.mT @ part
        rest = (total - own) / (n - len(part))
        squares, products = (_by_lag(a, frames, features) for a in (rest.square(), rest * own / len(part)))
        loss += weights.square() @ squares - 2 * weights @ products
    return int(candidates[loss.argmin()])


def _by_lag(entries: Tensor, frames: int, features: int) -> Tensor:
    """Sums over the blocks of each lag, (frames,)."""
    blocks = entries.reshape(frames, features, frames, features).sum(dim=(1, 3))
    return torch.zeros(frames, dtype=entries.dtype).index_add(0, _lags(frames).flatten(), blocks.flatten())


def _taper(frames: int, bandwidths: Tensor) -> Tensor:
    """w(h) of every bandwidth at the lags 0 .. N-1, (bandwidths, frames), float64."""
    lags = torch.arange(frames, dtype=torch.float64)
    return (2 - 2 * lags / bandwidths[:, None]).clamp(0, 1)


def _lags(frames: int) -> Tensor:
    steps = torch.arange(frames)
    return (steps[:, None] - steps).abs()
