"""The study of learning: what is measured, how seeds are summed up, networks on longer sequences, and every page."""

import dataclasses
import importlib
import math
import re

import numpy as np
import pytest
import torch
from scipy import stats

import kronoscope as ks
from kronoscope import DivergenceError, InputError, metrics, report
from kronoscope.models.extrapolation import longer, longer_law, padded, spectral_law
from kronoscope.nn import PositionTransformer, UNet
from kronoscope_evidence import reproductions, stages
from kronoscope_evidence.learning import curves as learning_curves
from kronoscope_evidence.learning import jobs as learning
from kronoscope_evidence.learning import length as learning_length
from kronoscope_evidence.learning import sweeps
from kronoscope_evidence.learning.curves import point
from kronoscope_evidence.learning.jobs import Job, Row, job_of, measure
from kronoscope_evidence.learning.learners import LEARNERS
from kronoscope_evidence.learning.length_page import ExtensionJob, ExtensionRow, LongerError
from kronoscope_evidence.reproductions import REPRODUCTIONS
from kronoscope_evidence.yardstick import yardstick

STUDIES = ["decay", "length", "dimension", "complexity"]
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


def test_a_failure_is_a_result():
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


@pytest.mark.parametrize("name", ["decay", "length", "dimension"])
def test_effective_parameters_stand_on_every_axis_and_are_those_of_whole_sequences(name, monkeypatch):
    monkeypatch.setattr(learning.sweeps, "run", lambda table, m, *a, **k: [invented(job, m) for job in table.jobs])
    module = importlib.import_module(f"kronoscope_evidence.{REPRODUCTIONS[name].module}")
    page = module.run(quick=False, seed=0, stage=stages.quiet).page
    tables = [b for section in page.sections for b in section.blocks if isinstance(b, report.Table)]
    effective = [table for table in tables if table.caption.startswith("Effective parameters")]
    assert len(effective) == (2 if name == "decay" else 1)
    errors = [invented(job_of("unrolled", 500, seed), measure).kl for seed in range(5)]
    mean = 1000 * np.mean(errors)
    ends = np.exp(stats.t.interval(0.95, 4, np.log(mean), stats.sem(errors) / np.mean(errors)))
    for cell in effective[0].rows[0][1:]:
        told = [float(number) for number in re.findall(r"[\d.]+", cell)]
        assert told == pytest.approx([mean, *ends], rel=5e-3)  # three digits


def test_the_interval_covers_the_mean_as_often_as_it_says():
    """Errors like chi-square(34)/(2n), five seeds, 4000 times: 95 % +- 1.6 % (4.6 standard errors)."""
    draws = np.random.default_rng(0).chisquare(34, size=(4000, 5)) / 1000
    points = [point(1.0, rows_of(list(one))) for one in draws]
    covered = np.mean([one.lower <= 0.034 <= one.upper for one in points])
    assert abs(covered - 0.95) < 0.016


def test_the_exponent_is_found_with_its_interval():
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        rows = [row for n in (100, 400, 1600) for row in rows_of(5 / n * np.exp(0.2 * rng.standard_normal(5)), n=n)]
        found = learning_curves.exponent(rows, lambda row: row.job.n)
        inside += found.lower <= -1 <= found.upper
        assert abs(found.value + 1) < 0.2
    assert 180 <= inside <= 200
    assert learning_curves.exponent(rows_of([0.1, 0.2, 0.3]), lambda row: row.job.n) is None


def test_an_unrolled_network_on_longer_sequences_keeps_its_lags_and_adds_nothing():
    """A Markov law is extended exactly; the spectrum as it is agrees at the trained lags alone."""
    kernel = ks.kernels.PowerExponential(3.0)
    network = ks.nn.UnrolledTransformer.from_law(ks.GaussianSequence(kernel, torch.eye(2), times=6))
    for extended in (longer_law, spectral_law):
        same = extended(network, 6).covariance()
        torch.testing.assert_close(same, network.covariance().detach(), rtol=1e-6, atol=1e-6)
        long = extended(network, 24).covariance()
        torch.testing.assert_close(long[:12, :12], network.covariance().detach(), rtol=1e-6, atol=1e-6)
        assert float(torch.linalg.eigvalsh(long)[0]) > -1e-9
    truth = ks.GaussianSequence(kernel, torch.eye(2), times=24).covariance()
    torch.testing.assert_close(longer_law(network, 24).covariance(), truth, rtol=1e-6, atol=1e-6)
    gap, spectral = (float((one(network, 24).covariance() - truth).norm()) for one in (longer_law, spectral_law))
    assert spectral > 1000 * gap
    with pytest.raises(InputError, match="network must have one head"):
        longer_law(ks.nn.UnrolledTransformer(6, 2, heads=2), 12)
    with pytest.raises(InputError, match="a law must be Gamma kron Sigma to run on more frames, got DenseGaussian"):
        longer_law(ks.processes.DenseGaussian(torch.eye(4), 2), 12)


