"""The comparison of sequences against brute force and repetition, and pages of runs on odd data."""

import numpy as np
import pandas as pd
import pytest
import torch

from kronoscope import data, metrics, models, pages, report
from kronoscope.kernels import PowerExponential
from kronoscope.pages import dependence, panels, run_page
from kronoscope.processes import DenseGaussian, GaussianSequence

QUICK = {"max_steps": 2, "evaluate_every": 1, "held_out_draws": 64}


def process(lengthscale=3.0):
    sigma = torch.tensor([[1.0, 0.5], [0.5, 2.0]], dtype=torch.float64)
    return GaussianSequence(PowerExponential(lengthscale), sigma, times=5)


def draw(n, seed, lengthscale=3.0):
    return process(lengthscale).sample(n, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def compared():
    held_out, places = draw(25, 3), np.array([*range(5), *range(40, 50), *range(90, 95), *range(200, 205)])
    laws = {"separable": process(1.0)}
    settings = {"block": 5, "places": places, "generator": torch.Generator().manual_seed(0)}
    return dependence.compare(draw(60, 1), draw(50, 2), held_out, laws, **settings), held_out


def test_energies_are_those_of_metrics(compared):
    comparison, held_out = compared
    want = metrics.energy_distance(draw(60, 1), held_out).value
    assert comparison.row("generated").energy.value == pytest.approx(want, rel=1e-10)
    training = metrics.energy_distance(draw(50, 2), held_out).value
    assert comparison.row("training").energy.value == pytest.approx(training, rel=1e-10)
    assert comparison.row("training").difference.value == pytest.approx(want - training, rel=1e-9)
    assert comparison.row("held-out").energy is None


def test_the_error_leaves_out_one_block_at_a_time(compared):
    """Delete-a-block jackknife from its definition; what is left of the variance is that of the draws."""
    comparison, held_out = compared
    assert comparison.held_out_blocks == 5
    x, y = draw(60, 1), draw(50, 2)
    keeps = [torch.tensor([not b * 5 <= i < b * 5 + 5 for i in range(25)]) for b in range(5)]
    one, two = (np.array([metrics.energy_distance(s, held_out[k]).value for k in keeps]) for s in (x, y))
    energy, gap = comparison.row("generated").energy, comparison.row("training").difference
    of_draws = energy.standard_error**2 - 4 * one.var()
    other = comparison.row("training").energy.standard_error ** 2 - 4 * two.var()
    assert of_draws > 0
    assert other > 0
    assert gap.standard_error**2 == pytest.approx(4 * (one - two).var() + of_draws + other, rel=1e-9)


def test_the_error_of_a_difference_is_honest():
    """100 fresh pairs of sets and held-out sequences, all three laws apart: z-scores have a spread near 1.

    With 16 blocks of one sequence each a z-score has a variance of about 1.15; over 100 draws the standard
    deviation is then 1.07 +- 0.08, so 0.75 to 1.4 fails with probability below 1e-4. An error too small
    by sqrt 2 gives 1.5. (Where laws agree, the jackknife overstates.)
    """
    values, errors = [], []
    for seed in range(100):
        x, y = 1.5 * draw(80, 3 * seed) + 1.0, 0.5 * draw(80, 3 * seed + 1) - 0.7
        h = draw(16, 3 * seed + 2)
        settings = {"generator": torch.Generator().manual_seed(0), "max_lag": 0, "places": 9 * np.arange(16)}
        row = dependence.compare(x, y, h, {}, block=1, **settings).row("training")
        values.append(row.difference.value)
        errors.append(row.difference.standard_error)
    z = (np.array(values) - np.mean(values)) / np.array(errors)
    assert 0.75 < z.std() < 1.4


def test_held_out_blocks_do_not_bridge_gaps():
    places = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 30, 31, 33, 34, 35, 36, 37])
    got = dependence.held_out_blocks(places, 7)
    assert got.tolist() == [0] * 7 + [1] * 2 + [2] * 6 + [3]


