"""Iterations as data: the frozen table that the runner, the compiler and the proofs all read.

Every linear iteration that solves A s = b from s_0 = 0 has the same form, with d_{-1} = 0 and M = I unless there is a
preconditioner:

    r_k = b - A s_k,    z_k = M^-1 r_k,    d_k = momentum_k d_{k-1} + step_k z_k,    s_{k+1} = s_k + d_k.

So r_K = r_K(A) b with a polynomial of degree K and r_K(0) = 1, which depends on the two columns alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._checks import finite
from .._display import Displayed
from .._errors import InputError


@dataclass(frozen=True, eq=False, repr=False)
class Recurrence(Displayed):
    """Coefficients of an iteration, one row a diffusion time (docs/theory.md, section 4).

    Attributes:
        name: What the iteration is called.
        step: step_k, (times, iterations), float64.
        momentum: momentum_k, (times, iterations), float64; momentum_0 = 0.

    Raises:
        TypeError: A column is not a float64 tensor.
        InputError: The columns differ in shape, are empty or not finite, or start with momentum.
    """

    name: str
    step: Tensor
    momentum: Tensor

    def __post_init__(self) -> None:
        for name, column in {"step": self.step, "momentum": self.momentum}.items():
            if not isinstance(column, Tensor) or column.dtype != torch.float64:
                raise TypeError(
                    f"{name} must be a float64 tensor, got {getattr(column, 'dtype', type(column).__name__)}"
                )
            if column.ndim != 2 or 0 in column.shape:
                raise InputError(f"{name} must have shape (times, iterations), neither 0, got {tuple(column.shape)}")
            finite(name, column)
        if self.step.shape != self.momentum.shape:
            raise InputError(
                f"momentum must have step's shape {tuple(self.step.shape)}, got {tuple(self.momentum.shape)}"
            )
        if bool(self.momentum[:, 0].any()):
            raise InputError("momentum must start with 0, as no direction precedes the first")

    @property
    def num_times(self) -> int:
        """How many diffusion times, one a row."""
        return self.step.shape[0]

    @property
    def num_iterations(self) -> int:
        """K, how often the direction changes; K - 1 products with A, as the first would be with 0."""
        return self.step.shape[1]
