"""``kronoscope audit``: verdict as exit code, page and JSON, and one line for what cannot be compared."""

import json

import numpy as np
import pytest

from kronoscope.cli import run


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Walks of the same law in real.npy and good.npy, independent frames of the same size in bad.npy."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for name in ("real", "good"):
        np.save(f"{name}.npy", generator.standard_normal((60, 6, 2)).cumsum(1))
    np.save("bad.npy", generator.standard_normal((60, 6, 2)) * np.sqrt(np.arange(1, 7))[:, None])
    return tmp_path


def test_the_exit_code_is_the_verdict(files, capsys):
    assert run(["audit", "real.npy", "good.npy", "--out", "good.html", "--json", "good.json"]) == 0
    assert json.loads((files / "good.json").read_text())["passed"] is True
    assert "passed at 5 %" in capsys.readouterr().out
    assert run(["audit", "real.npy", "bad.npy", "--out", "bad.html", "--json", "bad.json"]) == 1
    told = json.loads((files / "bad.json").read_text())
    assert told["passed"] is False
    assert "covariance" in {question["name"] for question in told["questions"] if question["rejected"]}
    assert "differs: " in capsys.readouterr().out
    assert "<html" in (files / "bad.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["real.npy", "short.npy", "--out", "a.html"], "the same number of frames, got 6 and 5"),
        (["real.npy", "nowhere.npy", "--out", "a.html"], "nowhere.npy"),
        (["real.npy", "good.npy", "--out", "there.html"], "there.html exists"),
        (["real.npy", "good.npy", "--out", "a.html", "--json", "no/a.json"], "folder no does not exist"),
        (["real.npy", "good.npy", "--out", "a.html", "--alpha", "2"], "alpha must be"),
        (["real.npy", "good.npy", "--out", "a.html", "--run", "r", "--frames", "6"], "leave out --frames"),
        (["real.npy", "good.npy", "--out", "a.html", "--run", "r"], "r"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_writes_nothing(files, capsys, arguments, says):
    np.save("short.npy", np.load("real.npy")[:, :5])
    (files / "there.html").write_text("kept")
    before = sorted(files.iterdir())
    assert run(["audit", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert sorted(files.iterdir()) == before
    assert (files / "there.html").read_text() == "kept"


def test_a_run_audits_what_it_held_out(files, capsys):
    fitted = ["fit", "real.npy", "--out", "RUN", "--max-steps", "1", "--test", "0.5", "--quiet"]
    assert run(fitted) == 0
    assert run(["audit", "real.npy", "good.npy", "--run", "RUN", "--out", "a.html", "--json", "a.json"]) in (0, 1)
    told = json.loads((files / "a.json").read_text())
    assert (told["num_real"], told["num_held_out"]) == (30, 30)
    split = json.loads((files / "RUN" / "run.json").read_text())["split"]
    assert told["num_training"] == len(split["train"])
    assert "memorisation" in {question["name"] for question in told["questions"]}
    np.save("other.npy", np.load("real.npy")[:40])
    assert run(["audit", "other.npy", "good.npy", "--run", "RUN", "--out", "b.html"]) == 2
    assert "the file that the run was fitted to" in capsys.readouterr().err
