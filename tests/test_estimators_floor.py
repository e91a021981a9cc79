"""The information floor against its definition by dense matrices, and the sample covariance against Wishart draws."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import wishart
from test_estimators import yardstick_sigma

from kronoscope._errors import InputError
from kronoscope.estimators import sample_covariance_kl, score_kl_floor
from kronoscope.kernels import Matern, PowerExponential
from kronoscope.processes import DenseGaussian, GaussianSequence, SeparableGaussian

KERNELS = {"exponential": PowerExponential(8.0), "matern": Matern(8.0, 1.5)}


@pytest.mark.parametrize(
    ("kernel", "structure", "published"),
    [
        ("exponential", "stationary-separable", 34.2),
        ("exponential", "block-toeplitz", 422),
        ("exponential", "separable", 447),
        ("exponential", "unstructured", 6852),
        ("matern", "stationary-separable", 14.8),
    ],
)
def test_published_figures(kernel, structure, published):
    process = GaussianSequence(KERNELS[kernel], yardstick_sigma(), 32)
    assert 2 * 500 * score_kl_floor(process, structure, 500) == pytest.approx(published, rel=2e-3)


@pytest.mark.parametrize(
    ("structure", "parameters"),
    [("stationary-separable", 41), ("block-toeplitz", 506), ("separable", 537), ("unstructured", 8256)],
)
def test_without_noise_every_parameter_counts(structure, parameters):
    process = GaussianSequence(PowerExponential(8.0), yardstick_sigma(), 32)
    assert 2 * score_kl_floor(process, structure, 1, min_time=0.0, max_time=80.0) == pytest.approx(parameters, rel=1e-9)


def symmetric_basis(size):
    for i in range(size):
        for j in range(i, size):
            unit = np.zeros((size, size))
            unit[i, j] = unit[j, i] = 1.0
            yield unit


def shift(size, lag):
    return np.eye(size, k=-lag)


def directions(structure, gamma, sigma):
    frames, features = len(gamma), len(sigma)
    spatial = [np.kron(gamma, unit) for unit in symmetric_basis(features)]
    if structure == "unstructured":
        return list(symmetric_basis(frames * features))
    if structure == "separable":
        return [np.kron(unit, sigma) for unit in symmetric_basis(frames)][1:] + spatial
    if structure == "stationary-separable":
        return [np.kron(shift(frames, k) + shift(frames, k).T, sigma) for k in range(1, frames)] + spatial
    units = [np.outer(a, b) for a in np.eye(features) for b in np.eye(features)]
    lagged = [np.kron(shift(frames, k), u) + np.kron(shift(frames, k), u).T for k in range(1, frames) for u in units]
    return [np.kron(np.eye(frames), unit) for unit in symmetric_basis(features)] + lagged


@pytest.mark.parametrize("structure", ["unstructured", "separable", "stationary-separable", "block-toeplitz"])
@pytest.mark.parametrize("dense", [False, True], ids=["sequence", "separable law"])
def test_equals_the_definition(structure, dense):
    sigma = torch.tensor([[1.0, 0.4, 0.1], [0.4, 0.7, -0.2], [0.1, -0.2, 0.5]], dtype=torch.float64)
    process = GaussianSequence(Matern(3.0, 0.7), sigma, 4)
    if dense:
        process = SeparableGaussian(process.temporal_covariance, sigma)
    basis = directions(structure, process.temporal_covariance.numpy(), sigma.numpy())

    def fisher(t):
        c = math.exp(-t) * process.covariance().numpy() - math.expm1(-t) * np.eye(12)
        moved = [math.exp(-t) * np.linalg.solve(c, d) for d in basis]
        return 0.5 * np.einsum("aij,bji->ab", np.array(moved), np.array(moved))

    expected = np.trace(np.linalg.solve(fisher(0.0), fisher(0.05) - fisher(2.0))) / (2 * 7)
    assert score_kl_floor(process, structure, 7, 0.05, 2.0) == pytest.approx(expected, rel=1e-8)


def test_sample_covariance_kl_by_wishart_draws():
    """4000 draws: within 4 standard errors (p < 1e-4)."""
    n, m = 30, 6
    draws = wishart(df=n, scale=np.eye(m) / n).rvs(4000, random_state=np.random.default_rng(0))
    kl = 0.5 * (np.trace(np.linalg.inv(draws), axis1=1, axis2=2) - m + np.linalg.slogdet(draws)[1])
    error = kl.std() / math.sqrt(len(kl))
    assert abs(kl.mean() - sample_covariance_kl(n, m)) < 4 * error
    assert error < 0.01 * kl.mean()


def test_sample_covariance_kl_is_infinite_up_to_two_more_samples_than_dimensions():
    assert sample_covariance_kl(9, 8) == math.inf
    assert math.isfinite(sample_covariance_kl(10, 8))
    assert sample_covariance_kl(10**6, 8) == pytest.approx(36 / 2e6, rel=1e-4)


def test_bad_input_is_refused():
    sigma = torch.eye(2, dtype=torch.float64)
    process = GaussianSequence(PowerExponential(8.0), sigma, 6)
    with pytest.raises(InputError, match="structure must be one of unstructured, separable"):
        score_kl_floor(process, "toeplitz", 5)
    with pytest.raises(InputError, match="n must be at least 1"):
        score_kl_floor(process, "separable", 0)
    with pytest.raises(InputError, match="min_time must be less than max_time"):
        score_kl_floor(process, "separable", 5, 2.0, 1.0)
    irregular = GaussianSequence(PowerExponential(8.0), sigma, [0.0, 1.0, 3.0])
    for structure in ("stationary-separable", "block-toeplitz"):
        with pytest.raises(InputError, match="process must be stationary on regular times"):
            score_kl_floor(irregular, structure, 5)
    assert score_kl_floor(irregular, "separable", 5) > 0
    with pytest.raises(InputError, match="process must not be singular"):
        score_kl_floor(GaussianSequence(PowerExponential(40.0, 2.0), sigma, 32), "separable", 5)
    law = DenseGaussian(process.covariance(), 2)
    assert score_kl_floor(law, "unstructured", 5) == pytest.approx(score_kl_floor(process, "unstructured", 5))
    with pytest.raises(TypeError, match="process must be a GaussianSequence or SeparableGaussian"):
        score_kl_floor(law, "separable", 5)
