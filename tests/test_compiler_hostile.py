"""Folders that somebody made to crash or to stall, with hashes that fit; and compilations that are killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from compiler_cases import sigma
from safetensors.torch import load_file, save_file
from test_compiler_folder import FILES, mend

import kronoscope as ks
from kronoscope import compiler
from kronoscope.cli import run
from kronoscope.compiler import cost, folder
from kronoscope.compiler.certificate import canonical

SMALL = ks.GaussianSequence(ks.kernels.PowerExponential(4.0, 2.0), sigma(2), times=8)
LONGEST = 20.0  # seconds, of which nearly all are other people's on a busy machine


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    place = tmp_path_factory.mktemp("hostile")
    compiler.save(ks.compile_score(SMALL, "spectral"), place)
    return place


@pytest.fixture
def copied(compiled, tmp_path):
    return shutil.copytree(compiled, tmp_path / "copy")


def refused(place):
    """Both commands refuse the folder in time, and with no other exception."""
    began = time.monotonic()
    reasons = compiler.verify(place)
    with pytest.raises(ks.InputError):
        compiler.load(place)
    assert reasons
    assert time.monotonic() - began < LONGEST
    return " ".join(reasons)


def configure(place, change):
    record = json.loads((place / "configuration.json").read_text())
    change(record)
    (place / "configuration.json").write_text(canonical(record))
    mend(place)


def deep(levels=40):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "options",
    [
        {"iteration": "gradient-descent", "min_time": 1e-9, "max_depth": 10**30},
        {"iteration": "chebyshev-steps", "min_time": 1e-9, "max_depth": 10**9},
        {"iteration": "chebyshev-steps", "min_time": 1e-9, "max_depth": 10**9, "gates": "relu"},
        {"iteration": "chebyshev", "gates": "relu", "product_layers": 10**9},
        {"iteration": "chebyshev", "max_lag": 10**30},
        {"max_depth": "many"},
        {"dtype": "load"},
        {"dtype": "int64"},
        {"heads": {}},
        {"iteration": ["spectral"]},
        {"tolerance": 1e-300},
        {"max_time": 1e308},
        {"min_time": None},
        {"tolerance": 10**400},
        {"unknown": 1},
        {"max_lag": deep()},
    ],
)
def test_options_that_would_take_hours_or_are_none(copied, options):
    configure(copied, lambda record: record["options"].update(options))
    refused(copied)


@pytest.mark.parametrize(
    "process",
    [
        {"kernels": []},
        {"kernels": ["Matern(8, 1e308)"]},
        {"kernels": ["1e308 * White()"]},
        {"kernels": ["(" * 5000]},
        {"kernels": [deep()]},
        {"kernels": "White()"},
        {"kind": "Sampler"},
        {"kind": None},
        {"kind": "KroneckerSum"},
        {"kind": "DenseGaussian"},
    ],
)
def test_processes_that_are_none(copied, process):
    configure(copied, lambda record: record["process"].update(process))
    refused(copied)


@pytest.mark.parametrize(
    "arrays",
    [
        {"times": torch.arange(10**6, dtype=torch.float64), "mean": torch.zeros(10**6, 2, dtype=torch.float64)},
        {"times": torch.arange(12000, dtype=torch.float64), "mean": torch.zeros(12000, 2, dtype=torch.float64)},
        {"times": torch.zeros(8, dtype=torch.float64)},
        {"mean": torch.zeros(8, 2, dtype=torch.int64)},
        {"mean": torch.full((8, 2), float("nan"), dtype=torch.float64)},
        {"mean": torch.full((8, 2), 1e200, dtype=torch.float64)},
        {"mean": torch.zeros((), dtype=torch.float64)},
        {"spatial_covariance": torch.zeros(0, 0, dtype=torch.float64)},
        {"spatial_covariance": torch.eye(2, dtype=torch.float32)},
        {"spatial_covariance": -torch.eye(2, dtype=torch.float64)},
        {"more": torch.zeros(1)},
    ],
)
def test_arrays_that_describe_no_process(copied, arrays):
    stored = load_file(copied / "process.safetensors") | arrays
    save_file(stored, copied / "process.safetensors")
    mend(copied)
    refused(copied)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[" * 10**6, b'{"a":' * 10**5, b"\xff\xfe", b"null", (2**40).to_bytes(8, "little") + b"{}",
     (80).to_bytes(8, "little") + b'{"x":{"dtype":"F64","shape":[1000000000,9],"data_offsets":[0,72000000000]}}     ',
     b'{"certificate": NaN, "format": "kronoscope-compiled-2", "options": 1, "process": []}'],
)  # fmt: skip
def test_files_that_are_none(copied, name, content):
    (copied / name).write_bytes(content)
    refused(copied)


def test_what_is_no_ordinary_file_is_not_read(copied):
    for name in FILES:
        path = copied / name
        before = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        assert "partial" in refused(copied)
        path.unlink()
        path.write_bytes(before)
    assert compiler.verify(copied) == []


def test_a_folder_of_an_earlier_version_is_named(copied):
    configure(copied, lambda record: record.update(format="kronoscope-compiled-1"))
    assert "this version reads 'kronoscope-compiled-2': compile it again" in refused(copied)


def test_force_replaces_a_compiled_score_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    wanted = ["compile", "--frames", "6", "--kernel", "PowerExponential(3)", "--out", "C"]
    assert run(wanted) == 0
    assert run(wanted) == 2
    assert "--force" in capsys.readouterr().err
    assert run([*wanted, "--frames", "7", "--force"]) == 0
    assert run(["verify", "C"]) == 0
    (tmp_path / "C" / "weights.safetensors").unlink()
    assert run(["verify", "C"]) == 1
    assert "partial compiled score: it has no weights.safetensors" in capsys.readouterr().out
    assert run([*wanted, "--force"]) == 0
    (tmp_path / "C" / "notes.txt").write_text("mine")
    assert run([*wanted, "--force"]) == 2
    assert "notes.txt" in capsys.readouterr().err
    assert (tmp_path / "C" / "notes.txt").read_text() == "mine"
    assert run(["verify", "C"]) == 0
    assert sorted(os.listdir()) == ["C"]


KILLED = """
import os, signal, sys
from kronoscope import _files
from kronoscope.cli import run

