"""Learning efficiency: checks and words follow the numbers, the map names what breaks, a tiny study is continued."""

from dataclasses import replace

import pytest
from invented import adverse, advice, noise, supported, unsettled, wanted, words

import kronoscope_evidence as evidence
from kronoscope.report import render
from kronoscope_evidence.learning import jobs as learning
from kronoscope_evidence.learning import sweeps
from kronoscope_evidence.learning.jobs import Row
from kronoscope_evidence.networks import efficiency, efficiency_page
from kronoscope_evidence.networks.regimes import REGIMES, RegimeRows, failure_map

FULL, QUICK = efficiency.STUDY.full, efficiency.STUDY.quick


def row_of(job, error):
    return Row(job, error(job), 0.0, 7 / job.n, 2.0, 100, 1e9)


def result_of(error, size=FULL, row_of=row_of):
    """The whole table of jobs without its trainings: ``error(job)`` in nats."""
    return efficiency_page.Result(
        tuple(row_of(job, error) for job in efficiency.jobs_along_n(size, 0)),
        tuple(
            RegimeRows(regime.name, tuple(row_of(job, error) for job in jobs))
            for regime, jobs in zip(REGIMES, efficiency.jobs_by_regime(size, 0), strict=True)
        ),
    )


def outcomes(result):
    return [check.holds for check in efficiency_page.checks(result)]


CLAIMS = ("begin with the unrolled", "need more sequences than it at every n", "the statistical rate")


def test_claims_are_made_where_numbers_support_them():
    result = result_of(wanted)
    assert outcomes(result) == [True, True, None, True]
    page = efficiency_page.page(result)
    assert all(claim in words(page) for claim in CLAIMS)
    assert render(page)


def test_adverse_numbers_refute_the_claims():
    result = result_of(adverse)
    assert outcomes(result) == [False, False, None, False]
    assert not any(claim in words(efficiency_page.page(result)) for claim in CLAIMS)


def test_numbers_that_settle_nothing_are_said_to_settle_nothing():
    result = result_of(unsettled)
    assert outcomes(result) == [None] * 4
    page = efficiency_page.page(result)
    assert not any(claim in words(page) for claim in CLAIMS)
    assert "settle" in page.subtitle


def test_values_of_the_checks_are_those_of_the_rows():
    result = result_of(wanted)
    slope, likelihood, floor, dit = efficiency_page.checks(result)

    def mean(learner):
        errors = [row.kl for row in result.rows if (row.job.learner, row.job.n) == (learner, 2000)]
        assert len(errors) == 5
        return sum(errors) / 5

    assert slope.value == pytest.approx(-1, abs=0.02)
    assert likelihood.value == pytest.approx(mean("unrolled") / mean("stationary-separable"))
    assert floor.value == pytest.approx(mean("unrolled") / (7 / 2000))
    assert dit.value == pytest.approx(mean("dit") / mean("unrolled"))


@pytest.mark.parametrize("error", [wanted, adverse, unsettled])
@pytest.mark.parametrize("size", [QUICK, FULL])
def test_the_row_that_a_sentence_names_is_in_a_table_of_its_page(size, error):
    page = efficiency_page.page(result_of(error, size))
    assert supported(page)
    assert advice(page) or error is not wanted


def test_a_network_held_up_by_its_training_is_to_be_trained_longer():
    gaining = words(efficiency_page.page(result_of(wanted)))
    assert "has use for more sequences" in gaining
    assert "train it longer" not in gaining
    shaped = ("unrolled", "unrolled-4")
    flat = result_of(lambda job: wanted(job if job.learner in shaped else replace(job, n=500)))
    held_up = words(efficiency_page.page(flat))
    assert "train it longer" in held_up
    assert "has use for more sequences" not in held_up


