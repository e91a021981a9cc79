"""The covariance of long sequences on a regular grid: Toeplitz in time, any matrix over the features."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .._errors import ConvergenceError, InputError
from .conjugate_gradients import conjugate_gradients
from .covariance import LEAST_SHARE, Covariance, KroneckerCovariance
from .eigen import EPS, Eigendecomposition, eigendecomposition, refuse_singular
from .schur import toeplitz_log_det
from .toeplitz import LARGEST_ENLARGEMENT, Toeplitz

_DENSE_FRAMES = 2**14
_MAX_ITERATIONS = 1000
_CHUNK = 2**18  # numbers worked on at once: few enough for the caches, and a bound on the memory of many sequences
_KEPT_DETERMINANTS = 256


class ToeplitzKroneckerCovariance(Covariance):
    """K = Gamma kron Sigma with Gamma Toeplitz and never formed (docs/theory.md, section 6).

    In Sigma's eigenvectors scale K + noise I falls apart into one Toeplitz system for each feature,
    scale sig_j Gamma + noise I, solved by conjugate gradients with the T. Chan circulant as preconditioner. Kernels
    that do not decay can be too ill-conditioned at small noise: there, up to 2^14 frames, Gamma is eigendecomposed.

    Args:
        temporal: Gamma.
        spatial: Sigma, decomposed.
        tolerance: Relative residual of every one of these systems, where they are iterated.
    """

    def __init__(self, temporal: Toeplitz, spatial: Eigendecomposition, tolerance: float) -> None:
        self._temporal = temporal
        self._spatial = spatial
        self._tolerance = tolerance
        self._determinants: dict[tuple[float, float], float] = {}
        self._missed = -1.0  # largest noise / scale at which the iteration missed its tolerance

    @property
    def shape(self) -> tuple[int, int]:
        return self._temporal.frames, len(self._spatial.values)

    def product(self, y: Tensor) -> Tensor:
        rows = (y @ self._spatial.vectors).mT
        return (self._temporal.product(rows) * self._spatial.values[:, None]).mT @ self._spatial.vectors.mT

    def solve(self, y: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        rows: Tensor = _SymmetricMap.apply((y @ self._spatial.vectors).mT, lambda v: self._solve_all(v, scale, noise))
        return rows.mT @ self._spatial.vectors.mT

    def precondition(self, y: Tensor) -> Tensor:
        values = self._spatial.values[:, None] * self._temporal.circulant_values
        spectrum = torch.fft.rfft((y @ self._spatial.vectors).mT) / (values + LEAST_SHARE * values.max())
        return torch.fft.irfft(spectrum, n=self._temporal.frames).mT @ self._spatial.vectors.mT

    def log_det(self, scale: Tensor, noise: Tensor) -> Tensor:
        pairs = list(zip(scale.reshape(-1).tolist(), noise.reshape(-1).tolist()))
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in self._determinants]
        if len(self._determinants) + len(missing) > _KEPT_DETERMINANTS:
            self._determinants.clear()
            missing = list(dict.fromkeys(pairs))
        chunk = max(1, _CHUNK // (self.shape[0] * self.shape[1]))
        for start in range(0, len(missing), chunk):
            self._add_determinants(missing[start : start + chunk])
        values = [self._determinants[pair] for pair in pairs]
        return torch.tensor(values, dtype=torch.float64, device=scale.device).reshape(scale.shape)

    def eigenvalue_bounds(self) -> tuple[float, float]:
        low, high = self._temporal.eigenvalue_bounds()
        smallest, largest = float(self._spatial.values[0]), float(self._spatial.values[-1])
        return min(low * smallest, high * smallest), high * largest

    def relative_error(self, ratio: float) -> float:
        """tolerance sqrt(kappa) + eps kappa, kappa that of the T. Chan circulant in place of Gamma."""
        values = torch.outer(self._spatial.values, self._temporal.circulant_values) + ratio
        low, high = float(values.min()), float(values.max())
        if low <= 0:
            return math.inf
        return self._tolerance * math.sqrt(high / low) + EPS * high / low

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        temporal = self._temporal.sample(n, self.shape[1], generator)
        if temporal is None:
            return self._decomposed.sample(n, generator)
        return temporal.mT @ (self._spatial.vectors * self._spatial.root_values).mT

    @cached_property
    def _decomposed(self) -> KroneckerCovariance:
        frames = self.shape[0]
        if frames > _DENSE_FRAMES:
            raise InputError(
                f"sampling {frames} frames of this kernel is not possible: no circulant of up to "
                f"{LARGEST_ENLARGEMENT} times its length is positive semi-definite, and the eigendecomposition "
                f"needs num_frames of at most {_DENSE_FRAMES}"
            )
        index = torch.arange(frames, device=self._temporal.column.device)
        dense = self._temporal.column[(index[:, None] - index).abs()]
        return KroneckerCovariance(eigendecomposition("kernel", dense), self._spatial)

    def _add_determinants(self, pairs: list[tuple[float, float]]) -> None:
        scales, noises = torch.tensor(pairs, dtype=torch.float64).unbind(1)
        columns = torch.outer(torch.outer(scales, self._spatial.values.cpu()).flatten(), self._temporal.column.cpu())
        columns[:, 0] += noises.repeat_interleave(self.shape[1])
        log_dets = toeplitz_log_det(columns.numpy()).reshape(len(pairs), -1).sum(1)
        self._determinants.update(zip(pairs, log_dets.tolist()))

    def _solve_all(self, right: Tensor, scale: Tensor, noise: Tensor) -> Tensor:
        """Solve for (batch, features, frames), one diffusion time after the other."""
        if scale.ndim == 0:
            return self._solve_at(right, float(scale), float(noise))
        solution = torch.empty_like(right)
        for pair in torch.stack([scale, noise], 1).unique(dim=0):
            members = (scale == pair[0]) & (noise == pair[1])
            solution[members] = self._solve_at(right[members], float(pair[0]), float(pair[1]))
        return solution

    def _solve_at(self, right: Tensor, scale: float, noise: float) -> Tensor:
        frames = self.shape[0]
        neighbour = scale * self._spatial.values[:, None] * self._temporal.circulant_values + noise
        for row in neighbour:
            refuse_singular(float(row.min()), float(row.max()), frames)
        if noise == 0:
            # The neighbour can be regular where Gamma itself is singular; the (remembered) determinant finds that out.
            self.log_det(torch.tensor(scale, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64))
        if noise > self._missed * scale:
            try:
                return self._iterate(right, scale, noise, neighbour.reciprocal_())
            except ConvergenceError as error:
                if frames > _DENSE_FRAMES:
                    raise ConvergenceError(f"{error} at t this small; take a larger t") from None
                self._missed = noise / scale
        vectors = self._spatial.vectors
        solved = self._decomposed.solve(right.mT @ vectors.mT, right.new_tensor(scale), right.new_tensor(noise))
        return (solved @ vectors).mT

    def _iterate(self, right: Tensor, scale: float, noise: float, inverse: Tensor) -> Tensor:
        """Conjugate gradients for (batch, features, frames), a few rows at a time."""
        frames, features = self.shape
        weights = scale * self._spatial.values
        flat = right.reshape(-1, frames).contiguous()
        feature = torch.arange(features, device=flat.device).repeat(len(flat) // features)
        chunk = max(4, _CHUNK // frames)
        parts = [
            self._solve_rows(part, weights[which], inverse[which], noise)
            for part, which in zip(flat.split(chunk), feature.split(chunk))
        ]
        return torch.cat(parts).reshape(right.shape)

    def _solve_rows(self, right: Tensor, weights: Tensor, inverse: Tensor, noise: float) -> Tensor:
        """Solve weights_k Gamma + noise I for every row k, with the spectra ``inverse`` of the preconditioners."""

        def product(vectors: Tensor, rows: Tensor) -> Tensor:
            return self._temporal.product(vectors).mul_(weights[rows, None]).add_(vectors, alpha=noise)

        def precondition(vectors: Tensor, rows: Tensor) -> Tensor:
            return torch.fft.irfft(torch.fft.rfft(vectors).mul_(inverse[rows]), n=self._temporal.frames)

        return conjugate_gradients(product, precondition, right, self._tolerance, _MAX_ITERATIONS)


class _SymmetricMap(torch.autograd.Function):
    """A symmetric linear map that autograd cannot see into: its derivative is the map itself, again and again."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, apply_map: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.apply_map = apply_map
        return apply_map(y.detach())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _SymmetricMap.apply(gradients[0], ctx.apply_map), None
