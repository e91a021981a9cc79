"""``kronoscope reproduce learning-efficiency``: score error against the number of sequences, for every learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..learning.curves import curves
from ..learning.jobs import Job, Row, job_of, run_jobs
from ..learning.learners import ESTIMATORS, LEARNERS, NETWORKS, Training
from ..legacy import plain
from ..reproductions import Finding
from ..stages import Stage
from .efficiency_page import page

SIZES, QUICK_SIZES = (200, 500, 2000, 10_000), (100, 400, 1600)
SEEDS, QUICK_SEEDS = 5, 3
QUICK_SHAPE: dict[str, Any] = {"frames": 16, "features": 2}
QUICK_TRAINING: dict[str, Training] = {
    "unrolled": {"max_steps": 600, "evaluate_every": 600},
    "unrolled-4": {"max_steps": 900, "evaluate_every": 900},
    "position": {"max_steps": 200, "evaluate_every": 50},
    "dit": {"max_steps": 120, "evaluate_every": 40},
}
SLOW = ("position", "dit")  # one seed is all that --quick has time for
REGIMES: dict[str, Mapping[str, Any]] = {
    "the yardstick, n = 500": {},
    "few sequences: n = 50": {"n": 50},
    "long: N = 128": {"frames": 128},
    "smooth: squared exponential": {"kernel": "PowerExponential(5.656854249492381, 2.0)"},
    "oscillating: exponential × cosine": {"kernel": "PowerExponential(16.0) * Cosine(8.0)"},
    "short memory: lengthscale 1": {"kernel": "PowerExponential(1.0)"},
}


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Every learner on the same draws at every n; then each regime where something may break."""
    jobs, regimes = _jobs(quick, seed), _regimes(quick, seed)
    rows = run_jobs("learning-efficiency", [*jobs, *regimes], folder, stage)
    along, broken = rows[: len(jobs)], rows[len(jobs) :]
    return Finding(
        page(curves(along, lambda row: row.job.n), _by_regime(broken), quick),
        {"rows": plain(along), "regimes": plain(broken)},
    )


def _jobs(quick: bool, seed: int) -> list[Job]:
    if not quick:
        return [job_of(who, n, seed + s) for n in SIZES for who in LEARNERS for s in range(SEEDS)]
    return [
        job_of(who, n, seed + s, training=QUICK_TRAINING.get(who), **QUICK_SHAPE)
        for n in QUICK_SIZES
        for who in (*QUICK_TRAINING, *ESTIMATORS)
        for s in range(1 if who in SLOW else QUICK_SEEDS)
    ]


def _regimes(quick: bool, seed: int) -> list[Job]:
    """Their seeds begin where those along n end, so that no job is there twice."""
    who = (*(NETWORKS[:1] if quick else NETWORKS), *ESTIMATORS)
    seeds = [seed + SEEDS + s for s in range(1 if quick else SEEDS)]
    shape = QUICK_SHAPE if quick else {}
    return [
        job_of(one, **{"n": 500, **shape, **regime}, seed=s, training=QUICK_TRAINING.get(one) if quick else None)
        for regime in REGIMES.values()
        for one in who
        for s in seeds
    ]


def _by_regime(rows: Sequence[Row]) -> dict[str, list[Row]]:
    per = len(rows) // len(REGIMES)
    return {name: list(rows[i * per : (i + 1) * per]) for i, name in enumerate(REGIMES)}
