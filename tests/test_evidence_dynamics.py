"""The study of learning by mode: curves whose answer is known, a tiny run, invented results that turn each check."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch

from kronoscope import diffusion
from kronoscope_evidence.inside import dynamics
from kronoscope_evidence.inside.dynamics_page import ALL, checks, page
from kronoscope_evidence.learning.jobs import truth
from kronoscope_evidence.stages import quiet
from kronoscope_evidence.study import Run

PROCESS = truth("PowerExponential(8.0)", 8, 2)


class Known(torch.nn.Module):
    """Epsilon of a score that is ``share`` of the exact one."""

    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, x, t):
        score = self.share * PROCESS.score(x.double(), float(t[0]))
        return (-(diffusion.sigma_squared(t[0].double()) ** 0.5) * score).float()


def test_error_by_mode_is_that_of_a_scaled_score():
    # s = a s*: E(u's - u's*)^2 / E(u's*)^2 = (1 - a)^2 in every mode; 256 sequences: a share of 256 has spread 9 %.
    look = dynamics.watch(PROCESS)
    assert look(Known(1.0)).max() < 1e-8
    got = look(Known(0.5))
    assert got.shape == (8, 2)
    assert ((got / 0.25 - 1).abs() < 5 * math.sqrt(2 / dynamics.SEQUENCES)).all()


def test_variances_of_the_modes_are_the_eigenvalues_of_the_noised_covariance():
    alpha, noise = diffusion.alpha(dynamics.TIME), diffusion.sigma_squared(dynamics.TIME)
    full = float(alpha) ** 2 * PROCESS.covariance() + float(noise) * torch.eye(16, dtype=torch.float64)
    got = dynamics.mode_variances(PROCESS).flatten().sort().values
    torch.testing.assert_close(got, torch.linalg.eigvalsh(full), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("power", "sign"), [(1.0, -1), (-1.0, 1)])
def test_order_of_exponential_curves_is_that_of_their_rates(power, sign):
    # exp(-rate step) with the rate a power of the variance: monotone, so Spearman's correlation is -1 or 1 but for ties
    steps = list(range(400))
    variance = np.geomspace(1.1, 9, 16).reshape(8, 2)
    curves = np.exp(-np.array(steps)[:, None, None] * 0.03 * variance**power)
    result = dynamics.order(curves, steps, variance, 0.5, 0)
    expected = scipy.stats.spearmanr(np.ceil(math.log(2) / (0.03 * variance**power)).ravel(), variance.ravel())
    assert result.correlation == pytest.approx(expected.statistic, abs=1e-12)
    assert result.correlation * sign > 0.95
    assert (result.p_value < 0.001) == (sign < 0)


def test_modes_without_order_have_uniform_p_values():
    # 100 draws of unordered steps; Kolmogorov-Smirnov at 1 %.
    rng = np.random.default_rng(0)
    steps, variance = list(range(0, 200, 2)), np.geomspace(1.1, 9, 16).reshape(8, 2)
    values = []
    for _ in range(100):
        rates = rng.uniform(0.02, 0.5, size=(8, 2))
        curves = np.exp(-np.array(steps)[:, None, None] * rates)
        values.append(dynamics.order(curves, steps, variance, 0.5, int(rng.integers(1000))).p_value)
    assert scipy.stats.kstest(values, "uniform").pvalue > 0.01


def test_a_mode_counts_from_where_it_stays_learnt_and_last_where_it_never_is():
    steps, variance = [0, 10, 20, 30], np.array([[4.0, 3.0, 2.0]])
    curves = np.array([[[1, 1, 1]], [[0.1, 0.1, 1]], [[0.1, 0.9, 1]], [[0.1, 0.1, 1]]])
    result = dynamics.order(curves, steps, variance, 0.5, 0)
    assert result.steps == (10, 30, 40)
    assert result.reached == (True, True, False)


@pytest.fixture(scope="module")
def tiny():
    size = dynamics.Size(40, 2, {"max_steps": 4, "evaluate_every": 2, "held_out_draws": 16})
    return dynamics.measure(Run(size, 0, quiet))


def test_a_tiny_run_looks_at_every_mode_before_and_during_training(tiny):
    assert tiny.steps == (0, 2, 4)
    assert np.shape(tiny.errors) == (3, 32, 4)
    assert np.shape(tiny.variance) == (32, 4)
    assert [len(order.by_seed) for order in tiny.orders] == [2, 2, 0, 0, 0, 0]
    whole, large, small = (len(tiny.among(group)[0].steps) for group in dynamics.GROUPS)
    assert whole == large + small
    assert dict(page(tiny).facts)["trained on"] == "40 sequences, 4 steps, 2 seeds"


def test_only_correlations_below_the_permuted_ones_hold(tiny):
    def holds(correlation):
        orders = [replace(order, correlation=correlation, null=(-0.2, 0.2)) for order in tiny.orders]
        return [check.holds for check in checks(replace(tiny, orders=tuple(orders)))]

    assert holds(-0.3) == [True, True, None, None]
    assert holds(-0.1) == [False, False, None, None]
    assert holds(0.3) == [False, False, None, None]
    first = [replace(order, correlation=-0.3, null=(-0.2, 0.2)) for order in tiny.orders]
    first[1] = replace(first[1], correlation=0.0)
    assert first[1].among == ALL
    assert [check.holds for check in checks(replace(tiny, orders=tuple(first)))] == [True, False, None, None]
