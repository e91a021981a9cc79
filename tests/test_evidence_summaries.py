"""What the studies of learning share: jobs, summaries over seeds with their intervals, and the text about cost."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats

import kronoscope as ks
from kronoscope import InputError, metrics
from kronoscope_evidence import stages
from kronoscope_evidence.learning import curves as learning_curves
from kronoscope_evidence.learning import jobs as learning
from kronoscope_evidence.learning.curves import curves, front, point, ratio
from kronoscope_evidence.learning.jobs import Job, Row, job_of, measure
from kronoscope_evidence.learning.learners import LEARNERS
from kronoscope_evidence.learning.words import (
    cost_of_training,
    exponent_check,
    is_beyond,
    is_near,
    learners_left_out,
    ratio_check,
)
from kronoscope_evidence.slopes import Slope
from kronoscope_evidence.yardstick import yardstick

SMALL = {"frames": 6, "features": 2}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_a_job_of_an_estimator_is_its_error_on_those_draws():
    row = measure(job_of("separable", 50, 3, **SMALL))
    process = learning.truth("PowerExponential(8.0)", 6, 2)
    x = process.sample(50, generator=seeded(8)).float()
    law = ks.estimators.Separable(min_time=0.01).fit(x)
    assert row.kl == pytest.approx(metrics.score_kl(law.score, process, linear=True).value, rel=1e-4)
    assert row.floor == ks.estimators.score_kl_floor(process, "separable", 50, 0.01, 6.0)
    assert row.failed is None
    assert row.parameters == 23


def test_a_job_of_a_network_learns_from_the_same_draws():
    training = {"max_steps": 3, "held_out_draws": 64, "batch_size": 8, "evaluate_every": 3}
    row = measure(job_of("mlp", 50, 3, training=training, options={"width": 8}, **SMALL))
    assert 0 < row.standard_error < row.kl < 100
    assert 0 < row.parameters < 10_000
    assert row.steps == 3
    assert row.operations > 0


def test_a_refused_fit_is_a_row_without_an_error():
    row = measure(job_of("unrolled", 7, 0, **SMALL))
    assert row.kl is None
    assert row.failed == "a fit needs at least 8 sequences, got 7"
    assert row.seconds >= 0


def test_the_truth_of_a_job_is_the_yardstick_by_default():
    process, same = learning.truth(learning.YARDSTICK, 32, 4), yardstick()
    torch.testing.assert_close(process.spatial_covariance, same.spatial_covariance, rtol=0, atol=0)
    torch.testing.assert_close(process.temporal_covariance, same.temporal_covariance, rtol=0, atol=0)


def rows_of(errors, n=100):
    return [Row(Job("unrolled", n, i), kl=e, seconds=1.0, parameters=7) for i, e in enumerate(errors)]


def test_the_interval_of_a_point_is_students_on_the_log_of_the_mean():
    errors = [0.11, 0.13, 0.10, 0.17, 0.12]
    got = point(1.0, rows_of(errors))
    mean, error = np.mean(errors), stats.sem(errors)
    factor = math.exp(stats.t.ppf(0.975, 4) * error / mean)
    assert (got.kl, got.standard_error) == (pytest.approx(mean), pytest.approx(error))
    assert (got.lower, got.upper) == (pytest.approx(mean / factor), pytest.approx(mean * factor))
    assert got.effective == pytest.approx(2 * 100 * mean)
    assert point(1.0, rows_of([0.1])).lower is None


def test_the_interval_covers_the_mean_as_often_as_it_says():
    """Errors like chi-square(34)/(2n), five seeds, 4000 times: 95 % +- 1.6 % (4.6 standard errors)."""
    draws = np.random.default_rng(0).chisquare(34, size=(4000, 5)) / 1000
    points = [point(1.0, rows_of(list(errors))) for errors in draws]
    covered = np.mean([each.lower <= 0.034 <= each.upper for each in points])
    assert abs(covered - 0.95) < 0.016


def test_the_exponent_is_found_with_its_interval():
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        rows = [row for n in (100, 400, 1600) for row in rows_of(5 / n * np.exp(0.2 * rng.standard_normal(5)), n=n)]
        slope = learning_curves.exponent(rows, lambda row: row.job.n)
        inside += slope.lower <= -1 <= slope.upper
        assert abs(slope.value + 1) < 0.2
    assert 180 <= inside <= 200
    assert learning_curves.exponent(rows_of([0.1, 0.2, 0.3]), lambda row: row.job.n) is None


def test_a_folder_begun_with_another_rate_is_not_continued(tmp_path, monkeypatch):
    """A job does not hold its learner's rate; the settings of the table do."""
    jobs = [learning.job_of("unet", 20, s, frames=4, features=2) for s in range(2)]
    monkeypatch.setattr(learning.sweeps, "_call", lambda measure, job: (job, Row(job, 1.0)))
    learning.run_jobs("s", jobs, tmp_path, stages.quiet)
    learning.run_jobs("s", jobs, tmp_path, stages.quiet)
    other = dataclasses.replace(LEARNERS["unet"], rate=3e-3, options={"width": 8})
    monkeypatch.setitem(LEARNERS, "unet", other)
    words = (
        r"it has unet\.learning_rate 0\.01 instead of 0\.003; unet\.width unset instead of 8\. Choose another folder"
    )
    with pytest.raises(InputError, match=words):
        learning.run_jobs("s", jobs, tmp_path, stages.quiet)


