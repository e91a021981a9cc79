"""Gamma kron Sigma with both factors free."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._errors import ConvergenceError
from ..linalg.eigen import LinAlgError
from ..processes import SeparableGaussian
from .base import Estimator, Moments, refuse_dependent
from .likelihood import kronecker_nll, minimise

_MAX_ROUNDS = 10_000
_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False, repr=False)
class Separable(Estimator):
    """Maximum likelihood of K = Gamma kron Sigma, both positive semi-definite and free, mean diag(Gamma) = 1.

    At ``min_time`` 0 the flip-flop: Gamma <- sum_r R_r Sigma^-1 R_r' / d and Sigma <- sum_r R_r' Gamma^-1 R_r / N
    in turn until neither moves. At ``min_time`` > 0 L-BFGS on Cholesky factors, started from the flip-flop of
    the noised moments. Parameters: N(N+1)/2 + d(d+1)/2 - 1.

    Source: Dutilleul, *Journal of Statistical Computation and Simulation* 64 (1999) 105-123.
    """

    def _covariance_parameters(self, frames: int, features: int) -> int:
        return frames * (frames + 1) // 2 + features * (features + 1) // 2 - 1

    def _least_sequences(self, frames: int, features: int) -> int:
        # Square sequences: one or two of them leave more than one maximum (Derksen and Makam 2021).
        unique = 3 if frames == features > 1 else 1
        return max(-(-frames // features), -(-features // frames), unique)

    def _fit(self, moments: Moments, num_parameters: int) -> SeparableGaussian:
        refuse_dependent(moments)
        temporal, spatial = flip_flop(_noised_roots(moments))
        if moments.min_time > 0:
            temporal, spatial = _noised_maximum(temporal, spatial, moments)
        level = temporal.diagonal().mean()
        return SeparableGaussian(temporal / level, spatial * level, moments.mean, num_parameters)


def flip_flop(roots: Tensor) -> tuple[Tensor, Tensor]:
    """Maximum-likelihood Gamma and Sigma of the second moment sum_r vec(R_r) vec(R_r)'.

    Raises:
        ConvergenceError: The factors still move, or became singular: too few sequences.
    """
    frames = roots.shape[1]
    spatial = torch.einsum("rij,rik->jk", roots, roots) / frames
    temporal = torch.eye(frames, dtype=roots.dtype)
    for _ in range(_MAX_ROUNDS):
        try:
            updated = _half_step(roots, spatial)
            spatial = _half_step(roots.mT, updated)
        except LinAlgError:
            break
        moved = (updated - temporal).abs().max() / updated.abs().max()
        temporal = updated
        if moved < _TOLERANCE:
            return temporal, spatial
    raise ConvergenceError(
        "the flip-flop of Separable did not converge: more sequences, or a min_time above 0, are needed"
    )


def _half_step(roots: Tensor, other: Tensor) -> Tensor:
    """sum_r R_r other^-1 R_r' / features."""
    factor = torch.linalg.cholesky(other)
    whitened = torch.linalg.solve_triangular(factor, roots.mT, upper=False)  # L^-1 R_r'
    return torch.einsum("rki,rkj->ij", whitened, whitened) / roots.shape[2]


def _noised_roots(moments: Moments) -> Tensor:
    """Rows of the noised second moment alpha^2 S + sigma^2 I, over alpha^2."""
    if moments.noise == 0:
        return moments.roots
    frames, features = moments.mean.shape
    noise = torch.eye(frames * features, dtype=torch.float64) * (moments.noise / moments.scale) ** 0.5
    return torch.cat([moments.roots, noise.reshape(-1, frames, features)])


def _noised_maximum(temporal: Tensor, spatial: Tensor, moments: Moments) -> tuple[Tensor, Tensor]:
    factors = torch.linalg.cholesky(temporal), torch.linalg.cholesky(spatial)

    def covariances(*free: Tensor) -> tuple[Tensor, Tensor]:
        first, second = (factor @ lower_triangular(p) for factor, p in zip(factors, free, strict=True))
        return first @ first.mT, second @ second.mT

    start = [torch.zeros_like(factor) for factor in factors]
    minimum = minimise(lambda *free: kronecker_nll(*covariances(*free), moments), start)
    return covariances(*minimum)


def lower_triangular(free: Tensor) -> Tensor:
    """A lower-triangular matrix with positive diagonal from unconstrained entries; the identity at 0."""
    return free.tril(-1) + torch.diag_embed(free.diagonal(dim1=-2, dim2=-1).exp())
