"""Eigendecompositions of covariance matrices, with checks of their accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._checks import finite
from .._errors import InputError

EPS = torch.finfo(torch.float64).eps
LinAlgError: type[RuntimeError] = torch.linalg.LinAlgError  # type: ignore[attr-defined]  # torch does not re-export it


@dataclass(frozen=True)
class Eigendecomposition:
    """A = vectors diag(values) vectors', with ``values`` ascending and exactly as computed.

    Attributes:
        values: (rows,), float64. Round-off may have left some slightly negative; none is clamped.
        vectors: (rows, rows), float64, orthonormal columns.
        round_off: By how much the decomposition may be off, as an eigenvalue: eps lmax, or 0 for a diagonal matrix,
            which is its own decomposition.
    """

    values: Tensor
    vectors: Tensor
    round_off: float = 0.0

    @property
    def root_values(self) -> Tensor:
        """Square roots of the eigenvalues for drawing samples; those that round-off made negative count as 0."""
        return torch.where(self.values > 0, self.values, 0.0).sqrt()


def eigendecomposition(name: str, matrix: Tensor, dtype: torch.dtype | None = None) -> Eigendecomposition:
    """Decompose a covariance matrix in float64.

    Args:
        name: What to call the matrix in error messages.
        matrix: (rows, rows), symmetric and positive semi-definite up to the round-off of its own dtype:
            differences up to 8 rows eps max|A|, eigenvalues down to -8 rows eps lmax.
        dtype: Whose round-off the eigenvalues carry, where the matrix was computed from coarser numbers than its own.

    Raises:
        InputError: The matrix is not square, finite, symmetric or positive semi-definite.
    """
    exact = symmetric(name, matrix)
    try:
        values, vectors = torch.linalg.eigh(exact)
    except LinAlgError:
        raise InputError(
            f"{name} has no eigendecomposition in float64: its entries reach {float(exact.abs().max()):.3g}"
        ) from None
    lowest, highest = float(values[0]), float(values[-1])
    rounded = dtype or matrix.dtype
    eps = torch.finfo(rounded).eps if rounded.is_floating_point else EPS
    if lowest < -8 * len(values) * eps * max(highest, 0.0) or highest < 0:
        raise InputError(
            f"{name} must be positive semi-definite, but its smallest eigenvalue is {lowest:.6g} "
            f"(the largest is {highest:.6g})"
        )
    is_diagonal = not bool((exact - exact.diagonal().diag()).any())
    return Eigendecomposition(values, vectors, 0.0 if is_diagonal else EPS * max(highest, 0.0))


def symmetric(name: str, matrix: Tensor) -> Tensor:
    """``matrix`` in float64, if it is square, finite and symmetric up to the round-off of its dtype."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.numel() == 0:
        raise InputError(f"{name} must be a square matrix, got shape {tuple(matrix.shape)}")
    eps = torch.finfo(matrix.dtype).eps if matrix.is_floating_point() else EPS
    exact = finite(name, matrix).to(torch.float64)
    skew, size = float((exact - exact.mT).abs().max()), float(exact.abs().max())
    if skew > 8 * len(exact) * eps * size:
        raise InputError(f"{name} must be symmetric, but differs from its transpose by up to {skew:.3g}")
    return 0.5 * (exact + exact.mT)


def refuse_singular(lowest: float, highest: float, size: int) -> None:
    """Refuse a noised covariance whose inverse would be round-off: lowest <= size eps highest.

    Raises:
        InputError: It is singular to working precision.
    """
    if lowest <= size * EPS * highest:
        raise InputError(
            f"the covariance is singular to working precision (eigenvalues from {lowest:.3g} to {highest:.3g}): "
            "it has no density and no score here; take a larger t"
        )
