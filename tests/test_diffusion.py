"""Schedule and conversions: identities, round trips and refusals."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kronoscope import diffusion

TIMES = st.floats(1e-4, 12.0)
SEEDS = st.integers(0, 2**31)
KINDS = ("score", "epsilon", "denoised", "velocity")


def convert(kind, other, value, x, t):
    """From any prediction to any other, through the functions that exist."""
    if kind == other:
        return value
    direct = getattr(diffusion, f"{other}_from_{kind}", None)
    if direct is not None:
        return direct(value, x, t)
    epsilon = getattr(diffusion, f"epsilon_from_{kind}")(value, x, t)
    return getattr(diffusion, f"{other}_from_epsilon")(epsilon, x, t)


@given(t=st.floats(1e-12, 50.0))
def test_clock_is_minus_log_snr_and_inverts(t):
    u = float(diffusion.clock(t))
    assert u == pytest.approx(float(np.log(np.expm1(t))), rel=1e-13, abs=1e-13)
    assert float(diffusion.time_from_clock(u)) == pytest.approx(t, rel=1e-12)
    assert float(diffusion.log_snr(t)) == -u


@given(t=st.floats(0.0, 50.0))
def test_variance_is_preserved(t):
    assert float(diffusion.alpha(t) ** 2 + diffusion.sigma_squared(t)) == pytest.approx(1.0, abs=1e-15)
    assert float(diffusion.sigma_squared(t)) == pytest.approx(-math.expm1(-t), rel=1e-15)


def test_noising_composes_as_the_markov_process_does():
    """x_0 -> x_s -> x_t has the mean and the variance of x_0 -> x_t."""
    s, t = 0.3, 1.7
    assert float(diffusion.alpha(s) * diffusion.alpha(t - s)) == pytest.approx(float(diffusion.alpha(t)), rel=1e-15)
    two_steps = diffusion.alpha(t - s) ** 2 * diffusion.sigma_squared(s) + diffusion.sigma_squared(t - s)
    assert float(two_steps) == pytest.approx(float(diffusion.sigma_squared(t)), rel=1e-15)


def test_grid_is_uniform_on_the_clock():
    grid = diffusion.times_on_clock(1e-3, 8.0, 50)
    assert (float(grid[0]), float(grid[-1])) == (8.0, 1e-3)
    steps = diffusion.clock(grid).diff()
    torch.testing.assert_close(steps, steps.mean().expand(49), rtol=1e-11, atol=0)


@pytest.mark.parametrize(("kind", "other"), list(itertools.permutations(KINDS, 2)))
@given(t=TIMES, seed=SEEDS)
def test_conversions_are_round_trips(kind, other, t, seed):
    g = torch.Generator().manual_seed(seed)
    value, x = torch.randn(2, 2, 3, 2, dtype=torch.float64, generator=g)
    back = convert(other, kind, convert(kind, other, value, x, t), x, t)
    # the round-off of x/alpha or x/sigma comes back multiplied: sigma > 0.01 and alpha > 0.002 here
    torch.testing.assert_close(back, value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@given(t=TIMES, seed=SEEDS)
def test_conversions_know_what_was_mixed(kind, t, seed):
    """With x = alpha x_0 + sigma eps, every kind follows from (x_0, eps) by its definition."""
    g = torch.Generator().manual_seed(seed)
    data, epsilon = torch.randn(2, 2, 3, 2, dtype=torch.float64, generator=g)
    a, s = math.exp(-t / 2), math.sqrt(-math.expm1(-t))
    truth = {"score": -epsilon / s, "epsilon": epsilon, "denoised": data, "velocity": a * epsilon - s * data}
    x = diffusion.noise(data, torch.tensor(t, dtype=torch.float64), epsilon)
    for other in KINDS:
        torch.testing.assert_close(convert(kind, other, truth[kind], x, t), truth[other], rtol=1e-8, atol=1e-8)


def test_a_time_for_each_sequence():
    g = torch.Generator().manual_seed(0)
    value, x = torch.randn(2, 3, 4, 2, dtype=torch.float64, generator=g)
    times = torch.tensor([0.1, 1.0, 5.0])
    together = diffusion.score_from_velocity(value, x, times)
    alone = [diffusion.score_from_velocity(value[i : i + 1], x[i : i + 1], float(times[i])) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-7, atol=0)  # times are float32 here


@pytest.mark.parametrize("t", [0.0, -1.0, math.nan, math.inf, torch.ones(5)])
def test_conversions_refuse_bad_times(t):
    with pytest.raises(ValueError, match=r"^t must"):
        diffusion.score_from_epsilon(torch.ones(2, 3, 1), torch.ones(2, 3, 1), t)


@pytest.mark.parametrize(
    ("low", "high", "name"), [(1.0, 0.5, "min_time"), (0.0, 1.0, "min_time"), (0.1, math.nan, "max_time")]
)
def test_grid_refuses_bad_ends(low, high, name):
    with pytest.raises(ValueError, match=f"^{name}"):
        diffusion.times_on_clock(low, high, 5)


def test_affine_map_is_the_map():
    g = torch.Generator().manual_seed(1)
    matrix, offset = (
        torch.randn(6, 6, dtype=torch.float64, generator=g),
        torch.randn(6, dtype=torch.float64, generator=g),
    )
    got, shift = diffusion.affine_map(lambda x, t: (x.flatten(1) @ matrix.T + t * offset).view_as(x), 0.5, 3, 2)
    torch.testing.assert_close(got, matrix, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(shift, 0.5 * offset, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "score",
    [lambda x, t: x.abs(), lambda x, t: -x - 1e-4 * x**3, lambda x, t: -x / (1 + x.norm(dim=(1, 2), keepdim=True))],
)
def test_affine_map_refuses_what_is_not_affine(score):
    with pytest.raises(ValueError, match="score must be affine in x"):
        diffusion.affine_map(score, 0.5, 3, 2)


EXPONENTIAL = torch.exp(-(torch.arange(16.0)[:, None] - torch.arange(16.0)).abs().double() / 8)


def float32_score(mean, covariance, t=0.5):
    """-C_t^-1 (x - alpha mu) as one matrix product and one offset, all in float32, beside its float64 precision."""
    size = len(covariance)
    marginal = math.exp(-t) * covariance - math.expm1(-t) * torch.eye(size, dtype=torch.float64)
    precision = torch.linalg.inv(marginal)
    weight, bias = -precision.float(), math.exp(-t / 2) * mean * precision.sum(dim=1).float()
    return lambda x, t: (x.flatten(1) @ weight.T + bias).view_as(x), precision, marginal


@pytest.mark.parametrize(("mean", "worst"), [(0.0, 2e-6), (280.0, 2e-4), (1e4, 1e-2)])
def test_a_map_read_around_the_mean_keeps_float32_accuracy(mean, worst):
    """Its error under p_t, |(A + C^-1) C^1/2| / |C^-1/2|, is the round-off of one call at such inputs."""
    score, precision, marginal = float32_score(mean, EXPONENTIAL)
    root = torch.linalg.cholesky(marginal)
    center = torch.full((16,), math.exp(-0.25) * mean, dtype=torch.float64)
    read = diffusion.read_affine_map(score, 0.5, 16, 1, dtype=torch.float32, center=center, spread=root)
    scale = torch.linalg.solve_triangular(root, torch.eye(16, dtype=torch.float64), upper=False).norm()
    error = float(((read.matrix + precision) @ root).norm() / scale)
    assert error < worst
    assert error < 5 * read.round_off / float(scale) + 1e-6  # the error that the reading states covers the true one
    torch.testing.assert_close(read.value, (read.matrix @ read.center + read.offset), rtol=1e-6, atol=1e-6)
    for spread in (0.9, torch.full((16, 1), 0.9)):
        matrix, _ = diffusion.affine_map(score, 0.5, 16, 1, dtype=torch.float32, center=center, spread=spread)
        assert float(((matrix + precision) @ root).norm() / scale) < 10 * worst


def test_the_same_map_is_lost_when_read_around_zero():
    score, precision, marginal = float32_score(1e4, EXPONENTIAL)
    center = torch.full((16,), math.exp(-0.25) * 1e4, dtype=torch.float64)
    misses = []
    for options in ({}, {"center": center, "spread": torch.linalg.cholesky(marginal)}):
        matrix, offset = diffusion.affine_map(score, 0.5, 16, 1, dtype=torch.float32, **options)
        misses.append(float((matrix @ center + offset).norm() / precision.trace().sqrt()))
    assert misses[0] > 10 * misses[1]
    assert misses[1] < 1e-3


def test_round_off_is_not_called_nonlinear_but_a_bend_of_float32_is():
    noisy, precision, _ = float32_score(1e4, EXPONENTIAL)
    options = {"dtype": torch.float32, "center": torch.full((16,), math.exp(-0.25) * 1e4, dtype=torch.float64)}
    assert diffusion.read_affine_map(noisy, 0.5, 16, 1, **options).residual > 1e-4
    bend = float(precision.norm()) / 100
    with pytest.raises(ValueError, match="score must be affine in x"):
        diffusion.affine_map(lambda x, t: noisy(x, t) + bend * (x - x.mean()).tanh(), 0.5, 16, 1, **options)
    with pytest.raises(ValueError, match="score must be affine in x"):
        diffusion.affine_map(lambda x, t: -x + 0.1 * torch.randn_like(x), 0.5, 16, 1, dtype=torch.float32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"center": torch.zeros(5)}, "center must have 6 entries, one for each frame and feature, got 5"),
        ({"spread": 0.0}, "spread must be greater than 0"),
        ({"spread": torch.ones(4)}, "spread must be a number, 6 standard deviations or a matrix"),
        ({"spread": torch.tensor([1.0, 1, 1, 1, 1, -1])}, "spread must be greater than 0, got -1"),
    ],
)
def test_affine_map_refuses_bad_places(options, message):
    with pytest.raises(ValueError, match=message):
        diffusion.affine_map(lambda x, t: -x, 0.5, 3, 2, **options)


@pytest.mark.parametrize(
    ("score", "error", "message"),
    [
        (lambda x, t: x[:, :1], ValueError, r"shape of x, \(2, 3, 1\), got \(2, 1, 1\) at t = 0.5"),
        (lambda x, t: x * math.nan, ValueError, "6 of its 6 values are NaN"),
        (lambda x, t: x.numpy(), TypeError, "must return a tensor, got ndarray"),
    ],
)
def test_evaluate_refuses(score, error, message):
    with pytest.raises(error, match=message):
        diffusion.evaluate(score, torch.ones(2, 3, 1), 0.5)
