"""Sweeps: many jobs, each of whose rows is written once, so that a killed sweep continues where it stopped.

sweep.json          the table: name, settings, keys of the jobs
results/KEY.json    the row of one job; KEY is a hash of the job

Jobs run in parallel through joblib: on this machine in its own processes, and on a cluster under
``joblib.parallel_config(backend="dask")`` or ``"ray"``, which the caller sets. Workers return their rows. Only this
process writes, so workers need no shared disc.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from kronoscope import _codec, _files
from kronoscope._errors import InputError

TABLE, RESULTS = "sweep.json", "results"
FORMAT = "kronoscope-sweep-2"
MOST_DIFFERENCES = 5  # that a message names

J = TypeVar("J")
J_co = TypeVar("J_co", covariant=True)


class HasJob(Protocol[J_co]):
    """A row: a frozen dataclass that holds its job beside what was measured."""

    @property
    def job(self) -> J_co: ...


R = TypeVar("R", bound=HasJob[Any])
OnResult = Callable[[int, int, J], None]


@dataclass(frozen=True)
class Sweep(Generic[J]):
    """The jobs of a sweep. The same table gives the same rows, whenever it is killed and continued.

    Args:
        name: Of the sweep.
        jobs: Frozen dataclasses of plain values: all that a measurement depends on, seeds included. No two alike.
        settings: What all jobs share, as text: a folder that was made with other settings is refused.

    Raises:
        InputError: No job, or two alike.
        TypeError: A job that cannot be written as a record.
    """

    name: str
    jobs: Sequence[J]
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.jobs:
            raise InputError("jobs must hold at least one job, got none")
        keys: set[str] = set()
        for index, job in enumerate(self.jobs):
            if key(job) in keys:
                raise InputError(f"jobs must differ, but jobs[{index}] occurs twice: {job}")
            keys.add(key(job))


@dataclass(frozen=True)
class _Table:
    """What sweep.json holds."""

    format: str
    name: str
    settings: dict[str, str]
    jobs: tuple[str, ...]


def key(job: object) -> str:
    """Name of a job's row: 16 hexadecimal digits of the hash of its canonical JSON."""
    text = json.dumps(_codec.to_plain(job), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run(
    sweep: Sweep[J],
    measure: Callable[[J], R],
    row: type[R],
    folder: str | os.PathLike[str],
    *,
    n_jobs: int | None = None,
    on_result: OnResult[J] | None = None,
) -> list[R]:
    """Measure every job that has no row yet. The rows come in the order of the jobs.

    Args:
        sweep: The table.
        measure: A function of a job that returns its row. It must be importable by name, since other processes call
            it. It catches what a job may fail with by its nature, and says so in the row. Any other exception ends
            the sweep; the rows measured so far are kept.
        row: Class of the rows.
        folder: New, empty, or that of this very sweep.
        n_jobs: Processes; None is what ``joblib.parallel_config`` says, 1 if it says nothing.
        on_result: Called with the number of rows, the number of jobs, and the job, after each row.

    Raises:
        InputError: The folder holds something else, another sweep (what differs is named) or a damaged row; or
            ``measure`` returned something that is not such a row.
    """
    import joblib  # type: ignore[import-untyped]

    path = Path(folder)
    _claim(sweep, path)
    rows = {key(job): stored for job in sweep.jobs if (stored := _read(path, job, row)) is not None}
    left = [job for job in sweep.jobs if key(job) not in rows]
    if on_result is not None and rows:
        on_result(len(rows), len(sweep.jobs), sweep.jobs[0])
    calls = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")
    for job, measured in calls(joblib.delayed(_call)(measure, job) for job in left):
        rows[key(job)] = _write(path, job, measured, row)
        if on_result is not None:
            on_result(len(rows), len(sweep.jobs), job)
    return [rows[key(job)] for job in sweep.jobs]


def _call(measure: Callable[[J], R], job: J) -> tuple[J, R]:
    return job, measure(job)


def _claim(sweep: Sweep[Any], path: Path) -> None:
    """Make the folder this sweep's, or check that it is."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; give a folder for the sweep")
    file = path / TABLE
    table = _Table(FORMAT, sweep.name, dict(sweep.settings), tuple(key(job) for job in sweep.jobs))
    if file.exists():
        _check_same(_load(_Table, file), table, path)
    else:
        # A kill between making the folder and writing the table leaves a temporary file of ours.
        others = [name for name in os.listdir(path) if not _files.is_temporary(name)] if path.is_dir() else []
        if others:
            raise InputError(f"{path} holds {sorted(others)[0]} and no {TABLE}: it is not the folder of a sweep")
        path.mkdir(parents=True, exist_ok=True)
        _files.write_text(file, _codec.to_text(_codec.to_plain(table)))
    (path / RESULTS).mkdir(exist_ok=True)


def _check_same(stored: _Table, table: _Table, path: Path) -> None:
    if stored.format != FORMAT:
        raise InputError(f"{path / TABLE} is not of the format {FORMAT!r}: delete {path} to measure again")
    before, now = ({"name": each.name, **each.settings} for each in (stored, table))
    differences = [
        f"{name} {before.get(name, 'unset')} instead of {now.get(name, 'unset')}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    missing, extra = set(table.jobs) - set(stored.jobs), set(stored.jobs) - set(table.jobs)
    if missing or extra:
        differences.append(f"{len(extra)} jobs that this sweep does not have, and lacks {len(missing)} that it has")
    if differences:
        more = len(differences) - MOST_DIFFERENCES
        rest = f"; and {more} more differences" if more > 0 else ""
        raise InputError(
            f"{path} is of another sweep: it has {'; '.join(differences[:MOST_DIFFERENCES])}{rest}. "
            "Choose another folder"
        )


def _read(path: Path, job: J, kind: type[R]) -> R | None:
    """The row of a job that is done."""
    file = path / RESULTS / f"{key(job)}.json"
    if not file.exists():
        return None
    row = _load(kind, file)
    if row.job != job:
        raise InputError(f"{file} is damaged: it holds the row of another job; delete it to measure its job again")
    return row


def _write(path: Path, job: J, measured: R, kind: type[R]) -> R:
    """Write a row; what comes back is what reading the file gives."""
    if not isinstance(measured, kind) or measured.job != job:
        raise InputError(f"measure must return the {kind.__name__} of its job, got {measured!r} for {job}")
    plain = _codec.to_plain(measured)
    row = _codec.from_plain(kind, plain)
    _files.write_text(path / RESULTS / f"{key(job)}.json", _codec.to_text(plain))
    return row


def _load(kind: type[Any], file: Path) -> Any:
    try:
        return _codec.from_plain(kind, _codec.parse_json(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is damaged: {error}; delete it to measure again") from None
