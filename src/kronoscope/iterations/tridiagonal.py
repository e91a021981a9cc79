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
from .._display import Displayed
from .._errors import InputError


@dataclass(frozen=True, eq=False, repr=False)
class CyclicReduction(Displayed):
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


@dataclass(frozen=True, eq=False, repr=False)
class MarkovRecurrence(Displayed):
    """The exact inverse of C = scale Gamma + noise I for a Gamma whose precision P is tridiagonal.

    With y = (scale I + noise P)^-1 b by cyclic reduction, s = C^-1 b has two forms, equal row by row:

        s = P y = (b - scale y) / noise.

    The first loses digits where frames are so close that noise P_ii > scale, the second where they are not; each row
    is taken from the form that suits it, so the error is of the order of the condition number of C times round-off.

        s_i = right_i b_i + here_i y_i + before_i y_{i-1} + after_i y_{i+1}

    Attributes:
        reduction: Of scale I + noise P, any batch of diffusion times (and spatial eigenvalues).
        right: (..., frames), float64, as are ``here``, ``before`` and ``after``.
    """

    reduction: CyclicReduction
    right: Tensor
    here: Tensor
    before: Tensor
    after: Tensor

    def solve(self, right_side: Tensor) -> Tensor:
        """(scale Gamma + noise I)^-1 b, with b (..., frames) as in :meth:`CyclicReduction.solve`."""
        y = self.reduction.solve(right_side)
        right, here, before, after = (weight.to(y) for weight in (self.right, self.here, self.before, self.after))
        return right * right_side + here * y + before * _shift(y, 1) + after * _shift(y, -1)


def cyclic_reduction(dominance: Tensor, neighbour: Tensor) -> CyclicReduction:
    """The table of symmetric tridiagonal, diagonally dominant matrices.

    They are given by their dominance, A_ii - |A_{i,i-1}| - |A_{i,i+1}|, in place of the diagonal: a level adds
    non-negative multiples of it, so that nothing is ever subtracted and no digit is lost, however large the neighbours.
    No pivoting is needed.

    Args:
        dominance: (..., frames).
        neighbour: A_{i,i+1}, (..., frames - 1).

    Raises:
        InputError: The shapes do not fit, a value is not finite, or a pivot is not positive.

    Source: Alfa, Xue and Ye, *Math. Comp.* 71 (2002) 217, for the accuracy (there for Gaussian elimination).
    """
    excess = _checks.finite("dominance", torch.as_tensor(dominance, dtype=torch.float64))
    beside = _checks.finite("neighbour", torch.as_tensor(neighbour, dtype=torch.float64)).to(excess)
    if excess.ndim < 1 or excess.shape[-1] < 1 or beside.shape != (*excess.shape[:-1], excess.shape[-1] - 1):
        raise InputError(
            "dominance and neighbour must have shapes (..., frames) and (..., frames - 1), "
            f"got {tuple(excess.shape)} and {tuple(beside.shape)}"
        )
    lower, upper = pad(beside, (1, 0)), pad(beside, (0, 1))
    pivot, levels = excess + lower.abs() + upper.abs(), []
    for level in range(num_levels(excess.shape[-1])):
        h = 2**level
        before, after = -lower / _shift(pivot, h, fill=1.0), -upper / _shift(pivot, -h, fill=1.0)
        excess = excess + before.abs() * _shift(excess, h) + after.abs() * _shift(excess, -h)
        lower, upper = before * _shift(lower, h), after * _shift(upper, -h)
        pivot = excess + lower.abs() + upper.abs()
        levels.append((before, after))
    empty = pivot.new_zeros(0, *pivot.shape)
    before, after = (torch.stack(side) if side else empty for side in (list(zip(*levels)) or ((), ())))
    return CyclicReduction(before, after, pivot)


def markov_recurrence(
    times: Tensor, lengthscale: float, scale: float | Tensor, noise: float | Tensor
) -> MarkovRecurrence:
    """The exact solver of scale Gamma + noise I with Gamma_ij = exp(-|h_i - h_j| / lengthscale), any increasing times.

    With rho_i = exp(-(h_{i+1} - h_i) / lengthscale): P_{i,i+1} = -rho_i / (1 - rho_i^2), and P_ii is 1 plus
    rho^2 / (1 - rho^2) for each of its neighbours. It exceeds the size of these by tanh(gap / (2 lengthscale)) / 2 on
    each side, 1/2 where there is none: both P and scale I + noise P are diagonally dominant.

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
    side = torch.tanh(gap / 2) / 2
    dominance = pad(side, (0, 1), value=0.5) + pad(side, (1, 0), value=0.5)
    diagonal = dominance - pad(beside, (0, 1)) - pad(beside, (1, 0))
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
    reduction = cyclic_reduction(signal + variance * dominance, variance * beside)
    close = variance * diagonal > signal
    return MarkovRecurrence(
        reduction,
        right=torch.where(close, 1 / variance, 0.0),
        here=torch.where(close, -signal / variance, diagonal),
        before=torch.where(close, 0.0, pad(beside, (1, 0))),
        after=torch.where(close, 0.0, pad(beside, (0, 1))),
    )


def num_levels(frames: int) -> int:
    """ceil(log2 frames)."""
    return (frames - 1).bit_length()


def _shift(values: Tensor, places: int, fill: float = 0.0) -> Tensor:
    """values[..., i - places] at i, and ``fill`` where there is none."""
    moved = torch.roll(values, places, dims=-1)
    gone = slice(None, places) if places > 0 else slice(places, None)
    moved[..., gone] = fill
    return moved
