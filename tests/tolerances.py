"""How closely results must agree, by dtype: relative for norms, absolute where the reference is of order one."""

import torch

EXACT = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Results of direct float64 computations, and what is left of them in float32."""

ITERATIVE = 1e-8
"""Results of conjugate gradients at relative residual 1e-10, on systems of condition number up to about 1e4."""

STANDARD_ERRORS = 5.0
"""Monte Carlo comparisons pass within so many standard errors: one normal deviate fails with probability 6e-7."""


def relative_error(got: torch.Tensor, reference: torch.Tensor) -> float:
    """|got - reference| / |reference|, Frobenius, in float64."""
    reference = torch.as_tensor(reference, dtype=torch.float64)
    return float((got.double() - reference).norm() / reference.norm())