def test_the_map_names_what_breaks_nowhere():
    shown = words(efficiency_page.page(result_of(wanted)))
    assert "breaks nowhere in the map: unrolled; unrolled, 4 heads; stationary separable" in shown
    assert "in the map:" not in words(efficiency_page.page(result_of(lambda job: noise(job) / job.n)))

    def spoiled(job):
        return noise(job) / job.n * (9 if (job.frames == 128) == (job.learner != "unet") else 1)

    assert "each one breaks somewhere" in words(efficiency_page.page(result_of(spoiled)))


def test_the_map_marks_failures_and_errors_that_are_surely_three_times_the_best():
    def row_with_failures(job, error):
        failed = job.learner == "linear" and job.n == 50
        return Row(job, failed="too few sequences") if failed else row_of(job, error)

    def error(job):
        factor = {"dit": 2.5, "mlp": 3.5}.get(job.learner, 1.0)
        return noise(job) / job.n * (factor if job.frames == 128 else 1.0)

    result = result_of(error, row_of=row_with_failures)
    failures = failure_map(result.regimes)
    places = {(failures.learners[i], failures.regimes[j]) for i, j in failures.broken}
    assert places == {("linear", "few sequences: n = 50"), ("mlp", "long: N = 128")}
    assert failures.messages == ("free matrices, few sequences: n = 50: too few sequences",)
    ratio = failures.ratios[failures.learners.index("mlp")][2]
    assert ratio.lower > 3
    assert failures.ratios[failures.learners.index("linear")][1] is None


def test_a_training_that_diverges_is_named_and_left_out():
    def some_diverge(job, error):
        if job.learner == "unet" and job.seed in (0, efficiency.FIRST_REGIME_SEED):
            return Row(job, failed="training diverged at step 3")
        return row_of(job, error)

    page = efficiency_page.page(result_of(wanted, row_of=some_diverge))
    assert "1-D U-Net at n = 200: training diverged at step 3" in page.sections[1].blocks[1].note
    assert "Expect an error message" in words(page)
    assert "training diverged at step 3" in page.sections[2].blocks[0].note


def test_no_job_occurs_twice_and_seeds_are_five_in_full():
    for size in (FULL, QUICK):
        along, regimes = efficiency.jobs_along_n(size, 0), efficiency.jobs_by_regime(size, 0)
        every = [*along, *(job for jobs in regimes for job in jobs)]
        assert len({sweeps.key(job) for job in every}) == len(every)
    assert len({job.seed for job in efficiency.jobs_along_n(FULL, 0)}) == 5
    assert "No learner is left out." in efficiency_page.page(result_of(wanted)).sections[-1].blocks[0].text
    assert "U-Net" in efficiency_page.page(result_of(wanted, QUICK)).sections[-1].blocks[0].text


def test_a_tiny_study_is_truly_measured_and_continued(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "SAMPLES", 64)
    few = {"max_steps": 2, "evaluate_every": 2, "held_out_draws": 32}
    learners = ("unrolled", "dit", "stationary-separable")
    tiny = efficiency.Size(
        (60, 90), learners, 2, ("stationary-separable",), 1, ("dit",), {"unrolled": few, "dit": few}, 4, 2
    )
    monkeypatch.setattr(efficiency, "STUDY", replace(efficiency.STUDY, quick=tiny))
    monkeypatch.setattr(efficiency, "REGIMES", REGIMES[:2])
    folder = tmp_path / "out"
    evidence.reproduce("learning-efficiency", folder, quick=True)
    result = evidence.load(folder / "results.json").result
    assert [row.job.seed for row in result.rows if row.job.learner == "dit"] == [0, 0]
    assert [each.regime for each in result.regimes] == [regime.name for regime in REGIMES[:2]]
    assert all(row.kl > 0 for row in result.rows)
    (folder / "report.html").unlink()  # as a kill leaves it
    monkeypatch.setattr(learning, "_learn", None)
    evidence.reproduce("learning-efficiency", folder, quick=True)
    assert evidence.load(folder / "results.json").result == result