def test_a_slope_is_on_minus_one_only_if_it_is_close_and_its_interval_narrow():
    assert is_near(Slope(-1.04, -1.10, -0.98), -1) is True
    assert is_near(Slope(-1.0, -1.5, -0.5), -1) is None
    assert is_near(Slope(-0.85, -0.93, -0.77), -1) is False
    assert is_near(Slope(-0.5, -0.7, -0.3), -1) is False
    assert is_near(None, -1) is None
    assert is_beyond(Slope(-0.3, -0.5, -0.1), 0, below=True) is True
    assert is_beyond(Slope(-0.3, -0.7, 0.1), 0, below=True) is None
    assert is_beyond(Slope(0.3, 0.1, 0.5), 0, below=True) is False


def row_of(learner, seed, kl, **measured):
    return Row(Job(learner, 100, seed), kl, **{"seconds": 1.0, "parameters": 7, **measured})


def test_a_ratio_is_paired_by_draws_and_its_interval_covers_as_often_as_it_says():
    """Common draws move both errors by 30 %, own noise by 5 %: 2000 times, 95 % +- 2 % (4 standard errors)."""
    rng, covered, widths = np.random.default_rng(0), 0, []
    for _ in range(2000):
        common = np.exp(0.3 * rng.standard_normal(5))
        a, b = (level * common * (1 + 0.05 * rng.standard_normal(5)) for level in (2.0, 1.0))
        factor = ratio(
            point(1.0, [row_of("dit", i, v) for i, v in enumerate(a)]),
            point(1.0, [row_of("unrolled", i, v) for i, v in enumerate(b)]),
        )
        covered += factor.lower <= 2.0 <= factor.upper
        widths.append(factor.upper / factor.lower)
    assert abs(covered / 2000 - 0.95) < 0.02
    assert np.mean(widths) < 1.3  # unpaired it would be near 3
    assert ratio(point(1.0, [row_of("dit", 0, 1.0)]), point(1.0, [row_of("unrolled", 1, 1.0)])) is None


def test_the_front_is_what_brute_force_keeps():
    rng = np.random.default_rng(3)
    places = [(float(a), float(b)) for a, b in rng.integers(1, 12, size=(40, 2))]
    kept = {places[i] for i in front(places)}
    for a, b in places:
        beaten = any((c <= a and d <= b) and (c, d) != (a, b) for c, d in places)
        assert ((a, b) in kept) != beaten
    assert [places[i][0] for i in front(places)] == sorted(places[i][0] for i in front(places))


class OneLayer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(5, 7)

    def forward(self, x, t):
        return self.layer(x)


def test_operations_of_a_linear_layer_are_counted():
    # 2 in out a row forward, and as many for the gradient of the weights; none flows to the data
    assert learning.operations(OneLayer(), torch.randn(2, 3, 5)) == 2 * (2 * 5 * 7) * (2 * 3)


def test_whether_networks_are_matched_is_computed_from_the_seconds():
    def summaries(seconds):
        several = [("unrolled", 1, 10.0), ("dit", 1, 12.0), ("unrolled", 2, 20.0), ("dit", 2, seconds)]
        rows = [
            Row(Job(name, 1, 0, frames=x), kl=1.0, seconds=took, parameters=5, operations=3e12 * x)
            for name, x, took in several
        ]
        return curves(rows, lambda row: row.job.frames)

    alike, apart = cost_of_training(summaries(25.0), "N = "), cost_of_training(summaries(100.0), "N = ")
    assert "N = 1: 10 (unrolled) to 12 (DiT with a linear path); N = 2: 20 (unrolled) to 25" in alike
    assert "operations of training (matrix products and convolutions) at N = 1: unrolled 3, DiT with a linear" in alike
    assert "matched in time, to a factor of 1.5" in alike
    assert "N = 2: 20 (unrolled) to 100 (DiT with a linear path)" in apart
    assert "not matched in time to a factor of 1.5 at N = 2" in apart


def test_floors_and_sizes_have_exponents_of_their_own():
    rows = [
        Row(Job("separable", 1, 0, frames=x), kl=x**0.3, floor=0.1 / x, seconds=1.0, parameters=10 * x**2)
        for x in (1, 2, 4)
    ]
    curve = curves(rows, lambda row: row.job.frames)[0]
    assert curve.floor_exponent == pytest.approx(-1)
    assert curve.size_exponent == pytest.approx(2)
    assert learning_curves._exponent([(1.0, 2.0), (2.0, None)]) is None


def test_what_is_missing_or_unsettled_is_a_check_that_decides_nothing():
    assert exponent_check(None, "slope", "below 1", None).holds is None
    assert ratio_check(None, "times", "below 1", None).shown == "–"
    wide = exponent_check(Slope(1.0, 0.5, 1.5), "slope", "below 1.2", is_beyond(Slope(1.0, 0.5, 1.5), 1.2, below=True))
    assert (wide.holds, wide.shown) == (None, "1.00")
    assert wide.expected == "95 % interval 0.50 to 1.50; too wide to tell; below 1.2"
    assert learners_left_out(list(LEARNERS), 1.0) == "No learner is left out."