def test_a_padded_position_network_is_the_same_where_it_was_trained():
    torch.manual_seed(0)
    network = PositionTransformer(6, 2, width=8, num_blocks=2, num_heads=2)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    x, t = torch.randn(3, 6, 2), torch.tensor([0.1, 1.0, 5.0])
    torch.testing.assert_close(padded(network, 6)(x, t), network(x, t))
    larger = padded(network, 15)
    tables = [(a.lag_table, b.lag_table) for a, b in zip(network.blocks, larger.blocks, strict=True)]
    for short, long in tables:
        assert torch.equal(long[:, 9:-9], short)
        assert torch.count_nonzero(long[:, :9]) + torch.count_nonzero(long[:, -9:]) == 0


def test_what_can_run_on_more_frames_and_what_cannot():
    x = torch.randn(2, 12, 2, generator=seeded(0))
    for network in (UNet(6, 2, width=8, num_heads=2), PositionTransformer(6, 2, width=8, num_blocks=1, num_heads=2)):
        assert longer(network, 12)(x, 0.5).shape == x.shape
    with pytest.raises(InputError, match="network must be tied in the lag to run on more frames, got DiT"):
        longer(ks.nn.DiT(6, 2, width=8, num_heads=2), 12)
    with pytest.raises(InputError, match="frames must be"):
        longer(UNet(6, 2, width=8, num_heads=2), 0)


def advice(page):
    """Rows of the take-aways: what to do, because, row, column; none where the numbers settle nothing."""
    block = next(section for section in page.sections if section.title == "Take-aways").blocks[0]
    return block.rows if isinstance(block, report.Table) else ()


# --- pages --------------------------------------------------------------------------------------------------------


def invented(job, measurement):
    """Plausible results at once: errors fall like 1/n; one learner fails at one place."""
    rank = list(LEARNERS).index(job.learner) + 1
    error = 0.02 * rank * 500 / job.n * (1 + 0.1 * (job.seed % 7))
    if measurement.__name__ == "measure_longer":
        return longer_row(job, {(name, k): error * k**1.2 for name in ("own", "spectrum", "zero") for k in job.factors})
    if job.learner == "separable" and error > 0.3:
        return Row(job, floor=0.015, seconds=2.0, failed="too few of them")
    return Row(job, error, 0.0, 0.015, 2.0, sum(v for v in job.options.values()) + 100 * rank)


def longer_row(job, errors):
    return ExtensionRow(job, tuple(LongerError(*place, kl, 0.001 * kl) for place, kl in errors.items()))


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("name", STUDIES)
def test_every_page_can_be_written_in_full_and_quickly(name, quick, monkeypatch, tmp_path):
    """The whole table of jobs, without its hours: results are invented, everything after them is real."""

    def run(table, measurement, row, folder, on_result):
        on_result(1, len(table.jobs), table.jobs[0])
        return [invented(one, measurement) for one in table.jobs]

    monkeypatch.setattr(learning.sweeps, "run", run)
    module = importlib.import_module(f"kronoscope_evidence.{REPRODUCTIONS[name].module}")
    found = module.run(quick=quick, seed=1, stage=stages.quiet)
    path = report.write(found.page, tmp_path / "page.html")
    text = path.read_text(encoding="utf-8")
    assert "Take-aways" in text
    assert "nan" not in text.lower().replace("finan", "").split()
    assert found.results
    if not quick:
        assert advice(found.page)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", STUDIES)
