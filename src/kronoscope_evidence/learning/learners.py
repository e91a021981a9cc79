"""The study of learning: who learns, from what, how well; one job is one learner on one draw of one truth."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kronoscope import __version__, estimators, kernels, metrics, models
from kronoscope._errors import ConvergenceError, DivergenceError, InputError
from kronoscope.processes import GaussianSequence

from ..stages import Stage
from ..yardstick import FIRST_DATA_SEED, MAX_TIME, MIN_TIME, spatial_covariance
from . import sweeps

SAMPLES = 4096
CONFIDENCE = 0.95
YARDSTICK = "PowerExponential(8.0)"
SECONDS = 20


@dataclass(frozen=True)
class Learner:
    """Who learns.

    Attributes:
        label: As shown.
        role: Look in the figures.
        network: Name of the network, or "" for an estimator.
        estimator: Name in ``models.ESTIMATORS``, or "".
        structure: What it is told of the covariance, as the estimators name it.
        floor: Whether that structure's floor is its own: not of one whose prior, or fewer parameters, lie under it.
        options: Of the network.
        validation: Share that is held out; little where the last weights are kept anyway.
        linear: Whether the score is affine in x, so that its error is exact.
        rate: Learning rate, where the options ask for another than the preset's (docs/learning.md, "Baselines").
    """

    label: str
    role: str
    network: str = ""
    estimator: str = ""
    structure: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    validation: float = 0.1
    linear: bool = True
    rate: float | None = None
    floor: bool = True

    @property
    def own_training(self) -> dict[str, Any]:
        """Training settings that take the place of the preset's."""
        return {} if self.rate is None else {"learning_rate": self.rate}


LEARNERS: dict[str, Learner] = {
    "unrolled": Learner("unrolled", "learnt", "unrolled", structure="stationary-separable", validation=0.02),
    "unrolled-4": Learner(
        "unrolled, 4 heads",
        "second",
        "unrolled",
        structure="block-toeplitz",
        options={"heads": 4},
        validation=0.02,
        floor=False,
    ),
    "position": Learner("position-only transformer", "baseline", "position", structure="block-toeplitz", floor=False),
    "dit": Learner("DiT with a linear path", "baseline-2", "dit", linear=False),
    "dit-plain": Learner(
        "DiT as for images",
        "baseline-4",
        "dit",
        options={"linear_path": False, "positions": "learned"},
        linear=False,
        rate=3e-2,
    ),
    "unet": Learner("1-D U-Net", "baseline-3", "unet", linear=False),
    "linear": Learner("free matrices", "held-out", "linear", structure="unstructured"),
    "mlp": Learner("perceptron", "null", "mlp", linear=False),
    "stationary-separable": Learner(
        "stationary separable", "learnt", estimator="stationary-separable", structure="stationary-separable"
    ),
    "block-toeplitz": Learner("block-Toeplitz", "second", estimator="block-toeplitz", structure="block-toeplitz"),
    "separable": Learner("separable", "baseline", estimator="separable", structure="separable"),
    "sample-covariance": Learner(
        "sample covariance", "baseline-2", estimator="sample-covariance", structure="unstructured"
    ),
    "tapered": Learner("tapered", "baseline-3", estimator="tapered"),
    "ledoit-wolf": Learner("shrunk (Ledoit-Wolf)", "held-out", estimator="ledoit-wolf"),
}
NETWORKS = tuple(name for name, learner in LEARNERS.items() if learner.network)
ESTIMATORS = tuple(name for name, learner in LEARNERS.items() if learner.estimator)


