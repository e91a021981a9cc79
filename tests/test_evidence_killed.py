"""A study that is killed, at any moment, is continued by the same command: nothing that was measured is lost."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import killed_case
import pytest

import kronoscope_evidence as evidence
from kronoscope import InputError, cli
from kronoscope_evidence import folders, running
from kronoscope_evidence.learning import dimension, sweeps
from kronoscope_evidence.learning import jobs as learning
from kronoscope_evidence.learning.sweeps import RESULTS, TABLE

DONE = {"report.html", "results.json", "store"}


class Killed(BaseException):
    """In the place of SIGKILL: what comes after it does not happen."""


def names(folder):
    return {path.name for path in folder.iterdir()}


def measured(folder):
    return {path.name: path.read_bytes() for path in (folder / "store" / RESULTS).glob("*.json")}


def table_of(folder):
    """All that results.json holds but for how long it took."""

    def timeless(values):
        if isinstance(values, dict):
            return {name: timeless(value) for name, value in values.items() if name != "seconds"}
        return [timeless(value) for value in values] if isinstance(values, list) else values

    return timeless(json.loads((folder / "results.json").read_text()))


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(dimension, "STUDY", killed_case.TINY)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a study gives that is not interrupted, one job after the other in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dimension, "STUDY", killed_case.TINY)
        folder = tmp_path_factory.mktemp("whole") / "out"
        study(folder)
    return folder


def study(folder, **options):
    return evidence.reproduce(killed_case.STUDY, folder, **{"quick": True, **options})


def never(*arguments):
    raise AssertionError("measured again")


@pytest.mark.parametrize("moment", ["store", "results.json", "report.html", "after"])
@pytest.mark.parametrize("force", [False, True])
def test_a_kill_at_any_write_loses_nothing(whole, monkeypatch, tmp_path, moment, force):
    """The kill comes in the middle of the write: its temporary file is left, as SIGKILL leaves it."""
    out = tmp_path / "out"
    if force:
        shutil.copytree(whole, out)

    def killed(target, text, *force):
        if Path(target).name == moment:
            left_over = Path(target).parent / ".kronoscope-01234567.part"
            left_over.mkdir()
            (left_over / Path(target).name).write_text(text[:10])
            raise Killed
        return written(target, text)

    def killed_after(path):
        if (path / "report.html").exists() and moment == "after":
            raise Killed

    written = running.write_text
    with monkeypatch.context() as patch:
        for place in ("kronoscope.report.page", "kronoscope_evidence.running"):
            patch.setattr(f"{place}.write_text", killed)
        patch.setattr(running, "remove_leftovers", killed_after)
        if moment == "store":
            patch.setattr(sweeps, "_write", killed_on_call(4, sweeps._write))
        with pytest.raises(Killed):
            study(out, force=force)
    before = measured(out)
    assert len(before) == (3 if moment == "store" else 6)
    if moment == "after":
        with pytest.raises(InputError, match="exists already; give --force to replace the study"):
            study(out)
    else:
        if moment != "store":
            monkeypatch.setattr(learning, "_learn", never)
        study(out, force=force)
        assert names(out) == DONE
    assert before.items() <= measured(out).items()
    assert table_of(out) == table_of(whole)


def killed_on_call(number, function):
    calls = []

    def called(*arguments):
        calls.append(1)
        if len(calls) == number:
            raise Killed
        return function(*arguments)

    return called


def test_a_finished_study_is_replaced_by_force_alone(whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "out")
    page = (out / "report.html").read_bytes()
    with pytest.raises(InputError, match="exists already; give --force to replace the study"):
        study(out, seed=1)
    assert (out / "report.html").read_bytes() == page
    study(out, seed=1, force=True)
    assert table_of(out)["seed"] == 1
    assert names(out) == DONE


def test_a_study_that_is_not_resumable_is_never_continued(tmp_path):
    (tmp_path / "out" / "store").mkdir(parents=True)
    with pytest.raises(InputError, match="exists already; give --force to replace the study"):
        evidence.reproduce("krylov", tmp_path / "out", quick=True)


def interrupt(folder, monkeypatch, **options):
    with monkeypatch.context() as patch:
        patch.setattr(sweeps, "_write", killed_on_call(4, sweeps._write))
        with pytest.raises(Killed):
            study(folder, **options)
    assert names(folder) == {"begun.json", "store"}


def test_an_interrupted_study_with_other_settings_is_refused_and_replaced_by_force_alone(monkeypatch, tmp_path):
    out = tmp_path / "out"
    interrupt(out, monkeypatch)
    before = measured(out)
    for options, words in (({"seed": 1}, "seed 0 instead of 1"), ({"quick": False}, "quick True instead of False")):
        with pytest.raises(InputError, match=f"that was started with {words}.*; --force deletes") as error:
            study(out, **options)
        assert "\n" not in str(error.value)
    assert measured(out) == before
    study(out, seed=9, force=True)
    assert table_of(out)["seed"] == 9
    assert not set(before) & set(measured(out))


def test_a_folder_with_a_strangers_file_is_kept_as_it_is(monkeypatch, tmp_path):
    out = tmp_path / "out"
    interrupt(out, monkeypatch)
    before = measured(out)
    (out / "thesis.tex").write_text("all of it")
    for force in (False, True):
        with pytest.raises(InputError, match=r"holds files that are no study's \(thesis.tex\)"):
            study(out, force=force)
    assert measured(out) == before
    (out / "thesis.tex").unlink()
    study(out)
    assert before.items() <= measured(out).items()


def test_an_interrupted_study_says_that_the_same_command_continues(monkeypatch, tmp_path, capsys):
    """As by Ctrl-C; before anything was written it says that, too."""
    out = tmp_path / "out"
    command = ["reproduce", killed_case.STUDY, "--quick", "--quiet", "--out", str(out)]

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sweeps, "_write", interrupted)
        assert cli.run(command) == 130
    assert (
        capsys.readouterr().err == f"kronoscope: interrupted; {out} is incomplete: run the same command to continue\n"
    )
    monkeypatch.setattr(running, "fresh_folder", interrupted)
    assert cli.run([*command[:-1], str(tmp_path / "other")]) == 130
    assert capsys.readouterr().err == "kronoscope: interrupted; nothing was written\n"


def test_force_deletes_no_file_of_the_user_within_what_is_ours(whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "out")
    for place in ("store/notes.txt", "store/results/notes.json", "store/mine/run.csv"):
        (out / place).parent.mkdir(exist_ok=True)
        (out / place).write_text("all of it")
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        with pytest.raises(
            InputError, match=rf"holds files that are no \w+'s \({place}\), so --force does not replace"
        ):
            study(out, force=True)
        assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        (out / place).unlink()
    study(out, force=True)


def test_a_kill_while_force_deletes_leaves_what_force_can_replace(whole, monkeypatch, tmp_path):
    out = shutil.copytree(whole, tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(folders, "remove", killed_on_call(1, None))
        with pytest.raises(Killed):
            study(out, force=True)
    assert measured(out)
    with pytest.raises(InputError, match="exists already; give --force to replace"):
        study(out)
    study(out, force=True)
    assert names(out) == DONE


def test_a_real_study_killed_with_sigkill_and_restarted_gives_the_same_table(whole, tmp_path):
    """``kronoscope reproduce dimension --quick --jobs 2`` in small, in processes of its own; the group is killed.

    The uninterrupted one runs in this process, one job after the other.
    """
    command = [sys.executable, killed_case.__file__]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    out = tmp_path / "out"
    child = subprocess.Popen([*command, str(out)], env=environment, start_new_session=True)
    limit = time.monotonic() + 60
    while len(list(out.glob(f"store/{RESULTS}/*.json"))) < 2 and time.monotonic() < limit:
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (out / "report.html").exists()
    before = measured(out)
    jobs = json.loads((out / "store" / TABLE).read_text())["jobs"]
    assert 2 <= len(before) < len(jobs) == 6
    subprocess.run([*command, str(out)], env=environment, check=True)
    assert before.items() <= measured(out).items()
    assert table_of(out) == table_of(whole)
    rows = table_of(out)["result"]["rows"]
    assert len(rows) == len(jobs)
    assert all(row["kl"] > 0 for row in rows)
    assert {row["job"]["learner"] for row in rows} == {"unrolled", "separable", "sample-covariance"}
