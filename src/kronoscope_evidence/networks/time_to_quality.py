"""``kronoscope reproduce time-to-quality``: score error against seconds of training."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch

from kronoscope import diffusion, metrics
from kronoscope._errors import DivergenceError
from kronoscope._typing import DiffusionTime

from ..learning.jobs import Job, fitted, job_of, run_sweep
from ..learning.jobs import measure as measure_once
from ..learning.learners import LEARNERS, Training
from ..study import Run, Study
from ..yardstick import FEATURES, FRAMES, MAX_TIME, MIN_TIME
from .time_to_quality_page import LOOKS, Moment, PathRow, Result, checks, page

SAMPLES = 1024  # of every measurement on the way
ESTIMATORS = ("stationary-separable", "block-toeplitz", "separable", "sample-covariance")


@dataclass(frozen=True)
class Size:
    """Train steps by network, seeds, sequences and their shape; estimators are fitted beside them."""

    steps: dict[str, int]
    seeds: int
    sequences: int = 500
    frames: int = FRAMES
    features: int = FEATURES


def measure(run: Run[Size]) -> Result:
    """Trainings that are measured on the way, without the time that measuring takes; estimators as single moments."""
    return Result(tuple(run_sweep("time-to-quality", jobs(run.size, run.seed), train, PathRow, run.store, run.stage)))


def jobs(size: Size, seed: int) -> list[Job]:
    """Every network and every estimator on the same draws."""
    training: dict[str, Training] = {
        name: {"max_steps": steps, "evaluate_every": max(1, steps // LOOKS), "patience": None}
        for name, steps in size.steps.items()
    }
    return [
        job_of(
            learner,
            size.sequences,
            seed + k,
            frames=size.frames,
            features=size.features,
            training=training.get(learner),
        )
        for learner in (*training, *ESTIMATORS)
        for k in range(size.seeds)
    ]


def train(job: Job) -> PathRow:
    """The error of the averaged parameters at each evaluation of a training; the seconds of measuring do not count."""
    learner, process = LEARNERS[job.learner], job.truth()
    if learner.estimator:
        row = measure_once(job)
        return PathRow(job, () if row.kl is None else (Moment(row.seconds, row.kl, 0),), row.failed)
    x = job.draw()
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
        fitted(learner, x, replace(job, training={**job.training, "max_steps": 1}))  # the first call is a slow one
        began = time.process_time()
        fitted(learner, x, job, on_evaluation=look)
    except DivergenceError as reason:
        return PathRow(job, (), str(reason))
    return PathRow(job, tuple(path))


STUDY = Study(
    claim="No generic network reaches the error of the unrolled network at any moment of its training.",
    full=Size(
        {
            "unrolled": 2500,
            "unrolled-4": 2500,
            "position": 3000,
            "dit": 1500,
            "unet": 1500,
            "linear": 3000,
            "mlp": 3000,
        },
        5,
    ),
    quick=Size(
        {"unrolled": 600, "unrolled-4": 900, "position": 240, "unet": 180, "linear": 600, "mlp": 240},
        1,
        frames=16,
        features=2,
    ),
    minutes=(25, 1),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
    resumable=True,
)