def test_independent_frames_keep_the_frames_and_nothing_between():
    x = draw(400, 0)
    law = dependence.independent_frames(x)
    full = (x.flatten(1).T @ x.flatten(1) / 400).reshape(5, 2, 5, 2)
    got = law.covariance().reshape(5, 2, 5, 2)
    for i in range(5):
        torch.testing.assert_close(got[i, :, i], full[i, :, i])
        assert float(got[i, :, (i + 1) % 5].abs().max()) == 0
    assert law.num_parameters == 15


def test_baselines_leave_out_what_cannot_be_fitted():
    few = draw(6, 0)
    assert list(dependence.baselines(few, ("sample covariance", "separable"))) == ["separable"]


def test_axis_takes_the_largest_whole_unit():
    def unit(step):
        values = np.zeros((1, 2, 1))
        return panels.Axis.of(data.SequenceSet(values, ("a",), None, step, False, data.Container("array")))

    assert unit(pd.Timedelta(hours=1)) == panels.Axis("hours", 1.0)
    assert unit(pd.Timedelta(days=2)) == panels.Axis("days", 2.0)
    assert unit(pd.Timedelta(seconds=90)) == panels.Axis("seconds", 90.0)
    assert unit(None) == panels.Axis("frames", 1.0)


def test_features_are_grouped_by_their_stem():
    assert panels.feature_groups(["temp_A", "temp_B", "wind_A"]) == [[0, 1], [2]]
    assert panels.feature_groups(["feature_0", "feature_1"]) == [[0], [1]]
    assert panels.feature_groups(["a"]) == [[0]]


def page_of(x, **settings):
    model = models.fit(torch.from_numpy(x).float(), "position", **QUICK, **settings)
    return model, data.from_array(x.astype(np.float32))


@pytest.mark.parametrize(("n", "frames", "features"), [(12, 1, 1), (10, 4, 1), (30, 1, 3), (40, 3, 11), (9, 30, 2)])
def test_a_run_of_any_size_gets_a_page(n, frames, features):
    x = np.random.default_rng(0).normal(size=(n, frames, features)).cumsum(axis=1)
    page = pages.run_report(*page_of(x), num_samples=40)
    html = report.render(page)
    assert "feature_0" in html
    assert ("2 more features" in html) == (features == 11)
    assert report.from_json(report.to_json(page)) == page


def test_a_run_with_a_constant_feature_still_gets_a_page():
    x = np.random.default_rng(0).normal(size=(30, 4, 2))
    x[..., 1] = 3.0
    page = pages.run_report(*page_of(x), num_samples=40)
    assert "1 more feature" in report.render(page)
    x[..., 0] = 1.0
    assert "Correlations are not compared" in report.render(pages.run_report(*page_of(x), num_samples=40))


def test_a_run_with_a_test_part_is_compared_with_it(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3, 2)).cumsum(axis=1)
    sequences = data.from_array(x)
    settings = models.FitSettings.for_input("table", test=0.2)
    config = models.training_config("position", QUICK)
    model = models.fit_sequences(sequences, settings, config, tmp_path / "run")
    html = report.render(pages.run_report(model, sequences, num_samples=50))
    assert "sample covariance" in html
    assert "energy distance" in html


def test_the_headline_of_energy_follows_the_difference():
    def comparison(value, error):
        gap = dependence.Distance(value, error)
        rows = (
            dependence.Compared("generated", 9, None, 0.9, dependence.Distance(0.1, 0.1), None),
            dependence.Compared("sample covariance", 9, 3, 0.9, dependence.Distance(0.1, 0.1), gap),
        )
        return dependence.Comparison(rows, None, {}, 7, 10)

    standings = [run_page.energy_number(comparison(v, 0.1)).standing for v in (-0.3, -0.1, 0.1, 0.3)]
    assert standings == ["good", "neutral", "neutral", "bad"]


def test_dense_laws_are_drawn_as_often_as_the_generator():
    law = DenseGaussian(torch.eye(10, dtype=torch.float64), 2)
    settings = {"block": 1, "generator": torch.Generator().manual_seed(0)}
    rows = dependence.compare(draw(33, 0), draw(30, 1), None, {"sample covariance": law}, **settings).rows
    assert [(row.name, row.sequences) for row in rows] == [
        ("generated", 33),
        ("training", 30),
        ("sample covariance", 33),
    ]
    assert all(row.energy is None for row in rows)
