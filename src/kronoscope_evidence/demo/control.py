"""The control: Gaussian process data whose score, law and floors are exact, learnt from samples alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kronoscope import diffusion, estimators, metrics, models, sampling
from kronoscope.metrics import ScoreKL
from kronoscope.processes import GaussianSequence

from ..stages import Stage, quiet, training_steps
from ..yardstick import FEATURES, FRAMES, MAX_TIME, MIN_TIME, training_data, yardstick

CALLS = (8, 16, 32, 64, 128)
DIT_SECONDS, POSITION_SECONDS = 150.0, 45.0
STRUCTURES = {
    "sample covariance": ("unstructured", estimators.SampleCovariance, "baseline"),
    "separable": ("separable", estimators.Separable, "baseline-2"),
    "block-Toeplitz": ("block-toeplitz", estimators.BlockToeplitz, "baseline-3"),
    "stationary separable": ("stationary-separable", estimators.StationarySeparable, "floor"),
}


@dataclass(frozen=True, eq=False)
class Learner:
    """One row of the table of learners.

    Attributes:
        name, role: As shown.
        structure: Whose floor applies: the class that the learner lives in; None where none is known.
        kl: Its score error.
        seconds: Of training or fitting.
        parameters: Of the structure, p.
        weights: Of the network; None for an estimator.
        covariance: What it learnt, (N d, N d); None where it was not asked for.
        covariance_kind: "exact" or "from 2000 generated sequences".
        history: Of the training.
    """

    name: str
    role: str
    structure: str | None
    kl: ScoreKL
    seconds: float
    parameters: int | None = None
    weights: int | None = None
    covariance: Tensor | None = None
    covariance_kind: str = ""


@dataclass(frozen=True, eq=False)
class ControlResult:
    """What the control found: the truth, every learner, the floors, and the samplers with the exact score."""

    process: GaussianSequence
    n: int
    learners: tuple[Learner, ...]
    floors: dict[str, float]
    samplers: dict[str, dict[int, float]]

    def learner(self, name: str) -> Learner:
        """The learner of that name."""
        return next(learner for learner in self.learners if learner.name == name)

    def plain(self) -> dict[str, Any]:
        """Plain numbers."""
        rows = [
            {
                "name": one.name,
                "kl_nats": one.kl.value,
                "standard_error": one.kl.standard_error,
                "kind": one.kl.kind,
                "effective_parameters": 2 * self.n * one.kl.value,
                "parameters": one.parameters,
                "floor_nats": None if one.structure is None else self.floors[one.structure],
                "seconds": one.seconds,
                "weights": one.weights,
            }
            for one in self.learners
        ]
        samplers = {name: {str(calls): kl for calls, kl in row.items()} for name, row in self.samplers.items()}
        return {"n": self.n, "learners": rows, "floors_nats": self.floors, "sampler_kl_nats": samplers}


def run_control(
    *,
    n: int = 2000,
    dit: dict[str, Any] | None = None,
    position: dict[str, Any] | None = None,
    num_generated: int = 2000,
    num_samples: int = 4096,
    calls: tuple[int, ...] = CALLS,
    seed: int = 0,
    stage: Stage = quiet,
) -> ControlResult:
    """Train both networks, fit the estimators, and measure all of them against the truth.

    Args:
        n: Sequences to learn from.
        dit, position: Training settings; None for the time budgets of the demo.
        num_generated: Sequences from which the covariance of ``dit`` is read.
        num_samples: Sequences of the Monte Carlo score error of ``dit``.
        calls: Numbers of score calls of the samplers.
        seed: Of everything random.
        stage: Reports progress.
    """
    process, x = yardstick(), training_data(n)
    networks = {
        "position": {"max_seconds": POSITION_SECONDS} if position is None else position,
        "dit": {"max_seconds": DIT_SECONDS} if dit is None else dit,
    }
    learners = [
        _network(name, x, process, told, (num_generated, num_samples), seed, stage) for name, told in networks.items()
    ]
    with stage("control: estimators") as show:
        for done, name in enumerate(STRUCTURES, start=1):
            learners.append(_estimator(name, x, process))
            show(done / len(STRUCTURES), name)
    structures = [structure for structure, _, _ in STRUCTURES.values()]
    floors = {s: estimators.score_kl_floor(process, s, n, MIN_TIME, MAX_TIME) for s in structures}
    with stage("samplers with the exact score") as show:
        samplers = {}
        for done, (name, build) in enumerate(sampling.SAMPLERS.items(), start=1):
            samplers[name] = {k: sampling.law_error(build(k), process) for k in calls}
            show(done / len(sampling.SAMPLERS), name)
    return ControlResult(process, n, tuple(learners), floors, samplers)


def _network(
    name: str,
    x: Tensor,
    process: GaussianSequence,
    settings: dict[str, Any],
    numbers: tuple[int, int],
    seed: int,
    stage: Stage,
) -> Learner:
    """Train, then measure; ``numbers`` are those of sequences to generate and of Monte Carlo samples."""
    num_generated, num_samples = numbers
    generator = torch.Generator().manual_seed(seed)
    with stage(f"control: training {name}") as show:
        model = models.fit(x, name, generator=generator, on_progress=training_steps(show), **settings)
    linear = name == "position"
    with stage(f"control: measuring {name}") as show:
        kl = metrics.score_kl(
            model.score, process, MIN_TIME, MAX_TIME, num_samples=num_samples, linear=linear, generator=generator
        )
        show(0.5, "score error")
        noised = _exact_covariance(model) if linear else _sampled_covariance(model, num_generated, generator)
        show(1.0, "covariance")
    outcome = model.record["training"]
    return Learner(
        name,
        "second" if linear else "learnt",
        "block-toeplitz" if linear else None,
        kl,
        outcome["seconds"],
        estimators.BlockToeplitz().count_parameters(FRAMES, FEATURES) if linear else None,
        outcome["weights"],
        _without_noise(noised),
        "exact" if linear else f"from {num_generated} generated sequences",
    )


def _estimator(name: str, x: Tensor, process: GaussianSequence) -> Learner:
    structure, estimator, role = STRUCTURES[name]
    began = time.monotonic()
    law = estimator(min_time=MIN_TIME).fit(x)
    seconds = time.monotonic() - began
    kl = metrics.score_kl(law.score, process, MIN_TIME, MAX_TIME, linear=True, dtype=torch.float64)
    return Learner(name, role, structure, kl, seconds, law.num_parameters)


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
