"""The heads rule finds the Kronecker rank of the covariance from held-out sequences alone."""

import pytest
import torch

import kronoscope as ks
from kronoscope import models
from kronoscope._errors import InputError
from kronoscope.kernels import PowerExponential
from kronoscope.processes import KroneckerSum

SETTINGS = {"max_steps": 1200, "validation": 0.25}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_one_head_is_chosen_for_a_separable_law():
    process = ks.GaussianSequence(PowerExponential(4.0), torch.tensor([[1.0, 0.5], [0.5, 1.0]]), times=8)
    settings = {**SETTINGS, "max_steps": 500}
    x = process.sample(800, generator=generator())
    found = models.choose_heads(x, (1, 2), **settings)
    assert found == models.choose_heads(x, (1, 2), **settings)
    assert found.heads == 1
    assert found.excess[1][0] <= found.excess[1][1]


def test_two_heads_are_chosen_for_a_sum_of_two_products():
    slow, fast = torch.tensor([[1.0, 0.6], [0.6, 1.0]]), torch.tensor([[1.0, -0.6], [-0.6, 1.0]])
    process = KroneckerSum([(PowerExponential(8.0), slow), (PowerExponential(1.0), fast)], times=8)
    x = process.sample(800, generator=generator())
    found = models.choose_heads(x, (1, 2, 3), **SETTINGS)
    assert found.heads == 2
    more, error = found.excess[1]
    assert more > 3 * error


def test_bad_input_is_named():
    x = torch.randn(50, 4, 2, generator=generator())
    with pytest.raises(InputError, match="candidates must be increasing"):
        models.choose_heads(x, (2, 1))
    with pytest.raises(InputError, match="candidates must be increasing"):
        models.choose_heads(x, ())
    with pytest.raises(InputError, match="leave heads out of network_options"):
        models.choose_heads(x, network_options={"heads": 2})


@pytest.mark.parametrize(
    ("means", "tried", "chosen"),
    [
        ([5.0, 3.0, 1.0, 2.0, 0.0], [1, 2, 3, 4], 3),  # 4 is worse by more than its standard error: the end
        ([5.0, 3.0, 1.0, 1.01, 1.02, 0.0], [1, 2, 3, 4, 5], 3),  # two that are no better, within theirs
        ([5.0, 3.0, 1.0, 1.01, 0.0, 2.0], [1, 2, 3, 4, 5, 6], 5),
        ([1.0, 0.99, 2.0], [1, 2, 3], 1),  # the smallest within one standard error of the best
    ],
)
def test_no_more_is_trained_than_the_rule_needs(means, tried, chosen, monkeypatch):
    """Held-out losses are given; 100 sequences whose differences have a standard error of about 0.1 between numbers."""
    noise = torch.randn(len(means), 100, generator=generator(), dtype=torch.float64) / 2**0.5
    noise -= noise.mean(dim=1, keepdim=True)
    asked = []

    def fit(x, network, network_options, **settings):
        asked.append(network_options["heads"])
        return network_options["heads"]

    monkeypatch.setattr(models.heads, "fit", fit)
    monkeypatch.setattr(models.heads, "_held_out", lambda heads, x, seed: means[heads - 1] + noise[heads - 1])
    found = models.choose_heads(torch.zeros(40_000, 2, 1), range(1, len(means) + 1))
    assert (asked, found.heads) == (tried, chosen)


@pytest.mark.parametrize(("n", "chosen"), [(40, 1), (4000, 2)])
def test_a_gain_that_the_training_draw_may_give_needs_no_head(n, chosen, monkeypatch):
    """A gain of 0.005 on every held-out sequence; q = 32 + 4 - 1 parameters may gain sqrt(70) / (1.6 n) by luck."""
    losses = torch.randn(100, generator=generator(), dtype=torch.float64)
    monkeypatch.setattr(models.heads, "fit", lambda x, network, network_options, **settings: network_options["heads"])
    monkeypatch.setattr(models.heads, "_held_out", lambda heads, x, seed: losses - 0.005 * min(heads - 1, 1))
    found = models.choose_heads(torch.zeros(n, 32, 2), (1, 2, 3))
    assert found.heads == chosen
    assert found.excess[1] == pytest.approx((0.005, 70**0.5 / (1.6 * n)))
