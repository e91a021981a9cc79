"""``kronoscope reproduce length``: score error against the number of frames, and networks on longer sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from kronoscope import metrics, models
from kronoscope._errors import DivergenceError
from kronoscope.nn import UnrolledTransformer
from kronoscope.processes import SeparableGaussian

from ..study import Run, Study
from ..yardstick import MAX_TIME, MIN_TIME
from .exact import separable_score_kl
from .jobs import SAMPLES, Job, fitted, job_of, run_jobs, run_sweep
from .learners import ESTIMATORS, LEARNERS, NETWORKS, Training
from .length_page import (
    LARGEST,
    LIMIT,
    OWN,
    REPEATED,
    SPECTRUM,
    ExtendedError,
    ExtensionJob,
    ExtensionRow,
    Result,
    checks,
    page,
)

LONG = ("unrolled",)  # networks that are affordable on long sequences
FEWEST_SAMPLES, EXACT_SIZE, BATCH = 256, 512, 32_768


@dataclass(frozen=True)
class Size:
    """What is trained and measured.

    Attributes:
        frames: Numbers of frames of the first part.
        trained: Frames of the training in the second part.
        factors: Times as many frames there.
        n, features, seeds: Of both parts.
        learners: Of the first part.
        extended: Learners of the second part, with their numbers of seeds.
        training: Trainings that differ from the learners' budgets.
    """

    frames: tuple[int, ...]
    trained: int
    factors: tuple[int, ...]
    n: int
    features: int
    seeds: int
    learners: tuple[str, ...]
    extended: dict[str, int]
    training: dict[str, Training] = field(default_factory=dict)


def jobs(size: Size, seed: int) -> list[Job]:
    """Every learner on the same draws for each number of frames, where it is affordable."""
    return [
        _job(size, name, frames, seed + s)
        for frames in size.frames
        for name in size.learners
        for s in range(size.seeds)
        if frames * size.features <= LARGEST or not _is_costly(name)
    ]


def extension_jobs(size: Size, seed: int) -> list[ExtensionJob]:
    """The learners that can be run on longer sequences."""
    return [
        ExtensionJob(**vars(_job(size, name, size.trained, seed + s)), factors=size.factors)
        for name, seeds in size.extended.items()
        for s in range(seeds)
    ]


def _job(size: Size, name: str, frames: int, seed: int) -> Job:
    return job_of(name, size.n, seed, frames=frames, features=size.features, training=size.training.get(name))


def _is_costly(name: str) -> bool:
    return name == "block-toeplitz" or (bool(LEARNERS[name].network) and name not in LONG)


def measure(run: Run[Size]) -> Result:
    """Every learner for each N; then what is learnt at one N, on several times as many frames."""
    store = run.store
    rows = run_jobs("length", jobs(run.size, run.seed), store and store / "length", run.stage)
    extended = run_sweep(
        "longer",
        extension_jobs(run.size, run.seed),
        measure_extension,
        ExtensionRow,
        store and store / "longer",
        run.stage,
    )
    return Result(tuple(rows), tuple(extended))


def measure_extension(job: ExtensionJob) -> ExtensionRow:
    """Score errors of what was learnt at ``job.frames`` on ``job.factors`` times as many."""
    learner, x = LEARNERS[job.learner], job.draw()
    if learner.estimator:
        law = models.ESTIMATORS[learner.estimator](min_time=MIN_TIME).fit(x)
        return ExtensionRow(job, _exact(OWN, job, lambda factor: models.extended_law(law, factor * job.frames)))
    try:
        network = fitted(learner, x, job).network
    except DivergenceError as reason:
        return ExtensionRow(job, (), str(reason))
    if isinstance(network, UnrolledTransformer):
        errors = _exact(OWN, job, lambda factor: models.extended_law(network, factor * job.frames))
        errors += _exact(SPECTRUM, job, lambda factor: models.spectral_law(network, factor * job.frames))
        return ExtensionRow(job, errors + _exact(REPEATED, job, lambda factor: _repeated(network, job.frames, factor)))
    return ExtensionRow(job, tuple(_measured(network, job, factor, learner.linear) for factor in job.factors))


def _exact(method: str, job: ExtensionJob, law: Callable[[int], SeparableGaussian]) -> tuple[ExtendedError, ...]:
    """Of a law by factor, from the factors of its covariance."""
    return tuple(
        ExtendedError(method, k, separable_score_kl(law(k), job.truth(k), MIN_TIME, MAX_TIME), 0.0) for k in job.factors
    )


def _measured(network: nn.Module, job: ExtensionJob, factor: int, linear: bool) -> ExtendedError:
    """Exact where the score is linear and its matrix small; else Monte Carlo, of which long sequences need less."""
    error = metrics.score_kl(
        models.extended_score(network, factor * job.frames),
        job.truth(factor),
        MIN_TIME,
        MAX_TIME,
        num_samples=max(FEWEST_SAMPLES, SAMPLES // factor),
        linear=linear and factor * job.size <= EXACT_SIZE,
        batch_size=max(1, BATCH // (factor * job.frames)),
    )
    return ExtendedError(OWN, factor, error.value, error.standard_error)


def _repeated(network: UnrolledTransformer, frames: int, factor: int) -> SeparableGaussian:
    """The null: longer sequences made of independent stretches, each with the learnt law."""
    law = models.extended_law(network, frames)
    return SeparableGaussian(torch.block_diag(*[law.temporal_covariance] * factor), law.spatial_covariance)


STUDY = Study(
    claim="For learners that are tied in the lag, the score error per frame falls with the sequence length.",
    full=Size(
        (8, 16, 32, 64, 128),
        32,
        (1, 4, 8, 16, 32),
        500,
        4,
        5,
        (*NETWORKS, *ESTIMATORS),
        {"unrolled": 5, LIMIT: 5, "position": 5, "unet": 5},
    ),
    quick=Size(
        (4, 8, 16, 32),
        16,
        (1, 4, 8),
        500,
        2,
        3,
        ("unrolled", *ESTIMATORS),
        {"unrolled": 3, LIMIT: 3, "position": 1, "unet": 1},
        {
            "unrolled": {"max_steps": 600, "evaluate_every": 600},
            "position": {"max_steps": 150, "evaluate_every": 50},
            "unet": {"max_steps": 100, "evaluate_every": 50},
        },
    ),
    minutes=(44, 1.5),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
    resumable=True,
)
