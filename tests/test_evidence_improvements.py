"""The study of single changes: pairing, verdicts, checks, the page, and a tiny study that is continued."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import kronoscope_evidence as evidence
from kronoscope.models import NETWORKS
from kronoscope_evidence.learning import sweeps
from kronoscope_evidence.networks import improvements, improvements_page
from kronoscope_evidence.networks.improvements import GROUPS, VARIANTS, change, variant_job
from kronoscope_evidence.networks.improvements_page import Change, Comparison, Row, agreement, false_alarms, listed

FULL, QUICK = improvements.STUDY.full, improvements.STUDY.quick


def rows_of(held_out, kl=None, variant="tied"):
    errors = held_out if kl is None else kl
    return [
        Row(variant_job(variant, seed, FULL), 1.0, float(loss), float(error), 0.01, 7, 50, 50)
        for seed, (loss, error) in enumerate(zip(held_out, errors, strict=True))
    ]


def test_differences_are_paired_as_students_test_pairs_them():
    rng = np.random.default_rng(0)
    before = 200 + 5 * rng.standard_normal(5)
    after = before - 0.3 + 0.1 * rng.standard_normal(5)
    tied = change("tied", rows_of(after, after - 199 + 20), rows_of(before, before - 199 + 20))
    expected = stats.ttest_rel(after, before)
    assert tied.held_out / tied.held_out_error == pytest.approx(float(expected.statistic))
    assert tied.kl == pytest.approx(tied.held_out)
    assert tied.kl_error == pytest.approx(tied.held_out_error)
    assert (tied.verdict, tied.label, tied.seeds) == ("helps", "tied depth", 5)
    assert change("tied", rows_of(before), rows_of(after)).verdict == "hurts"


def test_verdicts_are_beyond_two_standard_errors_only():
    base = rows_of([10.0, 10.0, 10.0, 10.0])
    spread = np.array([-1.0, -1.0, 1.0, 1.0])  # standard error 1/sqrt(3)
    limit = 2 / math.sqrt(3)
    for shift, verdict in (
        (-1.01, "helps"),
        (-0.99, "no difference shown"),
        (0.99, "no difference shown"),
        (1.01, "hurts"),
    ):
        assert change("tied", rows_of(10 + spread + shift * limit), base).verdict == verdict
    assert change("tied", rows_of([9.0]), base).verdict == "undecided"


def diverged(row):
    return Row(row.job, 1.0, failed="diverged")


def test_a_failed_seed_leaves_the_pairs_of_the_others():
    base, rows = rows_of([10.0, 11.0, 12.0]), rows_of([9.0, 10.0, 13.5])
    tied = change("tied", [*rows[:2], diverged(rows[2])], base)
    assert (tied.seeds, tied.held_out, tied.held_out_error) == (2, -1.0, 0.0)
    none = change("tied", [diverged(rows[2])], base)
    assert (none.seeds, none.held_out, none.verdict) == (0, None, "undecided")


def test_false_alarms_are_as_many_as_the_page_says():
    """8000 comparisons of five seeds in which nothing happens: the rate to 4.5 standard errors."""
    rng = np.random.default_rng(1)
    base = rows_of([0.0] * 5, [1.0] * 5)
    changes = [change("tied", rows_of(rng.standard_normal(5), [1.0] * 5), base) for _ in range(8000)]
    decided = sum(each.verdict in ("helps", "hurts") for each in changes)
    rate = false_alarms(changes) / 8000
    assert abs(decided / 8000 - rate) < 4.5 * math.sqrt(rate * (1 - rate) / 8000)


def test_every_variant_differs_from_its_base_by_what_it_says_and_can_be_built():
    compared = [name for group in GROUPS for name in group.variants]
    assert set(compared) | {group.base for group in GROUPS} == set(VARIANTS)
    for group in GROUPS:
        base = VARIANTS[group.base]
        for name in group.variants:
            variant = VARIANTS[name]
            assert variant.learner == base.learner
            changed = dict(variant.options.items() - base.options.items()) | dict(variant.training)
            assert len(changed) == (2 if (name, group.base) == ("preconditioned", "dit") else 1)
            assert base.options.items() <= variant.options.items()
    for full in GROUPS[-1].variants:
        short = VARIANTS[full.removeprefix("full-")]
        assert (short.options, short.training) == (VARIANTS[full].options, VARIANTS[full].training)
        assert variant_job(full, 0, FULL).training == VARIANTS[full].training
    short_ones = [name for name, variant in VARIANTS.items() if not variant.full]
    for name in short_ones:
        job = variant_job(name, 0, QUICK)
        assert sum(p.numel() for p in NETWORKS[job.learner].build(4, 2, **job.options).parameters())
    jobs = [variant_job(name, 0, size) for name in short_ones for size in (QUICK, FULL)]
    jobs += [variant_job(name, 0, FULL) for name in VARIANTS if name not in short_ones]
    assert len({sweeps.key(replace(job, variant="")) for job in jobs}) == len(jobs)


GAINS = {"tied": -0.5, "depth-1": 0.4, "full-tied": 0.2}


def invented(size, truth=1.0):
    """The whole table of jobs without its trainings: tied depth helps and depth 1 hurts; one variant diverges.

    Args:
        size: Of the study.
        truth: Change of the score error over that of the held-out loss.
    """
    rows = []
    for seed in range(size.seeds):
        for name in VARIANTS:
            job, gain = variant_job(name, seed, size), GAINS.get(name, 0.0)
            row = Row(job, 2.0, 200 + gain + seed, 1.0 + 0.1 * seed + truth * gain, 0.01, 100, 50, 50)
            rows.append(diverged(row) if name == "correction-1" else row)
    return improvements.compare(size.groups, rows)


@pytest.mark.parametrize("size", [QUICK, FULL])
def test_the_page_says_what_helped(size):
    page = improvements_page.page(invented(size))
    text = page.sections[0].blocks[0].text
    assert "Helps: tied depth (−0.50 ± 0.00)" in text
    assert "Hurts: depth 1 (+0.40 ± 0.00)" in text
    assert "No change helps by more than 2 standard errors." in text  # in the other groups
    assert ("trained in full (held-out loss" in text) == (size is FULL)
    assert ("Hurts: tied depth (+0.20 ± 0.00)" in text) == (size is FULL)
    assert "softmax path counts 1, not 0.05: diverged" in page.sections[1].blocks[0].note
    assert [section.title for section in page.sections[1:-1]] == [group.title for group in size.groups]


def test_checks_count_what_helps_and_hold_where_the_truth_agrees():
    checks = improvements_page.checks(invented(FULL))
    assert [check.shown for check in checks] == ["1 of 21", "0 of 5", "0 of 4", "0 of 3", "3 of 3"]
    assert [check.holds for check in checks] == [None] * 4 + [True]
    astray = improvements_page.checks(invented(FULL, truth=-1.0))[-1]
    assert (astray.shown, astray.holds) == ("0 of 3", False)


def test_without_a_verdict_nothing_is_claimed():
    same = Change("tied", "tied depth", 0.0, 1.0, 0.0, 1.0, 3)
    result = improvements_page.Result((Comparison("A group", "dit", "DiT", (same,)),), ())
    assert [(check.shown, check.holds) for check in improvements_page.checks(result)] == [("0 of 1", None), ("0", None)]


def test_what_is_listed_and_whether_the_truth_agrees():
    base = rows_of([10.0, 11.0], [1.0, 1.1])
    good = change("tied", rows_of([9.0, 10.0], [0.9, 1.0]), base)
    astray = change("width-32", rows_of([8.0, 9.0], [1.2, 1.3]), base)
    nothing = change("depth-2", rows_of([10.5, 10.5], [1.0, 1.1]), base)
    assert agreement([good, astray, nothing]) == (1, 2)
    comparison = Comparison("A group", "dit", "DiT", (good, astray, nothing))
    assert listed(comparison, "helps") == "width 32 (−2.00 ± 0.00); tied depth (−1.00 ± 0.00)"


def test_a_tiny_study_is_truly_measured_and_continued(tmp_path, monkeypatch):
    """Two changes, two seeds, three steps; a second run in the same folder trains nothing and finds the same."""
    tiny = replace(
        QUICK,
        sequences=40,
        frames=4,
        error_samples=64,
        groups=(
            improvements.Group("with", "dit", ("antithetic", "emphasis", "plain")),
            improvements.Group("without", "plain", ("plain-lags",)),
        ),
        options={"width": 8, "num_blocks": 1},
        training={"max_steps": 3, "evaluate_every": 3, "held_out_draws": 32, "batch_size": 8},
    )
    monkeypatch.setattr(improvements, "STUDY", replace(improvements.STUDY, quick=tiny))
    folder = tmp_path / "out"
    evidence.reproduce("improvements", folder, quick=True)
    first = evidence.load(folder / "results.json").result
    (folder / "report.html").unlink()  # as a kill leaves it
    monkeypatch.setattr(improvements, "fitted", None)
    evidence.reproduce("improvements", folder, quick=True)
    assert evidence.load(folder / "results.json").result == first
    rows = {(row.job.variant, row.job.seed): row for row in first.rows}
    assert len(rows) == 10
    gap = np.mean([rows["antithetic", seed].held_out - rows["dit", seed].held_out for seed in (0, 1)])
    assert next(each.held_out for each in first.changes if each.variant == "antithetic") == pytest.approx(gap)
    assert gap != 0
