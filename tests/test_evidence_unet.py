"""DiT against U-Net: paired differences, checks that keep to the intervals, and a tiny study that is continued."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

import kronoscope_evidence as evidence
from kronoscope.report import Text, render
from kronoscope_evidence.learning.jobs import truth
from kronoscope_evidence.networks import dit_unet, dit_unet_page
from kronoscope_evidence.networks.dit_unet_page import PAIRS, SECONDS, STEPS, Case, Difference, Entry, Row
from kronoscope_evidence.yardstick import MAX_TIME, MIN_TIME

KERNELS = ("exponential", "polynomial", "oscillating")
SIZES = {"dit": 90, "dit-plain": 60, "unet": 100}


def rows_of(differences, cases=("exponential",)):
    """Rows whose U-Net is worse than each DiT by these nats, one a seed."""
    gamma = tuple(truth("PowerExponential(8.0)", 32, 4).temporal_covariance[0, :17].tolist())
    rows = []
    for seed, extra in enumerate(differences):
        for case in cases:
            for learner, budget in dit_unet.ENTRANTS:
                training = dit_unet.STUDY.full.budgets[budget]
                job = Entry(learner, 1000, seed, dit_unet.KERNELS[case], training=training, budget=budget, case=case)
                kl = 1.0 + seed + (extra if learner == "unet" else 0.0)
                size = SIZES[learner]
                rows.append(Row(job, kl, 0.01, gamma, 0.0, None, size, 1, 1, 1.0, 2e9 * size))
    return rows


def test_differences_are_paired_over_seeds_and_agree_with_scipy():
    extra = [0.3, 0.5, 0.4, 0.6, 0.2]
    result = dit_unet.compare(rows_of(extra))
    interval = scipy.stats.ttest_1samp(extra, 0.0).confidence_interval(0.95)
    assert [(each.learner, each.budget) for each in result.differences] == list(PAIRS)
    for each in result.differences:
        assert each.value == pytest.approx(0.4)
        assert (each.lower, each.upper) == (pytest.approx(interval.low), pytest.approx(interval.high))
        assert (each.lower_error, each.seeds) == ("DiT", 5)


@pytest.mark.parametrize(
    ("extra", "lower_error"),
    [([-0.3, -0.31, -0.32], "U-Net"), ([-0.3, -0.5], "undecided"), ([0.3], "one seed: undecided")],
)
def test_the_lower_error_is_named_where_the_interval_decides(extra, lower_error):
    assert {each.lower_error for each in dit_unet.compare(rows_of(extra)).differences} == {lower_error}


def test_the_null_is_the_divergence_from_white_noise():
    """Exact: KL of the noised process from N(0, I) at the least noise, less that at the most."""
    (case,) = dit_unet.compare(rows_of([0.1])).cases
    eigenvalues = np.linalg.eigvalsh(truth(case.kernel, 32, 4).covariance().numpy())

    def divergence(t):
        noised = math.exp(-t) * eigenvalues + 1 - math.exp(-t)
        return 0.5 * float((noised - 1 - np.log(noised)).sum())

    assert case.white == pytest.approx(divergence(MIN_TIME) - divergence(MAX_TIME), rel=1e-5)


def test_a_training_that_diverged_is_left_out_of_the_pairs_and_named():
    rows = rows_of([0.3, 0.5, 0.4])
    rows[2] = Row(rows[2].job, failed="diverged at step 3")  # U-Net, same steps, seed 0
    result = dit_unet.compare(rows)
    by_steps = [each for each in result.differences if each.budget == STEPS]
    assert [each.seeds for each in by_steps] == [2, 2]
    assert all(each.value == pytest.approx(0.45) for each in by_steps)
    assert "1-D U-Net, exponential, same steps, seed 0: diverged at step 3." in render(dit_unet_page.page(result))


def test_without_a_pair_that_ended_nothing_is_decided():
    rows = [replace(row, kl=None, failed="diverged") if row.job.learner == "unet" else row for row in rows_of([0.3])]
    result = dit_unet.compare(rows)
    assert [(check.shown, check.holds) for check in dit_unet_page.checks(result)] == [("none", False)] * 3
    assert render(dit_unet_page.page(result))


def result_of(differences):
    """Differences (value, lower, upper) by kernel, the same for every pair of networks."""
    pairs = tuple(
        Difference(learner, budget, case, *difference, 0 if difference[0] is None else 5)
        for learner, budget in PAIRS
        for case, difference in zip(KERNELS, differences, strict=True)
    )
    cases = tuple(Case(case, dit_unet.KERNELS[case], (1.0, 0.5, 0.2), 9.0) for case in KERNELS)
    return dit_unet_page.Result(cases, tuple(rows_of([0.1, 0.2], KERNELS)), pairs)


@pytest.mark.parametrize(
    ("differences", "shown", "holds", "counts"),
    [
        ([(1.0, 0.5, 1.5)] * 3, "+1.00 nats", True, "on 3 kernels, the U-Net on 0; 0 of 3 undecided"),
        ([(-1.0, -1.5, -0.5)] * 3, "-1.00 nats", True, "on 0 kernels, the U-Net on 3; 0 of 3 undecided"),
        ([(1.0, 0.5, 1.5), (0.4, 0.1, 0.7), (-1.0, -2.0, -0.1)], "+0.40 nats", None, "the U-Net on 1; 0 of 3"),
        ([(1.0, 0.5, 1.5), (0.4, -0.1, 0.9), (0.3, -2.0, 2.6)], "+0.40 nats", None, "the U-Net on 0; 2 of 3"),
        ([(1.0, -0.5, 2.5)] * 3, "undecided (+1.00 nats)", False, "3 of 3 undecided"),
        ([(1.0, None, None)] * 3, "undecided (+1.00 nats)", False, "3 of 3 undecided"),
        ([(None, None, None)] * 3, "none", False, "no pair"),
    ],
)
def test_the_sign_of_a_difference_is_only_as_good_as_its_intervals(differences, shown, holds, counts):
    checks = dit_unet_page.checks(result_of(differences))
    assert [(check.shown, check.holds) for check in checks] == [(shown, holds)] * len(PAIRS)
    assert all(counts in check.expected for check in checks)


def test_the_page_computes_what_it_says_of_sizes():
    page = dit_unet_page.page(result_of([(1.0, 0.5, 1.5)] * 3))
    (method,) = [block.text for block in page.sections[-1].blocks if isinstance(block, Text)]
    assert "An interval that covers 0 refutes the sign" in method
    assert "DiT with a linear path 90 %, DiT as for images 60 %" in method
    assert "took 0.9 (same steps) and 0.9 (same seconds) times as many as the U-Net's" in method


def test_a_tiny_study_is_truly_measured_and_continued(tmp_path, monkeypatch):
    few = {"max_steps": 2, "evaluate_every": 2, "held_out_draws": 16, "warmup_steps": 1}
    budgets = {STEPS: few, SECONDS: {**few, "max_seconds": 5.0}}
    tiny = dit_unet.Size(("exponential",), 40, 1, budgets, error_samples=128, jacobian_samples=2)
    monkeypatch.setattr(dit_unet, "STUDY", replace(dit_unet.STUDY, quick=tiny))
    folder = tmp_path / "out"
    evidence.reproduce("unet", folder, quick=True)
    result = evidence.load(folder / "results.json").result
    assert [(row.job.learner, row.job.budget) for row in result.rows] == list(dit_unet.ENTRANTS)
    assert all(row.kl > 0 and row.steps == 2 and row.parameters > 10_000 for row in result.rows)
    for row in result.rows:
        off = np.abs(np.array(row.gamma) - np.exp(-np.arange(17) / 8))
        assert row.gap == pytest.approx(float(off.max()))
        assert off[0] < 1e-6 < row.gap
    assert {each.lower_error for each in result.differences} == {"one seed: undecided"}
    (folder / "report.html").unlink()  # as a kill leaves it
    monkeypatch.setattr(dit_unet, "fitted", None)
    evidence.reproduce("unet", folder, quick=True)
    assert evidence.load(folder / "results.json").result == result
