"""The page of the Jacobian: its numbers are the records', and invented results turn its verdict."""

import json
from dataclasses import replace

import pytest
import torch

from kronoscope import experiments
from kronoscope.experiments import jacobian, jacobian_page, yardstick_networks
from kronoscope.report import from_json


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """The page, its records and results with networks after three steps of training, read at two sequences."""
    out = tmp_path_factory.mktemp("jacobian")
    trained, read = yardstick_networks.network, jacobian.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yardstick_networks, "QUICK_STEPS", {"dit": 3})
        patch.setattr(yardstick_networks, "QUICK_N", 100)
        patch.setattr(jacobian, "TIMES", (0.1, 0.2))
        patch.setattr(jacobian, "network", lambda *a, **k: trained(*a, **(k | {"held_out_draws": 1})))
        patch.setattr(jacobian, "read", lambda kind, score, law, t, count, *rest: read(kind, score, law, t, 2, *rest))
        page = experiments.reproduce("jacobian", out / "page", quick=True)
    results = json.loads((out / "page" / "results.json").read_text())
    return page.read_text(), from_json((out / "page" / "report.json").read_text()), results


def row(results, kind, t=jacobian.TIME):
    return next(one for one in results["readings"] if (one["score"], one["t"]) == (kind, t))


def test_the_exact_score_is_read_exactly(reproduced):
    # exp(-h/8) is a powered exponential: all that is fitted and read is the truth, but for round-off
    _, _, results = reproduced
    assert results["exact_score_entry_gap"] < 1e-8
    for t in (0.1, 0.2):
        exact = row(results, "exact", t)
        assert exact["gamma"] == pytest.approx([2.718281828459045 ** (-h / 8) for h in range(17)], abs=1e-8)
        for name in ("largest_gap", "spatial_largest_gap", "relative_error"):
            assert exact[name] < 1e-8
        assert exact["lengthscale"][0] == pytest.approx(8.0, abs=1e-6)
        assert exact["exponent"][0] == pytest.approx(1.0, abs=1e-6)


def test_numbers_of_the_page_are_the_records(reproduced):
    html, page, results = reproduced
    trained, white = row(results, "trained"), row(results, "white")
    shown = {one.label: one for one in page.verdict.numbers}
    gamma = shown["largest error of gamma, lags 0 to 16"]
    truth = torch.exp(-torch.arange(17.0, dtype=torch.float64) / 8)
    off = (torch.tensor(trained["gamma"], dtype=torch.float64) - truth).abs()
    assert trained["largest_gap"] == pytest.approx(float(off.max()), abs=1e-12)
    error = trained["gamma_standard_error"][int(off.argmax())]
    assert gamma.value == f"{float(off.max()):.3f} ± {error:.3f}"
    sigma = shown["largest error of an entry of Sigma"]
    off = torch.tensor(trained["spatial_covariance"]) - jacobian.control_process().spatial_covariance
    assert sigma.value.startswith(f"{float(off.abs().max()):.2f} ± ")
    assert (
        f"{white['spatial_largest_gap']:.2f} ± {white['spatial_largest_gap_standard_error']:.2g}" in sigma.explanation
    )
    table = page.sections[0].blocks[1]
    for cells, one in zip(table.rows, results["readings"], strict=True):
        assert (cells[2].value, cells[2].standard_error) == (one["largest_gap"], one["largest_gap_standard_error"])
        assert (None if cells[3] is None else [cells[3].value, cells[3].standard_error]) == one["lengthscale"]
        assert cells[5].value == one["spatial_largest_gap"]
    assert "would have been refuted" in html


def test_hardly_trained_networks_do_not_pass(reproduced):
    shown = {one.label: one.standing for one in reproduced[1].verdict.numbers}
    assert shown["largest error of gamma, lags 0 to 16"] == "bad"
    assert shown["lengthscale (frames)"] == "bad"
    assert shown["largest error of an entry of Sigma"] == "bad"
    assert shown["largest error of an entry for the exact score"] == "good"


PROCESS = jacobian.control_process()
EXACT = jacobian.read("exact", PROCESS.score, PROCESS, 0.2, 2, 0, torch.float64)


def reading(kind, **changes):
    """Of a network that believes in the truth; a null is far from it."""
    far = {"gap": 0.9, "gap_error": 0.01, "lengthscale": (0.5, 0.1), "sigma_gap": (1.0, 0.01)}
    near = {"gap": 0.02, "gap_error": 0.001, "lengthscale": (8.3, 0.1), "sigma_gap": (0.05, 0.01)}
    return replace(EXACT, kind=kind, **((near if kind == "trained" else far) | changes))


def standings(exact_gap=1e-12, **changes):
    kinds = ("exact", "trained", "untrained", "white", "permuted")
    readings = [reading(kind, **changes.get(kind, {})) for kind in kinds]
    page = jacobian_page.page(jacobian.JacobianResult(PROCESS, readings, exact_gap, 2), quick=False)
    return [one.standing for one in page.verdict.numbers]


def test_invented_results_turn_the_verdict():
    good = ["good"] * 5
    assert standings() == good
    adverse = {
        0: [{"trained": {"gap": 0.031}}],
        1: [{"trained": {"lengthscale": (8.9, 0.1)}}, {"trained": {"lengthscale": None}}],
        2: [{"permuted": {"gap": 0.08}}, {"untrained": {"lengthscale": (7.5, 0.1)}}],
        3: [{"trained": {"sigma_gap": (0.05, 0.2)}}, {"white": {"sigma_gap": (0.1, 0.01)}}],
        4: [{"exact_gap": 1e-7}],
    }
    for number, cases in adverse.items():
        for case in cases:
            assert standings(**case) == [*good[:number], "bad", *good[number + 1 :]]


def test_precisions_that_a_logarithmic_axis_cannot_show_are_counted():
    low = EXACT.modes.clone()
    low[0, 0], low[0, 1], low[1, 0] = -0.5, 5e-4, 0.02
    error = torch.zeros_like(low)
    error[1, 0] = 0.02
    trained = {"modes": low, "modes_error": error}
    readings = [reading(kind, **(trained if kind == "trained" else {})) for kind in ("exact", "trained", "white")]
    readings += [reading(kind) for kind in ("untrained", "permuted")]
    page = jacobian_page.page(jacobian.JacobianResult(PROCESS, readings, 0.0, 2), quick=False)
    figure = page.sections[2].blocks[0]
    assert (
        "DiT, trained at t = 0.2: 2 of 128 precisions, 1 of them negative, and 3 lower ends of bands" in figure.caption
    )
    line = figure.panels[0].series[1]
    assert sorted(line.y)[:3] == [1e-3, 1e-3, 0.02]
    assert (line.lower[line.y.index(0.02)], line.upper[line.y.index(0.02)]) == (1e-3, pytest.approx(0.0592))
    clean = jacobian_page.page(
        jacobian.JacobianResult(PROCESS, [reading("trained"), *readings[2:], readings[0]], 0.0, 2), quick=False
    )
    assert "Nothing is cut off" in clean.sections[2].blocks[0].caption
