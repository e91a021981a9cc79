"""The one runner of recurrences, and what it does to one eigenvector."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .table import Recurrence


def run(
    recurrence: Recurrence,
    product: Callable[[Tensor], Tensor],
    right_side: Tensor,
    precondition: Callable[[Tensor], Tensor] | None = None,
    row: int | Tensor | None = None,
    record: bool = False,
) -> Tensor:
    """Carry out a recurrence for A s = b from s_0 = 0, in the dtype of ``right_side``.

    Args:
        recurrence: The coefficients.
        product: s -> A s, shape kept; called K - 1 times, as the residual at s_0 = 0 is b.
        right_side: b, any shape.
        precondition: r -> M^-1 r; None is the identity.
        row: Which row of the table: a number for all of b, or whole numbers (batch,) for b[0], b[1], ...; None takes
            the only row, or row i for b[i].
        record: Return every iterate instead of the last.

    Returns:
        s_K, the shape of b; with ``record`` s_0, ..., s_K, (iterations + 1, *shape of b).

    Raises:
        InputError: A row that is not there, or rows that do not fit b.
    """
    step, momentum = (_column(recurrence, column, row, right_side) for column in (recurrence.step, recurrence.momentum))
    solution, direction, iterates = torch.zeros_like(right_side), torch.zeros_like(right_side), []
    for k in range(recurrence.num_iterations):
        iterates += [solution] if record else []
        residual = right_side - product(solution) if k else right_side
        correction = residual if precondition is None else precondition(residual)
        direction = momentum[k] * direction + step[k] * correction
        solution = solution + direction
    return torch.stack([*iterates, solution]) if record else solution


def residual_factors(recurrence: Recurrence, eigenvalues: Tensor) -> Tensor:
    """r_k(lambda), the factor that k iterations leave of the residual and of the error along an eigenvector of M^-1 A.

        r_{k+1} = r_k - lambda d_k,    d_k = momentum_k d_{k-1} + step_k r_k,    r_0 = 1.

    Args:
        recurrence: The coefficients.
        eigenvalues: (eigenvalues,), or (times, eigenvalues) for other eigenvalues at each time.

    Returns:
        (times, iterations + 1, eigenvalues), float64; [:, 0] is 1.

    Raises:
        InputError: Eigenvalues of another shape, or not finite.

    Example:
        >>> from kronoscope.iterations import gradient_descent
        >>> residual_factors(gradient_descent(1.0, 3.0, 2), torch.tensor([1.0, 2.0, 3.0])).tolist()
        [[[1.0, 1.0, 1.0], [0.5, 0.0, -0.5], [0.25, 0.0, 0.25]]]
    """
    spectrum = _spectrum(eigenvalues, recurrence.num_times).to(recurrence.step.device)
    factor = torch.ones(recurrence.num_times, spectrum.shape[1], dtype=torch.float64, device=spectrum.device)
    direction, factors = torch.zeros_like(factor), [factor]
    for step, momentum in zip(recurrence.step.mT[..., None], recurrence.momentum.mT[..., None]):
        direction = momentum * direction + step * factor
        factor = factor - spectrum * direction
        factors.append(factor)
    return torch.stack(factors, dim=1)


def relative_error(recurrence: Recurrence, eigenvalues: Tensor, multiplicities: Tensor | None = None) -> Tensor:
    """Root-mean-square relative error of s_k under b ~ N(0, A), that is of a score under the noised law:

        [ sum_i m_i r_k(lambda_i)^2 / lambda_i / sum_i m_i / lambda_i ]^(1/2),    k = 0, ..., K.

    Args:
        recurrence: The coefficients.
        eigenvalues: Of A, all greater than 0: (eigenvalues,) or (times, eigenvalues).
        multiplicities: m, (eigenvalues,); None means 1 each.

    Returns:
        (times, iterations + 1), float64; [:, 0] is 1.

    Raises:
        InputError: Eigenvalues of another shape, not finite, or not positive.
    """
    spectrum = positive_spectrum(eigenvalues, recurrence.num_times)
    weight = weights(spectrum, multiplicities) / spectrum
    squares = residual_factors(recurrence, spectrum) ** 2
    return ((squares * weight[:, None]).sum(-1) / weight.sum(-1, keepdim=True)).sqrt()


def positive_spectrum(eigenvalues: Tensor, num_times: int | None = None) -> Tensor:
    """``eigenvalues`` in float64 as (times, eigenvalues), if all are greater than 0."""
    spectrum = _spectrum(eigenvalues, num_times)
    if bool((spectrum <= 0).any()):
        raise InputError(f"eigenvalues must be greater than 0, got {float(spectrum.min()):g}")
    return spectrum


def weights(spectrum: Tensor, multiplicities: Tensor | None) -> Tensor:
    """``multiplicities`` in float64, (1, eigenvalues), if they fit; 1 each where there are none."""
    if multiplicities is None:
        return torch.ones_like(spectrum[:1])
    counts = _checks.finite("multiplicities", torch.as_tensor(multiplicities, dtype=torch.float64)).to(spectrum)
    if counts.shape != spectrum.shape[1:]:
        raise InputError(f"multiplicities must have shape ({spectrum.shape[1]},), got {tuple(counts.shape)}")
    if bool((counts <= 0).any()):
        raise InputError(f"multiplicities must be greater than 0, got {float(counts.min()):g}")
    return counts[None]


def _spectrum(eigenvalues: Tensor, num_times: int | None) -> Tensor:
    values = torch.as_tensor(eigenvalues, dtype=torch.float64)
    fits = values.ndim == 1 or (values.ndim == 2 and num_times in (None, values.shape[0]))
    if not fits or values.numel() == 0:
        rows = "times" if num_times is None else num_times
        raise InputError(
            f"eigenvalues must have shape (eigenvalues,) or ({rows}, eigenvalues), got {tuple(values.shape)}"
        )
    return torch.atleast_2d(_checks.finite("eigenvalues", values))


def _column(recurrence: Recurrence, column: Tensor, row: int | Tensor | None, right_side: Tensor) -> Tensor:
    """The coefficients of the chosen rows, (iterations,) or (iterations, batch, 1, ...), ready to multiply b."""
    times = recurrence.num_times
    rows = torch.as_tensor((0 if times == 1 else torch.arange(times)) if row is None else row, device=column.device)
    if rows.is_floating_point() or rows.is_complex() or rows.dtype == torch.bool:
        raise TypeError(f"row must hold whole numbers, got {rows.dtype}")
    if rows.ndim > 1 or (rows.ndim == 1 and (right_side.ndim == 0 or len(rows) != right_side.shape[0])):
        raise InputError(
            f"row must be one number or one for each right side, got {tuple(rows.shape)} rows "
            f"for right sides of shape {tuple(right_side.shape)}"
        )
    if rows.numel() and not 0 <= int(rows.min()) <= int(rows.max()) < times:
        raise InputError(f"row must lie in 0..{times - 1}, got {int(rows.min())}..{int(rows.max())}")
    chosen = column[rows].to(dtype=right_side.dtype, device=right_side.device)
    return chosen if rows.ndim == 0 else chosen.mT.reshape(-1, len(rows), *([1] * (right_side.ndim - 1)))
