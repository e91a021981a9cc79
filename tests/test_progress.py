"""Progress of a fit: a bar on a terminal and in a notebook, lines where they are asked for, nothing elsewhere."""

import os
import pty
import subprocess
import sys

import pytest
from model_cases import QUICK, TINY, fitted

import kronoscope as ks
from kronoscope import _progress

SCRIPT = """
import sys
sys.path.insert(0, "tests")
from model_cases import fitted
model = fitted(**{options})
print(model.record["training"]["steps"])
"""


def run_on_terminal(options):
    """Standard output, and what a terminal on stderr sees."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, "-c", SCRIPT.replace("{options}", options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, text=True) as process:
        os.close(theirs)
        pieces = []
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            pieces.append(piece)
        output = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    return output, b"".join(pieces).decode()


def test_a_terminal_gets_a_bar():
    output, seen = run_on_terminal("{}")
    assert output == "12\n"
    assert "training" in seen
    assert "100 %" in seen
    assert "steps/s" in seen
    assert "\r" in seen


def test_false_silences_a_terminal():
    output, seen = run_on_terminal("{'progress': False}")
    assert output == "12\n"
    assert seen == ""


def test_without_a_terminal_nothing_is_written_unless_asked(capsys):
    fitted()
    assert capsys.readouterr() == ("", "")
    fitted(progress=True)
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("training:")
    assert errors.rstrip().splitlines()[-1].startswith("training: 100 % loss ")


def test_your_own_function_is_called_beside_the_bar(capsys):
    steps = []
    fitted(progress=True, on_progress=lambda now: steps.append(now.step))
    assert steps == list(range(1, 13))
    assert "100 %" in capsys.readouterr().err


@pytest.mark.parametrize("progress", [print, 1, "yes"])
def test_anything_else_is_refused_before_training(progress):
    with pytest.raises(TypeError, match=r"progress must be True, False or None, got \w+; .*on_progress"):
        ks.fit(fitted().sample(40), "position", progress=progress, network_options=TINY, **QUICK)


class Kernel:
    """Stands for IPython in a kernel; keeps what was displayed."""

    def __init__(self):
        self.shown = []

    def get_ipython(self):
        return type("ZMQInteractiveShell", (), {})()

    def display(self, bundle, *, raw, display_id):
        assert raw
        assert display_id
        self.shown.append(bundle)
        return self

    def update(self, bundle, *, raw):
        assert raw
        self.shown.append(bundle)


@pytest.fixture
def kernel(monkeypatch):
    kernel = Kernel()
    kernel.display_module = type("display", (), {"display": kernel.display})
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setitem(sys.modules, "IPython.display", kernel.display_module)
    return kernel


def test_a_notebook_gets_one_bar_that_is_replaced(kernel, capsys):
    fitted()
    assert capsys.readouterr() == ("", "")
    assert 2 <= len(kernel.shown) < 12  # the first, a few between, the last
    first, last = kernel.shown[0], kernel.shown[-1]
    assert first["text/plain"].startswith("training: ")
    assert last["text/plain"].startswith("training: 100 % loss ")
    assert '<progress value="1.0000" max="1"' in last["text/html"]
    assert "<script" not in last["text/html"]


def test_false_silences_a_notebook(kernel):
    fitted(progress=False)
    assert kernel.shown == []


def test_a_bar_ends_where_the_work_fails(kernel):
    def fail():
        with _progress.reporting("training") as report:
            report(0.3, "a")
            report(0.4, "b < c")
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert kernel.shown[-1]["text/plain"] == "training: 40 % b < c"
    assert "b &lt; c" in kernel.shown[-1]["text/html"]


def test_nothing_is_shown_before_the_first_report(kernel, capsys):
    """Of several processes only the first reports, so only it has a bar."""
    with _progress.reporting("training", True):
        pass
    assert kernel.shown == []
    assert capsys.readouterr() == ("", "")


def test_the_library_loads_neither_rich_nor_ipython():
    code = "import sys, kronoscope as ks; ks.fit; print(sorted({'rich', 'IPython'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"
