"""Lags beyond those that are known, beside statsmodels, Markov kernels and brute force."""

import numpy as np
import pytest
import scipy.linalg
import torch
from statsmodels.tsa.arima_process import ArmaProcess
from statsmodels.tsa.stattools import levinson_durbin

from kronoscope import InputError
from kronoscope.kernels import Matern, PowerExponential
from kronoscope.linalg import maximum_entropy_lags


def lags(kernel, count):
    return kernel.at_lag(torch.arange(count, dtype=torch.float64))


@pytest.mark.parametrize("kernel", [Matern(3.0, 1.5), PowerExponential(5.0, 1.5), PowerExponential(2.0, 2.0)])
def test_it_is_the_autoregressive_process_of_statsmodels(kernel):
    gamma = lags(kernel, 9).numpy()
    innovation, weights, *_ = levinson_durbin(gamma, nlags=8, isacov=True)
    expected = ArmaProcess(np.r_[1.0, -weights], [1.0]).acovf(40) * innovation
    found = maximum_entropy_lags(torch.from_numpy(gamma), 40)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def test_a_markov_kernel_comes_back_at_every_lag():
    kernel = PowerExponential(8.0)
    torch.testing.assert_close(maximum_entropy_lags(lags(kernel, 2), 200), lags(kernel, 200), rtol=1e-12, atol=0)
    torch.testing.assert_close(maximum_entropy_lags(lags(kernel, 32), 200), lags(kernel, 200), rtol=1e-9, atol=1e-15)


def test_no_other_extension_has_more_entropy():
    """The log determinant falls whichever of the new lags is moved either way, and is finite."""
    known = lags(Matern(3.0, 1.5), 5)
    best = maximum_entropy_lags(known, 9).numpy()
    assert np.linalg.eigvalsh(scipy.linalg.toeplitz(best))[0] > 0
    most = np.linalg.slogdet(scipy.linalg.toeplitz(best))[1]
    for k in range(5, 9):
        for step in (-1e-3, 1e-3):
            moved = best.copy()
            moved[k] += step
            assert np.linalg.slogdet(scipy.linalg.toeplitz(moved))[1] < most


def test_nothing_is_added_where_nothing_is_asked_for():
    gamma = lags(PowerExponential(3.0), 6).float()
    assert torch.equal(maximum_entropy_lags(gamma, 4), gamma[:4])
    assert maximum_entropy_lags(gamma, 12).dtype == torch.float32


def test_what_it_refuses():
    with pytest.raises(InputError, match=r"gamma must have the shape \(N,\) with N >= 2, got \(1,\)"):
        maximum_entropy_lags(torch.ones(1), 5)
    with pytest.raises(InputError, match="frame 1 is determined by earlier ones"):
        maximum_entropy_lags(torch.ones(4), 5)
    with pytest.raises(InputError, match="positive definite Toeplitz matrix, but frame 2 is determined"):
        maximum_entropy_lags(torch.tensor([1.0, 0.9, 0.2, 0.0]), 5)
    with pytest.raises(InputError, match="frames must be"):
        maximum_entropy_lags(torch.ones(4), 0)
