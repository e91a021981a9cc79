"""Relabellings under which real and generated sequences are exchangeable: the null distribution of every question.

A statistic of the audit is linear in what it measures on each sequence, or quadratic: ``w @ psi`` or ``w @ K @ w`` with
``w`` = 1/n on the real and -1/m on the generated sequences. Relabelling changes ``w`` alone, so a thousand relabellings
are one matrix product, and all questions share them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from .._errors import InputError

FEWEST = 10  # sequences of a set, or pairs of blocks
LARGEST_SHARE = 16  # a block holds at most one in so many of the sequences
DTYPE = torch.float32  # of products over relabellings: their error of 1e-6 is far below the resampling's own


class Relabelling(ABC):
    """Relabellings of first (real) and second (generated) sequences; row 0 is how they came.

    Attributes:
        weights: (draws + 1, T), T = n + m; each row sums to 1 over its real and to -1 over its generated labels.
        num_first: n.
        share: Weight of every sequence in the pool, (T,); sums to 1. The same under every relabelling.
    """

    weights: Tensor
    num_first: int
    share: Tensor

    def contrast(self, psi: Tensor) -> Tensor:
        """First less second mean of ``psi`` (T, cells) under every relabelling: (draws + 1, cells)."""
        return self.weights @ psi.to(DTYPE)

    def means(self, psi: Tensor) -> tuple[Tensor, Tensor]:
        """Means of ``psi`` (T, cells) over the first and over the second sequences, as they came."""
        row = self.weights[0].to(psi.dtype)
        return row.clamp_min(0) @ psi, -(row.clamp_max(0) @ psi)

    @abstractmethod
    def scale(self, psi: Tensor) -> Tensor:
        """Standard deviation of the contrast of each cell over all relabellings: (cells,)."""

    @abstractmethod
    def standard_error(self, psi: Tensor) -> Tensor:
        """Standard error of the contrast as it came, equal laws not assumed: (cells,)."""

    @abstractmethod
    def part(self, kernel: Tensor, value: float) -> None:
        """Set ``kernel`` (T, T), in place, to ``value`` where a pair of sequences may depend on each other."""

    @abstractmethod
    def pairs_left(self) -> tuple[int, int, int]:
        """Ordered pairs that :meth:`part` leaves: within the first set, within the second, from first to second."""

    @abstractmethod
    def folds(self, number: int) -> list[Tensor]:
        """The sequences cut into parts that do not depend on each other, whatever the labels: indices."""


@final
class Exchange(Relabelling):
    """Independent sequences: every choice of n out of n + m is equally likely, so tests are exact.

    Source: Fisher 1935; Lehmann and Romano, "Testing Statistical Hypotheses", 3rd ed. (2005), section 15.2.
    """

    def __init__(self, n: int, m: int, draws: int, generator: torch.Generator) -> None:
        total = n + m
        self.num_first = n
        self.share = torch.full((total,), 1 / total, dtype=torch.float64)
        weights = torch.full((draws + 1, total), -1 / m, dtype=DTYPE)
        weights[0, :n] = 1 / n
        chosen = torch.rand(draws, total, generator=generator, device=generator.device).cpu().topk(n, dim=1).indices
        self.weights = weights
        weights[1:].scatter_(1, chosen, 1 / n)
        self._order = torch.randperm(total, generator=generator, device=generator.device).cpu()

    def scale(self, psi: Tensor) -> Tensor:
        n, total = self.num_first, len(psi)
        return (psi.var(dim=0) * (total / (n * (total - n)))).sqrt()

    def standard_error(self, psi: Tensor) -> Tensor:
        first, second = psi[: self.num_first], psi[self.num_first :]
        return (first.var(dim=0) / len(first) + second.var(dim=0) / len(second)).sqrt()

    def part(self, kernel: Tensor, value: float) -> None:
        kernel.fill_diagonal_(value)

    def pairs_left(self) -> tuple[int, int, int]:
        n, m = self.num_first, len(self.share) - self.num_first
        return n * (n - 1), m * (m - 1), n * m

    def folds(self, number: int) -> list[Tensor]:
        return list(self._order.chunk(number))


@final
class Flips(Relabelling):
    """Sequences that follow each other in time: pairs of blocks change sides.

    Both sets are cut into K blocks of neighbours, all of one length. Block k of the one and block k of the other make a
    pair, and a relabelling swaps the sides of each pair with probability 1/2. Dependence within a block is kept; what
    is assumed is that blocks hardly depend on each other and that the difference of a pair is about symmetric under
    equal laws, which is why both sides hold equally many. A contrast is then a sum of K differences with random signs,
    standardised by the root of their sum of squares, which is equivalent to Student's t over the pairs.

    Source: Lehmann and Romano 2005, section 15.2 (randomisation by signs); Canay, Romano and Shaikh, "Randomization
    tests under an approximate symmetry assumption", Econometrica 85 (2017).
    """

    def __init__(self, n: int, block: int, draws: int, generator: torch.Generator) -> None:
        """n real and n generated sequences, n a multiple of ``block``, the real ones in order of time."""
        pairs = n // block
        self.num_first = n
        self.pair = torch.arange(n).div(block, rounding_mode="floor").repeat(2)
        self.share = torch.full((2 * n,), 0.5 / n, dtype=torch.float64)
        self._pairs = torch.zeros(pairs, 2 * n, dtype=DTYPE)
        self._pairs[self.pair, torch.arange(2 * n)] = torch.cat([torch.ones(n), -torch.ones(n)]).to(DTYPE) / n
        flips = torch.randint(2, (draws, pairs), generator=generator, device=generator.device).cpu()
        self._signs = torch.cat([torch.ones(1, pairs), 1.0 - 2.0 * flips]).to(DTYPE)
        self.weights = self._signs @ self._pairs

    def contrast(self, psi: Tensor) -> Tensor:
        return self._signs @ (self._pairs @ psi.to(DTYPE))

    def scale(self, psi: Tensor) -> Tensor:
        return (self._pairs.to(psi.dtype) @ psi).square().sum(dim=0).sqrt()

    def standard_error(self, psi: Tensor) -> Tensor:
        return (self._pairs.to(psi.dtype) @ psi).var(dim=0).mul(len(self._pairs)).sqrt()

    def part(self, kernel: Tensor, value: float) -> None:
        for row, pair in zip(kernel, self.pair):
            row[(self.pair - pair).abs() <= 1] = value

    def pairs_left(self) -> tuple[int, int, int]:
        pairs = len(self._pairs)
        a, b = (torch.bincount(side, minlength=pairs) for side in self.pair.tensor_split([self.num_first]))
        apart = ((torch.arange(pairs)[:, None] - torch.arange(pairs)).abs() > 1).long()
        return int(a @ apart @ a), int(b @ apart @ b), int(a @ apart @ b)

    def folds(self, number: int) -> list[Tensor]:
        part = self.pair * number // len(self._pairs)
        return [(part == k).nonzero().flatten() for k in range(number)]


def paired_blocks(n: int, m: int, block: int) -> tuple[Tensor, Tensor]:
    """Which of n consecutive and of m other sequences make pairs of blocks, as many as there can be.

    Where n is greater, its blocks are taken at even distances; sequences that are left over are not used.

    Raises:
        InputError: Fewer than ``FEWEST`` pairs.
    """
    num_blocks = n // block
    pairs = min(num_blocks, m // block)
    if pairs < FEWEST:
        raise InputError(
            f"consecutive sequences with dependence over about {block} sequences "
            f"need {FEWEST} blocks of that length in "
            f"both sets, got {pairs} from {n} and {m} sequences: give more sequences"
        )
    first = torch.arange(pairs) * num_blocks // pairs * block
    return (first[:, None] + torch.arange(block)).flatten(), torch.arange(pairs * block)


def block_length(x: Tensor) -> int:
    """How many consecutive sequences belong in a block, from the dependence between sequences.

    The rule of Politis and White for the mean, on two summaries of each feature in each sequence (its mean and the log
    of its mean square); the largest of all is taken.

    Args:
        x: (n, N, d) in order of time.

    Returns:
        At least 2 and at most n / 16 (but at least 2).

    Source: Politis and White, Econometric Reviews 23 (2004), with the correction of Patton, Politis and White 2009.
    """
    n = len(x)
    centred = x - x.mean(dim=0)
    summaries = torch.cat([centred.mean(dim=1), centred.square().mean(dim=1).clamp_min(1e-12).log()], dim=1)
    longest = max(2, n // LARGEST_SHARE)
    lengths = [_rule(series, longest) for series in summaries.T]
    return min(longest, max(2, *lengths))


def _rule(series: Tensor, longest: int) -> int:
    n, z = len(series), series - series.mean()
    variance = float(z @ z) / n
    if variance <= 1e-20:
        return 1
    reach = min(n - 1, 2 * longest)
    rho = torch.stack([z[: n - k] @ z[k:] / (n * variance) for k in range(reach + 1)]).tolist()
    bound, run = 2 * math.sqrt(math.log10(n) / n), max(5, math.ceil(math.sqrt(math.log10(n))))
    small = [abs(r) < bound for r in rho]
    cut = next((k for k in range(1, reach + 1) if all(small[k : k + run])), reach)
    taper = [min(1.0, 2 * (1 - k / (2 * cut))) for k in range(min(2 * cut, reach) + 1)]
    g = 2 * sum(w * k * r for k, (w, r) in enumerate(zip(taper, rho)))
    spectrum = rho[0] + 2 * sum(w * r for w, r in zip(taper[1:], rho[1:]))
    if spectrum <= 0:
        return longest
    return math.ceil((2 * g**2 / (4 / 3 * spectrum**2)) ** (1 / 3) * n ** (1 / 3))
