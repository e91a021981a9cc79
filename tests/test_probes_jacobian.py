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


class Rounded(torch.autograd.Function):
    """A step of a library of its own, which has no backward."""

    @staticmethod
    def forward(ctx, x):
        return x.round()


def detaching(p):
    """-C_t^{-1} as the parameter of a network: there is a graph, but x is not in it."""
    weight = torch.nn.Parameter(-torch.from_numpy(precision(p, 0.2)))
    return lambda x, t: (x.detach().flatten(1) @ weight).view_as(x)


def through_numpy(p):
    matrix = -precision(p, 0.2)
    return lambda x, t: torch.from_numpy((x.numpy().reshape(len(x), -1) @ matrix).reshape(x.shape))


NOT_DIFFERENTIABLE = {
    "numpy": (through_numpy, "call numpy"),
    "numpy, detached": (lambda p: lambda x, t: through_numpy(p)(x.detach(), t), "without a graph"),
    "without a graph": (lambda p: lambda x, t: p.score(x.detach(), t), "without a graph"),
    "a network that detaches x": (detaching, "does not lead back to x"),
    "rounding": (lambda p: lambda x, t: -(100 * x).round() / 100, "0 everywhere"),
    "without a backward": (lambda p: lambda x, t: Rounded.apply(x), "backward"),
}


@pytest.mark.parametrize("case", NOT_DIFFERENTIABLE)
def test_a_score_that_autograd_cannot_differentiate_names_the_way_out(case):
    p = process()
    build, why = NOT_DIFFERENTIABLE[case]
    with pytest.raises(InputError, match=rf"cannot be differentiated by autograd: .*{why}.*finite-differences"):
        probes.jacobian(build(p), p, num_samples=2)


@pytest.mark.parametrize("case", ["numpy", "numpy, detached", "without a graph", "a network that detaches x"])
def test_the_way_out_leads_out(case):
    p = process()
    found = probes.jacobian(NOT_DIFFERENTIABLE[case][0](p), p, num_samples=2, method="finite-differences")
    np.testing.assert_allclose(found.value, precision(p, 0.2), atol=1e-6 * float(found.truth.abs().max()))


def test_a_score_of_another_shape():
    p = process()
    with pytest.raises(InputError, match="score must return a tensor of the shape of x"):
        probes.jacobian(lambda x, t: p.score(x, t)[:, 1:], p)


def test_data_in_place_of_a_process():
    """It averages over the data, noised: for s = -x^3, by hand."""
    p = process(times=6)
    x = p.sample(50, generator=torch.Generator().manual_seed(4))
    found = probes.jacobian(p.score, x=x, t=0.2, num_samples=2)
    np.testing.assert_allclose(found.value, precision(p, 0.2), atol=1e-8)
    torch.testing.assert_close(found.covariance(), p.covariance(), rtol=0, atol=1e-9)
    measured, truth = found.by_mode(p)
    torch.testing.assert_close(measured.value, truth, rtol=1e-9, atol=1e-9)
    with pytest.raises(InputError, match="the truth is known for a process only"):
        found.relative_error  # noqa: B018

    seen = []

    def cube(x, t):
        seen.append(x.detach())
        return -(x**3)

    found = probes.jacobian(cube, x=x, t=1e-9, num_samples=1000)
    assert all(part.shape == (50, 6, 2) for part in seen)
    want = 3 * x.square().mean(0).flatten()  # of all 50, with next to no noise
    np.testing.assert_allclose(found.value.diagonal(), want, rtol=1e-3)
    few = probes.jacobian(cube, x=x, t=1e-9, num_samples=5)
    assert few.groups.shape[0] == len(seen[-1]) == 5
    nearest = torch.cdist(seen[-1].flatten(1), x.flatten(1)).min(dim=1)
    assert float(nearest.values.max()) < 1e-3
    assert len(set(nearest.indices.tolist())) == 5  # without replacement


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either process or data as x, got neither"),
        ({"process": process(), "x": torch.zeros(3, 12, 2)}, "got both"),
        ({"x": torch.zeros(3, 12)}, r"x must have shape \(batch, frames, features\), got \(3, 12\)"),
        ({"x": torch.zeros(1, 12, 2)}, "x must hold at least 2 sequences, got 1"),
        ({"x": torch.full((3, 12, 2), torch.nan)}, "x must be finite"),
    ],
)
def test_bad_data(options, message):
    with pytest.raises(InputError, match=message):
        probes.jacobian(process().score, **options)


def test_intervals_hold_what_they_say_with_ten_groups():
    """Two lags of 1500 probes of a nonlinear score: 95 % hold the truth. Declared failure rate: below 1e-2.

    The normal quantile would hold 92 %.
    """
    p = ks.GaussianSequence(PowerExponential(2.0), torch.eye(1), times=3)
    bend, slope, t = 0.3, 1.5, 0.2
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    mean_slope = bend * slope * float(weights @ np.cosh(slope * nodes) ** -2.0) / float(weights.sum())
    rows = precision(p, t) - mean_slope * np.eye(3)  # the noised law has unit variance in every entry
    believed = np.linalg.inv(rows) - -math.expm1(-t) * np.eye(3)
    profile = np.array([np.trace(believed, lag) / (3 - lag) for lag in range(3)])
    truth = torch.from_numpy(profile / profile[0])
    inside = []
    for seed in range(1500):
        score = lambda x, t: p.score(x, t) + bend * torch.tanh(slope * x)  # noqa: E731
        found = probes.jacobian(score, p, t, num_samples=40, generator=torch.Generator().manual_seed(seed))
        measured = found.lag_profile()
        low, high = measured.interval()
        assert measured.freedom == 9
        inside.append((low <= truth) & (truth <= high))
    share = float(torch.stack(inside)[:, 1:].double().mean())
    assert 0.9345 < share < 0.9655
    wide, narrow = measured.interval(0.99), measured.interval(0.5)
    assert bool((wide[0] <= narrow[0]).all() and (narrow[1] <= wide[1]).all())


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, float("nan")])
def test_intervals_refuse_levels_that_are_none(level):
    p = process(times=3)
    measured = probes.jacobian(p.score, p, num_samples=3).lag_profile()
    with pytest.raises(ValueError, match=r"^level must be"):
        measured.interval(level)


def test_the_kernel_fit_has_intervals():
    p = process(times=6)
    score = lambda x, t: p.score(x, t) + 0.1 * torch.tanh(x)  # noqa: E731
    fit = probes.jacobian(score, p).fit_kernel()
    reach = 2.262157 * fit.lengthscale_error
    assert fit.lengthscale_interval() == pytest.approx((fit.lengthscale - reach, fit.lengthscale + reach), rel=1e-6)
    assert fit.exponent_interval(0.5)[1] - fit.exponent == pytest.approx(0.702722 * fit.exponent_error, rel=1e-5)
