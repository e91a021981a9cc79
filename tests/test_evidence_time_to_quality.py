"""Time to quality: bands, checks and words follow the paths; a tiny study is truly measured and continued."""

import math
from dataclasses import replace

import numpy as np
import pytest
from invented import adverse, supported, unsettled, wanted, words

import kronoscope_evidence as evidence
from kronoscope import DivergenceError
from kronoscope.report import render
from kronoscope_evidence.learning import sweeps
from kronoscope_evidence.learning.jobs import Job, job_of
from kronoscope_evidence.learning.learners import LEARNERS
from kronoscope_evidence.networks import time_to_quality, time_to_quality_page
from kronoscope_evidence.networks.time_to_quality_page import Moment, PathRow, Result, band

FULL, QUICK = time_to_quality.STUDY.full, time_to_quality.STUDY.quick


def row_of(job, error, path):
    seconds, last = 1 + 0.01 * job.seed, 13 if LEARNERS[job.learner].network else 2
    return PathRow(job, tuple(Moment(seconds * i, error(job) * path(i), i) for i in range(1, last)))


def result_of(error, size=FULL, path=lambda i: 1 / i, row_of=row_of):
    """The whole table of jobs without its trainings: errors in nats that go along ``path``."""
    return Result(tuple(row_of(job, error, path) for job in time_to_quality.jobs(size, 0)))


def outcomes(result):
    return [check.holds for check in time_to_quality_page.checks(result)]


CLAIMS = ("Among networks, train unrolled", "no generic network reaches")


def test_claims_are_made_where_numbers_support_them():
    result = result_of(wanted)
    assert outcomes(result) == [True, None]
    page = time_to_quality_page.page(result)
    assert all(claim in words(page) for claim in CLAIMS)
    assert render(page)


def test_adverse_numbers_refute_the_claims():
    result = result_of(adverse)
    assert outcomes(result) == [False, None]
    assert not any(claim in words(time_to_quality_page.page(result)) for claim in CLAIMS)


def test_numbers_that_settle_nothing_are_said_to_settle_nothing():
    result = result_of(unsettled)
    assert outcomes(result) == [None, None]
    page = time_to_quality_page.page(result)
    assert not any(claim in words(page) for claim in CLAIMS)
    assert "do not settle" in page.subtitle


def test_the_check_compares_the_best_moment_of_a_rival_with_the_end_of_the_unrolled_network():
    result = result_of(wanted, path=lambda i: 1 / i if i < 6 else i / 6)
    rivals = [name for name in FULL.steps if not name.startswith("unrolled")]

    def mean(learner, choose):
        return np.mean([choose(m.kl for m in row.path) for row in result.rows if row.job.learner == learner])

    own = min(mean(name, lambda errors: list(errors)[-1]) for name in ("unrolled", "unrolled-4"))
    expected = min(mean(name, min) for name in rivals) / own
    assert time_to_quality_page.checks(result)[0].value == pytest.approx(expected)


@pytest.mark.parametrize("error", [wanted, adverse, unsettled])
@pytest.mark.parametrize("size", [QUICK, FULL])
def test_the_row_that_a_sentence_names_is_in_a_table_of_its_page(size, error):
    assert supported(time_to_quality_page.page(result_of(error, size)))


def test_overfitting_is_said_only_where_it_happens():
    assert "overfits" not in words(time_to_quality_page.page(result_of(wanted)))
    turning = result_of(wanted, path=lambda i: 1 / i if i < 6 else i / 6)
    assert "Stop DiT with a linear path by held-out loss: it overfits." in words(time_to_quality_page.page(turning))


def test_a_band_interpolates_logarithms_over_what_all_seeds_passed_through():
    """Paths that are powers of time are straight there, whatever the moments; seeds differ by a factor."""
    rows = []
    for seed, factor in enumerate((1.0, 1.2, 1.5)):
        times = [t * (1 + seed / 10) for t in (0.5, 2, 3, 9)]
        rows.append(PathRow(Job("dit", 1, seed), tuple(Moment(t, factor / t**0.7, i) for i, t in enumerate(times))))
    points = band(rows)
    assert points[0].x == pytest.approx(0.6)
    assert points[-1].x == pytest.approx(9.0)
    for each in points:
        expected = np.array([1.0, 1.2, 1.5]) / each.x**0.7
        assert each.kl == pytest.approx(expected.mean())
        assert each.standard_error == pytest.approx(expected.std(ddof=1) / math.sqrt(3))


def test_a_training_that_diverges_is_named_and_left_out():
    def some_diverge(job, error, path):
        if job.learner == "unet":
            return PathRow(job, (), "training diverged at step 3")
        return row_of(job, error, path)

    page = time_to_quality_page.page(result_of(wanted, row_of=some_diverge))
    assert "1-D U-Net, seed 4: training diverged at step 3." in page.sections[3].blocks[0].note
    assert "1-D U-Net" not in {row[0] for row in page.sections[1].blocks[1].rows}
    assert render(page)


def test_divergence_on_the_way_is_a_row(monkeypatch):
    def diverging(*args, **kwargs):
        raise DivergenceError("training diverged at step 3")

    monkeypatch.setattr(time_to_quality, "fitted", diverging)
    row = time_to_quality.train(job_of("unet", 20, 0, frames=4, features=2, training={"max_steps": 2}))
    assert (row.path, row.failed) == ((), "training diverged at step 3")


def test_no_job_occurs_twice_and_seeds_are_five_in_full():
    for size in (FULL, QUICK):
        jobs = time_to_quality.jobs(size, 0)
        assert len({sweeps.key(job) for job in jobs}) == len(jobs)
    assert len({job.seed for job in time_to_quality.jobs(FULL, 0)}) == 5
    left_out = time_to_quality_page.page(result_of(wanted)).sections[-1].blocks[0].text
    assert "DiT as for images" in left_out
    assert "1-D U-Net" not in left_out


def test_a_tiny_study_is_truly_measured_and_continued(tmp_path, monkeypatch):
    monkeypatch.setattr(time_to_quality, "SAMPLES", 64)
    tiny = time_to_quality.Size({"unrolled": 24, "mlp": 24}, 1, 60, 4, 2)
    monkeypatch.setattr(time_to_quality, "STUDY", replace(time_to_quality.STUDY, quick=tiny))
    folder = tmp_path / "out"
    evidence.reproduce("time-to-quality", folder, quick=True)
    result = evidence.load(folder / "results.json").result
    paths = {row.job.learner: row.path for row in result.rows}
    assert [moment.step for moment in paths["mlp"]] == list(range(2, 25, 2))
    assert [len(paths[name]) for name in time_to_quality.ESTIMATORS] == [1] * 4
    seconds = [moment.seconds for moment in paths["mlp"]]
    assert 0 < seconds[0] < seconds[-1] == max(seconds)
    (folder / "report.html").unlink()  # as a kill leaves it
    monkeypatch.setattr(time_to_quality, "fitted", None)
    evidence.reproduce("time-to-quality", folder, quick=True)
    assert evidence.load(folder / "results.json").result == result
