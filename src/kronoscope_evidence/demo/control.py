"""The control: Gaussian process data whose score, law and floors are exact, learnt from samples alone."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from kronoscope import diffusion, estimators, metrics, models, sampling
from kronoscope.metrics import ScoreKL
from kronoscope.processes import GaussianSequence

from ..stages import Stage, quiet, training_steps
from ..yardstick import FEATURES, FRAMES, MAX_TIME, MIN_TIME, training_data, yardstick
from .sizes import ControlSize, Training

SHOWN_FRAMES = 12  # of the covariance maps
STRUCTURES = {
    "sample covariance": ("unstructured", estimators.SampleCovariance),
    "separable": ("separable", estimators.Separable),
    "block-Toeplitz": ("block-toeplitz", estimators.BlockToeplitz),
    "stationary separable": ("stationary-separable", estimators.StationarySeparable),
}
POSITION, DIT = "position", "dit"

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Covariance:
    """What a covariance, (N d, N d), says about time and space.

    Attributes:
        origin: How it was found: "exact" or "from 2000 generated sequences".
        first_frames: Its block of the first ``SHOWN_FRAMES`` frames.
        by_lag: Correlation by lag, mean over the features.
        spatial: Sigma, (d, d), mean over the frames.
    """

    origin: str
    first_frames: Matrix
    by_lag: tuple[float, ...]
    spatial: Matrix


@dataclass(frozen=True)
class Learner:
    """One row of the table of learners.

    Attributes:
        name: A network or a key of ``STRUCTURES``.
        structure: Whose floor applies: the class that the learner lives in; None where none is known.
        kl: Its score error.
        seconds: Of training or fitting.
        degrees: Free parameters of the structure, p.
        parameters: Of the network; None for an estimator.
        covariance: What a network learnt; None for an estimator.
    """

    name: str
    structure: str | None
    kl: ScoreKL
    seconds: float
    degrees: int | None
    parameters: int | None = None
    covariance: Covariance | None = None


@dataclass(frozen=True)
class Sampler:
    """KL to the exact law, in nats, by number of score calls."""

    name: str
    calls: tuple[int, ...]
    kl: tuple[float, ...]


@dataclass(frozen=True)
class ControlResult:
    """All numbers of the control.

    Attributes:
        n: Sequences learnt from.
        truth: The exact covariance.
        learners: Networks and estimators.
        floors: In nats, by structure.
        samplers: With the exact score.
    """

    n: int
    truth: Covariance
    learners: tuple[Learner, ...]
    floors: dict[str, float]
    samplers: tuple[Sampler, ...]

    def learner(self, name: str) -> Learner:
        """The learner of that name."""
        return next(learner for learner in self.learners if learner.name == name)

    def floor(self, learner: Learner) -> float | None:
        """Of the learner's class, in nats; None where no class is known."""
        return None if learner.structure is None else self.floors[learner.structure]


def run_control(size: ControlSize, *, seed: int = 0, stage: Stage = quiet) -> ControlResult:
    """Train both networks, fit the estimators, and measure all of them against the truth.

    Args:
        size: How much is trained and measured.
        seed: Of everything random.
        stage: Reports progress.
    """
    process, x = yardstick(), training_data(size.n)
    learners = [
        _network(POSITION, size.position, x, process, size, seed, stage),
        _network(DIT, size.dit, x, process, size, seed, stage),
    ]
    with stage("control: estimators") as show:
        for done, name in enumerate(STRUCTURES, start=1):
            learners.append(_estimator(name, x, process))
            show(done / len(STRUCTURES), name)
    structures = [structure for structure, _ in STRUCTURES.values()]
    floors = {s: estimators.score_kl_floor(process, s, size.n, MIN_TIME, MAX_TIME) for s in structures}
    samplers = []
    with stage("samplers with the exact score") as show:
        for name, build in sampling.SAMPLERS.items():
            kl = tuple(sampling.law_error(build(calls), process) for calls in size.calls)
            samplers.append(Sampler(name, size.calls, kl))
            show(len(samplers) / len(sampling.SAMPLERS), name)
    return ControlResult(size.n, parts("exact", process.covariance()), tuple(learners), floors, tuple(samplers))


