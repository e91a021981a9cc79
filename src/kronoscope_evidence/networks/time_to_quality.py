"""``kronoscope reproduce time-to-quality``: score error against seconds of training."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from kronoscope import diffusion, metrics
from kronoscope._errors import DivergenceError
from kronoscope._typing import DiffusionTime

from ..learning.jobs import Job, fitted, job_of, measure, run_sweep
from ..learning.learners import LEARNERS
from ..legacy import plain
from ..reproductions import Finding
from ..stages import Stage
from ..yardstick import MAX_TIME, MIN_TIME
from .time_to_quality_page import LOOKS, Moment, PathRow, page

N, SAMPLES = 500, 1024
SEEDS = 5
NETWORKS = ("unrolled", "unrolled-4", "position", "dit", "unet", "linear", "mlp")
QUICK_SHAPE: dict[str, Any] = {"frames": 16, "features": 2}
STEPS = {"unrolled": 2500, "unrolled-4": 2500, "position": 3000, "dit": 1500, "unet": 1500, "linear": 3000, "mlp": 3000}
QUICK_STEPS = {"unrolled": 600, "unrolled-4": 900, "position": 240, "unet": 180, "linear": 600, "mlp": 240}
ESTIMATORS = ("stationary-separable", "block-toeplitz", "separable", "sample-covariance")


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Trainings that are measured on the way, without the clock; estimators as points."""
    steps: Mapping[str, int] = QUICK_STEPS if quick else STEPS
    shape = QUICK_SHAPE if quick else {}
    jobs = [
        job_of(name, N, seed + s, training={"max_steps": k, "evaluate_every": k // LOOKS, "patience": None}, **shape)
        for name, k in steps.items()
        for s in range(1 if quick else SEEDS)
    ]
    jobs += [job_of(name, N, seed + s, **shape) for name in ESTIMATORS for s in range(1 if quick else SEEDS)]
    rows = run_sweep("time-to-quality", jobs, measure_path, PathRow, folder, stage)
    return Finding(page(rows, quick, N), {"rows": plain(rows)})


def measure_path(job: Job) -> PathRow:
    """The path of a training, or the one moment of an estimator. Seconds of measuring do not count."""
    learner = LEARNERS[job.learner]
    if learner.estimator:
        row = measure(job)
        return PathRow(job, () if row.kl is None else (Moment(row.seconds, row.kl, 0),), row.failed)
    process, x = job.truth(), job.draw()
    path: list[Moment] = []
    began = measuring = 0.0

    def look(network: torch.nn.Module, step: int) -> None:
        nonlocal measuring
        now = time.process_time()

        def score(y: torch.Tensor, t: DiffusionTime) -> torch.Tensor:
            return diffusion.score_from_epsilon(network(y, torch.as_tensor(t).expand(len(y))), y, t)

        error = metrics.score_kl(score, process, MIN_TIME, MAX_TIME, num_samples=SAMPLES, linear=learner.linear)
        path.append(Moment(now - began - measuring, error.value, step))
        measuring += time.process_time() - now

    try:
        fitted(learner, x, job, max_steps=1)  # the first call is a slow one
        began = time.process_time()
        fitted(learner, x, job, on_evaluation=look)
    except DivergenceError as reason:
        return PathRow(job, (), str(reason))
    return PathRow(job, tuple(path), None)
