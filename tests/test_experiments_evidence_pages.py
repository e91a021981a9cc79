"""The pages of attention and ablation in their quick form, with networks that are hardly trained."""

import json

import pytest
import torch

from kronoscope.kernels import PowerExponential
from kronoscope.nn import UnrolledTransformer
from kronoscope.processes import GaussianSequence
from kronoscope_evidence import reproductions, yardstick_networks
from kronoscope_evidence.inside import ablation, attention


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """A folder of networks after three steps of training, for all pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yardstick_networks, "QUICK_STEPS", {"dit": 3, "position": 3, "unrolled": 60})
        patch.setattr(yardstick_networks, "QUICK_N", 100)
        yield tmp_path_factory.mktemp("networks")


def reproduced(name, networks, tmp_path, monkeypatch):
    module = {"attention": attention, "ablation": ablation}[name]
    trained = yardstick_networks.network
    monkeypatch.setattr(
        module, "network", lambda *a, **k: trained(*a, **(k | {"folder": networks, "held_out_draws": 1}))
    )
    page = reproductions.reproduce(name, tmp_path / "out", quick=True)
    return json.loads((tmp_path / "out" / "results.json").read_text()), page.read_text()


def test_attention_is_ranked_among_untrained_networks(networks, tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "TIMES", (0.05, attention.TIME))
    told, page = reproduced("attention", networks, tmp_path, monkeypatch)
    assert told["compiled_gamma_gap"] < 1e-6
    by = {(one["name"], one["kind"]): one for one in told["readings"] if one["t"] == attention.TIME}
    assert len(told["readings"]) == 2 * len(by)  # every network at both noise levels
    assert set(by) >= {(name, "white") for name in ("unrolled", "position", "dit linear", "dit softmax")}
    assert by["unrolled", "trained"]["p_value"] is None
    for name in ("position", "dit softmax"):  # of 39 and the one itself; untrained ones are no exception
        assert 1 / 40 <= by[name, "untrained"]["p_value"] <= by[name, "untrained"]["family_p_value"]
        assert by[name, "untrained"]["family_p_value"] > 0.05
    for one in told["readings"]:  # Gamma is a function of the lag: beyond a head's own lag means nothing is left
        assert max(abs(rest) for rest in one["left"]) < 1e-9
    assert by["unrolled", "trained"]["by_lag"] == pytest.approx([1.0])  # by its architecture
    assert by["unrolled", "trained"]["lag_means"] == pytest.approx(by["unrolled", "trained"]["correlation"])
    assert "The claim would be refuted" in page


def test_ablation_shows_every_head_and_the_swap_of_kernels(networks, tmp_path, monkeypatch):
    ablate = ablation.probes.ablate
    monkeypatch.setattr(ablation.probes, "ablate", lambda *a, **k: ablate(*a, **(k | {"num_samples": 2})))
    monkeypatch.setattr(ablation.probes.ablation, "NODES", 2)
    laws = [GaussianSequence(PowerExponential(scale), torch.eye(2).double(), times=12) for scale in (6.0, 2.0)]
    pair = [UnrolledTransformer.from_law(law) for law in laws]  # in place of two trainings
    monkeypatch.setattr(ablation, "swap_learnt", lambda *a: ablation.swap_networks(*pair, laws[1], 0, 400))
    told, page = reproduced("ablation", networks, tmp_path, monkeypatch)
    assert len(told["ablations"]) == 4
    assert all(len(one["heads"]) == 32 for one in told["ablations"])
    compiled = told["swaps"][0]
    assert max(abs(a - b) for a, b in zip(compiled["after"], compiled["target"])) < 1e-3
    assert max(abs(a - b) for a, b in zip(compiled["before"], compiled["target"])) > 0.2
    assert compiled["spatial_gap"] < 1e-6
    learnt = told["swaps"][1]
    assert f"{learnt['generated_after']['gap']:.3f} ± {learnt['generated_after']['gap_standard_error']:.3f}" in page
    assert learnt["generated_before"]["gap"] > 0.2
    assert "would have been refuted" in page
