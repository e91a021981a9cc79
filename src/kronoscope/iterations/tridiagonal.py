"""Tridiagonal systems in ceil(log2 N) parallel levels, as data, and the Markov covariances that they solve.

One level replaces every row by itself plus multiples of the rows 2^level before and after it, which moves the
off-diagonal twice as far out; after ceil(log2 N) levels it has left the matrix:

    y_i <- y_i + before_i y_{i-h} + after_i y_{i+h},    h = 2^level;    at the end s_i = y_i / pivot_i.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from .. import _checks
from .._errors import InputError


@dataclass(frozen=True, eq=False)
class CyclicReduction:
    """Coefficients of parallel cyclic reduction for one symmetric tridiagonal matrix a batch entry.

    Attributes:
        before: Weight of the row h before, (levels, ..., frames), float64; 0 where there is none.
        after: Weight of the row h after, the same.
        pivot: The diagonal that is left, (..., frames), float64.

    Raises:
        InputError: The shapes do not fit, a value is not finite, or a pivot is not positive.

    Source: Hockney and Jesshope, *Parallel Computers 2* (1988), section 5.4.3 (PARACR).
    """

    before: Tensor
    after: Tensor
    pivot: Tensor

    def __post_init__(self) -> None:
        for name, values in {"before": self.before, "after": self.after, "pivot": self.pivot}.items():
            _checks.finite(name, values)
        levels = num_levels(self.pivot.shape[-1])
        for name, weight in {"before": self.before, "after": self.after}.items():
            if weight.shape != (levels, *self.pivot.shape):
                raise InputError(f"{name} must have shape {(levels, *self.pivot.shape)}, got {tuple(weight.shape)}")
        if bool((self.pivot <= 0).any()):
            raise InputError(f"the matrix must be positive definite, but has the pivot {float(self.pivot.min()):g}")

    @property
    def num_levels(self) -> int:
        """ceil(log2 frames)."""
        return len(self.before)

    def solve(self, right_side: Tensor) -> Tensor:
        """s with A s = b, exact up to round-off, in O(frames log frames).

        Args:
            right_side: b, (..., frames); broadcasts with the batch of the table.
        """
        if right_side.shape[-1:] != self.pivot.shape[-1:]:
            raise InputError(f"right_side must end with {self.pivot.shape[-1]} frames, got {tuple(right_side.shape)}")
        y = right_side
        for level in range(self.num_levels):
            before, after = self.before[level].to(y), self.after[level].to(y)
            y = y + before * _shift(y, 2**level) + after * _shift(y, -(2**level))
        return y / self.pivot.to(y)


@dataclass(frozen=True, eq=False)
class MarkovRecurrence:
    """The exact inverse of scale Gamma + noise I for a Gamma whose precision P is tridiagonal.

        (scale Gamma + noise I)^-1 = P (scale I + noise P)^-1

    Attributes:
        diagonal: Of P, (frames,), float64.
        neighbour: P_{i,i+1}, (frames - 1,), float64.
        reduction: Of scale I + noise P, any batch of diffusion times (and spatial eigenvalues).
    """

    diagonal: Tensor
    neighbour: Tensor
    reduction: CyclicReduction

    def solve(self, right_side: Tensor) -> Tensor:
        """(scale Gamma + noise I)^-1 b, with b (..., frames) as in :meth:`CyclicReduction.solve`."""
        inner = self.reduction.solve(right_side)
        beside = self.neighbour.to(inner)
        product = self.diagonal.to(inner) * inner
        return product + pad(beside * inner[..., 1:], (0, 1)) + pad(beside * inner[..., :-1], (1, 0))


def cyclic_reduction(diagonal: Tensor, neighbour: Tensor) -> CyclicReduction:
    """The table of the symmetric tridiagonal matrices with this diagonal and these neighbours.

    No pivoting: meant for diagonally dominant matrices, where it is stable.

    Args:
        diagonal: A_ii, (..., frames).
        neighbour: A_{i,i+1}, (..., frames - 1).

    Raises:
        InputError: The shapes do not fit, a value is not finite, or a pivot is not positive.
    """
    pivot = _checks.finite("diagonal", torch.as_tensor(diagonal, dtype=torch.float64))
    beside = _checks.finite("neighbour", torch.as_tensor(neighbour, dtype=torch.float64)).to(pivot)
    if pivot.ndim < 1 or pivot.shape[-1] < 1 or beside.shape != (*pivot.shape[:-1], pivot.shape[-1] - 1):
        raise InputError(
            "diagonal and neighbour must have shapes (..., frames) and (..., frames - 1), "
            f"got {tuple(pivot.shape)} and {tuple(beside.shape)}"
        )
    lower, upper = pad(beside, (1, 0)), pad(beside, (0, 1))
    levels = []
    for level in range(num_levels(pivot.shape[-1])):
        h = 2**level
        before, after = -lower / _shift(pivot, h, fill=1.0), -upper / _shift(pivot, -h, fill=1.0)
        pivot = pivot + before * _shift(upper, h) + after * _shift(lower, -h)
        lower, upper = before * _shift(lower, h), after * _shift(upper, -h)
        levels.append((before, after))
    empty = pivot.new_zeros(0, *pivot.shape)
    before, after = (torch.stack(side) if side else empty for side in (list(zip(*levels)) or ((), ())))
    return CyclicReduction(before, after, pivot)


def markov_recurrence(
    times: Tensor, lengthscale: float, scale: float | Tensor, noise: float | Tensor
) -> MarkovRecurrence:
    """The exact solver of scale Gamma + noise I with Gamma_ij = exp(-|h_i - h_j| / lengthscale), any increasing times.

    With rho_i = exp(-(h_{i+1} - h_i) / lengthscale): P_{i,i+1} = -rho_i / (1 - rho_i^2), and P_ii is 1 plus
    rho^2 / (1 - rho^2) for each of its neighbours. Both P and scale I + noise P are diagonally dominant.

    Args:
        times: h, (frames,), strictly increasing.
        lengthscale: In the units of ``times``; greater than 0.
        scale: alpha_t^2, or alpha_t^2 times the spatial eigenvalues; greater than 0, any shape (...).
        noise: sigma_t^2, 0 or greater, any shape that broadcasts with ``scale``.

    Raises:
        InputError: An argument is out of its range.

    Example:
        >>> table = markov_recurrence(torch.arange(9.0), lengthscale=8.0, scale=0.9, noise=0.1)
        >>> table.reduction.num_levels
        4
    """
    h = _checks.finite("times", torch.as_tensor(times, dtype=torch.float64))
    if h.ndim != 1 or h.numel() == 0 or bool((h.diff() <= 0).any()):
        raise InputError(f"times must have shape (frames,) and increase strictly, got shape {tuple(h.shape)}")
    gap = h.diff() / _checks.positive("lengthscale", lengthscale)
    beside = -1 / (2 * torch.sinh(gap))
    excess = 1 / torch.expm1(2 * gap)  # rho^2 / (1 - rho^2)
    diagonal = 1 + pad(excess, (0, 1)) + pad(excess, (1, 0))
    signal, variance = (
        _checks.finite(name, torch.as_tensor(value, dtype=torch.float64)).to(diagonal)[..., None]
        for name, value in {"scale": scale, "noise": noise}.items()
    )
    if bool((signal <= 0).any()) or bool((variance < 0).any()):
        raise InputError(
            "scale must be greater than 0 and noise 0 or greater, "
            f"got as low as {float(signal.min()):g} and {float(variance.min()):g}"
        )
    signal, variance = torch.broadcast_tensors(signal, variance)
    return MarkovRecurrence(diagonal, beside, cyclic_reduction(signal + variance * diagonal, variance * beside))


def num_levels(frames: int) -> int:
    """ceil(log2 frames)."""
    return (frames - 1).bit_length()


def _shift(values: Tensor, places: int, fill: float = 0.0) -> Tensor:
    """values[..., i - places] at i, and ``fill`` where there is none."""
    moved = torch.roll(values, places, dims=-1)
    gone = slice(None, places) if places > 0 else slice(places, None)
    moved[..., gone] = fill
    return moved
