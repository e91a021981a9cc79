"""``kronoscope fit``: where a network starts, what is said of too few sequences, and that a kill changes neither."""

import json

import numpy as np
import pytest

from kronoscope import load
from kronoscope.cli import run
from kronoscope.models.initialisation import ESTIMATORS
from kronoscope.training import loop

FEW = ["--max-steps", "40", "--batch-size", "16"]
UNROLLED = ["--network", "unrolled", "--initial", "stationary-separable", *FEW]


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "x.npy"
    np.save(path, np.random.default_rng(1).normal(size=(60, 6, 2)).cumsum(axis=1))
    return path


def fit(source, out, *arguments):
    return run(["fit", str(source), "--out", str(out), *arguments])


def test_a_network_that_starts_from_an_estimator_says_how_far_it_moved(series, tmp_path, capsys):
    assert fit(series, tmp_path / "run", *UNROLLED) == 0
    out = capsys.readouterr().out
    start = load(tmp_path / "run").record["initial"]
    assert start["from"] == "stationary-separable"
    assert start["kl_moved"] > 0
    assert f"away from its start, stationary-separable, by {start['kl_moved']:.3g} nats per sequence\n" in out
    assert json.loads((tmp_path / "run" / "run.json").read_text())["fit"]["initial"] == "stationary-separable"
    assert fit(series, tmp_path / "none", "--network", "unrolled", "--max-steps", "1") == 0
    assert "training moved" not in capsys.readouterr().out


def test_without_a_train_step_it_has_not_moved_and_the_page_is_made(series, tmp_path):
    untrained = [*UNROLLED[:4], "--max-steps", "0", "-q"]
    assert fit(series, tmp_path / "run", *untrained) == 0
    assert load(tmp_path / "run").record["initial"]["kl_moved"] == pytest.approx(0, abs=1e-9)
    assert (tmp_path / "run" / "report.html").exists()


def test_one_that_starts_from_an_estimator_resumes_exactly(series, tmp_path, monkeypatch):
    assert fit(series, tmp_path / "whole", *UNROLLED, "-q") == 0
    steps = []

    def killed(self):
        steps.append(self.state.step)
        if self.state.step == 23:
            self.save()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "report", killed)
        assert fit(series, tmp_path / "cut", *UNROLLED, "-q") == 130
    assert steps[-1] == 23
    assert run(["fit", "--resume", "--out", str(tmp_path / "cut"), "-q"]) == 0
    whole, cut = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == cut
    assert load(tmp_path / "whole").record["initial"] == load(tmp_path / "cut").record["initial"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--network", "unrolled", "--initial", "maximum"], "initial must be one of sample-covariance, separable"),
        (["--network", "dit", "--initial", "separable"], 'initial needs network="unrolled"'),
        (["--initial", "separable"], "got 'position'"),
    ],
)
def test_what_cannot_be_a_start_is_refused_and_writes_nothing(series, tmp_path, capsys, arguments, words):
    assert fit(series, tmp_path / "run", *arguments, "-q") == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_help_names_every_estimator(capsys):
    assert run(["fit", "--help"]) == 0
    text = "".join(capsys.readouterr().out.split())
    assert f"{','.join(list(ESTIMATORS)[:-1])}or{list(ESTIMATORS)[-1]}" in text


def test_too_few_sequences_for_the_structure_are_told_in_one_line(series, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.load(series)[:12])
    few = ["--network", "linear", "--max-steps", "2"]
    assert fit(tmp_path / "x.npy", tmp_path / "run", *few) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert told == [f"note: {note}" for note in load(tmp_path / "run").record["notes"]]
    assert "training sequences are fewer than N d = 12 values in each" in told[0]
    assert fit(tmp_path / "x.npy", tmp_path / "quiet", *few, "--quiet") == 0
    assert fit(series, tmp_path / "enough", *few) == 0
    assert "note: " not in capsys.readouterr().out
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((8, 6, 4)))
    assert fit(tmp_path / "x.npy", tmp_path / "fewest", *few) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert "values, fewer than the 300 free parameters of the free matrices of network 'linear'" in told[0]
    assert not (tmp_path / "fewest").exists()
