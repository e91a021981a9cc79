"""Jobs of the studies of learning: one learner on one draw of one truth, and the row that is measured."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kronoscope import __version__, _codec, estimators, kernels, metrics, models
from kronoscope._errors import ConvergenceError, DivergenceError, InputError
from kronoscope._typing import ScoreFunction
from kronoscope.processes import GaussianSequence

from ..stages import Stage
from ..yardstick import FEATURES, FIRST_DATA_SEED, FRAMES, MAX_TIME, MIN_TIME, spatial_covariance
from . import sweeps
from .learners import BUDGETS, LEARNERS, Learner, NetworkOptions, Training

SAMPLES = 4096
YARDSTICK = "PowerExponential(8.0)"
LARGEST_FLOOR = 256  # frames x features above which no floor is computed


@dataclass(frozen=True)
class Job:
    """What is asked of a sweep: one learner on one draw of one truth.

    Attributes:
        learner: Name in ``LEARNERS``.
        n: Number of sequences.
        seed: Of the draw and of the training.
        kernel: Of the truth, as ``kernels.parse`` reads it.
        frames, features: Size of a sequence.
        training: Settings of a network's training besides the learner's own.
        options: Of a network besides the learner's own.
    """

    learner: str
    n: int
    seed: int
    kernel: str = YARDSTICK
    frames: int = FRAMES
    features: int = FEATURES
    training: Training = field(default_factory=Training)
    options: NetworkOptions = field(default_factory=NetworkOptions)

    @property
    def size(self) -> int:
        """Numbers in a sequence, N d."""
        return self.frames * self.features

    def truth(self, factor: int = 1) -> GaussianSequence:
        """The process; with a ``factor``, on as many times the frames."""
        return truth(self.kernel, factor * self.frames, self.features)

    def draw(self) -> torch.Tensor:
        """Its sequences, (n, frames, features). They depend on truth, n and seed alone, so learners share them."""
        generator = torch.Generator().manual_seed(FIRST_DATA_SEED + self.seed)
        return self.truth().sample(self.n, generator=generator).float()

    def __str__(self) -> str:
        return f"{self.learner}, n = {self.n}, seed {self.seed}"


@dataclass(frozen=True)
class Row:
    """A job and what was measured.

    Attributes:
        job: What was asked.
        kl: Score error, nats a sequence; None where learning failed.
        standard_error: Of the Monte Carlo measurement; 0 where it is exact.
        floor: Least mean score error of the learner's class, nats; None where it is not known.
        seconds: Of the processor, while learning.
        parameters: Of the network or of the estimated law.
        operations: Floating-point operations of the training; None of an estimator.
        steps: Train steps that were taken.
        best_step: The step whose parameters were kept.
        failed: Why learning failed, or None.
    """

    job: Job
    kl: float | None = None
    standard_error: float | None = None
    floor: float | None = None
    seconds: float = 0.0
    parameters: int | None = None
    operations: float | None = None
    steps: int | None = None
    best_step: int | None = None
    failed: str | None = None


def truth(kernel: str, frames: int, features: int) -> GaussianSequence:
    """A process with that kernel and the Sigma of the yardstick."""
    return GaussianSequence(kernels.parse(kernel), spatial_covariance(features), times=frames)


def job_of(
    learner: str,
    n: int,
    seed: int,
    *,
    kernel: str = YARDSTICK,
    frames: int = FRAMES,
    features: int = FEATURES,
    training: Training | None = None,
    options: NetworkOptions | None = None,
) -> Job:
    """One job. ``training`` takes the place of the learner's budget; an estimator has neither training nor options."""
    if not LEARNERS[learner].network:
        return Job(learner, n, seed, kernel, frames, features)
    budget = BUDGETS.get(learner, Training()) if training is None else training
    return Job(learner, n, seed, kernel, frames, features, budget, options or NetworkOptions())


@dataclass(frozen=True)
class _Learnt:
    """What learning gave: a score, and the numbers of the row that come with it."""

    score: ScoreFunction
    parameters: int | None
    operations: float | None = None
    steps: int | None = None
    best_step: int | None = None


