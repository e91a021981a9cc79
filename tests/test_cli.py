"""The command line: the whole path, its exit codes, and one clear line for everything that is wrong."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from kronoscope.cli import run
from kronoscope.models.folder import write_run

COMMANDS = ("fit", "sample", "demo", "report")
FEW = ["--max-steps", "12", "--quiet"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Forty days of two hourly series with a name that HTML would obey."""
    rng = np.random.default_rng(0)
    stamps = pd.date_range("2021-03-01", periods=24 * 40, freq="h")
    walk = np.cumsum(rng.normal(size=(len(stamps), 2)), axis=0) * 0.2
    frame = pd.DataFrame({"when": stamps, "temp <b>": walk[:, 0] + 10, "wind": np.abs(walk[:, 1])})
    path = tmp_path_factory.mktemp("table") / "table.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def finished(table, tmp_path_factory):
    """A finished run of that table."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert (
        run(["fit", str(table), "--out", str(folder), "--frames", "24", "--time", "when", "--test", "0.2", *FEW]) == 0
    )
    return folder


def refused(capsys, arguments, *words, code=2):
    """Exit code, a single line on stderr that holds the words, and silence on stdout."""
    assert run([str(a) for a in arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("kronoscope: ")
    assert err.count("\n") == 1
    assert all(word in err for word in words), err


def test_fit_leaves_a_run_with_a_report(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {"run.json", "result.json", "weights.safetensors", "report.html", "report.json"}
    page = (finished / "report.html").read_text()
    assert "temp &lt;b&gt;" in page
    assert "temp <b>" not in page


def test_sample_writes_the_units_and_names_of_the_source(finished, table, tmp_path, capsys):
    out = tmp_path / "new.csv"
    assert run(["sample", str(finished), "-n", "7", "--out", str(out), "--calls", "8"]) == 0
    assert "7 sequences" in capsys.readouterr().out
    new = pd.read_csv(out)
    assert list(new.columns) == ["sequence", "offset_hours", "temp <b>", "wind"]
    assert len(new) == 7 * 24
    assert abs(new["temp <b>"].mean() - pd.read_csv(table)["temp <b>"].mean()) < 10


@pytest.mark.parametrize("ending", [".parquet", ".npy", ".npz", ".nc", ".zarr"])
def test_sample_writes_every_format(finished, tmp_path, ending):
    assert run(["sample", str(finished), "-n", "2", "--out", str(tmp_path / f"x{ending}"), "--calls", "4", "-q"]) == 0
    assert (tmp_path / f"x{ending}").exists()


def test_sampling_again_gives_the_same_and_another_seed_another(finished, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        arguments = ["sample", str(finished), "-n", "3", "--out", str(tmp_path / f"{name}.npy"), "--seed", str(seed)]
        assert run([*arguments, "--calls", "4", "--quiet"]) == 0
    a, b, c = (np.load(tmp_path / f"{name}.npy") for name in "abc")
    assert np.array_equal(a, b)
    assert not np.allclose(a, c)


def test_report_is_rendered_again_from_its_records(finished, capsys):
    before = (finished / "report.html").read_bytes()
    (finished / "report.html").unlink()
    assert run(["report", str(finished)]) == 0
    assert (finished / "report.html").read_bytes() == before
    assert "report.html" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, capsys):
    assert run([command, "--help"]) == 0
    assert "--quiet" in capsys.readouterr().out


def test_help_and_version_load_no_torch():
    code = "import sys; from kronoscope.cli import run; run(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(command in done.stdout for command in COMMANDS)


def test_what_is_wrong_with_the_command(capsys, tmp_path):
    refused(capsys, ["fit", "--out", tmp_path / "r"], "SOURCE")
    refused(capsys, ["fit", tmp_path / "x.csv"], "--out")
    refused(capsys, ["fitt"], "fitt")
    refused(capsys, ["fit", "x.csv", "--out", "r", "--colour"], "--colour")
    refused(capsys, ["fit", "x.csv", "--out", "r", "--frames", "0"], "--frames")
    refused(capsys, ["fit", "x.csv", "--out", tmp_path / "r", "--resume", "--force"], "--resume")


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--frames", "24", "--time", "when", "--network", "transformer"], ["position", "dit", "transformer"]),
        (["--frames", "24", "--time", "when", "--option", "width"], ["NAME=VALUE"]),
        (["--frames", "24", "--time", "when", "--option", "depth=3"], ["depth"]),
        (["--frames", "24", "--time", "when", "--option", "width=63"], ["width", "num_heads"]),
        (["--frames", "24", "--time", "when", "--test", "half"], ["--test", "half"]),
        (["--frames", "24", "--time", "when", "--validation", "0"], ["validation"]),
        (["--frames", "24", "--time", "when", "--mean", "median"], ["mean", "median"]),
        (["--frames", "24", "--time", "when", "--limits", "wind"], ["NAME=LOW:HIGH"]),
        (["--frames", "24", "--time", "whenever"], ["whenever", "when"]),
        (["--frames", "24", "--time", "when", "--timezone", "Mars/Base"], ["Mars/Base"]),
        (["--time", "when"], ["frames"]),
        (["--frames", "24", "--time", "when", "--learning-rate", "-1"], ["learning-rate"]),
        (["--frames", "240", "--time", "when"], ["at least 8 sequences"]),
    ],
)
def test_wrong_options_write_nothing(table, tmp_path, capsys, extra, words):
    refused(capsys, ["fit", table, "--out", tmp_path / "run", "--quiet", *extra], *words)
    assert not any(tmp_path.iterdir())


def test_wrong_files(tmp_path, capsys, finished):
    refused(capsys, ["fit", tmp_path / "none.csv", "--out", tmp_path / "r"], "none.csv", "the file does not exist")
    (tmp_path / "x.xls").write_text("1")
    refused(capsys, ["fit", tmp_path / "x.xls", "--out", tmp_path / "r"], ".csv", ".xls")
    pd.DataFrame({"a": range(100), "b": ["x"] * 100}).to_csv(tmp_path / "text.csv", index=False)
    refused(capsys, ["fit", tmp_path / "text.csv", "--frames", "5", "--out", tmp_path / "r"], "'b'", "columns")
    np.save(tmp_path / "inf.npy", np.full((20, 4, 2), np.inf))
    refused(capsys, ["fit", tmp_path / "inf.npy", "--out", tmp_path / "r"], "inf")
    refused(capsys, ["sample", tmp_path / "r", "--out", tmp_path / "y.csv"], "does not exist")
    refused(capsys, ["sample", tmp_path, "--out", tmp_path / "y.csv"], "run.json")
    refused(capsys, ["sample", finished, "--out", tmp_path / "y.txt"], ".txt")
    refused(capsys, ["report", tmp_path / "r"], "is not a folder")
    assert not (tmp_path / "r").exists()
    assert not (tmp_path / "y.csv").exists()


def test_what_exists_is_kept_unless_forced(finished, table, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    again = ["fit", table, "--out", finished, "--frames", "24", "--time", "when", "--quiet"]
    refused(capsys, again, "exists already", "--force")
    (tmp_path / "kept.csv").write_text("mine")
    refused(capsys, ["sample", finished, "--out", tmp_path / "kept.csv", "--quiet"], "exists already", "--force")
    assert (tmp_path / "kept.csv").read_text() == "mine"
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("mine")
    refused(
        capsys,
        ["fit", table, "--out", tmp_path / "foreign", "--frames", "24", "--time", "when", "--force", "-q"],
        "run",
    )
    assert (tmp_path / "foreign" / "thesis.tex").exists()
    assert before == {path.name: path.read_bytes() for path in finished.iterdir()}


def test_divergence_exits_with_1(table, tmp_path, capsys):
    arguments = ["fit", table, "--out", tmp_path / "r", "--frames", "24", "--time", "when", "--quiet"]
    kept = "no checkpoint was written; try a learning_rate below"
    wild = ["--learning-rate", "1e30", "--max-steps", "300"]
    refused(capsys, [*arguments, *wild], "training diverged at step ", ": the loss is ", kept, code=1)
    assert not (tmp_path / "r").exists()


def test_a_killed_fit_is_continued_as_if_it_had_not_been(tmp_path):
    x = np.random.default_rng(1).normal(size=(60, 6, 2)).cumsum(axis=1)
    np.save(tmp_path / "x.npy", x)
    command = [sys.executable, "-m", "kronoscope", "fit", str(tmp_path / "x.npy"), "--max-steps", "1500", "--quiet"]
    killed = subprocess.Popen([*command, "--out", str(tmp_path / "killed")])
    for _ in range(600):
        if (tmp_path / "killed" / "checkpoint.safetensors").exists():
            break
        time.sleep(0.1)
    killed.send_signal(signal.SIGTERM)
    assert killed.wait(timeout=60) != 0
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    assert run(["sample", str(tmp_path / "killed"), "--out", str(tmp_path / "y.npy")]) == 2
    subprocess.run(
        [sys.executable, "-m", "kronoscope", "fit", "--resume", "--out", str(tmp_path / "killed"), "-q"], check=True
    )
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True)
    a, b = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("killed", "whole"))
    assert a == b


def test_resume_refuses_other_settings(table, tmp_path, capsys, finished):
    refused(capsys, ["fit", "--resume", "--out", finished, "--quiet"], "finished")
    refused(capsys, ["fit", "--resume", "--out", tmp_path / "none"], "none")
    begun = tmp_path / "begun"
    begun.mkdir()
    told = json.loads((finished / "run.json").read_text())
    del told["sha256"], told["files"]
    write_run(begun, told, ())
    arguments = ["fit", table, "--resume", "--out", begun, "--frames", "24", "--time", "when", "--test", "0.2", "-q"]
    refused(capsys, [*arguments, "--max-steps", "13"], "other settings", "training")
