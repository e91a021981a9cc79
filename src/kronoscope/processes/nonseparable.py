"""Gaussian laws whose covariance is not a single Kronecker product, kept as the parts that they are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from .._checks import finite, tensor
from .._errors import InputError
from ..kernels import Kernel
from ..linalg import block_toeplitz, symmetric
from .coordinates import rounded
from .law import DENSE_LIMIT, GaussianLaw
from .matrices import FlatGaussian
from .times import described_times, sequence_times


class BlockToeplitzSequence(FlatGaussian):
    """N(mean, K), stationary in time, with Cov(x_i, x_{i-m}) = C(m) and C(-m) = C(m)' (docs/theory.md, section 1).

    C(m) need not be symmetric: what drives what may have a direction in time, which no separable law has.

    Args:
        blocks: C(0) .. C(N-1), (N, d, d); C(0) is symmetric, K positive semi-definite (singular is allowed).
        mean: (N, d); None means zero.
        num_parameters: How many parameters were fitted, if any.

    Raises:
        InputError: ``blocks`` have another shape, are not finite or make no covariance; N d is above 2^14.

    Example:
        >>> rotation = torch.tensor([[0.0, 0.5], [-0.5, 0.0]])
        >>> law = BlockToeplitzSequence(torch.stack([torch.eye(2), rotation]))
        >>> law.covariance()[2:, :2].tolist()
        [[0.0, 0.5], [-0.5, 0.0]]
    """

    def __init__(self, blocks: Tensor, mean: Tensor | None = None, num_parameters: int | None = None) -> None:
        blocks = tensor("blocks", blocks)
        if blocks.ndim != 3 or blocks.shape[1] != blocks.shape[2] or blocks.numel() == 0:
            raise InputError(f"blocks must have shape (frames, features, features), got {tuple(blocks.shape)}")
        finite("blocks", blocks)
        frames, features, _ = blocks.shape
        _refuse_large("BlockToeplitzSequence", frames * features)
        self._blocks = torch.cat([symmetric("blocks[0]", blocks[0])[None], blocks[1:].to(torch.float64)])
        covariance = block_toeplitz(self._blocks)
        super().__init__("the covariance of blocks", covariance, features, mean, num_parameters, blocks.dtype)

    def _rescaled(self, mean: Tensor, scale: Tensor) -> GaussianLaw:
        blocks = rounded(self._blocks / torch.outer(scale, scale), self._given)
        return BlockToeplitzSequence(blocks, mean, self.num_parameters)

    @property
    def blocks(self) -> Tensor:
        """C(0) .. C(N-1), (frames, features, features), float64."""
        return self._blocks


class KroneckerSum(FlatGaussian):
    """N(mean, sum_r Gamma_r kron Sigma_r), with Gamma_r the covariance of the r-th kernel at the times.

    Parts of a sequence that vary together in their own way and at their own pace: slow weather and a daily cycle.

    Args:
        terms: Pairs of a kernel and Sigma_r, (d, d), symmetric. The sum must be positive semi-definite, not every
            Sigma_r.
        times: As in :class:`GaussianSequence`: N for the times 0..N-1, or the times themselves; irregular is allowed.
        mean: (N, d); None means zero.

    Raises:
        InputError: The terms make no covariance, the times do not increase, shapes disagree, or N d is above 2^14.
        TypeError: ``terms`` are not pairs of a kernel and a matrix.

    Example:
        >>> from kronoscope.kernels import Cosine, PowerExponential
        >>> slow, daily = torch.eye(2), torch.ones(2, 2)
        >>> law = KroneckerSum([(PowerExponential(50.0), slow), (Cosine(24.0), daily)], times=48)
        >>> law.num_frames, law.num_features, len(law.terms)
        (48, 2, 2)
    """

    def __init__(
        self, terms: Sequence[tuple[Kernel, Tensor]], times: int | ArrayLike | Tensor, mean: Tensor | None = None
    ) -> None:
        pairs = _pairs(terms)
        given = [matrix for _, matrix in pairs]
        self._terms = tuple((kernel, symmetric(f"terms[{r}][1]", matrix)) for r, (kernel, matrix) in enumerate(pairs))
        spatial = [matrix for _, matrix in self._terms]
        if len({matrix.shape for matrix in spatial}) > 1:
            shapes = ", ".join(str(tuple(matrix.shape)) for matrix in spatial)
            raise InputError(f"terms must have spatial covariances of one shape, got {shapes}")
        self._times = sequence_times(times).to(spatial[0].device)
        features = len(spatial[0])
        _refuse_large("KroneckerSum", len(self._times) * features)
        total = sum(torch.kron(kernel.covariance(self._times), matrix) for kernel, matrix in self._terms)
        coarsest = max((m.dtype for m in given if m.is_floating_point()), key=_eps, default=torch.float64)
        super().__init__("the sum of terms", torch.as_tensor(total), features, mean, None, coarsest)

    def _rescaled(self, mean: Tensor, scale: Tensor) -> GaussianLaw:
        each = torch.outer(scale, scale)
        terms = [(kernel, rounded(matrix / each, self._given)) for kernel, matrix in self._terms]
        return KroneckerSum(terms, self._times, mean)

    def _structure(self) -> dict[str, object]:
        kernels = ", ".join(repr(kernel) for kernel, _ in self._terms)
        return {"terms": len(self._terms), "kernels": kernels, "times": described_times(self._times)}

    @property
    def terms(self) -> tuple[tuple[Kernel, Tensor], ...]:
        """Pairs of the r-th kernel and Sigma_r, (d, d), float64."""
        return self._terms

    @property
    def times(self) -> Tensor:
        """h_1 < ... < h_N, shape (frames,), float64."""
        return self._times


def _pairs(terms: Sequence[tuple[Kernel, Tensor]]) -> list[tuple[Kernel, Tensor]]:
    if not isinstance(terms, Sequence) or not terms:
        raise TypeError(f"terms must be a list of at least one pair (kernel, spatial covariance), got {terms!r}")
    for r, term in enumerate(terms):
        if not isinstance(term, Sequence) or len(term) != 2 or not isinstance(term[0], Kernel):
            raise TypeError(f"terms[{r}] must be a pair (kernel, spatial covariance), got {term!r}")
    return [(kernel, tensor("terms", matrix)) for kernel, matrix in terms]


def _eps(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps


def _refuse_large(what: str, size: int) -> None:
    if size > DENSE_LIMIT:
        raise InputError(f"{what} needs num_frames * num_features of at most {DENSE_LIMIT}, got {size}")
