"""The page of the Jacobian: its numbers are the records', and invented results turn its verdict."""

from dataclasses import replace

import pytest
import torch

import kronoscope_evidence as evidence
from kronoscope_evidence.inside import jacobian, jacobian_page, networks
from kronoscope_evidence.study import Measured
from kronoscope_evidence.yardstick import yardstick

TINY = jacobian.Size(2, (0.1, 0.2), networks.Training(100, {"dit": 3}, held_out_draws=1))


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """The page and the result with networks after three steps of training, read at two sequences."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jacobian, "STUDY", replace(jacobian.STUDY, quick=TINY))
        page = evidence.reproduce("jacobian", tmp_path_factory.mktemp("jacobian") / "out", quick=True)
    return page.read_text(), evidence.load(page.parent / "results.json").result


def test_the_exact_score_is_read_exactly(reproduced):
    # exp(-h/8) is a powered exponential: everything fitted and read is the truth, up to round-off
    result = reproduced[1]
    assert result.exact_gap < 1e-8
    for t in (0.1, 0.2):
        exact = result.of("exact", t)
        assert exact.profile == pytest.approx([2.718281828459045 ** (-h / 8) for h in range(17)], abs=1e-8)
        assert max(exact.gap.value, exact.sigma_gap.value, exact.relative_error) < 1e-8
        assert exact.lengthscale.value == pytest.approx(8.0, abs=1e-6)
        assert exact.exponent.value == pytest.approx(1.0, abs=1e-6)


def test_numbers_of_the_page_are_those_of_the_result(reproduced):
    html, result = reproduced
    trained, white = result.of("trained"), result.of("white")
    shown = {check.label: check for check in jacobian_page.checks(result)}
    truth = torch.exp(-torch.arange(17.0, dtype=torch.float64) / 8)
    off = (torch.tensor(trained.profile, dtype=torch.float64) - truth).abs()
    assert trained.gap.value == pytest.approx(float(off.max()), abs=1e-12)
    error = trained.profile_error[int(off.argmax())]
    assert shown["largest error of gamma, lags 0 to 16"].shown == f"{float(off.max()):.3f} ± {error:.3f}"
    sigma = shown["largest error of an entry of Sigma"]
    off = torch.tensor(trained.sigma, dtype=torch.float64) - yardstick().spatial_covariance
    assert sigma.value == pytest.approx(float(off.abs().max()), abs=1e-12)
    assert f"{white.sigma_gap.value:.2f} ± {white.sigma_gap.standard_error:.2g}" in sigma.expected
    table = jacobian_page.page(result).sections[0].blocks[1]
    for cells, each in zip(table.rows, result.probed, strict=True):
        assert (cells[2].value, cells[2].standard_error) == (each.gap.value, each.gap.standard_error)
        assert (None if cells[3] is None else cells[3].value) == (each.lengthscale and each.lengthscale.value)
        assert cells[5].value == each.sigma_gap.value
    assert "would be refuted" in html


def test_hardly_trained_networks_do_not_pass(reproduced):
    assert [check.holds for check in jacobian_page.checks(reproduced[1])] == [False, False, False, False, True]


PROCESS = yardstick()
EXACT = jacobian.probe("exact", PROCESS.score, PROCESS, 0.2, 2, 0, torch.float64)


def invented(kind, **changes):
    """A network that has learnt the truth; a null is far from it."""
    far = {"gap": Measured(0.9, 0.01), "lengthscale": Measured(0.5, 0.1), "sigma_gap": Measured(1.0, 0.01)}
    near = {"gap": Measured(0.02, 0.001), "lengthscale": Measured(8.3, 0.1), "sigma_gap": Measured(0.05, 0.01)}
    return replace(EXACT, kind=kind, **((near if kind == "trained" else far) | changes))


def result_of(probed, exact_gap=1e-12):
    return jacobian_page.Result(EXACT.profile, EXACT.sigma, tuple(probed), exact_gap, 2)


def verdicts(exact_gap=1e-12, **changes):
    kinds = ("exact", "trained", "untrained", "white", "permuted")
    probed = [invented(kind, **changes.get(kind, {})) for kind in kinds]
    return [check.holds for check in jacobian_page.checks(result_of(probed, exact_gap))]


def test_invented_results_turn_the_verdict():
    assert verdicts() == [True] * 5
    adverse = {
        0: [{"trained": {"gap": Measured(0.031, 0.001)}}],
        1: [{"trained": {"lengthscale": Measured(8.9, 0.1)}}, {"trained": {"lengthscale": None}}],
        2: [{"permuted": {"gap": Measured(0.08, 0.01)}}, {"untrained": {"lengthscale": Measured(7.5, 0.1)}}],
        3: [{"trained": {"sigma_gap": Measured(0.05, 0.2)}}, {"white": {"sigma_gap": Measured(0.1, 0.01)}}],
        4: [{"exact_gap": 1e-7}],
    }
    for number, cases in adverse.items():
        for case in cases:
            assert verdicts(**case) == [k != number for k in range(5)]


def test_precisions_that_a_logarithmic_axis_cannot_show_are_counted():
    low = torch.tensor(EXACT.modes, dtype=torch.float64)
    low[0, 0], low[0, 1], low[1, 0] = -0.5, 5e-4, 0.02
    error = torch.zeros_like(low)
    error[1, 0] = 0.02
    trained = {"modes": jacobian._matrix(low), "modes_error": jacobian._matrix(error)}
    kinds = ("exact", "trained", "white", "untrained", "permuted")
    probed = [invented(kind, **(trained if kind == "trained" else {})) for kind in kinds]
    figure = jacobian_page.page(result_of(probed)).sections[2].blocks[0]
    assert (
        "DiT, trained at t = 0.2: 2 of 128 precisions, 1 of them negative, and 3 lower ends of bands" in figure.caption
    )
    line = figure.panels[0].series[1]
    assert sorted(line.y)[:3] == pytest.approx([1e-3, 1e-3, 0.02])
    at = min(range(len(line.y)), key=lambda k: abs(line.y[k] - 0.02))
    assert (line.lower[at], line.upper[at]) == (1e-3, pytest.approx(0.02 * (1 + 2.262157), rel=1e-6))
    clean = jacobian_page.page(result_of([invented(kind) for kind in kinds]))
    assert "Nothing is cut off" in clean.sections[2].blocks[0].caption
