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

from ..learning import sweeps
from ..learning.learners import (
    FIRST_DATA_SEED,
    LEARNERS,
    MAX_TIME,
    MIN_TIME,
    fitted,
    job,
    measure,
    plain,
    run_jobs,
    truth,
)
from ..reproductions import Finding
from ..stages import Stage
from .time_to_quality_page import LOOKS, page

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
        job(who, N, seed + s, training={"max_steps": most, "evaluate_every": most // LOOKS, "patience": None}, **shape)
        for who, most in steps.items()
        for s in range(1 if quick else SEEDS)
    ]
    jobs += [job(who, N, seed + s, **shape) for who in ESTIMATORS for s in range(1 if quick else SEEDS)]
    rows = run_jobs("time-to-quality", jobs, {"quick": quick, "seed": seed}, folder, stage, measure_path)
    return Finding(page(rows, quick, N), {"rows": plain(rows)})


def measure_path(told: sweeps.Job) -> sweeps.Result:
    """[seconds, nats, step] of the averaged weights at each evaluation; seconds of measuring do not count."""
    learner = LEARNERS[told["learner"]]
    if learner.estimator:
        found = measure(told)
        return {"path": [] if found["kl"] is None else [[found["seconds"], found["kl"], 0]], "failed": found["failed"]}
    process = truth(told["kernel"], told["frames"], told["features"])
    x = process.sample(told["n"], generator=torch.Generator().manual_seed(FIRST_DATA_SEED + told["seed"])).float()
    path: list[list[float]] = []
    began = measuring = 0.0

    def look(network: torch.nn.Module, step: int) -> None:
        nonlocal measuring
        now = time.process_time()

        def score(y: torch.Tensor, t: DiffusionTime) -> torch.Tensor:
            return diffusion.score_from_epsilon(network(y, torch.as_tensor(t).expand(len(y))), y, t)

        error = metrics.score_kl(score, process, MIN_TIME, MAX_TIME, num_samples=SAMPLES, linear=learner.linear)
        path.append([now - began - measuring, error.value, step])
        measuring += time.process_time() - now

    try:
        fitted(learner, x, {**told, "training": {**told["training"], "max_steps": 1}})  # the first call is a slow one
        began = time.process_time()
        fitted(learner, x, told, on_evaluation=look)
    except DivergenceError as reason:
        return {"path": [], "failed": str(reason)}
    return {"path": path, "failed": None}