def test_a_training_that_diverges_is_left_out_by_name_and_ends_no_study(name, whole, monkeypatch, tmp_path):
    """Every training of the U-Net, or that of its first seed alone."""

    def broken(job, measurement):
        if job.learner != "unet" or not (whole or job.seed == 0):
            return invented(job, measurement)
        why = "training diverged at step 3"
        if measurement.__name__ == "measure_longer":
            return ExtensionRow(job, (), why)
        return Row(job, seconds=2.0, failed=why)

    def run(table, measurement, row, folder, on_result):
        return [broken(one, measurement) for one in table.jobs]

    monkeypatch.setattr(learning.sweeps, "run", run)
    module = importlib.import_module(f"kronoscope_evidence.{REPRODUCTIONS[name].module}")
    found = module.run(quick=False, seed=0, stage=stages.quiet)
    text = report.write(found.page, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "training diverged at step 3" in text
    if name == "length":
        assert "1-D U-Net, seed 0, is left out: training diverged at step 3" in text


def diverging(*args, **kwargs):
    raise DivergenceError("training diverged at step 3")


def test_a_training_for_longer_sequences_that_diverges_is_a_row(monkeypatch):
    job = ExtensionJob("unet", 20, 0, frames=4, features=2, training={"max_steps": 2}, factors=(1,))
    monkeypatch.setattr(learning_length, "fitted", diverging)
    assert learning_length.measure_longer(job).failed == "training diverged at step 3"


def test_a_folder_begun_with_another_rate_is_not_continued(tmp_path, monkeypatch):
    """A job does not hold its learner's rate; the settings of the table do."""
    jobs = [learning.job_of("unet", 20, s, frames=4, features=2) for s in range(2)]
    monkeypatch.setattr(learning.sweeps, "_call", lambda measure, job: (job, invented(job, measure)))
    learning.run_jobs("s", jobs, tmp_path, stages.quiet)
    learning.run_jobs("s", jobs, tmp_path, stages.quiet)
    other = dataclasses.replace(LEARNERS["unet"], rate=3e-3, options={"width": 8})
    monkeypatch.setitem(LEARNERS, "unet", other)
    words = (
        r"it has unet\.learning_rate 0\.01 instead of 0\.003; unet\.width unset instead of 8\. Choose another folder"
    )
    with pytest.raises(InputError, match=words):
        learning.run_jobs("s", jobs, tmp_path, stages.quiet)


@pytest.mark.parametrize("name", STUDIES)
def test_seeds_are_five_in_full_and_no_job_is_there_twice(name, monkeypatch):
    tables = []

    def run(table, measurement, row, folder, on_result):
        tables.append(table)
        return [invented(one, measurement) for one in table.jobs]

    monkeypatch.setattr(learning.sweeps, "run", run)
    importlib.import_module(f"kronoscope_evidence.{REPRODUCTIONS[name].module}").run(
        quick=False, seed=0, stage=stages.quiet
    )
    for table in tables:
        assert len({sweeps.key(one) for one in table.jobs}) == len(table.jobs)
    assert len({job.seed for job in tables[0].jobs}) >= 5


def test_a_reproduction_that_was_cut_off_is_gone_on_with_and_a_finished_one_is_not_replaced(monkeypatch, tmp_path):
    def run(table, measurement, row, folder, on_result):
        (folder / "results").mkdir(parents=True, exist_ok=True)
        return [invented(one, measurement) for one in table.jobs]

    monkeypatch.setattr(learning.sweeps, "run", run)
    (tmp_path / "out" / "sweep").mkdir(parents=True)
    (tmp_path / "out" / "sweep" / "sweep.json").write_text("{}")
    reproductions.reproduce("dimension", tmp_path / "out", quick=True)
    assert (tmp_path / "out" / "sweep" / "sweep.json").exists()
    with pytest.raises(InputError, match="exists already; --force replaces the experiment"):
        reproductions.reproduce("dimension", tmp_path / "out", quick=True)
    reproductions.reproduce("dimension", tmp_path / "out", quick=True, force=True)
    assert not (tmp_path / "out" / "sweep" / "sweep.json").exists()


def test_kept_results_make_the_same_page_again(tmp_path, monkeypatch):
    """A tiny study, truly measured: a second run in a copy of its sweep computes nothing and finds the same numbers."""
    module = importlib.import_module("kronoscope_evidence.learning.dimension")
    for name, value in {"QUICK_FEATURES": (1, 2), "QUICK_FRAMES": 4, "ESTIMATORS": ("separable", "tapered")}.items():
        monkeypatch.setattr(module, name, value)
    short = {"max_steps": 2, "evaluate_every": 2, "held_out_draws": 32}
    monkeypatch.setattr(module, "QUICK_TRAINING", short)
    told = {"quick": True, "seed": 0, "stage": stages.quiet, "folder": tmp_path / "sweep"}
    first = module.run(**told)
    monkeypatch.setattr(learning, "_learn", None)
    assert module.run(**told) == first
