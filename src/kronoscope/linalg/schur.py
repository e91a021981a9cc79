"""Log-determinants of symmetric positive definite Toeplitz matrices by the superfast Schur algorithm.

Schur's algorithm runs on the power series u(z) = c_0 + c_1 z + ... and w(z) = c_1 + c_2 z + ...: one step takes
rho = w_0 / u_0 and

    [u, w] <- [[1, -rho], [-rho / z, 1 / z]] [u, w],

and the u_0 before step k is the variance of frame k given frames 0..k-1, so log det = sum_k log u_0^(k). The
product of m such matrices is [[A, B], [z^-m B(1/z), z^-m A(1/z)]] with polynomials A, B in 1/z of degree below m, so
half of the steps can be done on half of the series, carried over to the rest by FFT, and then the other half:
O(N log^2 N) in all.

Source: Ammar and Gragg, SIAM J. Matrix Anal. Appl. 9 (1988) 61, section 3 (who use it to solve); the halving and the
symmetric form above are written out here because they are all that a determinant needs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from .eigen import refuse_singular

Series = NDArray[np.float64]
_LEAF = 64


def toeplitz_log_det(columns: Series) -> Series:
    """log det of the symmetric Toeplitz matrices with these first columns.

    Args:
        columns: (matrices, frames), float64.

    Returns:
        (matrices,), float64.

    Raises:
        InputError: A matrix is singular to working precision: some frame has a variance, given those before it, of at
            most frames eps c_0.
    """
    variances = prediction_variances(columns)
    for row, first in zip(variances, columns[:, 0]):
        refuse_singular(float(np.nan_to_num(row, nan=-np.inf).min()), float(first), columns.shape[1])
    return np.log(variances).sum(axis=1)


def prediction_variances(columns: Series) -> Series:
    """Var(x_k | x_0..x_{k-1}) for k = 0..frames-1 and x ~ N(0, toeplitz(column)), shape of ``columns``.

    After a singular leading minor the numbers mean nothing; the first of them is then at most round-off.
    """
    shifted = np.concatenate([columns[:, 1:], np.zeros_like(columns[:, :1])], axis=1)
    variances = np.empty_like(columns)
    with np.errstate(all="ignore"):
        _steps(np.stack([columns, shifted], axis=1), variances, wanted=False)
    return variances


def _steps(pair: Series, variances: Series, wanted: bool = True) -> Series:
    """As many Schur steps on ``pair`` = [u, w], (matrices, 2, n), as it has coefficients.

    Writes the u_0 before each step into ``variances``, (matrices, n), and returns [A, B], (matrices, 2, n), unless
    not ``wanted``.
    """
    n = pair.shape[-1]
    if n <= _LEAF:
        return _leaf(pair, variances)
    half = _LEAF
    while 2 * half < n:
        half *= 2
    length = next_fast_len(n, real=True)
    first = rfft(_steps(pair[..., :half], variances[:, :half]), length)
    turned = np.exp(-2j * np.pi * half / length * np.arange(length // 2 + 1)) * first[:, ::-1].conj()  # [C, D]
    series = rfft(pair, length)
    moved = np.stack([(series * first.conj()).sum(1), (series * turned.conj()).sum(1)], axis=1)
    rest = _steps(irfft(moved, length)[..., : n - half], variances[:, half:], wanted)
    if not wanted:
        return rest
    second = rfft(rest, length)
    return irfft(second[:, :1] * first + second[:, 1:] * turned, length)[..., :n]


def _leaf(pair: Series, variances: Series) -> Series:
    """The same step by step. Rows hold Laurent coefficients: the series upwards of z^0, the polynomials downwards.

    In ``upper`` (u, A, B) the coefficient of z^e is at n + e. Multiplying ``lower`` (w, C, D) by 1/z would move it by
    one place, so the window over ``upper`` moves instead: at step k it starts at z^-k.
    """
    matrices, _, n = pair.shape
    upper = np.zeros((matrices, 3, 2 * n + 1))
    lower = np.zeros((matrices, 3, n + 1))
    upper[:, 0, n : 2 * n], lower[:, 0, :n] = pair[:, 0], pair[:, 1]
    upper[:, 1, n] = lower[:, 2, 0] = 1.0
    leading, following = upper[:, 0, n], lower[:, 0]
    for k in range(n):
        variances[:, k] = leading
        window = upper[..., n - k : 2 * n - k + 1]
        rho = (following[:, k] / leading)[:, None, None]
        change = rho * lower
        lower -= rho * window
        window -= change
    return upper[:, 1:, n:0:-1]
