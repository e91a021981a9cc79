"""The optimal iteration for a known spectrum, and the lower bound for every other one.

Conjugate gradients on diag(lambda) with right side sqrt(m) minimise sum_i m_i lambda_i (1/lambda_i - p(lambda_i))^2
over polynomials p of degree K - 1, for every K at once. Their coefficients depend on the spectrum and not on x, so
they are data like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from .. import _checks
from .._errors import InputError
from .runner import positive_spectrum, weights
from .table import Recurrence

_EPS = torch.finfo(torch.float64).eps
_COPIES = 8


def spectrum_optimal(
    eigenvalues: Tensor, iterations: int, multiplicities: Tensor | None = None, roundoff: float = 1e-14
) -> Recurrence:
    """The recurrence whose error is least after every iteration, among those that survive rounding.

    With ``roundoff`` 0 it is conjugate gradients in exact arithmetic, and its polynomials attain :func:`krylov_floor`:
    with alpha_k and beta_k as usual, step_k = alpha_k and momentum_k = alpha_k beta_{k-1} / alpha_{k-1} (0 once the
    polynomial vanishes on the spectrum). Such a polynomial has single roots at the outlying eigenvalues and is huge
    beside them, so that rounding destroys it after some iterations: on an exponential kernel with kappa = 1767 in
    float64 after 25 of the 54 iterations that it would take to 1e-3. That is not a fault of the form: no polynomial
    that is small on lambda (1 +- 1e-14) as well reaches 1e-3 before iteration 75.

    So by default the minimum is over copies of the spectrum whose products carry independent relative errors of that
    size: it returns to an outlying eigenvalue whenever rounding has grown there, and needs 76 iterations.

    Args:
        eigenvalues: Of A, all greater than 0: (eigenvalues,), or (times, eigenvalues) for one row a time.
        iterations: K, at least 1.
        multiplicities: m, (eigenvalues,); None means 1 each.
        roundoff: Relative error of a product with A that it is built for: 1e-14 suits float64, 1e-6 float32; less
            than 1. 0 is for proofs, not for running.

    Raises:
        InputError: Eigenvalues of another shape, not finite, or not positive; or another argument out of its range.

    Source: Saad, *Iterative Methods for Sparse Linear Systems*, 2nd ed. (2003), section 6.7; that conjugate gradients
    in finite precision are exact ones on clusters of eigenvalues: Greenbaum, *Linear Algebra Appl.* 113 (1989) 7.
    """
    if _checks.non_negative("roundoff", roundoff) >= 1:
        raise InputError(f"roundoff must be less than 1, got {roundoff:g}")
    if roundoff:
        return _robust(eigenvalues, _checks.count("iterations", iterations), multiplicities, roundoff)
    run = _conjugate_gradients(eigenvalues, iterations, multiplicities)
    ratio = torch.where(run.step[:, 1:] > 0, run.step[:, 1:] / run.step[:, :-1], 0.0)
    return Recurrence("spectrum-optimal", run.step, pad(ratio * run.shrinkage[:, :-1], (1, 0)))


def _robust(eigenvalues: Tensor, iterations: int, multiplicities: Tensor | None, roundoff: float) -> Recurrence:
    """Conjugate gradients for several copies of the spectrum at once, each with rounding errors of its own.

    One copy alone would be adjusted to its own errors and amplify those of anybody else; four or more are not.
    """
    spectrum = positive_spectrum(eigenvalues)[:, None]
    count = weights(spectrum[:, 0], multiplicities)[:, None] / _COPIES
    generator = torch.Generator().manual_seed(0)
    solution = torch.zeros_like(spectrum).expand(-1, _COPIES, -1)
    direction, step, momentum = solution, [], []
    for _ in range(iterations):
        errors = torch.randn(solution.shape, generator=generator, dtype=torch.float64).to(spectrum)
        residual = 1 - spectrum * solution * (1 + roundoff * errors)
        image = count * spectrum * direction
        energy = (direction * image).sum((1, 2))
        conjugate = torch.where(energy > 0, -(residual * image).sum((1, 2)) / energy, 0.0)
        trial = residual + conjugate[:, None, None] * direction
        energy = (count * spectrum * trial**2).sum((1, 2))
        length = torch.where(energy > 0, (count * residual * trial).sum((1, 2)) / energy, 0.0)
        direction = length[:, None, None] * trial
        solution = solution + direction
        step.append(length)
        momentum.append(length * conjugate)
    return Recurrence("spectrum-optimal", torch.stack(step, dim=1), torch.stack(momentum, dim=1))


def krylov_floor(eigenvalues: Tensor, iterations: int, multiplicities: Tensor | None = None) -> Tensor:
    """The least relative mean square error of K iterations with coefficients that do not depend on x:

        floor(K) = min over deg p <= K - 1 of sum_i m_i lambda_i (1/lambda_i - p(lambda_i))^2 / sum_i m_i / lambda_i.

    It is the *square* of a relative error; a preconditioner leaves the class and may go below it.

    Args:
        eigenvalues: Of A, all greater than 0: (eigenvalues,), or (times, eigenvalues).
        iterations: The largest K.
        multiplicities: m, (eigenvalues,); None means 1 each.

    Returns:
        floor(1), ..., floor(iterations): (iterations,) or (times, iterations), float64.

    Raises:
        InputError: Eigenvalues of another shape, not finite, or not positive.

    Example:
        >>> krylov_floor(torch.tensor([1.0, 3.0]), 2).tolist()
        [0.25, 0.0]
    """
    run = _conjugate_gradients(eigenvalues, iterations, multiplicities)
    return run.error if torch.as_tensor(eigenvalues).ndim == 2 else run.error[0]


@dataclass(frozen=True, eq=False)
class _Run:
    """alpha_k, beta_k and floor(k + 1) of k = 0, ..., K-1, each (times, iterations)."""

    step: Tensor
    shrinkage: Tensor
    error: Tensor


def _conjugate_gradients(eigenvalues: Tensor, iterations: int, multiplicities: Tensor | None) -> _Run:
    """Conjugate gradients by Lanczos vectors that are kept orthogonal in full, so that they stay optimal.

    r_k = +-|r_k| q_k with the Lanczos vectors q_k, and the tridiagonal matrix of those is L D L' with D = 1/alpha and
    L_{k+1,k} = sqrt(beta_k). The error is a sum of positive terms over q_k, never a difference.
    """
    spectrum = positive_spectrum(eigenvalues)
    count = weights(spectrum, multiplicities).expand_as(spectrum)
    total = (count / spectrum).sum(-1)
    size = count.sum(-1)  # |r_k|^2
    basis = [(count / size[:, None]).sqrt()]
    negligible = spectrum.shape[1] * _EPS * spectrum.amax(-1)
    steps, shrinkages, errors = [], [], []
    pivot, shrinkage, going = torch.zeros_like(size), torch.zeros_like(size), torch.ones_like(size, dtype=torch.bool)
    for _ in range(_checks.count("iterations", iterations)):
        image = spectrum * basis[-1]
        diagonal = torch.linalg.vecdot(basis[-1], image)
        pivot = torch.where(going, diagonal - shrinkage * pivot, 1.0)
        vectors = torch.stack(basis, dim=1)
        for _ in range(2):  # twice is enough (Kahan, Parlett)
            image = image - torch.einsum("tkn,tk->tn", vectors, torch.einsum("tkn,tn->tk", vectors, image))
        neighbour = image.norm(dim=-1)
        steps.append(torch.where(going, 1 / pivot, 0.0))
        going = going & (neighbour > negligible)
        shrinkage = torch.where(going, (neighbour / pivot) ** 2, 0.0)
        size = size * shrinkage
        basis.append(torch.where(going[:, None], image / neighbour[:, None], 0.0))
        shrinkages.append(shrinkage)
        errors.append(size * (basis[-1] ** 2 / spectrum).sum(-1) / total)
    return _Run(*(torch.stack(column, dim=1) for column in (steps, shrinkages, errors)))
