"""The grades of conditional sampling, on distributions whose grades are known, and the study in its quick size."""

import pytest
import scipy.stats
import torch

import kronoscope_evidence as evidence
from kronoscope_evidence.trials import conditionals


def test_scores_of_draws_are_those_of_the_normal_law():
    # CRPS of N(0, 1) at y, closed form: Gneiting and Raftery (2007), eq. (21). 4000 draws: about 1 % of it.
    g = torch.Generator().manual_seed(0)
    drawn = torch.randn(4000, 5, 2, generator=g, dtype=torch.float64)
    truth = torch.linspace(-2.3, 2.3, 10, dtype=torch.float64).reshape(5, 2)
    y = truth.flatten().numpy()
    phi, density = scipy.stats.norm.cdf(y), scipy.stats.norm.pdf(y)
    expected = (y * (2 * phi - 1) + 2 * density - 1 / 3.141592653589793**0.5).mean()
    hidden = torch.ones(5, 2, dtype=torch.bool)
    crps, energy, distance, *shares = conditionals.score_draws(drawn, truth, drawn.flip(0) + 0.0, hidden)
    assert crps == pytest.approx(expected, rel=0.02)
    assert energy > 0
    assert distance < 0.01
    inside = [float((abs(y) <= scipy.stats.norm.ppf(0.5 + level / 2)).mean()) for level in conditionals.LEVELS]
    assert shares == pytest.approx(inside)


def test_exact_draws_are_covered_as_promised_by_their_ranks():
    # 400 truths among 199 exchangeable draws: share within 4 standard errors of the level.
    g = torch.Generator().manual_seed(1)
    values = torch.randn(200, 400, 1, generator=g, dtype=torch.float64)
    hidden = torch.ones(400, 1, dtype=torch.bool)
    shares = conditionals.score_draws(values[1:], values[0], values[1:], hidden)[3:]
    for level, share in zip(conditionals.LEVELS, shares):
        assert abs(share - level) < 4 * (level * (1 - level) / 400) ** 0.5


def test_the_exact_path_is_dense_conditioning(tmp_path):
    page = evidence.reproduce("conditionals", tmp_path / "out", quick=True)
    result = evidence.load(page.parent / "results.json").result
    assert result.gap < 1e-8
    assert {grade.method for grade in result.grades} == set(conditionals.METHODS)
    (exact,), (mmps,), (marginal,) = (result.of(name).values() for name in ("exact", "mmps", "marginal"))
    assert exact.crps.value < marginal.crps.value
    assert mmps.crps.value < marginal.crps.value
