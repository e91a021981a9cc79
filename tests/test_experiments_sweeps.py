"""A sweep that is killed and gone on with gives the table of one that was not, and refuses another's folder."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib
import pytest
import sweep_cases
from sweep_cases import JOBS, SWEEP, fail_on_the_third, measure, where

from kronoscope import InputError
from kronoscope_evidence.learning.sweeps import RESULTS, TABLE, Sweep, key, run

EXPECTED = [measure(job) for job in JOBS]


def never(job):
    raise AssertionError(f"measured again: {job}")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(Path(folder).rglob("*.json"))}


def test_results_come_in_the_order_of_the_jobs_and_once(tmp_path):
    seen = []
    assert run(SWEEP, measure, tmp_path / "s", on_result=lambda done, of, job: seen.append((done, of))) == EXPECTED
    assert seen == [(i, 12) for i in range(1, 13)]
    assert run(SWEEP, never, tmp_path / "s") == EXPECTED
    backwards = Sweep("powers", JOBS[::-1], {"base": 3})
    assert run(backwards, never, tmp_path / "s") == EXPECTED[::-1]


@pytest.mark.parametrize("moment", [0.0, 0.2])
def test_killed_and_restarted_gives_the_same_table(tmp_path, moment):
    """SIGKILL from outside, ``moment`` seconds after the first sign of life; nothing is cleaned up."""
    folder = tmp_path / "s"
    run(SWEEP, measure, tmp_path / "whole")
    command = [sys.executable, sweep_cases.__file__, str(folder)]
    child = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    limit = time.monotonic() + 60
    while not (folder / TABLE).exists() and time.monotonic() < limit:
        time.sleep(0.002)
    time.sleep(moment)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    done = len(list((folder / RESULTS).glob("*.json"))) if (folder / RESULTS).exists() else 0
    assert done < len(JOBS)
    measured = []

    def counted(job):
        measured.append(job)
        return measure(job)

    assert run(SWEEP, counted, folder) == EXPECTED
    assert len(measured) == len(JOBS) - done
    assert contents(folder) == contents(tmp_path / "whole")


def test_a_kill_while_writing_leaves_no_half_result(tmp_path):
    folder = tmp_path / "s"
    run(SWEEP, measure, folder)
    victim = folder / RESULTS / f"{key(JOBS[3])}.json"
    victim.rename(victim.with_suffix(".4711.partial"))
    assert run(SWEEP, measure, folder) == EXPECTED


def test_two_processes_give_the_same_table(tmp_path):
    run(SWEEP, measure, tmp_path / "one")
    assert run(SWEEP, measure, tmp_path / "two", n_jobs=2) == EXPECTED
    assert os.getpid() not in {one["process"] for one in run(SWEEP, where, tmp_path / "where", n_jobs=2)}
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_callers_joblib_backend_is_the_one_that_runs(tmp_path):
    """What a cluster's backend would be set by."""
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert run(SWEEP, measure, tmp_path / "s") == EXPECTED
        found = run(SWEEP, where, tmp_path / "where")
    assert {one["process"] for one in found} == {os.getpid()}
    assert threading.get_ident() not in {one["thread"] for one in found}
    assert len({one["thread"] for one in found}) == 2


def test_what_is_done_outlives_a_job_that_fails(tmp_path):
    with pytest.raises(RuntimeError, match="the disc is on fire"):
        run(SWEEP, fail_on_the_third, tmp_path / "s")
    assert len(list((tmp_path / "s" / RESULTS).glob("*.json"))) == 2
    assert run(SWEEP, measure, tmp_path / "s") == EXPECTED


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Sweep("roots", JOBS, {"base": 3}), 'name "powers" instead of "roots"'),
        (Sweep("powers", JOBS, {"base": 4}), "base 3 instead of 4"),
        (Sweep("powers", JOBS, {"base": 3, "quick": True}), "quick null instead of true"),
        (Sweep("powers", JOBS[1:], {"base": 3}), "1 jobs that are not asked for now and 0 jobs less"),
        (Sweep("powers", [*JOBS, {"power": 9}], {"base": 3}), "0 jobs that are not asked for now and 1 jobs less"),
    ],
)
def test_a_folder_of_another_sweep_is_refused_by_what_differs(tmp_path, other, words):
    run(SWEEP, measure, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="is of another sweep: it has") as error:
        run(other, measure, tmp_path)
    assert words in str(error.value)
    assert contents(tmp_path) == before


def test_a_folder_that_is_no_sweeps_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(InputError, match=r"holds thesis\.tex and no sweep\.json"):
        run(SWEEP, measure, tmp_path)
    with pytest.raises(InputError, match="exists and is a file"):
        run(SWEEP, measure, tmp_path / "thesis.tex")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"job": {"power": 1, "seed": 0}}', '{"job": {}, "result": {}}'])
def test_a_damaged_result_is_refused_by_its_file(tmp_path, text):
    run(SWEEP, measure, tmp_path)
    (tmp_path / RESULTS / f"{key(JOBS[0])}.json").write_text(text)
    with pytest.raises(InputError, match=f"{key(JOBS[0])}.json is damaged"):
        run(SWEEP, measure, tmp_path)


def test_a_damaged_table_is_refused(tmp_path):
    run(SWEEP, measure, tmp_path)
    (tmp_path / TABLE).write_text(json.dumps({"format": "other"}))
    with pytest.raises(InputError, match="is not of the format"):
        run(SWEEP, measure, tmp_path)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Sweep("s", []), "jobs must hold at least one job"),
        (lambda: Sweep("s", [{"a": 1}, {"b": 1}, {"a": 1}]), r"jobs\[2\] is there twice"),
        (lambda: Sweep("s", [{"a": float("nan")}]), r"jobs\[0\] must be plain JSON without NaN"),
        (lambda: Sweep("s", [{"a": object()}]), r"jobs\[0\] must be plain JSON"),
        (lambda: Sweep("s", ["a"]), r"jobs\[0\] must be a record of plain JSON, got str"),
    ],
)
def test_what_is_no_table_is_refused(build, words):
    with pytest.raises(InputError, match=words):
        build()


def test_a_result_that_is_no_json_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"the result of .* must be plain JSON without NaN"):
        run(SWEEP, lambda job: {"value": float("inf")}, tmp_path)


def test_a_cluster_of_two_workers_gives_the_same_table(tmp_path):
    """Through joblib's Dask backend; the workers are processes of their own and write nothing themselves."""
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    )
    with cluster, distributed.Client(cluster) as client:
        path = str(Path(sweep_cases.__file__).parent)
        client.run(sys.path.insert, 0, path)
        with joblib.parallel_config(backend="dask"):
            assert run(SWEEP, measure, tmp_path / "s") == EXPECTED
            found = run(SWEEP, where, tmp_path / "where")
        assert {one["process"] for one in found} == set(client.run(os.getpid).values())
        assert len({one["process"] for one in found}) == 2
    assert run(SWEEP, never, tmp_path / "s") == EXPECTED
