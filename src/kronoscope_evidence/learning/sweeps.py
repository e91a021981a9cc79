"""Sweeps: a table of jobs, each of whose results is written once, so that a sweep can be killed and gone on with.

sweep.json          the table: its name, its settings, its jobs
results/KEY.json    what one job gave, written under a temporary name and renamed; KEY is a hash of the job

Jobs run in parallel through joblib: on this machine by its own processes, and on a cluster under
``joblib.parallel_config(backend="dask")`` or ``"ray"``, which the caller sets. Workers return their results; this
process alone writes, so that workers need no common disc.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kronoscope import _codec, _files
from kronoscope._errors import InputError

TABLE, RESULTS = "sweep.json", "results"
FORMAT = "kronoscope-sweep-1"
SHOWN = 5

Job = dict[str, Any]
Result = dict[str, Any]
Measure = Callable[[Job], Result]
OnResult = Callable[[int, int, Job], None]


@dataclass(frozen=True)
class Sweep:
    """What is to be measured; the same table gives the same results, whatever was killed on the way.

    Args:
        name: Of the sweep.
        jobs: Each a record of plain JSON, all that ``measure`` is told; seeds belong into it. No two alike.
        settings: Plain JSON that all jobs share, for the record and to refuse a folder of another sweep.

    Raises:
        InputError: No job, two alike, or values that are no JSON.
    """

    name: str
    jobs: Sequence[Job]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.jobs:
            raise InputError("jobs must hold at least one job, got none")
        object.__setattr__(self, "jobs", tuple(_plain(f"jobs[{i}]", job) for i, job in enumerate(self.jobs)))
        object.__setattr__(self, "settings", _plain("settings", dict(self.settings)))
        keys = [key(job) for job in self.jobs]
        double = next((i for i, one in enumerate(keys) if one in keys[:i]), None)
        if double is not None:
            raise InputError(f"jobs must differ, but jobs[{double}] is there twice: {_text(self.jobs[double])}")

    def to_json(self) -> dict[str, Any]:
        """The table as it is written."""
        return {"format": FORMAT, "name": self.name, "settings": dict(self.settings), "jobs": list(self.jobs)}


def key(job: Job) -> str:
    """Name of a job's result: 16 hexadecimal digits of the hash of its canonical JSON."""
    return hashlib.sha256(_text(job).encode()).hexdigest()[:16]


def run(
    sweep: Sweep,
    measure: Measure,
    folder: str | os.PathLike[str],
    *,
    n_jobs: int | None = None,
    on_result: OnResult | None = None,
) -> list[Result]:
    """Measure every job that has no result yet; results in the order of the jobs.

    Args:
        sweep: The table.
        measure: A function of a job that returns plain JSON; importable by name, since other processes call it. What a
            job may fail with by its nature is for it to catch and to return; any other exception ends the
            sweep, with what is done kept.
        folder: New, empty, or that of this very sweep.
        n_jobs: Processes; None is what ``joblib.parallel_config`` says, 1 if it says nothing.
        on_result: Called with the number of results, of jobs, and the job, after each result.

    Raises:
        InputError: The folder holds something else, another sweep (what differs is named) or a damaged result;
            ``measure`` returned no plain JSON.
    """
    import joblib  # type: ignore[import-untyped]

    path = Path(folder)
    _claim(sweep, path)
    found = {key(job): result for job in sweep.jobs if (result := _read(path, job)) is not None}
    left = [job for job in sweep.jobs if key(job) not in found]
    if on_result is not None and found:
        on_result(len(found), len(sweep.jobs), sweep.jobs[0])
    calls = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")
    for job, result in calls(joblib.delayed(_call)(measure, job) for job in left):
        found[key(job)] = _write(path, job, result)
        if on_result is not None:
            on_result(len(found), len(sweep.jobs), job)
    return [found[key(job)] for job in sweep.jobs]


def _call(measure: Measure, job: Job) -> tuple[Job, Result]:
    return job, measure(dict(job))


def _claim(sweep: Sweep, path: Path) -> None:
    """Make the folder this sweep's, or see that it is."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} exists and is a file; a sweep needs a folder")
    table = path / TABLE
    if table.exists():
        _check_same(_load(table), sweep.to_json(), path)
    else:
        # A kill between making the folder and writing the table leaves a temporary file, which is ours.
        strange = [name for name in os.listdir(path) if not _files.is_temporary(name)] if path.is_dir() else []
        if strange:
            raise InputError(f"{path} holds {sorted(strange)[0]} and no {TABLE}: it is no sweep's folder")
        path.mkdir(parents=True, exist_ok=True)
        _replace(table, sweep.to_json())
    (path / RESULTS).mkdir(exist_ok=True)


def _check_same(before: Any, now: dict[str, Any], path: Path) -> None:
    if not isinstance(before, dict) or before.get("format") != FORMAT:
        raise InputError(f"{path / TABLE} is not of the format {FORMAT!r}")
    told, asked = ({"name": one["name"], **one["settings"]} for one in (before, now))
    names = sorted({*told, *asked})
    differ = [
        f"{name} {_text(told.get(name))} instead of {_text(asked.get(name))}"
        for name in names
        if _text(told.get(name)) != _text(asked.get(name))
    ]
    had, have = ({_text(job) for job in jobs} for jobs in (before["jobs"], now["jobs"]))
    if had != have:
        differ.append(f"{len(had - have)} jobs that are not asked for now and {len(have - had)} jobs less")
    if differ:
        more = f"; and {len(differ) - SHOWN} more that differ" if len(differ) > SHOWN else ""
        raise InputError(f"{path} is of another sweep: it has {'; '.join(differ[:SHOWN])}{more}. Take another folder")


def _read(path: Path, job: Job) -> Result | None:
    """The result of a job that is done."""
    file = path / RESULTS / f"{key(job)}.json"
    if not file.exists():
        return None
    record = _load(file)
    if not isinstance(record, dict) or record.get("job") != job or not isinstance(record.get("result"), dict):
        raise InputError(f"{file} is damaged: it does not hold the result of its job; delete it, and it is done again")
    return record["result"]


def _write(path: Path, job: Job, result: Result) -> Result:
    plain = _plain(f"the result of {_text(job)}", result)
    _replace(path / RESULTS / f"{key(job)}.json", {"job": job, "result": plain})
    return plain


def _load(file: Path) -> Any:
    try:
        return _codec.parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is damaged: {error}; delete it, and it is done again") from None


def _replace(file: Path, values: dict[str, Any]) -> None:
    """Write JSON: it is there whole or not at all."""
    _files.write_text(file, json.dumps(values, indent=1, allow_nan=False) + "\n")


def _plain(name: str, values: Any) -> Any:
    """``values`` as they come back from JSON, so that a result that was read equals one that was computed."""
    if not isinstance(values, dict):
        raise InputError(f"{name} must be a record of plain JSON, got {type(values).__name__}")
    try:
        return json.loads(_text(values))
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be plain JSON without NaN: {error}") from None


def _text(values: Any) -> str:
    return json.dumps(values, sort_keys=True, allow_nan=False)
