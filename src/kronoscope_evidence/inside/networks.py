"""Networks trained on the yardstick, and their nulls: the networks that the studies of this package examine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kronoscope import models
from kronoscope._files import replacing
from kronoscope.kernels import PowerExponential
from kronoscope.processes import DenseGaussian, GaussianLaw, GaussianSequence

from ..stages import Stage, training_steps
from ..yardstick import training_data, yardstick

OTHER_LENGTHSCALE = 2.0
NULLS = ("untrained", "white", "permuted")
LABELS = {
    "trained": "trained",
    "untrained": "untrained",
    "white": "trained on white noise",
    "permuted": "trained on shuffled frames",
    "other": "trained on another kernel",
}
ROLES = {"trained": "learnt", "untrained": "null", "white": "baseline-2", "permuted": "baseline-3", "other": "second"}


@dataclass(frozen=True)
class Training:
    """How the networks are trained.

    Attributes:
        sequences: n.
        max_steps: By network; without an entry the preset's own.
        held_out_draws: Of each evaluation; None is the library's default.
    """

    sequences: int
    max_steps: dict[str, int]
    held_out_draws: int | None = None


FULL = Training(2000, {})
QUICK = Training(500, {"dit": 200, "position": 300, "unrolled": 300})


def network(name: str, kind: str, training: Training, seed: int, store: Path | None, stage: Stage) -> models.Model:
    """A fitted model, read from ``store`` if it is there and kept there otherwise.

    Args:
        name: A network preset.
        kind: "trained", a null of ``NULLS`` (an untrained network has had no step), or "other".
        training: How.
        seed: Of weights, batches and noise.
        store: Folder of the models; None keeps nothing.
        stage: For the progress.
    """
    kept = None if store is None else store / f"{name}-{kind}"
    if kept is not None and kept.is_dir():
        return models.load(kept)
    untrained = replace(training, max_steps={name: 0}) if kind == "untrained" else training
    model = train(name, sequences(kind, training.sequences, seed), untrained, seed, stage, LABELS[kind])
    if kept is not None and store is not None:
        store.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as folder:
            model.save(folder)
    return model


def train(name: str, x: Tensor, training: Training, seed: int, stage: Stage, title: str) -> models.Model:
    """A model fitted to ``x``, (n, N, d); the stage is called by the network's name and ``title``."""
    given = {"max_steps": training.max_steps.get(name), "held_out_draws": training.held_out_draws}
    settings: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    with stage(f"{name}, {title}") as show:
        return models.fit(
            x,
            name,
            generator=torch.Generator().manual_seed(seed),
            progress=False,
            on_progress=training_steps(show),
            validation=0.02 if name == "unrolled" else 0.1,
            **settings,
        )


def sequences(kind: str, n: int, seed: int) -> Tensor:
    """Training data: of the yardstick, with shuffled frames, of white noise, or of another kernel."""
    x = training_data(n)
    generator = torch.Generator().manual_seed(seed + 11)
    if kind == "white":
        return torch.randn(x.shape, generator=generator)
    if kind == "other":
        process = GaussianSequence(
            PowerExponential(OTHER_LENGTHSCALE), yardstick().spatial_covariance, times=x.shape[1]
        )
        return process.sample(n, generator=generator).float()
    if kind == "permuted":
        return torch.stack([sequence[torch.randperm(len(sequence), generator=generator)] for sequence in x])
    return x


def law_of(kind: str) -> GaussianLaw:
    """The law that a network of kind "trained" or "white" was trained on."""
    process = yardstick()
    if kind == "trained":
        return process
    if kind == "white":
        size = process.num_frames * process.num_features
        return DenseGaussian(torch.eye(size, dtype=torch.float64), process.num_features)
    raise ValueError(f"kind must be trained or white, got {kind!r}")
