"""The Jacobian probe: exact for exact scores, honest for others."""

import math

import numpy as np
import pytest
import torch

import kronoscope as ks
from kronoscope import InputError, diffusion, probes
from kronoscope.kernels import Cosine, Matern, PowerExponential
from kronoscope.processes import KroneckerSum

SPATIAL = torch.tensor([[1.3, 0.4], [0.4, 0.7]], dtype=torch.float64)


def process(kernel=None, times=12, mean=None):
    return ks.GaussianSequence(kernel or PowerExponential(4.0, 1.3), SPATIAL, times=times, mean=mean)


def precision(p, t):
    marginal = math.exp(-t) * p.covariance() - math.expm1(-t) * torch.eye(p.num_frames * p.num_features).double()
    return np.linalg.inv(marginal.numpy())


@pytest.mark.parametrize("method", ["autograd", "finite-differences"])
@pytest.mark.parametrize("t", [0.01, 0.2, 3.0])
def test_the_exact_score_gives_the_exact_precision(method, t):
    p = process(mean=torch.linspace(-1, 1, 24).reshape(12, 2))
    found = probes.jacobian(p.score, p, t=t, method=method, num_samples=3)
    tolerance = 1e-8 if method == "autograd" else 1e-6
    np.testing.assert_allclose(found.value, precision(p, t), atol=tolerance * float(found.truth.abs().max()))
    np.testing.assert_allclose(found.truth, precision(p, t), rtol=1e-9, atol=1e-9)
    assert found.asymmetry < 1e-7
    assert float(found.standard_error.max()) < 1e-6 * float(found.truth.abs().max())


def test_promised_name_and_figure():
    p = process()
    assert float((ks.probes.jacobian(p.score, p, t=0.2).value - torch.from_numpy(precision(p, 0.2))).abs().max()) < 1e-8


def test_covariance_profile_and_kernel_come_back():
    p = process()
    found = probes.jacobian(p.score, p, num_samples=2)
    torch.testing.assert_close(found.covariance(), p.covariance(), rtol=0, atol=1e-9)
    lags = torch.arange(12, dtype=torch.float64)
    torch.testing.assert_close(found.lag_profile().value, torch.exp(-((lags / 4) ** 1.3)), rtol=0, atol=1e-9)
    torch.testing.assert_close(found.spatial_covariance().value, SPATIAL, rtol=0, atol=1e-9)
    fitted = found.fit_kernel()
    assert (fitted.lengthscale, fitted.exponent) == (pytest.approx(4, abs=1e-5), pytest.approx(1.3, abs=1e-5))
    assert fitted.lengthscale_error < 1e-5


def test_modes_are_those_of_the_two_covariances():
    p = process(Matern(3.0, 1.5))
    measured, truth = probes.jacobian(p.score, p, t=0.5, num_samples=2).by_mode(p)
    torch.testing.assert_close(measured.value, truth, rtol=1e-9, atol=1e-9)
    eigenvalues = np.sort(np.kron(*(np.linalg.eigvalsh(m) for m in (p.temporal_covariance, SPATIAL))))
    want = 1 / (math.exp(-0.5) * eigenvalues - math.expm1(-0.5))
    np.testing.assert_allclose(np.sort(truth.flatten()), np.sort(want), rtol=1e-9)


def test_sums_of_kronecker_products_have_jacobians_too():
    p = KroneckerSum([(PowerExponential(4.0), SPATIAL), (Cosine(5.0), torch.eye(2).double())], times=8)
    assert probes.jacobian(p.score, p, num_samples=2).relative_error < 1e-10


def test_a_curved_score_is_measured_with_its_error():
    """s = -x^3 has -E[ds/dx] = 3 E[x^2] on the diagonal; 300 draws, six standard errors (failure rate 1e-7)."""
    p = process()
    found = probes.jacobian(lambda x, t: -(x**3), p, num_samples=300)
    alpha, variance = float(diffusion.alpha(0.2)), float(diffusion.sigma_squared(0.2))
    want = 3 * (alpha**2 * p.covariance().diagonal() + variance)
    error = found.standard_error.diagonal()
    assert float(((found.value.diagonal() - want) / error).abs().max()) < 6
    assert float(error.min()) > 0
    off = found.value - torch.diag(found.value.diagonal())
    assert float(off.abs().max()) == 0


def test_the_jackknife_error_is_about_right():
    """Over 60 probes of a noisy score, the spread of the profile is its mean standard error within a factor of 1.5."""
    p = process(times=6)

    def noisy(x, t):
        return p.score(x, t) + 0.1 * torch.sin(3 * x)

    profiles = [
        probes.jacobian(noisy, p, num_samples=20, generator=torch.Generator().manual_seed(k)).lag_profile(3)
        for k in range(60)
    ]
    spread = torch.stack([profile.value for profile in profiles]).std(dim=0)[1:]
    told = torch.stack([profile.standard_error for profile in profiles]).mean(dim=0)[1:]
    assert float((told / spread).min()) > 1 / 1.5
    assert float((told / spread).max()) < 1.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t": 0.0}, "t must be greater than 0"),
        ({"num_samples": 1}, "num_samples must be at least 2"),
        ({"method": "guess"}, "method must be one of autograd, finite-differences, got 'guess'"),
    ],
)
def test_bad_arguments(options, message):
    p = process()
    with pytest.raises(InputError, match=message):
        probes.jacobian(p.score, p, **options)


def test_a_score_without_a_graph_names_the_way_out():
    p = process()
    with pytest.raises(InputError, match=r"cannot be differentiated by autograd.*finite-differences"):
        probes.jacobian(lambda x, t: p.score(x.detach(), t), p)
    with pytest.raises(InputError, match="score must return a tensor of the shape of x"):
        probes.jacobian(lambda x, t: p.score(x, t)[:, 1:], p)