def measure(job: Job) -> Row:
    """Draw, learn, measure. A refused fit or a diverged training is a row without a score error."""
    learner = LEARNERS[job.learner]
    x, floor = job.draw(), _floor(learner, job)
    began = time.process_time()
    try:
        learnt = _learn(learner, x, job)
    except (InputError, ConvergenceError, DivergenceError) as reason:
        return Row(job, floor=floor, seconds=time.process_time() - began, failed=str(reason))
    seconds = time.process_time() - began
    error = metrics.score_kl(
        learnt.score,
        job.truth(),
        MIN_TIME,
        MAX_TIME,
        num_samples=SAMPLES,
        linear=learner.linear,
        dtype=torch.float32 if learner.network else torch.float64,
    )
    return Row(
        job,
        error.value,
        error.standard_error,
        floor,
        seconds,
        learnt.parameters,
        learnt.operations,
        learnt.steps,
        learnt.best_step,
    )


def _learn(learner: Learner, x: torch.Tensor, job: Job) -> _Learnt:
    if learner.estimator:
        law = models.ESTIMATORS[learner.estimator](min_time=MIN_TIME).fit(x)
        return _Learnt(law.score, law.num_parameters)
    model = fitted(learner, x, job)
    outcome = model.record["training"]
    operations = training_operations(model, x)
    return _Learnt(model.score, num_parameters(model), operations, outcome["steps"], outcome["best_step"])


def num_parameters(model: models.Model) -> int:
    """Numbers in the parameters of the network."""
    return sum(parameter.numel() for parameter in model.network.parameters())


def training_operations(model: models.Model, x: torch.Tensor) -> float:
    """Of the whole training of ``model`` on sequences like ``x`` (:func:`operations`)."""
    pair = x[:2]
    sequences = model.record["training"]["steps"] * model.training.batch_size
    return float(sequences * operations(model.network, pair) / len(pair))


def operations(network: nn.Module, x: torch.Tensor) -> int:
    """Floating-point operations of the matrix products and convolutions in one train step on ``x``, as torch counts."""
    trained = copy.deepcopy(network).requires_grad_(True)
    with FlopCounterMode(display=False) as counter:
        trained(x, torch.ones(len(x))).square().mean().backward()
    return counter.get_total_flops()


def fitted(learner: Learner, x: torch.Tensor, job: Job, **more: Any) -> models.Model:
    """The model of a job of a network."""
    return models.fit(
        x,
        learner.network,
        network_options={**learner.options, **job.options},
        validation=max(learner.validation, 2 / len(x)),
        generator=torch.Generator().manual_seed(job.seed),
        progress=False,
        **{**learner.own_training, **job.training, **more},
    )


def _floor(learner: Learner, job: Job) -> float | None:
    """That of the learner's class; None where it is not known, or the covariance is singular to working precision."""
    if learner.structure is None or not learner.floor or job.size > LARGEST_FLOOR:
        return None
    try:
        return estimators.score_kl_floor(job.truth(), learner.structure, job.n, MIN_TIME, MAX_TIME)
    except InputError:
        return None


J = TypeVar("J", bound=Job)
R = TypeVar("R", bound=sweeps.HasJob[Any])


def run_jobs(name: str, jobs: Sequence[Job], store: Path | None, stage: Stage) -> list[Row]:
    """Measure the jobs, or continue where ``store`` holds a part of them; without a store nothing is kept."""
    return run_sweep(name, jobs, measure, Row, store, stage)


def run_sweep(
    name: str, jobs: Sequence[J], measure: Callable[[J], R], row: type[R], store: Path | None, stage: Stage
) -> list[R]:
    """:func:`run_jobs` for another measurement and its class of rows."""
    with stage(f"{name}: {len(jobs)} trainings and fits") as show, TemporaryDirectory() as temporary:
        table = sweeps.Sweep(name, jobs, settings_of(job.learner for job in jobs))
        folder = store or Path(temporary) / "sweep"
        return sweeps.run(table, measure, row, folder, on_result=lambda done, of, last: show(done / of, str(last)))


def settings_of(learners: Iterable[str]) -> dict[str, str]:
    """What rows depend on besides their jobs, as text: a folder made with other settings is not continued.

    Of every network by "learner.setting": options, validation, training (what a job says itself counts before it).
    """
    shared = {"version": __version__, "first_data_seed": FIRST_DATA_SEED, "samples": SAMPLES}
    settings: dict[str, object] = {**shared, "min_time": MIN_TIME, "max_time": MAX_TIME}
    for name in sorted(set(learners)):
        learner = LEARNERS[name]
        if learner.network:
            training = models.training_config(learner.network, dict(learner.own_training))
            own = {**learner.options, "validation": learner.validation, **_codec.to_plain(training)}
            settings |= {f"{name}.{setting}": value for setting, value in own.items()}
    return {name: str(value) for name, value in settings.items()}
