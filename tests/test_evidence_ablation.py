"""The study of ablation: correlations after a swap, hardly trained networks, invented results that turn each check."""

from dataclasses import replace

import pytest
import torch

from kronoscope import probes, sampling
from kronoscope.kernels import PowerExponential
from kronoscope.nn import UnrolledTransformer
from kronoscope.probes import Ablation, Damage
from kronoscope.processes import GaussianSequence
from kronoscope_evidence.inside import ablation
from kronoscope_evidence.inside.ablation_page import Ablated, Result, checks, page
from kronoscope_evidence.inside.networks import Training
from kronoscope_evidence.stages import quiet
from kronoscope_evidence.study import Run

SIGMA = torch.tensor([[1.0, 0.4], [0.4, 2.0]], dtype=torch.float64)
OWN, DONOR = (GaussianSequence(PowerExponential(scale), SIGMA, times=12) for scale in (6.0, 2.0))


@pytest.fixture(scope="module")
def networks():
    """They hold the two kernels, so that nothing but the swap is on trial."""
    return [UnrolledTransformer.from_law(law) for law in (OWN, DONOR)]


@pytest.fixture(scope="module")
def swap(networks):
    return ablation.swap_networks(*networks, DONOR, seed=0, count=4000)


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
    for generated, law in ((swap.generated_before, OWN), (swap.generated_after, DONOR)):
        off = (torch.tensor(generated.value, dtype=torch.float64) - exact_correlations(law)).abs()
        assert bool((off[1:] < 5 * torch.tensor(generated.error, dtype=torch.float64)[1:] + 2e-3).all())
        assert 0 < generated.gap[1] < 0.02
    assert swap.generated_after.gap[0] < 0.04
    assert swap.generated_before.gap[0] > 0.3


def damages(kind):
    size = {"trained": 1.0, "white": 0.01}[kind]
    heads = tuple(
        Damage(path, 0, head, size / (1 + head), 0.05 * size) for path in ("linear", "softmax") for head in (0, 1)
    )
    return Ablation(0.5, 0.01, heads)


def result_of(swap, trained=None):
    cases = {(kind, patch): damages(kind) for kind in ("trained", "white") for patch in ("zero", "mean")}
    cases["trained", "zero"] = trained or damages("trained")
    return Result(tuple(Ablated(*case, ablation) for case, ablation in cases.items()), (swap,), 64, 4000)


def holds(swap, trained=None):
    """Of the worst head, the largest softmax head, the Jacobian and the generated sequences."""
    return [check.holds for check in checks(result_of(swap, trained))]


def test_every_check_holds_where_the_claim_does(swap):
    assert holds(swap) == [True, None, True, True]
    worst, softmax, jacobian, generated = checks(result_of(swap))
    assert worst.value == pytest.approx(1 / 0.0075)  # the median of 0.01 and 0.005, in both paths
    assert softmax.value == 1.0
    assert (jacobian.value, generated.value) == (swap.gap, swap.generated_after.gap[0])


def test_generated_sequences_that_did_not_move_turn_the_check(swap):
    assert holds(replace(swap, generated_after=swap.generated_before))[3] is False
    assert holds(replace(swap, generated_before=swap.generated_after))[3] is False  # a null as near as that
    unsure = replace(swap.generated_after, error=(0.0,) + (0.05,) * ablation.MAX_LAG)
    assert holds(replace(swap, generated_after=unsure))[3] is False


def test_a_jacobian_that_did_not_move_or_a_sigma_that_did_turns_the_check(swap):
    assert holds(replace(swap, after=swap.before))[2] is False
    assert holds(replace(swap, before=swap.after))[2] is False
    assert holds(replace(swap, spatial_gap=0.2))[2] is False


def test_a_worst_head_within_its_error_of_ten_nulls_turns_the_check(swap):
    whole = damages("trained")
    for change in ({"nats": 0.05}, {"standard_error": 1.0}):
        heads = tuple(replace(head, **change) for head in whole.damages)
        assert holds(swap, replace(whole, damages=heads))[0] is False


def test_every_head_is_ablated_and_kernels_are_swapped(networks, tmp_path, monkeypatch):
    monkeypatch.setattr(ablation.probes.ablation, "NODES", 2)
    monkeypatch.setattr(ablation, "learnt_networks", lambda *a: networks)  # in place of two trainings
    monkeypatch.setattr(ablation, "donor_process", short_donor)
    size = ablation.Size(2, 8, 400, Training(100, {"dit": 3}, held_out_draws=1))
    result = ablation.measure(Run(size, 0, quiet, tmp_path / "store"))
    assert [len(case.damages) for case in result.cases] == [32] * 4
    compiled, learnt = result.swaps
    assert compiled.gap < 1e-3
    assert compiled.gap_before > 0.2
    assert compiled.spatial_gap < 1e-6
    assert learnt.generated_before.gap[0] > 0.2
    table = page(result).sections[1].blocks[1]
    assert (table.rows[1][4].value, table.rows[1][4].standard_error) == learnt.generated_after.gap
    assert {path.name for path in (tmp_path / "store").iterdir()} == {"dit-trained", "dit-white"}


def short_donor(frames=12):
    return GaussianSequence(PowerExponential(2.0), SIGMA, times=frames)
