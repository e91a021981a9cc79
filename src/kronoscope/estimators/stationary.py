"""Stationary structures: Toeplitz Gamma kron Sigma, and block-Toeplitz; both from a positive spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..linalg import block_toeplitz
from ..processes import BlockToeplitzSequence, SeparableGaussian
from .base import Estimator, Moments, refuse_dependent
from .likelihood import dense_nll, kronecker_nll, minimise
from .separable import lower_triangular

# Frequencies per frame: the spectra live on the grid pi j / (GRID N), j = 0 .. GRID N.
_GRID = 2

# Smallest starting power, relative to the mean: the logarithm of a power could not grow from 0.
_START_FLOOR = 1e-4


@dataclass(frozen=True, eq=False)
class StationarySeparable(Estimator):
    """Maximum likelihood of K = Gamma kron Sigma with Gamma Toeplitz, unit diagonal, on regular times.

    Gamma_ij = sum_w p(w) cos(w (i - j)) with powers p(w) >= 0 at 2N + 1 frequencies from 0 to pi, so it is positive
    semi-definite by construction. L-BFGS finds log(p + noise), p >= 0, and a Cholesky factor of Sigma, from the
    periodogram: coordinates in which powers above the noise count relatively and those below can vanish. (Averaging
    the diagonals of a separable fit is no maximum likelihood, and fails where Gamma is nearly singular.) Nothing is
    assumed about the kernel. Parameters: N + d(d+1)/2 - 1.
    """

    def _covariance_parameters(self, frames: int, features: int) -> int:
        return frames + features * (features + 1) // 2 - 1

    def _least_sequences(self, frames: int, features: int) -> int:
        return -(-features // frames)

    def _fit(self, moments: Moments, num_parameters: int) -> SeparableGaussian:
        frames, features = moments.mean.shape
        factor, powers = _start(moments)
        cosines = _cosines(frames)[0]
        noise = _noise_power(moments)

        def covariances(log_power: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
            moved = factor @ lower_triangular(free)
            return _toeplitz(cosines @ (log_power.exp() - noise)), moved @ moved.mT

        power = powers.diagonal(dim1=1, dim2=2).real.mean(1)
        start = [(power + noise).log(), torch.zeros(features, features, dtype=torch.float64)]
        lowest = [math.log(noise) if noise > 0 else None, None]
        found = minimise(lambda *free: kronecker_nll(*covariances(*free), moments), start, lowest)
        temporal, spatial = covariances(*found)
        level = temporal[0, 0]
        return SeparableGaussian(temporal / level, spatial * level, moments.mean, num_parameters)


@dataclass(frozen=True, eq=False)
class BlockToeplitz(Estimator):
    """Maximum likelihood of K with blocks Cov(x_i, x_j) = C(i - j), C(-k) = C(k)', on regular times.

    C(k) = sum_w Re[F(w) e^(i w k)] with complex Hermitian positive semi-definite F(w) at 2N + 1 frequencies from 0 to
    pi, so K is positive semi-definite by construction: a covariance that is stationary, and neither separable nor
    symmetric in time. Cholesky factors of F(w) are found by L-BFGS from the periodogram. A local maximum
    of the likelihood among these K: no closed form is known, and K outside the grid's cone are only approached.
    Parameters: d(d+1)/2 + (N-1) d^2.
    """

    def _covariance_parameters(self, frames: int, features: int) -> int:
        return features * (features + 1) // 2 + (frames - 1) * features**2

    def _least_sequences(self, frames: int, features: int) -> int:
        # For any v orthogonal to all sequences, a spectrum with null vector V(w) makes K singular along v alone.
        return frames * features if features > 1 else 1

    def _fit(self, moments: Moments, num_parameters: int) -> BlockToeplitzSequence:
        frames, features = moments.mean.shape
        factor, powers = _start(moments)
        cosines, sines = _cosines(frames)
        # One unit of a coordinate moves the spectrum by about its size, or the noise's where that is larger.
        units = torch.linalg.cholesky(powers + _noise_power(moments) * torch.eye(features, dtype=torch.float64))
        start = torch.linalg.solve_triangular(units, torch.linalg.cholesky(powers), upper=False)
        units = factor.to(units.dtype) @ units

        def blocks(real: Tensor, imaginary: Tensor) -> Tensor:
            moved = units @ torch.complex(real.tril(), imaginary.tril(-1))
            spectrum = moved @ moved.mH
            return torch.tensordot(cosines, spectrum.real, 1) - torch.tensordot(sines, spectrum.imag, 1)

        found = minimise(lambda *free: dense_nll(block_toeplitz(blocks(*free)), moments), [start.real, start.imag])
        fitted = blocks(*found)
        fitted[0] = 0.5 * (fitted[0] + fitted[0].mT)
        return BlockToeplitzSequence(fitted, moments.mean, num_parameters)


def _cosines(frames: int) -> tuple[Tensor, Tensor]:
    """cos(w k) and sin(w k) at lags k = 0 .. N-1 (rows) and the frequencies of the grid (columns)."""
    count = _GRID * frames
    angles = torch.outer(torch.arange(frames), torch.arange(count + 1)).to(torch.float64) * (math.pi / count)
    return angles.cos(), angles.sin()


def _start(moments: Moments) -> tuple[Tensor, Tensor]:
    """A factor L of the pooled spatial covariance, and the powers of L^-1 x: Hermitian (frequencies, d, d)."""
    roots, spatial = moments.roots, moments.spatial_moment
    refuse_dependent(moments)
    frames, features = roots.shape[1:]
    identity = torch.eye(features, dtype=torch.float64)
    factor = torch.linalg.cholesky(spatial + max(moments.noise, _START_FLOOR) * spatial.diagonal().mean() * identity)
    whitened = torch.linalg.solve_triangular(factor, roots.mT, upper=False).mT
    transform = torch.complex(*_cosines(frames)).conj().mT @ whitened.to(torch.complex128)
    power = torch.einsum("rwj,rwk->wjk", transform, transform.conj()) / frames
    share = torch.full((len(power), 1, 1), 1.0 / (_GRID * frames), dtype=torch.float64)
    share[0] = share[-1] = 0.5 / (_GRID * frames)
    return factor, share * (power + _START_FLOOR * identity)


def _noise_power(moments: Moments) -> float:
    """The power per frequency, after whitening by the pooled spatial covariance, that equals the noise."""
    frames, features = moments.mean.shape
    level = moments.roots.square().sum() / (frames * features)
    return moments.noise / (moments.scale * float(level)) / (_GRID * frames)


def _lags(frames: int) -> Tensor:
    steps = torch.arange(frames)
    return steps[:, None] - steps


def _toeplitz(column: Tensor) -> Tensor:
    return column[_lags(len(column)).abs()]
