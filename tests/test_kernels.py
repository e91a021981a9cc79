"""Contract of every kernel: a symmetric covariance with the decay that it states, equal to other software's."""

import math
import re
from dataclasses import fields

import gpytorch
import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import Polynomial
from statsmodels.tsa.arima_process import arma_acovf

import kronoscope.kernels as kernels
from kronoscope.kernels import (
    Cauchy,
    CircularPowerExponential,
    Constant,
    Cosine,
    FractionalGaussianNoise,
    Kernel,
    Matern,
    Periodic,
    PowerExponential,
    Product,
    RationalQuadratic,
    Scaled,
    StationaryKernel,
    Sum,
    Wendland,
    White,
)

CASES = [
    PowerExponential(8.0, 1.0),
    PowerExponential(4.0, 2.0),
    PowerExponential(3.0, 0.5),
    PowerExponential(3.0, 1.5),
    *[Matern(5.0, nu) for nu in (0.3, 0.5, 1.0, 1.5, 2.5, 3.7, 29.0, 31.0, 1e6)],
    RationalQuadratic(3.0, 0.4),
    RationalQuadratic(3.0, 2.0),
    Cauchy(2.0, 1.0, 0.3),
    Cauchy(2.0, 2.0, 2.5),
    *[FractionalGaussianNoise(hurst) for hurst in (0.2, 0.5, 0.8, 0.98)],
    FractionalGaussianNoise(0.7, step=2.5),
    Periodic(0.8, 24.0),
    *[CircularPowerExponential(3.0, nu, 31.0) for nu in (0.7, 1.0, 2.0)],
    Cosine(7.0),
    *[Wendland(6.0, k) for k in (0, 1, 2)],
    White(),
    Constant(),
    Sum(PowerExponential(3.0), Cosine(7.0)),
    Product(Matern(5.0, 1.5), Periodic(0.8, 24.0)),
    Scaled(Cauchy(2.0), 2.5),
]
REGULAR = torch.arange(48, dtype=torch.float64)
IRREGULAR = 60 * torch.rand(48, generator=torch.Generator().manual_seed(3), dtype=torch.float64).sort().values
ABSTRACT = {Kernel, StationaryKernel}