def _budget(steps: int) -> dict[str, Any]:
    return {"max_steps": steps, "evaluate_every": steps // 8, "held_out_draws": 1024, "warmup_steps": 30}


# Train steps that take about SECONDS on one core at N = 32, d = 4, so that networks are matched in time; "unrolled" has
# its preset, which takes as long. A number of steps and not of seconds, so that a study repeats bit for bit.
BUDGETS: dict[str, dict[str, Any]] = {
    "unrolled-4": {"max_steps": 3000, "evaluate_every": 500},
    "position": _budget(400) | {"patience": None},
    "dit": _budget(200),
    "dit-plain": _budget(270),
    "unet": _budget(450),
    "linear": _budget(1600),
    "mlp": _budget(1800),
}


def truth(kernel: str, frames: int, features: int) -> GaussianSequence:
    """The process of a job."""
    return GaussianSequence(kernels.parse(kernel), spatial_covariance(features), times=frames)


def job(
    learner: str,
    n: int,
    seed: int,
    *,
    kernel: str = YARDSTICK,
    frames: int = 32,
    features: int = 4,
    training: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> sweeps.Job:
    """One row of a sweep. ``training`` takes the place of the learner's budget, ``options`` are the network's sizes."""
    told: sweeps.Job = {"learner": learner, "n": n, "seed": seed}
    told |= {"kernel": kernel, "frames": frames, "features": features}
    if LEARNERS[learner].network:
        told |= {"training": dict(BUDGETS.get(learner, {}) if training is None else training)}
        told |= {"options": dict(options or {})}
    return told


def measure(told: sweeps.Job) -> sweeps.Result:
    """Draw, learn, measure. The data depend on the truth, n and the seed alone, so learners share them.

    Returns:
        kl and standard_error (nats; of the Monte Carlo measurement, 0 where exact), seconds (of
        the processor, so that what else runs does not count), weights and operations (of a network) or
        parameters (of an estimator), floor (nats; of the learner's class, None where unknown), failed (why, or None:
        then kl is None).
    """
    learner = LEARNERS[told["learner"]]
    process = truth(told["kernel"], told["frames"], told["features"])
    x = process.sample(told["n"], generator=torch.Generator().manual_seed(FIRST_DATA_SEED + told["seed"])).float()
    result: sweeps.Result = {
        "failed": None,
        "kl": None,
        "standard_error": None,
        "floor": _floor(learner, process, told),
    }
    began = time.process_time()
    try:
        score, sizes = _learn(learner, x, told)
    except (InputError, ConvergenceError, DivergenceError) as reason:
        return result | {"failed": str(reason), "seconds": time.process_time() - began}
    seconds = time.process_time() - began
    dtype = torch.float32 if learner.network else torch.float64
    error = metrics.score_kl(
        score, process, MIN_TIME, MAX_TIME, num_samples=SAMPLES, linear=learner.linear, dtype=dtype
    )
    return result | {"kl": error.value, "standard_error": error.standard_error, "seconds": seconds} | sizes


def _learn(learner: Learner, x: torch.Tensor, told: sweeps.Job) -> tuple[Any, dict[str, Any]]:
    if learner.estimator:
        law = models.ESTIMATORS[learner.estimator](min_time=MIN_TIME).fit(x)
        return law.score, {"parameters": law.num_parameters}
    model = fitted(learner, x, told)
    outcome = model.record["training"]
    sizes = {name: outcome[name] for name in ("weights", "steps", "best_step")}
    return model.score, sizes | {"operations": training_operations(model, x)}


def training_operations(model: models.Model, x: torch.Tensor) -> float:
    """Of the whole training of ``model`` on sequences like ``x`` (:func:`operations`)."""
    shown = x[:2]
    sequences = model.record["training"]["steps"] * model.training.batch_size
    return sequences * operations(model.network, shown) / len(shown)


def operations(network: nn.Module, x: torch.Tensor) -> int:
    """Of floating point, in the matrix products and convolutions of one train step on ``x``, as torch counts them."""
    trained = copy.deepcopy(network).requires_grad_(True)
    with FlopCounterMode(display=False) as counter:
        trained(x, torch.ones(len(x))).square().mean().backward()
    return counter.get_total_flops()


def fitted(learner: Learner, x: torch.Tensor, told: sweeps.Job, **more: Any) -> models.Model:
    """The model of a job of a network."""
    return models.fit(
        x,
        learner.network,
        network_options={**learner.options, **told["options"]},
        validation=max(learner.validation, 2 / len(x)),
        generator=torch.Generator().manual_seed(told["seed"]),
        **learner.own_training | told["training"],
        **more,
    )


def learning_rate(name: str) -> float:
    """Of a learner that is a network: its own, or its preset's."""
    return models.training_config(LEARNERS[name].network, LEARNERS[name].own_training).learning_rate


def _floor(learner: Learner, process: GaussianSequence, told: sweeps.Job) -> float | None:
    """That of the learner's class; None where none is known, or the covariance is singular to working precision."""
    if learner.structure is None or not learner.floor or told["frames"] * told["features"] > 256:
        return None
    try:
        return estimators.score_kl_floor(process, learner.structure, told["n"], MIN_TIME, MAX_TIME)
    except InputError:
        return None


@dataclass(frozen=True)
class Row:
    """A job and what it gave."""

    job: sweeps.Job
    result: sweeps.Result

    @property
    def kl(self) -> float | None:
        """Score error in nats; None where learning failed."""
        return self.result["kl"]


def run_jobs(
    name: str,
    jobs: Sequence[sweeps.Job],
    settings: Mapping[str, Any],
    folder: Path | None,
    stage: Stage,
    measurement: sweeps.Measure = measure,
) -> list[Row]:
    """The rows of a sweep, gone on with where ``folder`` holds a part of it; without a folder nothing is kept."""
    with stage(f"{name}: {len(jobs)} trainings and fits") as show, TemporaryDirectory() as passing:

        def told(done: int, of: int, last: sweeps.Job) -> None:
            show(done / of, f"{last['learner']}, n = {last['n']}, seed {last['seed']}")

        table = sweeps.Sweep(name, jobs, {**settings, **described(jobs)})
        results = sweeps.run(table, measurement, folder or Path(passing) / "sweep", on_result=told)
    return [Row(one, result) for one, result in zip(table.jobs, results, strict=True)]


def described(jobs: Sequence[sweeps.Job]) -> dict[str, Any]:
    """What results depend on besides their jobs, so that a folder in which any of it was another is not gone on with.

    Of every network by "learner.setting": options, validation, training (what a job says itself counts before it).
    """
    told: dict[str, Any] = {"version": __version__, "first_data_seed": FIRST_DATA_SEED, "samples": SAMPLES}
    told |= {"min_time": MIN_TIME, "max_time": MAX_TIME}
    for name in sorted({one["learner"] for one in jobs}):
        learner = LEARNERS[name]
        if learner.network:
            training = models.training_config(learner.network, learner.own_training).to_json()
            settings = {**learner.options, "validation": learner.validation, **training}
            told |= {f"{name}.{setting}": value for setting, value in settings.items()}
    return told


def plain(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as JSON."""
    return [{**row.job, **row.result} for row in rows]
