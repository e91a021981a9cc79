"""The page of ablation: generated correlations after a swap, and a verdict that invented results can turn."""

from dataclasses import replace

import pytest
import torch

from kronoscope import probes, sampling
from kronoscope.kernels import PowerExponential
from kronoscope.nn import UnrolledTransformer
from kronoscope.probes import Ablation, Damage
from kronoscope.processes import GaussianSequence
from kronoscope_evidence.inside import ablation, ablation_page

SIGMA = torch.tensor([[1.0, 0.4], [0.4, 2.0]], dtype=torch.float64)
OWN, DONOR = (GaussianSequence(PowerExponential(scale), SIGMA, times=12) for scale in (6.0, 2.0))


@pytest.fixture(scope="module")
def networks():
    """They hold the two kernels, so that nothing but the swap is on trial."""
    return [UnrolledTransformer.from_law(law) for law in (OWN, DONOR)]


@pytest.fixture(scope="module")
def swap(networks):
    return ablation.swap_networks(*networks, DONOR, seed=0)


def exact_correlations(law):
    """What 400 calls of the sampler generate with the exact score, in closed form: tr C(lag) / tr C(0)."""
    table = sampling.dpm_solver(400)
    covariance = sampling.law(table, law.score, 12, 2).covariance().reshape(12, 2, 12, 2)
    traces = torch.einsum("iaja->ij", covariance)
    means = torch.stack([traces.diagonal(lag).mean() for lag in range(ablation.MAX_LAG + 1)])
    return means / means[0]


def test_theory_of_generated_correlations_is_that_of_the_noised_law(networks, swap):
    # Of K + noise, from the weights themselves; Gamma and Sigma share a scale that the swap leaves free.
    covariance = probes.swap_kernel(*networks).heads.covariance().detach()
    t = torch.tensor(0.01, dtype=torch.float64)
    marginal = torch.exp(-t) * covariance + (1 - torch.exp(-t)) * torch.eye(24, dtype=torch.float64)
    traces = torch.einsum("iaja->ij", marginal.reshape(12, 2, 12, 2))
    means = torch.stack([traces.diagonal(lag).mean() for lag in range(ablation.MAX_LAG + 1)])
    target = torch.tensor(swap.generated_after.target, dtype=torch.float64)
    torch.testing.assert_close(target, means / means[0], rtol=0, atol=1e-3)  # the networks hold their kernels to 1e-4
    assert float((target - torch.tensor(swap.target, dtype=torch.float64)).abs().max()) > 4e-3  # without the noise
    # the target knows no sampler: starting from white noise at t = 6 leaves an error, and the free scale another
    assert float((target - exact_correlations(DONOR)).abs().max()) < 6e-3


def test_generated_sequences_follow_the_swapped_kernel(swap):
    # 5 standard errors at 8 lags: one in 200 000
    for found, law in ((swap.generated_before, OWN), (swap.generated_after, DONOR)):
        off = (torch.tensor(found.value, dtype=torch.float64) - exact_correlations(law)).abs()
        assert bool((off[1:] < 5 * torch.tensor(found.error, dtype=torch.float64)[1:] + 2e-3).all())
        assert 0 < found.gap[1] < 0.02
    assert swap.generated_after.gap[0] < 0.04
    assert swap.generated_before.gap[0] > 0.3


def damages(kind):
    size = {"trained": 1.0, "white": 0.01}[kind]
    heads = tuple(
        Damage(path, 0, head, size / (1 + head), 0.05 * size) for path in ("linear", "softmax") for head in (0, 1)
    )
    return Ablation(0.5, 0.01, heads)


def told(swap, trained=None):
    """Standings of the page's numbers, by the word that their label is known by."""
    found = {(kind, patch): damages(kind) for kind in ("trained", "white") for patch in ("zero", "mean")}
    found["trained", "zero"] = trained or damages("trained")
    page = ablation_page.page(ablation.AblationResult(found, [swap], 64), quick=False)
    words = ("worst head", "believed", "generated")
    return {word: one.standing for one in page.verdict.numbers for word in words if one.label.startswith(word)}


def test_the_verdict_is_good_where_all_holds(swap):
    assert told(swap) == {"worst head": "good", "believed": "good", "generated": "good"}


def test_generated_sequences_that_did_not_move_turn_the_verdict(swap):
    assert told(replace(swap, generated_after=swap.generated_before))["generated"] == "bad"
    assert told(replace(swap, generated_before=swap.generated_after))["generated"] == "bad"  # a null as near as that
    unsure = replace(swap.generated_after, error=[0.0] + [0.05] * ablation.MAX_LAG)
    assert told(replace(swap, generated_after=unsure))["generated"] == "bad"


def test_a_belief_that_did_not_move_or_a_sigma_that_did_turns_the_verdict(swap):
    assert told(replace(swap, after=swap.before))["believed"] == "bad"
    assert told(replace(swap, before=swap.after))["believed"] == "bad"
    assert told(replace(swap, spatial_gap=0.2))["believed"] == "bad"


def test_a_worst_head_within_its_error_of_ten_nulls_turns_the_verdict(swap):
    whole = damages("trained")
    for change in ({"nats": 0.05}, {"standard_error": 1.0}):
        heads = tuple(replace(one, **change) for one in whole.damages)
        assert told(swap, replace(whole, damages=heads))["worst head"] == "bad"