lines, moment = 0, int(sys.argv[1])

def die(frame, event, argument):
    # counts the lines of the writer, and kills at one of them
    global lines
    if frame.f_code.co_filename.endswith(("_files.py", "compiler/folder.py")):
        lines += event == "line"
        if lines >= moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return die

sys.settrace(die)
run(["compile", "--frames", sys.argv[2], "--out", "C", *sys.argv[3:]])
"""


@pytest.mark.parametrize("moment", [25, 60])
def test_a_killed_compile_is_in_nobodys_way(tmp_path, monkeypatch, moment):
    """The folder is the old one or the new one, whole, and the next command works."""
    monkeypatch.chdir(tmp_path)
    assert run(["compile", "--frames", "5", "--out", "C"]) == 0
    ended = subprocess.run([sys.executable, "-c", KILLED, str(moment), "6", "--force"], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert run(["verify", "C"]) == 0
    assert compiler.load("C").process.num_frames in (5, 6)
    assert run(["compile", "--frames", "4", "--out", "C", "--force"]) == 0
    assert sorted(os.listdir()) == ["C"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--kernel", "Matern(8, 1e308)"], "finite"),
        (["--kernel", "1e308 * White()"], "1e100"),
        (["--features", "100000"], "memory"),
        (["--frames", "1000000000"], "memory"),
        (["--frames", "1e9"], "--frames"),
        (["--frames", "1e22"], "--frames"),
        (["--frames", "10000000000000000000000"], "--frames"),
        (["--frames", "8", "--spatial", "short.npy"], "short.npy"),
        (["--frames", "8", "--spatial", "complex.npy"], "real numbers"),
        (["--frames", "8", "--spatial", "wide.npy"], "square"),
        (["--frames", "8", "--spatial", "objects.npy"], "objects.npy"),
        (["--frames", "8", "--spatial", "pipe.npy"], "not a file"),
    ],
)
def test_compile_refuses_in_one_line_and_writes_nothing(tmp_path, monkeypatch, capfd, arguments, says):
    monkeypatch.chdir(tmp_path)
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000, 100000), }"
    (tmp_path / "short.npy").write_bytes(b"\x93NUMPY\x03\x00" + len(header).to_bytes(4, "little") + header)
    np.save("complex.npy", np.eye(2) + 0.5j * np.array([[0, 1], [-1, 0]]))
    np.save("wide.npy", np.ones((2, 3)))
    np.save("objects.npy", np.array([[None]]), allow_pickle=True)
    os.mkfifo("pipe.npy")
    began = time.monotonic()
    assert run(["compile", "--out", "C", *arguments]) == 2
    assert time.monotonic() - began < LONGEST
    said = capfd.readouterr().err
    assert says in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "C").exists()


def test_costs_grow_with_what_is_asked_for():
    """Seconds for usual sizes, hours for those that nobody can wait for."""
    assert cost.check_matrices(256, 8) < 1
    assert 5 < cost.check_matrices(2048, 64) * torch.get_num_threads() < 60
    with pytest.raises(ks.InputError, match=r"hours|memory"):
        cost.check_matrices(30000, 1)
    with pytest.raises(ks.InputError, match=r"hours|memory"):
        cost.check_matrices(4000, 8, joint=True)
    small, large = (ks.compile_score(SMALL, tolerance=each).seconds_to_measure() for each in (0.1, 1e-4))
    assert 0 < small < large < 10
    assert folder.LARGEST_TEXT >= 2**20


def test_the_current_folder_is_not_replaced(tmp_path, monkeypatch, capsys):
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    for out in (".", "..", str(tmp_path)):
        assert run(["compile", "--frames", "4", "--out", out]) == 2
        assert "the current folder or holds it" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["inner"]
