"""What learns in the studies of learning: networks with their training, and estimators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from kronoscope import models


class Training(TypedDict, total=False):
    """Training settings that take the place of a preset's (:class:`kronoscope.training.TrainingConfig`)."""

    max_steps: int
    max_seconds: float | None
    batch_size: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    evaluate_every: int
    patience: int | None
    held_out_draws: int
    emphasis: tuple[float, float] | None
    antithetic: bool
    noise_draws: int | None


class NetworkOptions(TypedDict, total=False):
    """Keyword arguments of a network."""

    heads: int
    width: int
    num_blocks: int
    num_nodes: int
    linear_path: bool
    positions: str
    attention: str
    correction: float
    data_scale: float
    tied: bool


@dataclass(frozen=True)
class Learner:
    """A network with its training, or an estimator.

    Attributes:
        label: As shown.
        role: Look in the figures.
        network: Name of the network, or "" for an estimator.
        estimator: Name in ``models.ESTIMATORS``, or "".
        structure: The structure of the covariance that it assumes, as the estimators name it.
        floor: Whether that structure's floor is its own. It is not where a prior, or fewer parameters, reach below it.
        options: Of the network.
        validation: Share of the sequences that is held out; little where the last parameters are kept anyway.
        linear: Whether the score is affine in x, so that its error is exact.
        rate: Learning rate, where the options need another than the preset's (docs/learning.md, "Baselines").
    """

    label: str
    role: str
    network: str = ""
    estimator: str = ""
    structure: str | None = None
    options: NetworkOptions = field(default_factory=NetworkOptions)
    validation: float = 0.1
    linear: bool = True
    rate: float | None = None
    floor: bool = True

    @property
    def own_training(self) -> Training:
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


def _budget(steps: int) -> Training:
    return {"max_steps": steps, "evaluate_every": steps // 8, "held_out_draws": 1024, "warmup_steps": 30}


# Train steps that take about 20 seconds on one core at N = 32, d = 4, so that networks are matched in time; "unrolled"
# has its preset, which takes as long. A number of steps and not of seconds, so that a study repeats bit for bit.
BUDGETS: dict[str, Training] = {
    "unrolled-4": {"max_steps": 3000, "evaluate_every": 500},
    "position": {**_budget(400), "patience": None},
    "dit": _budget(200),
    "dit-plain": _budget(270),
    "unet": _budget(450),
    "linear": _budget(1600),
    "mlp": _budget(1800),
}


def learning_rate(name: str) -> float:
    """Of a learner that is a network: its own, or its preset's."""
    return models.training_config(LEARNERS[name].network, dict(LEARNERS[name].own_training)).learning_rate
