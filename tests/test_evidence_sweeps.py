"""A sweep that is killed and continued gives the rows of one that was not, and refuses another's folder."""

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
from sweep_cases import JOBS, SWEEP, Job, Place, Row, fail_on_the_third, measure, where

from kronoscope import InputError
from kronoscope_evidence.learning.sweeps import RESULTS, TABLE, Sweep, key, run

EXPECTED = [measure(job) for job in JOBS]


def never(job):
    raise AssertionError(f"measured again: {job}")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(Path(folder).rglob("*.json"))}


def test_results_come_in_the_order_of_the_jobs_and_once(tmp_path):
    seen = []
    assert run(SWEEP, measure, Row, tmp_path / "s", on_result=lambda done, of, job: seen.append((done, of))) == EXPECTED
    assert seen == [(i, 12) for i in range(1, 13)]
    assert run(SWEEP, never, Row, tmp_path / "s") == EXPECTED
    backwards = Sweep("powers", JOBS[::-1], {"base": "3"})
    assert run(backwards, never, Row, tmp_path / "s") == EXPECTED[::-1]


@pytest.mark.parametrize("moment", [0.0, 0.2])
def test_killed_and_restarted_gives_the_same_table(tmp_path, moment):
    """SIGKILL from outside, ``moment`` seconds after the first sign of life; nothing is cleaned up."""
    folder = tmp_path / "s"
    run(SWEEP, measure, Row, tmp_path / "whole")
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

    assert run(SWEEP, counted, Row, folder) == EXPECTED
    assert len(measured) == len(JOBS) - done
    assert contents(folder) == contents(tmp_path / "whole")


def test_a_kill_while_writing_leaves_no_half_result(tmp_path):
    folder = tmp_path / "s"
    run(SWEEP, measure, Row, folder)
    victim = folder / RESULTS / f"{key(JOBS[3])}.json"
    victim.rename(victim.with_suffix(".4711.partial"))
    assert run(SWEEP, measure, Row, folder) == EXPECTED


def test_two_processes_give_the_same_table(tmp_path):
    run(SWEEP, measure, Row, tmp_path / "one")
    assert run(SWEEP, measure, Row, tmp_path / "two", n_jobs=2) == EXPECTED
    assert os.getpid() not in {row.process for row in run(SWEEP, where, Place, tmp_path / "where", n_jobs=2)}
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_callers_joblib_backend_is_the_one_that_runs(tmp_path):
    """What a cluster's backend would be set by."""
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert run(SWEEP, measure, Row, tmp_path / "s") == EXPECTED
        found = run(SWEEP, where, Place, tmp_path / "where")
    assert {row.process for row in found} == {os.getpid()}
    assert threading.get_ident() not in {row.thread for row in found}
    assert len({row.thread for row in found}) == 2


def test_what_is_done_outlives_a_job_that_fails(tmp_path):
    with pytest.raises(RuntimeError, match="the disc is on fire"):
        run(SWEEP, fail_on_the_third, Row, tmp_path / "s")
    assert len(list((tmp_path / "s" / RESULTS).glob("*.json"))) == 2
    assert run(SWEEP, measure, Row, tmp_path / "s") == EXPECTED


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Sweep("roots", JOBS, {"base": "3"}), "name powers instead of roots"),
        (Sweep("powers", JOBS, {"base": "4"}), "base 3 instead of 4"),
        (Sweep("powers", JOBS, {"base": "3", "quick": "yes"}), "quick unset instead of yes"),
        (Sweep("powers", JOBS[1:], {"base": "3"}), "1 jobs that this sweep does not have, and lacks 0"),
        (Sweep("powers", [*JOBS, Job(9, 0)], {"base": "3"}), "0 jobs that this sweep does not have, and lacks 1"),
    ],
)
def test_a_folder_of_another_sweep_is_refused_by_what_differs(tmp_path, other, words):
    run(SWEEP, measure, Row, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="is of another sweep: it has") as error:
        run(other, measure, Row, tmp_path)
    assert words in str(error.value)
    assert contents(tmp_path) == before


def test_a_folder_that_is_no_sweeps_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(InputError, match=r"holds thesis\.tex and no sweep\.json"):
        run(SWEEP, measure, Row, tmp_path)
    with pytest.raises(InputError, match="is a file; give a folder for the sweep"):
        run(SWEEP, measure, Row, tmp_path / "thesis.tex")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"job": {"power": 1, "seed": 0}}',
        '{"job": {"power": 1, "seed": 0}, "value": "3", "pair": [0, null]}',
        '{"job": {"power": 1, "seed": 1}, "value": 3.1, "pair": [1, null]}',
    ],
)
def test_a_damaged_result_is_refused_by_its_file(tmp_path, text):
    run(SWEEP, measure, Row, tmp_path)
    (tmp_path / RESULTS / f"{key(JOBS[0])}.json").write_text(text)
    with pytest.raises(InputError, match=f"{key(JOBS[0])}.json is damaged"):
        run(SWEEP, measure, Row, tmp_path)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"format": "other"}, "sweep.json is damaged: this is not a _Table"),
        ({"format": "other", "name": "powers", "settings": {}, "jobs": []}, "is not of the format"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, table, words):
    run(SWEEP, measure, Row, tmp_path)
    (tmp_path / TABLE).write_text(json.dumps(table))
    with pytest.raises(InputError, match=words):
        run(SWEEP, measure, Row, tmp_path)


def test_jobs_that_are_none_or_alike_are_refused():
    with pytest.raises(InputError, match="jobs must hold at least one job"):
        Sweep("s", [])
    with pytest.raises(InputError, match=r"jobs\[2\] occurs twice: Job\(power=1, seed=0\)"):
        Sweep("s", [Job(1, 0), Job(2, 0), Job(1, 0)])
    with pytest.raises(TypeError, match="object cannot be written as a record"):
        Sweep("s", [Job(1, object())])


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda job: {"value": 1.0}, "measure must return the Row of its job, got {'value': 1.0} for Job"),
        (lambda job: measure(Job(7, 7)), r"measure must return the Row of its job"),
        (lambda job: Row(job, "3", (1, 2)), "expected float"),
    ],
)
def test_a_measurement_that_is_no_row_of_its_job_is_refused(tmp_path, returned, words):
    with pytest.raises(InputError, match=words):
        run(SWEEP, returned, Row, tmp_path)
    assert not list((tmp_path / RESULTS).glob("*.json"))


def test_numbers_that_are_not_finite_are_written_and_read(tmp_path):
    sweep = Sweep("s", [Job(1, 0)])
    rows = run(sweep, lambda job: Row(job, float("inf"), (1, None)), Row, tmp_path)
    assert run(sweep, never, Row, tmp_path) == rows == [Row(Job(1, 0), float("inf"), (1, None))]


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
            assert run(SWEEP, measure, Row, tmp_path / "s") == EXPECTED
            found = run(SWEEP, where, Place, tmp_path / "where")
        assert {row.process for row in found} == set(client.run(os.getpid).values())
        assert len({row.process for row in found}) == 2
    assert run(SWEEP, never, Row, tmp_path / "s") == EXPECTED
