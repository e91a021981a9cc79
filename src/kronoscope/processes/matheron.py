"""The law of a long sequence given some of its entries, through products with its covariance alone."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import _checks
from .._errors import ConvergenceError, InputError
from ..linalg import Covariance
from ..linalg.conjugate_gradients import conjugate_gradients
from .conditional import ConditionalLaw

TOLERANCE = 1e-10
COVARIANCE_LIMIT = 2**10
_MAX_ITERATIONS = 4000
_CHUNK = 2**22  # numbers in the sequences that are solved for at once


class IteratedConditional(ConditionalLaw):
    """By conjugate gradients on K_oo to a relative residual of 1e-10, and Matheron's rule for the draws.

    With z ~ N(0, K) the sum of mean and z - K_.o K_oo^-1 z_o has the conditional law: a draw is one more system like
    that of the mean. The preconditioner is that of K, cut to the observed entries. How many iterations it takes depends
    on the kernel: a rough one with entries missing anywhere takes about a hundred, a smooth one may not arrive.

    Args:
        mean: (frames, features), float64.
        operator: K.
        mask: (frames, features), bool; True = observed.
        values: (frames, features), float64; only observed entries are read.

    Raises:
        ConvergenceError: The covariance of the observed entries is too near singular.

    Source: Hoffman and Ribak, Astrophysical Journal 380 (1991) L5, whose rule is Matheron's.
    """

    def __init__(self, mean: Tensor, operator: Covariance, mask: Tensor, values: Tensor) -> None:
        self._operator = operator
        self._mask = mask
        shift = self._pulled((torch.where(mask, values, mean) - mean).unsqueeze(0))[0]
        self._mean = torch.where(mask, values, mean + shift)

    @property
    def _observed(self) -> Tensor:
        return self._mask

    @property
    def mean(self) -> Tensor:
        return self._mean.clone()

    def covariance(self) -> Tensor:
        hidden = (~self._mask).flatten().nonzero()[:, 0]
        if len(hidden) > COVARIANCE_LIMIT:
            raise InputError(
                f"covariance() of so long a sequence needs at most {COVARIANCE_LIMIT} unobserved entries, "
                f"got {len(hidden)}"
            )
        rows = [self._covariance_rows(part, hidden) for part in hidden.split(self._at_once)]
        covariance = torch.cat(rows)
        return 0.5 * (covariance + covariance.mT)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        n, source = _checks.count("n", n, 0), _checks.generator_or_seed_zero(generator)
        draws = self._mean.repeat(n, 1, 1)
        for part in draws.split(self._at_once):
            prior = self._operator.sample(len(part), source)
            part += torch.where(self._mask, 0.0, prior - self._pulled(prior))
        return draws

    @property
    def _at_once(self) -> int:
        return max(1, _CHUNK // self._mask.numel())

    def _covariance_rows(self, part: Tensor, hidden: Tensor) -> Tensor:
        unit = self._mean.new_zeros(len(part), self._mean.numel())
        unit[torch.arange(len(part)), part] = 1.0
        prior = self._operator.product(unit.reshape(-1, *self._mean.shape))
        return (prior - self._pulled(prior)).flatten(1)[:, hidden]

    def _pulled(self, deviation: Tensor) -> Tensor:
        """K_.o K_oo^-1 deviation_o, shape of ``deviation``, (batch, frames, features)."""
        observed, shape = self._mask.to(deviation), deviation.shape[1:]

        def product(vectors: Tensor, _: Tensor) -> Tensor:
            return (self._operator.product(vectors.reshape(-1, *shape)) * observed).flatten(1)

        def precondition(vectors: Tensor, _: Tensor) -> Tensor:
            return (self._operator.precondition(vectors.reshape(-1, *shape)) * observed).flatten(1)

        right = (deviation * observed).flatten(1)
        try:
            solved = conjugate_gradients(product, precondition, right, TOLERANCE, _MAX_ITERATIONS)
        except ConvergenceError as error:
            raise ConvergenceError(
                "condition_on did not reach its tolerance: the covariance of the observed entries is too near singular "
                f"({error})"
            ) from None
        return self._operator.product(solved.reshape(deviation.shape))
