"""Sequences whose law changes at an unknown frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .._typing import DiffusionTime
from ..diffusion import alpha, sigma_squared
from ..linalg.eigen import refuse_singular
from .law import GaussianLaw, require_law
from .sequence_law import SequenceLaw, children, choices, log_weights

LARGEST = 2**12


class ChangePoint(SequenceLaw):
    """Frames before c follow one Gaussian law, those from c on another, independently; c is random. Exact.

    p(x) = sum_c w_c p_before(x_0 .. x_{c-1}) p_after(x_c .. x_{N-1}): a mixture of N (or N + 1) laws whose densities
    and scores come from one Cholesky factor L of each side and diffusion time. With z = L^-1 y and P(c > i | x), the
    score of the first side is -L^-T (P z), since a leading block of L^-T is that of the leading frames.

    Args:
        before: Law of the frames before the change, each at its own place in the sequence.
        after: Law of the frames from the change on, of the same shape.
        weights: (N,), P(frame c is the first that follows ``after``), or (N + 1,), the last for no change.

    Raises:
        InputError: Laws of different shapes, N d above 2^12, or weights that are not probabilities.
        TypeError: A law is not Gaussian.
    """

    def __init__(self, before: GaussianLaw, after: GaussianLaw, weights: ArrayLike | Tensor) -> None:
        require_law("before", before)
        require_law("after", after)
        shape = (before.num_frames, before.num_features)
        if (after.num_frames, after.num_features) != shape:
            raise InputError(
                f"before and after must have the same (frames, features), got {shape} and "
                f"{(after.num_frames, after.num_features)}"
            )
        if math.prod(shape) > LARGEST:
            raise InputError(f"ChangePoint needs frames * features of at most {LARGEST}, got {math.prod(shape)}")
        given = _checks.tensor("weights", weights, torch.float64)
        count = shape[0] + (len(given) == shape[0] + 1 if given.ndim == 1 else 0)
        logs = log_weights("weights", given, count)
        no_change = logs.new_full((shape[0] + 1 - count,), -math.inf)
        self._log_weights = torch.cat([logs, no_change]).to(before.mean.device)
        self._before, self._after, self._shape = before, after, shape
        self._sides = (_Side(before, reverse=False), _Side(after, reverse=True))

    def _structure(self) -> dict[str, object]:
        return {"before": type(self._before).__name__, "after": type(self._after).__name__}

    @property
    def before(self) -> GaussianLaw:
        """Law of the frames before the change."""
        return self._before

    @property
    def after(self) -> GaussianLaw:
        """Law of the frames from the change on."""
        return self._after

    @property
    def weights(self) -> Tensor:
        """P(change at c), (N + 1,), float64; the last entry is that of no change."""
        return self._log_weights.exp()

    @property
    def mean(self) -> Tensor:
        later = _later(self.weights[None])[0][:, None]
        return later * self._before.mean + (1 - later) * self._after.mean

    def covariance(self) -> Tensor:
        """Frame-major, (N d, N d), float64."""
        frames, features = self._shape
        total = torch.zeros(frames * features, frames * features, dtype=torch.float64, device=self.mean.device)
        sides = self._before.covariance(), self._after.covariance()
        for c, weight in enumerate(self.weights):
            first = torch.arange(frames, device=total.device).repeat_interleave(features) < c
            centre = torch.where(first.reshape(self._shape), self._before.mean, self._after.mean) - self.mean
            block = torch.where(first[:, None] & first, sides[0], 0.0)
            block = block + torch.where(~first[:, None] & ~first, sides[1], 0.0)
            total += weight * (block + torch.outer(centre.flatten(), centre.flatten()))
        return total

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        chooser, first, second = children(generator, 3)
        draws = self._before.sample(n, generator=first)
        index = choices(self._log_weights, len(draws), chooser).to(draws.device)
        is_before = torch.arange(self.num_frames, device=draws.device) < index[:, None]
        return torch.where(is_before[:, :, None], draws, self._after.sample(n, generator=second))

    def change_posterior(self, x: Tensor, t: DiffusionTime = 0.0) -> Tensor:
        """P(change at c | x_t = x), (batch, N + 1); the last entry is that of no change."""
        return self._parts(*self._checked(x, t))[0].softmax(1).to(x)

    def log_prob(self, x: Tensor, t: DiffusionTime = 0.0) -> Tensor:
        return self._parts(*self._checked(x, t))[0].logsumexp(1).to(x)

    def score(self, x: Tensor, t: DiffusionTime) -> Tensor:
        return self.log_prob_and_score(x, t)[1]

    def log_prob_and_score(self, x: Tensor, t: DiffusionTime) -> tuple[Tensor, Tensor]:
        logits, sides = self._parts(*self._checked(x, t))
        later = _later(logits.softmax(1))
        score = sides[0].weighted_score(later) + sides[1].weighted_score(1 - later)
        return logits.logsumexp(1).to(x), score.to(x)

    def _parts(self, y: Tensor, time: Tensor) -> tuple[Tensor, tuple[_Innovations, _Innovations]]:
        """log w_c + log p(x | change at c), (batch, N + 1), and both sides whitened."""
        first, second = (side.innovations(y, time) for side in self._sides)
        zero = y.new_zeros(len(y), 1)
        until = torch.cat([zero, first.log_densities.cumsum(1)], 1)
        onward = torch.cat([second.log_densities.flip(1).cumsum(1).flip(1), zero], 1)
        return self._log_weights + until + onward, (first, second)


@dataclass(frozen=True)
class _Innovations:
    """Frames whitened by those before them (or after them).

    Attributes:
        white: z, (batch, systems, rows), in the side's own order.
        factors: L, (batch or 1, systems, rows, rows).
        log_densities: log p(x_i | the frames before it), (batch, frames), in the order of the sequence.
        side: Whose.
    """

    white: Tensor
    factors: Tensor
    log_densities: Tensor
    side: _Side

    def weighted_score(self, weights: Tensor) -> Tensor:
        """-L^-T (w z) in the coordinates of the sequence, with one weight a frame, (batch, frames)."""
        scaled = self.side.to_systems(weights[:, :, None] * self.side.per_frame(self.white))
        solved = torch.linalg.solve_triangular(self.factors.mT, scaled[..., None], upper=True)[..., 0]
        return -self.side.from_systems(solved)


class _Side:
    """One of the two laws as lower triangular systems that take the frames in order, or in reverse order.

    A separable law splits in the eigenvectors of Sigma into d systems of N rows; any other is one of N d rows.
    """

    def __init__(self, law: GaussianLaw, reverse: bool) -> None:
        self._mean, self._reverse = law.mean, reverse
        self._shape = (law.num_frames, law.num_features)
        temporal, spatial = law.kronecker_factors
        self._splits = len(temporal) == law.num_frames and len(spatial) == law.num_features
        if self._splits:
            values, self._vectors = torch.linalg.eigh(spatial)
            matrices = values.clamp_min(0.0)[:, None, None] * (temporal.flip(0, 1) if reverse else temporal)
        else:
            self._vectors = torch.eye(law.num_features, dtype=torch.float64, device=temporal.device)
            blocks = law.covariance().reshape(*self._shape, *self._shape)
            matrices = (blocks.flip(0, 2) if reverse else blocks).reshape(1, *temporal.shape)
        self._matrices = matrices

    def per_frame(self, systems: Tensor) -> Tensor:
        """(batch, systems, rows) as (batch, frames, features), in the order of the sequence, not rotated back."""
        frames = systems.mT if self._splits else systems.reshape(len(systems), *self._shape)
        return frames.flip(1) if self._reverse else frames

    def to_systems(self, frames: Tensor) -> Tensor:
        """Inverse of :meth:`per_frame`."""
        ordered = frames.flip(1) if self._reverse else frames
        return ordered.mT if self._splits else ordered.reshape(len(frames), 1, -1)

    def from_systems(self, systems: Tensor) -> Tensor:
        """(batch, frames, features) in the coordinates of the sequence."""
        return self.per_frame(systems) @ self._vectors.mT

    def innovations(self, y: Tensor, time: Tensor) -> _Innovations:
        centred = (y - alpha(time).reshape(-1, 1, 1) * self._mean) @ self._vectors
        distinct, place = (time.reshape(1), None) if time.ndim == 0 else time.unique(return_inverse=True)
        factors = torch.stack([self._factor(t) for t in distinct]) if len(distinct) else self._matrices[None]
        factors = factors if place is None else factors[place]
        white = torch.linalg.solve_triangular(factors, self.to_systems(centred)[..., None], upper=False)[..., 0]
        pivots = factors.diagonal(dim1=-2, dim2=-1)
        logs = -0.5 * (white.square() + 2 * pivots.log() + math.log(2 * math.pi))
        return _Innovations(white, factors, self.per_frame(logs).sum(2), self)

    def _factor(self, t: Tensor) -> Tensor:
        size = self._matrices.shape[-1]
        identity = torch.eye(size, dtype=torch.float64, device=t.device)
        noised = torch.exp(-t) * self._matrices + sigma_squared(t) * identity
        factor, failed = torch.linalg.cholesky_ex(noised)
        pivots = factor.diagonal(dim1=-2, dim2=-1).square()
        lowest = 0.0 if bool(failed.any()) else float(pivots.min())
        refuse_singular(lowest, float(noised.diagonal(dim1=-2, dim2=-1).max()), size)
        return factor


def _later(shares: Tensor) -> Tensor:
    """P(change after frame i), (batch, N), from P(change at c), (batch, N + 1)."""
    return shares.flip(1).cumsum(1).flip(1)[:, 1:]
