"""Linear maps between frames and features, as sums of Kronecker products: what attention and values can stand for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._errors import InputError

LARGEST_DENSE = 4096  # N d up to which sums of several terms are decomposed


@dataclass(frozen=True, eq=False)
class LagTables:
    """Piecewise linear functions of the signed lag p_i - p_j, the same knots for all.

    Attributes:
        positions: p, (frames,): the frame's number on a regular grid, its time otherwise.
        knots: (knots,), increasing.
        values: f_r at the knots, (terms, knots). f_r is 0 at and below the first knot, and beyond the last.
    """

    positions: Tensor
    knots: Tensor
    values: Tensor

    @property
    def is_even(self) -> bool:
        """Whether every f_r(-lag) = f_r(lag)."""
        return bool(torch.equal(self.values, self.values.flip(1)) and torch.equal(self.knots, -self.knots.flip(0)))

    def matrices(self) -> Tensor:
        """f_r(p_i - p_j), (terms, frames, frames)."""
        lags = self.positions[:, None] - self.positions[None]
        right = torch.searchsorted(self.knots, lags.contiguous()).clamp(1, len(self.knots) - 1)
        share = (lags - self.knots[right - 1]) / (self.knots[right] - self.knots[right - 1])
        inside = self.values[:, right - 1] * (1 - share) + self.values[:, right] * share
        return torch.where((lags >= self.knots[0]) & (lags <= self.knots[-1]), inside, 0.0)


@dataclass(frozen=True, eq=False)
class KroneckerTerms:
    """The map y -> sum_r T_r y V_r' on (frames, features), that is sum_r T_r kron V_r on flattened sequences.

    Attributes:
        temporal: T_r, (terms, frames, frames), float64.
        spatial: V_r, (terms, features, features), float64.
        lags: The functions of the lag whose values the T_r are, where they are such.
    """

    temporal: Tensor
    spatial: Tensor
    lags: LagTables | None = None

    @classmethod
    def of_lags(cls, lags: LagTables, spatial: Tensor) -> KroneckerTerms:
        """The map whose T_r are given by tables."""
        return cls(lags.matrices(), spatial, lags)

    @classmethod
    def of_dense(cls, matrix: Tensor, features: int) -> KroneckerTerms:
        """Any (N d, N d) matrix, as d^2 terms whose V are the unit matrices."""
        frames = len(matrix) // features
        blocks = matrix.reshape(frames, features, frames, features).permute(1, 3, 0, 2)
        units = torch.eye(features**2, dtype=torch.float64).reshape(-1, features, features)
        return cls(blocks.reshape(-1, frames, frames), units)

    @property
    def shape(self) -> tuple[int, int]:
        """(frames, features)."""
        return self.temporal.shape[1], self.spatial.shape[1]

    @property
    def transpose(self) -> KroneckerTerms:
        """The transposed map."""
        return KroneckerTerms(self.temporal.mT, self.spatial.mT)

    def product(self, y: Tensor) -> Tensor:
        """The map of (batch, frames, features), in the dtype of ``y``."""
        result = torch.zeros_like(y)
        for temporal, spatial in zip(self.temporal.to(y), self.spatial.to(y)):
            result = result + temporal @ y @ spatial.mT
        return result

    def dense(self) -> Tensor:
        """(N d, N d), refused above 4096 rows."""
        rows = self.shape[0] * self.shape[1]
        if rows > LARGEST_DENSE:
            raise InputError(f"num_frames * num_features must be at most {LARGEST_DENSE} here, got {rows}")
        total = torch.zeros(rows, rows, dtype=torch.float64)
        for temporal, spatial in zip(self.temporal, self.spatial):
            total += torch.kron(temporal, spatial)
        return total

    def eigenvalues(self) -> Tensor:
        """Of a symmetric map, as (frames, features) for one term, in no special order otherwise."""
        if len(self.temporal) == 1:
            return torch.outer(torch.linalg.eigvalsh(self.temporal[0]), torch.linalg.eigvalsh(self.spatial[0]))
        return torch.linalg.eigvalsh(self.dense()).reshape(self.shape)

    def eigenvectors(self) -> tuple[KroneckerTerms, Tensor]:
        """W orthogonal and the eigenvalues (frames, features), with map = W diag W' on flattened sequences."""
        if len(self.temporal) == 1:
            along_time, times = torch.linalg.eigh(self.temporal[0])
            along_features, features = torch.linalg.eigh(self.spatial[0])
            return KroneckerTerms(times[None], features[None]), torch.outer(along_time, along_features)
        values, vectors = torch.linalg.eigh(self.dense())
        return KroneckerTerms.of_dense(vectors, self.shape[1]), values.reshape(self.shape)

    def rounded(self, dtype: torch.dtype) -> KroneckerTerms:
        """The map whose T_r and V_r are rounded to ``dtype``; without its lags."""
        temporal, spatial = (factor.to(dtype).double().contiguous() for factor in (self.temporal, self.spatial))
        return KroneckerTerms(temporal, spatial)  # in one memory layout, on which the last digits of products depend

    def diagonal(self) -> Tensor:
        """(frames, features)."""
        return torch.einsum("rii,raa->ia", self.temporal, self.spatial)

    def in_basis(self, basis: KroneckerTerms) -> KroneckerTerms:
        """W' map W for W = U kron V of one term."""
        times, features = basis.temporal[0], basis.spatial[0]
        return KroneckerTerms(times.mT @ self.temporal @ times, features.mT @ self.spatial @ features)


def norm(matrix: Tensor) -> float:
    """Spectral norm of a matrix; of a stack the largest."""
    return float(torch.linalg.matrix_norm(matrix, 2).max()) if matrix.numel() else 0.0


def distance_bound(first: KroneckerTerms, other: KroneckerTerms) -> float:
    """A bound of |one - other| for maps of the same V_r: sum_r |T_r - T'_r| |V_r|, the first by Gershgorin or exactly.

    Source: the triangle inequality, and |A kron B| = |A| |B|.
    """
    total = 0.0
    for temporal, another, spatial in zip(first.temporal, other.temporal, first.spatial):
        difference = temporal - another
        if bool(difference.any()):
            rows = float(difference.abs().sum(1).max())
            columns = float(difference.abs().sum(0).max())
            total += (rows * columns) ** 0.5 * norm(spatial)
    return total
