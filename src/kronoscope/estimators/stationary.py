"""Stationary structures: Toeplitz Gamma kron Sigma, and block-Toeplitz.

The likelihood at t = 0 is maximised in lattice coordinates, which reach every positive definite covariance. Behind
noise the maximum is often singular, which they only approach; there the covariance is a positive spectrum at 2N + 1
frequencies that start on a grid and move: N frequencies make any Toeplitz matrix (Caratheodory), but a line of the
spectrum may lie between the points of a grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..linalg import block_toeplitz
from ..processes import BlockToeplitzSequence, SeparableGaussian
from . import lattice
from .base import Estimator, Moments
from .likelihood import dense_nll, kronecker_nll, minimise
from .separable import lower_triangular

# Frequencies per frame: the spectra start on the grid pi j / (GRID N), j = 0 .. GRID N.
_GRID = 2

# Smallest starting power, relative to the mean: the logarithm of a power could not grow from 0.
_START_FLOOR = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class StationarySeparable(Estimator):
    """Maximum likelihood of K = Gamma kron Sigma with Gamma Toeplitz, unit diagonal, on regular times.

    At ``min_time`` 0 in lattice coordinates: the partial autocorrelations of Gamma and a factor of Sigma. At
    ``min_time`` > 0 Gamma_ij = sum_w p(w) cos(w (i - j)) with powers p(w) >= 0 at 2N + 1 frequencies, so it is positive
    semi-definite by construction; L-BFGS finds log(p + noise), p >= 0, the frequencies and a factor of Sigma, from
    the periodogram: coordinates in which powers above the noise count relatively and those below can vanish. (Averaging
    the diagonals of a separable fit is not maximum likelihood, and fails where Gamma is nearly singular.) Nothing is
    assumed about the kernel. A local maximum. Parameters: N + d(d+1)/2 - 1.
    """

    def _covariance_parameters(self, frames: int, features: int) -> int:
        return frames + features * (features + 1) // 2 - 1

    def _least_sequences(self, frames: int, features: int) -> int:
        return max(-(-features // frames), _least_series(frames, features))

    def _fit(self, moments: Moments, num_parameters: int) -> SeparableGaussian:
        if moments.min_time == 0:
            factor, gamma = lattice.maximum(moments, separable=True)
            return SeparableGaussian(_toeplitz(gamma[:, 0, 0]), factor @ factor.mT, moments.mean, num_parameters)
        frames = len(moments.mean)
        factor, powers = _start(moments)
        noise = _noise_power(moments)

        def covariances(log_power: Tensor, moved: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
            spatial = factor @ lower_triangular(free)
            return _toeplitz(_cosines(frames, moved)[0] @ (log_power.exp() - noise)), spatial @ spatial.mT

        power = powers.diagonal(dim1=1, dim2=2).real.mean(1)
        start = [(power + noise).log(), torch.zeros_like(power), torch.zeros_like(factor)]
        minimum = minimise(
            lambda *free: kronecker_nll(*covariances(*free), moments), start, [math.log(noise), None, None]
        )
        temporal, spatial = covariances(*minimum)
        level = temporal[0, 0]
        return SeparableGaussian(temporal / level, spatial * level, moments.mean, num_parameters)


@dataclass(frozen=True, eq=False, repr=False)
class BlockToeplitz(Estimator):
    """Maximum likelihood of K with blocks Cov(x_i, x_j) = C(i - j), C(-k) = C(k)', on regular times.

    At ``min_time`` 0 in lattice coordinates: C(0) and a matrix partial autocorrelation for each lag. Else
    C(k) = sum_w Re[F(w) e^(i w k)] with complex Hermitian positive semi-definite F(w) at 2N + 1 frequencies, so K is
    positive semi-definite by construction: a covariance that is stationary, and neither separable nor
    symmetric in time. Cholesky factors of F(w), and the frequencies, are found by L-BFGS from the periodogram.
    A local maximum of the likelihood: no closed form is known. Parameters: d(d+1)/2 + (N-1) d^2.
    """

    def _covariance_parameters(self, frames: int, features: int) -> int:
        return features * (features + 1) // 2 + (frames - 1) * features**2

    def _least_sequences(self, frames: int, features: int) -> int:
        # For any v orthogonal to all sequences, a spectrum with null vector V(w) makes K singular along v alone.
        return frames * features if features > 1 else _least_series(frames, features)

    def _fit(self, moments: Moments, num_parameters: int) -> BlockToeplitzSequence:
        if moments.min_time == 0:
            factor, lagged = lattice.maximum(moments, separable=False)
            return BlockToeplitzSequence(factor @ lagged @ factor.mT, moments.mean, num_parameters)
        frames, features = moments.mean.shape
        factor, powers = _start(moments)
        # One unit of a coordinate moves the spectrum by about its size, or the noise's where that is larger.
        units = torch.linalg.cholesky(powers + _noise_power(moments) * torch.eye(features, dtype=torch.float64))
        start = torch.linalg.solve_triangular(units, torch.linalg.cholesky(powers), upper=False)
        units = factor.to(units.dtype) @ units

        def blocks(real: Tensor, imaginary: Tensor, moved: Tensor) -> Tensor:
            root = units @ torch.complex(real.tril(), imaginary.tril(-1))
            spectrum = root @ root.mH
            cosines, sines = _cosines(frames, moved)
            return torch.tensordot(cosines, spectrum.real, 1) - torch.tensordot(sines, spectrum.imag, 1)

        first = [start.real, start.imag, torch.zeros(len(start), dtype=torch.float64)]
        minimum = minimise(lambda *free: dense_nll(block_toeplitz(blocks(*free)), moments), first)
        fitted = blocks(*minimum)
        fitted[0] = 0.5 * (fitted[0] + fitted[0].mT)
        return BlockToeplitzSequence(fitted, moments.mean, num_parameters)


def _least_series(frames: int, features: int) -> int:
    """How many sequences keep the stationary likelihood at t = 0 bounded, if none of the directions in time are tied.

    A singular Toeplitz matrix has a null vector that is its own reverse, up to the sign. While there are such vectors
    orthogonal to all N-vectors that the data have, the likelihood may grow without bound; that of one series hardly
    ever has a maximum (Fuhrmann and Miller, IEEE Trans. Inf. Theory 34 (1988) 722).
    """
    return -(-((frames + 1) // 2) // features)


def _cosines(frames: int, moved: Tensor) -> tuple[Tensor, Tensor]:
    """cos(w k) and sin(w k) at lags k < N (rows) and frequencies w (columns), ``moved`` half steps from the grid."""
    frequencies = (torch.arange(len(moved)) + 0.5 * moved) * (math.pi / (_GRID * frames))
    angles = torch.outer(torch.arange(frames, dtype=torch.float64), frequencies)
    return angles.cos(), angles.sin()


def _start(moments: Moments) -> tuple[Tensor, Tensor]:
    """A factor L of the pooled spatial covariance, and the powers of L^-1 x: Hermitian (frequencies, d, d)."""
    roots, spatial = moments.roots, moments.spatial_moment
    frames, features = roots.shape[1:]
    identity = torch.eye(features, dtype=torch.float64)
    factor = torch.linalg.cholesky(spatial + max(moments.noise, _START_FLOOR) * spatial.diagonal().mean() * identity)
    whitened = torch.linalg.solve_triangular(factor, roots.mT, upper=False).mT
    unmoved = torch.zeros(_GRID * frames + 1, dtype=torch.float64)
    transform = torch.complex(*_cosines(frames, unmoved)).conj().mT @ whitened.to(torch.complex128)
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