def _network(
    name: str, training: Training, x: Tensor, process: GaussianSequence, size: ControlSize, seed: int, stage: Stage
) -> Learner:
    """Train, then measure; "position" is affine in x, so its error and covariance are exact."""
    generator = torch.Generator().manual_seed(seed)
    with stage(f"control: training {name}") as show:
        steps = training_steps(show)
        model = models.fit(x, name, generator=generator, progress=False, on_progress=steps, **training.settings())
    linear = name == POSITION
    with stage(f"control: measuring {name}") as show:
        kl = metrics.score_kl(
            model.score, process, MIN_TIME, MAX_TIME, num_samples=size.num_samples, linear=linear, generator=generator
        )
        show(0.5, "score error")
        noised = _exact_covariance(model) if linear else _sampled_covariance(model, size.num_generated, generator)
        show(1.0, "covariance")
    outcome = model.record["training"]
    return Learner(
        name,
        "block-toeplitz" if linear else None,
        kl,
        outcome["seconds"],
        estimators.BlockToeplitz().count_parameters(FRAMES, FEATURES) if linear else None,
        outcome["weights"],
        parts("exact" if linear else f"from {size.num_generated} generated sequences", _without_noise(noised)),
    )


def _estimator(name: str, x: Tensor, process: GaussianSequence) -> Learner:
    structure, estimator = STRUCTURES[name]
    began = time.monotonic()
    law = estimator(min_time=MIN_TIME).fit(x)
    seconds = time.monotonic() - began
    kl = metrics.score_kl(law.score, process, MIN_TIME, MAX_TIME, linear=True, dtype=torch.float64)
    return Learner(name, structure, kl, seconds, law.num_parameters)


def _exact_covariance(model: models.Model) -> Tensor:
    """Of what an affine score generates: the sampler's mean and covariance carried in closed form."""
    table = sampling.dpm_solver(64, model.training.min_time, model.training.max_time)
    law = sampling.law(table, model.score, model.num_frames, model.num_features, dtype=torch.float32)
    return law.covariance()


def _sampled_covariance(model: models.Model, num: int, generator: torch.Generator) -> Tensor:
    values, _ = model.sample_values(num, generator=generator, num_calls=16, denoise=False)
    flat = torch.from_numpy(values).flatten(1)
    return flat.T @ flat / num


def _without_noise(covariance: Tensor) -> Tensor:
    """K from alpha^2 K + sigma^2 I at ``MIN_TIME``, where every network stops."""
    noise = float(diffusion.sigma_squared(MIN_TIME))
    return (covariance - noise * torch.eye(len(covariance), dtype=torch.float64)) / (1 - noise)


def parts(origin: str, covariance: Tensor) -> Covariance:
    """The parts of a covariance (N d, N d), frame-major, that the page shows."""
    size = SHOWN_FRAMES * FEATURES
    first = covariance[:size, :size].tolist()
    by_lag, spatial = temporal_correlation(covariance).tolist(), spatial_covariance(covariance).tolist()
    return Covariance(origin, tuple(map(tuple, first)), tuple(by_lag), tuple(map(tuple, spatial)))


def temporal_correlation(covariance: Tensor) -> Tensor:
    """Correlation by lag, averaged over the features: of an (N d, N d) covariance, frame-major. Shape (N,)."""
    blocks = covariance.reshape(FRAMES, FEATURES, FRAMES, FEATURES)
    own = blocks.diagonal(dim1=1, dim2=3)  # (N, N, d)
    by_lag = torch.stack([own.diagonal(lag, 0, 1).mean(dim=-1) for lag in range(FRAMES)])
    return (by_lag / by_lag[0]).mean(dim=-1)


def spatial_covariance(covariance: Tensor) -> Tensor:
    """Sigma: the covariance of the features, averaged over the frames. Shape (d, d)."""
    blocks = covariance.reshape(FRAMES, FEATURES, FRAMES, FEATURES)
    return blocks.diagonal(dim1=0, dim2=2).mean(dim=-1)
