"""The smallest eigenvalue of a temporal covariance against a threshold, in more digits where float64 cannot tell.

The smallest eigenvalue of a smooth kernel is far below round-off: 1e-69 for a squared exponential of lengthscale 8.
A Toeplitz matrix is positive definite exactly if every prediction error of the Durbin recursion is positive, which is
N^2 operations in as many digits as it takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import torch
from torch import Tensor

from .records import MET, UNRESOLVED, VIOLATED

EXACT_LAGS = Callable[[int], "list[mpmath.mpf]"]
"""The first ``n`` lags of a Toeplitz covariance, at the working precision of mpmath."""

DIGITS = (50, 100, 200, 400, 800, 1600)
MOST_FRAMES = 1024  # for which the recursion in many digits takes seconds
AGREEMENT = 1e-6  # of the last prediction error, between one number of digits and the next
_EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Comparison:
    """Whether the smallest eigenvalue exceeds a threshold.

    Attributes:
        status: "met" (it does), "violated" or "unresolved in float64".
        value: The eigenvalue, or in more digits the bound 1/trace of the inverse below it; 0 if float64 underflows.
        how: "float64" or "mpmath, n digits".
        note: The eigenvalue's order of magnitude, where ``value`` does not say it.
    """

    status: str
    value: float
    how: str
    note: str = ""


def compare_smallest(
    matrix: Tensor, threshold: float, exact: EXACT_LAGS | None = None, *, refine: bool = False
) -> Comparison:
    """Compare the smallest eigenvalue of a symmetric matrix with ``threshold``.

    Args:
        matrix: (N, N), float64, its entries right to round-off.
        threshold: The number that the eigenvalue must exceed.
        exact: The lags in more digits, where ``matrix`` is Toeplitz and its kernel is known as a formula.
        refine: Whether to compute the eigenvalue in more digits even where float64 can compare, but not resolve it.
    """
    values = torch.linalg.eigvalsh(matrix)
    smallest = float(values[0])
    slack = 8 * _EPS * len(values) * float(values.abs().max())
    decided = abs(smallest - threshold) > slack
    status = (MET if smallest > threshold else VIOLATED) if decided else UNRESOLVED
    resolved = abs(smallest) > 100 * slack or not refine
    if exact is None or len(matrix) > MOST_FRAMES or (decided and resolved):
        return Comparison(status, smallest, "float64")
    return _compare_in_digits(len(matrix), threshold, exact) or Comparison(status, smallest, "float64")


def _compare_in_digits(size: int, threshold: float, exact: EXACT_LAGS) -> Comparison | None:
    """The same by the Durbin recursion, at the first number of digits that the next one confirms; None if none is."""
    before: tuple[mpmath.mpf, mpmath.mpf] | None = None
    for digits in DIGITS:
        with mpmath.workdps(digits):
            lags = exact(size)
            shifted = [lags[0] - mpmath.mpf(threshold), *lags[1:]]
            error, bound = durbin(shifted)[0], below_smallest(lags)
            if before is not None and all(_agree(old, new) for old, new in zip(before, (error, bound))):
                status = MET if error > 0 else VIOLATED
                size_note = f"about 10^{float(mpmath.log10(bound)):.1f}" if bound > 0 else ""
                return Comparison(status, float(bound), f"mpmath, {digits} digits", size_note)
            before = (error, bound)
    return None


def durbin(lags: list[mpmath.mpf]) -> tuple[mpmath.mpf, list[mpmath.mpf]]:
    """The last prediction error of a Toeplitz matrix and the coefficients of its predictor.

    The error is the first one that is not positive, with the coefficients up to there, where the matrix is not
    positive definite.

    Args:
        lags: The first row, at the working precision.

    Source: Golub and Van Loan, *Matrix Computations*, 4th ed. (2013), algorithm 4.7.1.
    """
    coefficients: list[mpmath.mpf] = []
    error = lags[0]
    for k in range(1, len(lags)):
        if error <= 0:
            return error, coefficients
        correlation = lags[k] - mpmath.fdot(coefficients, lags[k - 1 : 0 : -1])
        reflection = correlation / error
        mirrored = coefficients[::-1]
        coefficients = [a - reflection * b for a, b in zip(coefficients, mirrored)] + [reflection]
        error = error * (1 - reflection**2)
    return error, coefficients


def below_smallest(lags: list[mpmath.mpf]) -> mpmath.mpf:
    """1 / trace of the inverse, which lies between a fraction 1/N of the smallest eigenvalue and all of it.

    Not positive where the matrix is not positive definite. The trace is that of Gohberg and Semencul's formula with the
    prediction filter a = (1, -coefficients): sum_k (N - 2 k) a_k^2 / error.
    """
    error, coefficients = durbin(lags)
    if error <= 0:
        return error
    size = len(lags)
    trace = mpmath.fsum((size - 2 * k) * a**2 for k, a in enumerate([mpmath.mpf(1), *coefficients]))
    return error / trace


def _agree(old: mpmath.mpf, new: mpmath.mpf) -> bool:
    return (old > 0) == (new > 0) and abs(old - new) <= AGREEMENT * abs(new)


def power_lags(scaled: Callable[[int], mpmath.mpf], exponent: float) -> EXACT_LAGS:
    """exp(-scaled(k)^exponent) for k = 0, 1, ...: the kernel of Assumption 1 in more digits.

    Args:
        scaled: |e_i - e_j| / ell^(1/nu) at |i - j| = k, at the working precision.
        exponent: nu.
    """
    return lambda size: [mpmath.exp(-(scaled(k) ** mpmath.mpf(exponent))) for k in range(size)]
