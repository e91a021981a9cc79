"""The grades of conditional sampling: on laws whose grades are known, and the page in its quick form."""

import json

import pytest
import scipy.stats
import torch

from kronoscope import experiments
from kronoscope.experiments import conditionals


def test_scores_of_draws_are_those_of_the_normal_law():
    # CRPS of N(0, 1) at y, closed form: Gneiting and Raftery (2007), eq. (21). 4000 draws: about 1 % of it.
    g = torch.Generator().manual_seed(0)
    drawn = torch.randn(4000, 5, 2, generator=g, dtype=torch.float64)
    truth = torch.linspace(-2.3, 2.3, 10, dtype=torch.float64).reshape(5, 2)
    y = truth.flatten().numpy()
    phi, density = scipy.stats.norm.cdf(y), scipy.stats.norm.pdf(y)
    expected = (y * (2 * phi - 1) + 2 * density - 1 / 3.141592653589793**0.5).mean()
    hidden = torch.ones(5, 2, dtype=torch.bool)
    crps, energy, distance, *shares = conditionals._score(drawn, truth, drawn.flip(0) + 0.0, hidden)
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
    shares = conditionals._score(values[1:], values[0], values[1:], hidden)[3:]
    for level, share in zip(conditionals.LEVELS, shares):
        assert abs(share - level) < 4 * (level * (1 - level) / 400) ** 0.5


def test_the_page_says_that_the_exact_path_is_dense_conditioning(tmp_path):
    folder = tmp_path / "out"
    page = experiments.reproduce("conditionals", folder, quick=True)
    told = json.loads((folder / "results.json").read_text())
    assert told["exact_path_gap"] < 1e-8
    grades = {one["method"]: one for one in told["grades"]}
    assert set(grades) == set(conditionals.METHODS)
    exact, mmps, marginal = (grades[m]["crps"]["value"] for m in ("exact", "mmps", "marginal"))
    assert exact < marginal
    assert mmps < marginal
    assert "Can the samplers fill in what is missing?" in page.read_text()