def lags(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_every_kernel_class_is_in_the_table():
    public = {value for name in kernels.__all__ if isinstance(value := getattr(kernels, name), type)}
    classes = {value for value in public if issubclass(value, Kernel)} - ABSTRACT
    assert classes == {type(case) for case in CASES}


@pytest.mark.parametrize("kernel", CASES, ids=repr)
@pytest.mark.parametrize("times", [REGULAR, IRREGULAR], ids=["regular", "irregular"])
def test_it_is_a_covariance(kernel, times):
    gamma = kernel.covariance(times)
    assert gamma.dtype == torch.float64
    assert torch.equal(gamma, gamma.mT)
    eigenvalues = torch.linalg.eigvalsh(gamma)
    assert eigenvalues[0] >= -1e-10 * eigenvalues[-1]


@pytest.mark.parametrize("kernel", CASES, ids=repr)
def test_it_is_one_at_lag_zero_and_stationary(kernel):
    at_zero = {Sum: 2.0, Scaled: 2.5}.get(type(kernel), 1.0)
    assert float(kernel.at_lag(0.0)) == at_zero
    assert kernel.is_stationary
    torch.testing.assert_close(
        kernel.at_lag(IRREGULAR), kernel(IRREGULAR + 1000.0, lags(1000.0)), rtol=1e-10, atol=1e-12
    )
    assert bool((kernel.at_lag(lags(1e-9, 0.3, 50.0, 1e3, 1e6, 1e12)).abs() <= at_zero).all())


@pytest.mark.parametrize("kernel", [k for k in CASES if k.decay.kind == "polynomial"], ids=repr)
def test_polynomial_decay_has_the_rate_that_it_states(kernel):
    near, far = kernel.at_lag(lags(1e6, 1e8)).abs().log().tolist()
    assert (near - far) / math.log(100) == pytest.approx(kernel.decay.rate, rel=2e-3)


EXPONENTIAL_FAMILY = ("stretched-exponential", "exponential", "super-exponential", "gaussian")


def has_tail(kernel):
    """Whether its exponential tail lies above the smallest float64, which that of a very smooth Matern does not."""
    return not (isinstance(kernel, Matern) and kernel.smoothness > 1e5)


@pytest.mark.parametrize(
    "kernel",
    [k for k in CASES if k.decay.kind in EXPONENTIAL_FAMILY and type(k) is not Product and has_tail(k)],
    ids=repr,
)
def test_exponential_decay_has_the_rate_and_the_scale_that_it_states(kernel):
    nu, scale = kernel.decay.rate, kernel.decay.scale
    reach = scale * lags(300.0, 600.0) ** (1 / nu)
    measured = -kernel.at_lag(reach).log().diff() / (reach / scale).pow(nu).diff()
    assert float(measured) == pytest.approx(1.0, abs=0.08)  # the power of h before a Matern's exponential
    assert (kernel.decay.kind == "exponential") == (nu == 1)


@pytest.mark.parametrize("kernel", [k for k in CASES if k.decay.kind in ("compact", "white", "none")], ids=repr)
def test_the_other_decays_are_what_they_state(kernel):
    far = torch.linspace(1e4, 2e4, 20_001, dtype=torch.float64)
    if kernel.decay.kind == "none":
        assert float(kernel.at_lag(far).abs().max()) > 0.9
        return
    edge = kernel.decay.scale
    assert float(kernel.at_lag(edge * (1 + 1e-12) + 1e-12)) == pytest.approx(0.0, abs=1e-11)
    assert bool((kernel.at_lag(far) == 0).all())
    assert float(kernel.at_lag(0.9 * edge)) > 0


def test_the_sum_decays_as_the_slower_and_the_product_as_the_faster():
    order = [
        Constant(),
        Cauchy(2.0, decay_exponent=0.3),
        RationalQuadratic(1.0, 2.0),
        PowerExponential(3.0, 0.5),
        PowerExponential(8.0),
        PowerExponential(1.0),
        PowerExponential(3.0, 1.5),
        PowerExponential(100.0, 2.0),
        Wendland(50.0),
        Wendland(5.0),
        White(),
    ]
    for i, slow in enumerate(order):
        for fast in order[i:]:
            for k1, k2 in ((slow, fast), (fast, slow)):
                assert (k1 + k2).decay == slow.decay
                assert (k1 * k2).decay == fast.decay


def gpytorch_values(kernel, distance, **settings):
    kernel = kernel.double()
    for name, value in settings.items():
        setattr(kernel, name, torch.tensor(value, dtype=torch.float64))
    with torch.no_grad():
        return kernel(distance[:, None], torch.zeros(1, 1, dtype=torch.float64)).to_dense()[:, 0]


gk = gpytorch.kernels


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (Matern(3.0, 0.5), gk.MaternKernel(nu=0.5), {"lengthscale": 3.0}),
        (Matern(3.0, 1.5), gk.MaternKernel(nu=1.5), {"lengthscale": 3.0}),
        (Matern(3.0, 2.5), gk.MaternKernel(nu=2.5), {"lengthscale": 3.0}),
        (PowerExponential(3.0, 2.0), gk.RBFKernel(), {"lengthscale": 3.0 / math.sqrt(2)}),
        (RationalQuadratic(3.0, 0.7), gk.RQKernel(), {"lengthscale": 3.0, "alpha": 0.7}),
        (Periodic(0.8, 24.0), gk.PeriodicKernel(), {"lengthscale": 0.64, "period_length": 24.0}),
        (Cosine(7.0), gk.CosineKernel(), {"period_length": 3.5}),
        (Wendland(9.0, 0), gk.PiecewisePolynomialKernel(q=0, ard_num_dims=1), {"lengthscale": 9.0}),
        (Wendland(9.0, 1), gk.PiecewisePolynomialKernel(q=1, ard_num_dims=1), {"lengthscale": 9.0}),
    ],
    ids=lambda value: repr(value) if isinstance(value, Kernel) else None,
)
def test_equal_to_gpytorch(ours, theirs, settings):
    expected = gpytorch_values(theirs, IRREGULAR, **settings)
    torch.testing.assert_close(ours.at_lag(IRREGULAR), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_wendland_is_what_its_construction_gives(k):
    # k times phi(r) <- int_r^1 s phi(s) ds, from (1 - r)^(k + 1). (gpytorch 1.15 has j + 4j for j^2 + 4j at k = 2.)
    phi = Polynomial([1.0, -1.0]) ** (k + 1)
    for _ in range(k):
        antiderivative = (Polynomial([0.0, 1.0]) * phi).integ()
        phi = antiderivative(1.0) - antiderivative
    r = np.linspace(0, 1, 30)
    np.testing.assert_allclose(Wendland(9.0, k).at_lag(torch.tensor(9.0 * r)).numpy(), phi(r) / phi(0), atol=1e-14)


def test_the_exponential_kernel_is_the_covariance_of_an_autoregression():
    rho = math.exp(-1 / 8)
    expected = arma_acovf([1, -rho], [1], nobs=30) * (1 - rho**2)
    np.testing.assert_allclose(PowerExponential(8.0).at_lag(torch.arange(30.0)).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("nu", [0.01, 0.3, 1.0, 2.0, 7.3, 29.9, 30.0, 45.0, 200.0, 1e4])
def test_matern_equals_arbitrary_precision(nu):
    for h in (1e-300, 1e-12, 1e-3, 0.1, 1.0, 3.0, 10.0, 30.0, 1e4, 1e300):
        with mpmath.workdps(60):
            order = mpmath.mpf(nu)
            r = mpmath.sqrt(2 * order) * mpmath.mpf(h)
            if r > 10_000:
                expected = 0.0
            else:
                expected = float(
                    mpmath.mpf(2) ** (1 - order) / mpmath.gamma(order) * r**order * mpmath.besselk(order, r)
                )
        assert float(Matern(1.0, nu).at_lag(h)) == pytest.approx(expected, rel=2e-12, abs=1e-300), h


def test_matern_tends_to_the_squared_exponential():
    h = lags(0.0, 0.5, 1.0, 3.0)
    torch.testing.assert_close(Matern(1.0, 1e12).at_lag(h), torch.exp(-(h**2) / 2), rtol=1e-10, atol=0.0)


@pytest.mark.parametrize("hurst", [0.05, 0.5, 0.8, 0.98])
def test_fractional_gaussian_noise_is_the_increment_of_fractional_brownian_motion(hurst):
    def motion(a, b):
        power = 2 * mpmath.mpf(hurst)
        return (abs(a) ** power + abs(b) ** power - abs(a - b) ** power) / 2

    for x in (0.0, 0.4, 1.0, 3.0, 7.99, 8.01, 1e3, 1e9):
        with mpmath.workdps(60):
            h, zero, one = mpmath.mpf(x), mpmath.mpf(0), mpmath.mpf(1)
            expected = motion(h + 1, one) - motion(h + 1, zero) - motion(h, one) + motion(h, zero)
        value = float(FractionalGaussianNoise(hurst, step=2.5).at_lag(2.5 * x))
        assert value == pytest.approx(float(expected), rel=1e-11, abs=1e-15), x


def test_the_circular_kernel_is_that_of_chords_between_points_on_a_circle():
    period, angles = 31.0, torch.arange(16, dtype=torch.float64) * (2 * math.pi / 31.0)
    points = period / (2 * math.pi) * torch.stack([angles.sin(), angles.cos()], dim=1)
    chords = (points[:, None] - points[None]).norm(dim=-1)
    for nu in (0.7, 1.0, 2.0):
        gamma = CircularPowerExponential(3.0, nu, period).covariance(torch.arange(16, dtype=torch.float64))
        torch.testing.assert_close(gamma, torch.exp(-((chords / 3.0) ** nu)), rtol=1e-12, atol=1e-14)


def test_far_lags_keep_their_phase():
    assert float(Cosine(24.0).at_lag(24.0 * 2**40)) == 1.0
    assert float(Periodic(1.0, 24.0).at_lag(24.0 * 2**40 + 12)) == pytest.approx(math.exp(-2), rel=1e-14)


BAD = {
    "lengthscale": [0.0, -1.0, math.nan, math.inf],
    "exponent": [0.0, 2.1, math.nan],
    "smoothness": [-1.0, math.nan],
    "mixture": [0.0, math.inf],
    "decay_exponent": [0.0, -1.0],
    "hurst": [0.0, 1.0, math.nan],
    "step": [0.0, math.nan],
    "period": [0.0, -3.0, math.nan],
    "factor": [0.0, -1.0, math.inf],
}
REFUSALS = [
    (case, field.name, bad)
    for case in {type(case): case for case in CASES}.values()
    for field in fields(case)
    if field.name in BAD
    for bad in BAD[field.name]
]


@pytest.mark.parametrize(("kernel", "name", "bad"), REFUSALS)
def test_bad_arguments_are_refused_by_name(kernel, name, bad):
    arguments = {field.name: getattr(kernel, field.name) for field in fields(kernel)} | {name: bad}
    with pytest.raises(ValueError, match=rf"^{name} must be"):
        type(kernel)(**arguments)


def test_every_number_among_the_arguments_has_refusals():
    parts = {"first", "second", "kernel"}
    assert {field.name for case in CASES for field in fields(case)} - parts == set(BAD)


@pytest.mark.parametrize("smoothness", [1.5, 3, -1, True, [1], None, "1"])
def test_wendland_refuses_a_smoothness_that_it_has_not(smoothness):
    with pytest.raises(ValueError, match=re.escape(f"smoothness must be 0, 1 or 2, got {smoothness!r}")):
        Wendland(1.0, smoothness)


def test_matern_refuses_smoothness_zero():
    with pytest.raises(ValueError, match="smoothness must be greater than 0"):
        Matern(1.0, 0.0)


positive = st.floats(0.05, 20.0)
simple = st.one_of(
    st.builds(PowerExponential, positive, st.floats(0.1, 2.0)),
    st.builds(Matern, positive, st.floats(0.1, 50.0)),
    st.builds(Cauchy, positive, st.floats(0.1, 2.0), positive),
    st.builds(FractionalGaussianNoise, st.floats(0.05, 0.95), positive),
    st.builds(Periodic, st.floats(0.3, 3.0), positive),
    st.builds(Cosine, positive),
    st.builds(Wendland, positive, st.sampled_from([0, 1, 2])),
    st.just(White()),
)
composed = st.recursive(
    simple,
    lambda k: st.one_of(st.builds(Sum, k, k), st.builds(Product, k, k), st.builds(Scaled, k, positive)),
    max_leaves=4,
)


@settings(max_examples=40, deadline=None)
@given(composed, composed, positive)
def test_the_algebra_is_that_of_functions(k1, k2, factor):
    h = IRREGULAR[:12]
    torch.testing.assert_close((k1 + k2).covariance(h), k1.covariance(h) + k2.covariance(h), rtol=0, atol=0)
    torch.testing.assert_close((k1 * k2).covariance(h), k1.covariance(h) * k2.covariance(h), rtol=0, atol=0)
    torch.testing.assert_close((factor * k1).covariance(h), factor * k1.covariance(h), rtol=0, atol=0)
    assert k1 * factor == factor * k1
    eigenvalues = torch.linalg.eigvalsh((k1 * k2 + factor * k1).covariance(h))
    assert eigenvalues[0] >= -1e-10 * eigenvalues[-1]


def test_what_is_no_kernel_does_not_combine():
    with pytest.raises(TypeError):
        Constant() + 1
    with pytest.raises(TypeError):
        Constant() * "2"
