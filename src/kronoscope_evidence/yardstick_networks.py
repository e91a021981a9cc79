"""Networks trained on the yardstick, and their nulls: what the pages of evidence take apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kronoscope import models
from kronoscope._files import replacing
from kronoscope.kernels import PowerExponential
from kronoscope.processes import DenseGaussian, GaussianLaw, GaussianSequence

from .stages import Stage, training_steps
from .yardstick import training_data, yardstick

OTHER = 2.0  # lengthscale of the other kernel
NULLS = ("untrained", "white", "permuted")
LABELS = {
    "trained": "trained",
    "untrained": "untrained",
    "white": "trained on white noise",
    "permuted": "trained on shuffled frames",
    "other": "trained on another kernel",
}
ROLES = {"trained": "learnt", "untrained": "null", "white": "baseline-2", "permuted": "baseline-3", "other": "second"}
N, QUICK_N = 2000, 500
QUICK_STEPS = {"dit": 200, "position": 300, "unrolled": 300}


def sequences(kind: str, n: int, seed: int) -> Tensor:
    """Training data: of the yardstick, of white noise, of another kernel, or of the yardstick with each sequence's "
    "frames shuffled."""
    x = training_data(n)
    generator = torch.Generator().manual_seed(seed + 11)
    if kind == "white":
        return torch.randn(x.shape, generator=generator)
    if kind == "other":
        process = GaussianSequence(PowerExponential(OTHER), yardstick().spatial_covariance, times=x.shape[1])
        return process.sample(n, generator=generator).float()
    if kind == "permuted":
        return torch.stack([one[torch.randperm(len(one), generator=generator)] for one in x])
    return x


def law_of(kind: str) -> GaussianLaw:
    """The law that a network of this kind was trained on, where it is Gaussian."""
    process = yardstick()
    if kind != "white":
        return process
    size = process.num_frames * process.num_features
    return DenseGaussian(torch.eye(size, dtype=torch.float64), process.num_features)


def network(
    name: str, kind: str, *, quick: bool, seed: int, folder: Path | None, stage: Stage, **settings: Any
) -> models.Model:
    """A fitted model of ``kind`` ("trained" or one of ``NULLS``), kept in ``folder`` for the next time it is asked for.

    Untrained ones have had no step; the others the preset's training on ``N`` sequences, or a short one if ``quick``.
    """
    kept = None if folder is None else folder / f"{name}-{kind}"
    if kept is not None and kept.is_dir():
        return models.load(kept)
    steps: dict[str, Any] = {"max_steps": 0} if kind == "untrained" else {}
    if quick and kind != "untrained":
        steps = {"max_steps": QUICK_STEPS[name]}
    if name == "unrolled":
        steps["validation"] = 0.02
    with stage(f"{name}, {LABELS[kind]}") as show:
        model = models.fit(
            sequences(kind, QUICK_N if quick else N, seed),
            name,
            generator=torch.Generator().manual_seed(seed),
            on_progress=training_steps(show),
            **{**steps, **settings},
        )
    if kept is not None and folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as whole:
            model.save(whole)
    return model
