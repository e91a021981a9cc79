"""Nothing leaves the command line as a traceback: options out of range, streams, memory, devices, defects."""

import errno
import io
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import typer

from kronoscope import _files
from kronoscope.cli import run
from kronoscope.cli.app import app
from kronoscope.cli.failures import failure, one_line
from kronoscope.cli.ranges import RANGES
from kronoscope.cli.streams import Output

COMMANDS = typer.main.get_command(app).commands if run(["--version"]) == 0 else {}
OPTIONS = [
    (name, max(p.opts, key=len), p.name, p.default)
    for name, command in sorted(COMMANDS.items())
    for p in command.params
    if p.name in RANGES or (isinstance(p.default, int | float) and not isinstance(p.default, bool))
]
HUGE = ("1" + "0" * 60, "-1" + "0" * 60)


@pytest.fixture
def x(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).standard_normal((40, 6, 2)))
    return str(path)


def refused(capfd, arguments, *words):
    """Exit code 2, one line that holds the words, nothing on standard output."""
    assert run([str(a) for a in arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("kronoscope: ")
    assert err.count("\n") == 1
    assert all(word in err for word in words), err


def arguments_of(command):
    return ["x.npy"] * sum(p.param_type_name == "argument" for p in COMMANDS[command].params)


def test_every_number_has_a_range():
    numbers = {
        p.name for command in COMMANDS.values() for p in command.params if p.type_descriptor.annotation in (int, float)
    }
    assert numbers <= RANGES.keys()
    assert {"seed", "frames", "tolerance", "validation"} <= numbers
    assert len(OPTIONS) > 30


@pytest.mark.parametrize(("command", "option", "name", "default"), OPTIONS, ids=[f"{o[0]}{o[1]}" for o in OPTIONS])
def test_a_number_out_of_its_range_is_refused_by_the_name_of_the_option(
    command, option, name, default, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    texts = [*HUGE, *(("nan", "inf", "-inf", "1e400") if RANGES[name].is_open or isinstance(default, float) else ())]
    for text in texts:
        out = ["--out", "new.csv"] if any(p.name == "out" for p in COMMANDS[command].params) else []
        refused(capfd, [command, *arguments_of(command), *out, f"{option}={text}"], option)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--device", "cuda:77"], ["device", "cpu", "cuda:77"]),
        (["--device", "nonsense"], ["device", "nonsense"]),
        (["--batch-size", "1000000"], ["batch", "--batch-size", "GB"]),
        (["--network", "mlp", "--option", "width=65536"], ["training the network 'mlp'", "GB"]),
        (["--option", "width=1000000000"], ["width must be at most"]),
        (["--option", "widht=8"], ["did you mean width"]),
        (["--network", "linear", "--option", "num_nodes=65536"], ["num_nodes must be at most"]),
        (["--option", "width=" + "[" * 100_000], ["width"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_is_written(x, tmp_path, capfd, extra, words):
    refused(capfd, ["fit", x, "--out", tmp_path / "run", "--max-steps", "1", "--quiet", *extra], *words)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_more_draws_than_fit_are_refused_with_the_number_that_does(x, tmp_path, capfd):
    out = str(tmp_path / "run")
    assert run(["fit", x, "--out", out, "--max-steps", "1", "--quiet"]) == 0
    capfd.readouterr()
    refused(capfd, ["sample", out, "-n", "1000000000", "--out", tmp_path / "y.npy"], "at most", "-n", "GB")
    assert not (tmp_path / "y.npy").exists()


class Failing(io.StringIO):
    """A stream whose writing fails."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        raise OSError(self.number, os.strerror(self.number))


def test_text_that_the_encoding_lacks_is_escaped(x, tmp_path, monkeypatch):
    names = tmp_path / "größe.npy"
    os.rename(x, names)
    for encoding in ("ascii", "latin-1", "utf-8"):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        page = tmp_path / f"größe \u2603 {encoding}.html"
        assert run(["audit", str(names), str(names), "--out", str(page)]) == 0
        assert run(["audit", f"{tmp_path}/\udcff.npy", str(names), "--out", str(page), "--force"]) == 2
        out.flush(), err.flush()
        assert page.exists()
        shown = out.buffer.getvalue().decode(encoding)
        assert ("\u2603" if encoding == "utf-8" else "\\u2603") in shown
        assert "\\udcff" in err.buffer.getvalue().decode(encoding)


def test_a_reader_that_left_changes_no_exit_code(x, tmp_path, monkeypatch):
    page = tmp_path / "a.html"
    for number in (errno.EPIPE, errno.ENOSPC):
        monkeypatch.setattr(sys, "stderr", Failing(number))
        assert run(["audit", x, x, "--out", str(page), "--force", "--quiet"]) == 0
    monkeypatch.setattr(sys, "stdout", Failing(errno.EPIPE))
    assert run(["audit", x, x, "--out", str(page), "--force"]) == 0
    assert run(["reproduce", "--list"]) == 0
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert run(["audit", x, x, "--out", str(page), "--force"]) == 0
    assert run(["--nonsense"]) == 2


def test_a_full_disk_behind_standard_output_is_said(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdout", Failing(errno.ENOSPC))
    assert run(["reproduce", "--list"]) == 2
    assert capfd.readouterr().err == "kronoscope: standard output cannot be written: No space left on device\n"


def test_closed_streams_and_pipes_of_a_real_process(x, tmp_path):
    """Also: no file gets the number of a closed stream, into which libraries would write their errors."""
    kronoscope = f"{sys.executable} -m kronoscope"
    for line, code in (
        (f"{kronoscope} audit {x} {x} --out {tmp_path}/a.html 0<&- 1>&- 2>&-", 0),
        (f"set -o pipefail; {kronoscope} reproduce --list | head -c 1 | cat", 0),
        (f"PYTHONIOENCODING=ascii {kronoscope} --help > /dev/full", 2),
    ):
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == code, (line, done)
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
    assert (tmp_path / "a.html").read_text().rstrip().endswith("</html>")


def test_a_full_disk_is_said_with_the_file(x, tmp_path, monkeypatch, capfd):
    def full(self, *_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_files.Path, "write_bytes", full)
    page = tmp_path / "a.html"
    refused(capfd, ["audit", x, x, "--out", page, "--quiet"], str(page), "No space left on device")
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def _raised(error):
    try:
        raise error
    except BaseException as caught:
        return failure(caught)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 2, "not enough memory"),
        (MemoryError("Unable to allocate 7.28 TiB for an array with shape (1,)"), 2, "for one array of 7.28 TiB"),
        (RuntimeError("can't allocate memory: you tried to allocate 8589934592 bytes."), 2, "array of 8 GB"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), 2, "not enough memory"),
        (OSError(errno.EACCES, "Permission denied", "data.csv"), 2, "data.csv: Permission denied"),
        (OSError(errno.EIO, "Input/output error"), 2, "Input/output error"),
        (ZeroDivisionError("division by zero"), 70, "bug in kronoscope"),
        (RecursionError("maximum recursion depth exceeded"), 70, "KRONOSCOPE_TRACEBACK=1"),
        (RuntimeError("two\nlines"), 70, "two lines"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)  # fmt: skip
def test_each_exception_has_one_line_and_a_code(error, code, words):
    message, outcome = _raised(error)
    assert outcome == code
    assert words in one_line(message)
    assert "\n" not in one_line(message)


def test_a_defect_shows_its_traceback_where_it_is_asked_for(monkeypatch, capfd):
    monkeypatch.setattr("kronoscope.cli._outcome", lambda _: 1 // 0)
    assert run([]) == 70
    assert "Traceback" not in capfd.readouterr().err
    monkeypatch.setenv("KRONOSCOPE_TRACEBACK", "1")
    assert run([]) == 70
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_message_cannot_steer_the_terminal():
    assert one_line("a\x1b[31m\u202eb\nc\r\x07") == "a\\x1b[31m\\u202eb c \\x07"
    assert len(one_line("x" * 10**6)) < 3000


def test_output_is_dropped_only_once_it_fails():
    stream = io.StringIO()
    output = Output(stream, True)
    output.write("kept")
    stream.close()
    assert output.write("dropped") == 7
    output.flush()
    assert not Output(None, True).isatty()
