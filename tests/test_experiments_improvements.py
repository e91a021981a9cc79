"""The study of single changes: pairing, verdicts, the page, and a tiny sweep that is gone on with."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from kronoscope import report
from kronoscope.models import NETWORKS
from kronoscope_evidence import reproductions, stages
from kronoscope_evidence.learning import jobs as learning
from kronoscope_evidence.learning import sweeps
from kronoscope_evidence.networks import improvements
from kronoscope_evidence.networks.improvements import GROUPS, VARIANTS, VariantJob, VariantRow, change
from kronoscope_evidence.networks.improvements_page import agreement, false_alarms, said


def rows_of(held_out, kl=None):
    errors = held_out if kl is None else kl
    return [
        VariantRow(VariantJob("dit", 500, i), kl=float(e), seconds=1.0, parameters=7, held_out=float(h))
        for i, (h, e) in enumerate(zip(held_out, errors, strict=True))
    ]


def test_differences_are_paired_as_students_test_pairs_them():
    rng = np.random.default_rng(0)
    before = 200 + 5 * rng.standard_normal(5)
    after = before - 0.3 + 0.1 * rng.standard_normal(5)
    got = change("tied", rows_of(after, after - 199 + 20), rows_of(before, before - 199 + 20))
    expected = stats.ttest_rel(after, before)
    assert got.held_out / got.held_out_error == pytest.approx(float(expected.statistic))
    assert got.kl == pytest.approx(got.held_out)
    assert got.kl_error == pytest.approx(got.held_out_error)
    assert got.verdict == "helps"
    assert change("tied", rows_of(before), rows_of(after)).verdict == "hurts"
    assert got.seeds == 5


def test_verdicts_are_beyond_two_standard_errors_only():
    base = rows_of([10.0, 10.0, 10.0, 10.0])
    one = np.array([-1.0, -1.0, 1.0, 1.0])  # standard error 1/sqrt(3)
    limit = 2 / math.sqrt(3)
    for shift, told in (
        (-1.01, "helps"),
        (-0.99, "no difference shown"),
        (0.99, "no difference shown"),
        (1.01, "hurts"),
    ):
        assert change("tied", rows_of(10 + one + shift * limit), base).verdict == told
    assert change("tied", rows_of([9.0]), base).verdict == "undecided"


def test_a_failed_seed_leaves_the_pairs_of_the_others():
    base, rows = rows_of([10.0, 11.0, 12.0]), rows_of([9.0, 10.0, 13.5])
    gone = VariantRow(rows[2].job, failed="diverged")
    got = change("tied", [*rows[:2], gone], base)
    assert (got.seeds, got.held_out, got.held_out_error) == (2, -1.0, 0.0)
    assert got.point.failed == ("diverged",)
    assert change("tied", [gone], base).held_out is None


def test_false_alarms_are_as_many_as_are_told():
    """8000 comparisons of five seeds in which nothing happens: the rate to 4.5 standard errors."""
    rng = np.random.default_rng(1)
    base = rows_of([0.0] * 5, [1.0] * 5)
    changes = [change("tied", rows_of(rng.standard_normal(5), [1.0] * 5), base) for _ in range(8000)]
    told = sum(one.verdict in ("helps", "hurts") for one in changes)
    rate = false_alarms(changes) / 8000
    assert abs(told / 8000 - rate) < 4.5 * math.sqrt(rate * (1 - rate) / 8000)


def test_every_variant_differs_from_its_base_by_what_it_says_and_can_be_built():
    compared = [name for group in GROUPS for name in group.variants]
    assert set(compared) | {group.base for group in GROUPS} == set(VARIANTS)
    for group in GROUPS:
        base = VARIANTS[group.base]
        for name in group.variants:
            one = VARIANTS[name]
            assert one.learner == base.learner
            more = dict(one.options.items() - base.options.items()) | dict(one.training)
            assert len(more) == (2 if (name, group.base) == ("preconditioned", "dit") else 1)
            assert base.options.items() <= one.options.items()
    for full in improvements._OF_FULL:
        short = VARIANTS[full.removeprefix("full-")]
        assert (short.options, short.training) == (VARIANTS[full].options, VARIANTS[full].training)
        assert improvements._job(full, 0, False).training == VARIANTS[full].training
    short_ones = [name for name, one in VARIANTS.items() if not one.full]
    for name in short_ones:
        job = improvements._job(name, 0, True)
        assert sum(p.numel() for p in NETWORKS[job.learner].build(4, 2, **job.options).parameters())
    jobs = [improvements._job(name, 0, quick) for name in short_ones for quick in (True, False)]
    jobs += [improvements._job(name, 0, False) for name in VARIANTS if name not in short_ones]
    assert len({sweeps.key(replace(job, variant="")) for job in jobs}) == len(jobs)


def invented(job):
    gain = {"tied": -0.5, "depth-1": 0.4, "full-tied": 0.2}.get(job.variant, 0.0)
    if job.variant == "correction-1":
        return VariantRow(job, failed="diverged", seconds=1.0)
    sizes = {"parameters": 100, "steps": 50, "best_step": 50, "seconds": 2.0}
    return VariantRow(job, 1.0 + 0.1 * job.seed + gain, 0.01, held_out=200 + gain + job.seed, **sizes)


@pytest.mark.parametrize("quick", [True, False])
def test_the_page_says_what_helped(quick, monkeypatch, tmp_path):
    """The whole table of jobs without its trainings: tied depth helps and depth 1 hurts, as invented."""

    def run(table, measurement, row, folder, on_result):
        assert measurement is improvements.measure
        on_result(1, len(table.jobs), table.jobs[0])
        return [invented(one) for one in table.jobs]

    monkeypatch.setattr(learning.sweeps, "run", run)
    page = reproductions.reproduce("improvements", tmp_path / "out", quick=quick)
    text = page.read_text(encoding="utf-8")
    assert "Helps: tied depth (−0.50 ± 0.00)" in text
    assert "Hurts: depth 1 (+0.40 ± 0.00)" in text
    assert "softmax path counts 1, not 0.05: diverged" in text
    assert "Nothing that was tried helps" in text  # in the other groups
    assert ("trained in full (held-out loss" in text) == (not quick)
    assert ("Hurts: tied depth (+0.20 ± 0.00)" in text) == (not quick)


def test_what_is_said_and_whether_the_truth_agrees():
    base = rows_of([10.0, 11.0], [1.0, 1.1])
    good = change("tied", rows_of([9.0, 10.0], [0.9, 1.0]), base)
    astray = change("width-32", rows_of([8.0, 9.0], [1.2, 1.3]), base)
    nothing = change("depth-2", rows_of([10.5, 10.5], [1.0, 1.1]), base)
    assert agreement([good, astray, nothing]) == (1, 2)
    compared = improvements.Compared(GROUPS[0], "DiT", good.point, (good, astray, nothing))
    assert said(compared, "helps") == "width 32 (−2.00 ± 0.00); tied depth (−1.00 ± 0.00)"


def test_a_tiny_study_is_truly_measured_and_gone_on_with(tmp_path, monkeypatch):
    """Two changes, two seeds, three steps; a second run in the same folder trains nothing and finds the same."""
    kept = {name: VARIANTS[name] for name in ("dit", "plain", "antithetic", "plain-lags")}
    groups = (
        improvements.Group("with", "dit", ("antithetic", "plain")),
        improvements.Group("without", "plain", ("plain-lags",)),
    )
    tiny = {"max_steps": 3, "evaluate_every": 3, "held_out_draws": 32, "batch_size": 8}
    values = {"VARIANTS": kept, "GROUPS": groups, "QUICK_TRAINING": tiny, "QUICK_SHAPE": {"frames": 4, "features": 2}}
    values |= {"QUICK_OPTIONS": {"width": 8, "num_blocks": 1}, "N": 40, "QUICK_SAMPLES": 64}
    for name, value in values.items():
        monkeypatch.setattr(improvements, name, value)
    told = {"quick": True, "seed": 0, "stage": stages.quiet, "folder": tmp_path / "sweep"}
    first = improvements.run(**told)
    monkeypatch.setattr(improvements, "fitted", None)
    assert improvements.run(**told) == first
    report.write(first.page, tmp_path / "page.html")
    rows = {(row["job"]["variant"], row["job"]["seed"]): row for row in first.results["rows"]}
    assert len(rows) == 8
    gap = np.mean([rows["antithetic", s]["held_out"] - rows["dit", s]["held_out"] for s in (0, 1)])
    told_gap = next(c["held_out"] for c in first.results["changes"] if c["variant"] == "antithetic")
    assert told_gap == pytest.approx(gap)
    assert gap != 0
