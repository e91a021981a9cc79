"""``kronoscope reproduce improvements``: what brings a generic transformer nearer the truth, one change at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from kronoscope import metrics
from kronoscope._errors import DivergenceError

from ..learning.curves import Point, point
from ..learning.jobs import SAMPLES, Job, Row, fitted, job_of, num_parameters, run_sweep
from ..learning.learners import BUDGETS, LEARNERS, NetworkOptions, Training
from ..legacy import plain
from ..reproductions import Finding
from ..stages import Stage
from ..yardstick import MAX_TIME, MIN_TIME
from . import improvements_page
from .improvements_page import THRESHOLD

N = 500
SEEDS, QUICK_SEEDS = 3, 2
QUICK_SAMPLES = 1024
QUICK_SHAPE: dict[str, Any] = {"frames": 16, "features": 2}
QUICK_OPTIONS: NetworkOptions = {"width": 48, "num_blocks": 3}
QUICK_TRAINING: Training = {
    "max_steps": 50,
    "evaluate_every": 25,
    "held_out_draws": 256,
    "warmup_steps": 10,
    "batch_size": 32,
}
EMPHASIS = (0.5, 3.5)


@dataclass(frozen=True)
class Variant:
    """A network with something changed.

    Attributes:
        label: What is changed.
        learner: Name in ``learning.LEARNERS``.
        options: Of the network, besides the preset's.
        training: Settings, besides the budget's.
        full: Whether it is trained as long as the preset is, and not for the study's budget.
    """

    label: str
    learner: str = "dit"
    options: NetworkOptions = field(default_factory=NetworkOptions)
    training: Training = field(default_factory=Training)
    full: bool = False


def _plain_dit(label: str, rate: float | None = None, **options: Unpack[NetworkOptions]) -> Variant:
    training: Training = {} if rate is None else {"learning_rate": rate}
    return Variant(label, options={**options, "linear_path": False}, training=training)


VARIANTS: dict[str, Variant] = {
    "dit": Variant("DiT, the preset"),
    "plain": _plain_dit("no linear path"),
    "preconditioned": _plain_dit("preconditioned, no linear path", data_scale=1.0),
    "correction-0.3": Variant("softmax path counts 0.3, not 0.05", options={"correction": 0.3}),
    "correction-1": Variant("softmax path counts 1, not 0.05", options={"correction": 1.0}),
    "absolute": Variant("absolute positions in the softmax path", options={"positions": "learned"}),
    "lags": Variant("content-free attention", options={"attention": "lags"}),
    "gated-lags": Variant("content-gated attention", options={"attention": "gated-lags"}),
    "tied": Variant("tied depth", options={"tied": True}),
    "depth-1": Variant("depth 1", options={"num_blocks": 1}),
    "depth-2": Variant("depth 2", options={"num_blocks": 2}),
    "depth-8": Variant("depth 8", options={"num_blocks": 8}),
    "width-32": Variant("width 32", options={"width": 32}),
    "width-96": Variant("width 96", options={"width": 96}),
    "decay-0.001": Variant("weight decay 0.001", training={"weight_decay": 1e-3}),
    "decay-0.01": Variant("weight decay 0.01", training={"weight_decay": 1e-2}),
    "decay-0.1": Variant("weight decay 0.1", training={"weight_decay": 1e-1}),
    "decay-3": Variant("weight decay 3", training={"weight_decay": 3.0}),
    "rate-0.03": Variant("learning rate 0.03", training={"learning_rate": 3e-2}),
    "emphasis": Variant("emphasis (0.5, 3.5), not likelihood weighting", training={"emphasis": EMPHASIS}),
    "antithetic": Variant("antithetic noise", training={"antithetic": True}),
    "fixed-noise": Variant("noise drawn once", training={"noise_draws": 1}),
    "plain-lags": _plain_dit("content-free attention", attention="lags"),
    "plain-gated-lags": _plain_dit("content-gated attention", attention="gated-lags"),
    "plain-tied": _plain_dit("tied depth", tied=True),
    "plain-rate-0.03": _plain_dit("learning rate 0.03", rate=3e-2),
    "position": Variant("position-only transformer, the preset", "position"),
    "position-tied": Variant("tied depth", "position", {"tied": True}),
    "position-depth-2": Variant("depth 2", "position", {"num_blocks": 2}),
    "position-decay-3": Variant("weight decay 3", "position", {}, {"weight_decay": 3.0}),
    "position-antithetic": Variant("antithetic noise", "position", {}, {"antithetic": True}),
    "full": Variant("DiT, the preset", full=True),
    "full-antithetic": Variant("antithetic noise", training={"antithetic": True}, full=True),
    "full-absolute": Variant("absolute positions in the softmax path", options={"positions": "learned"}, full=True),
    "full-tied": Variant("tied depth", options={"tied": True}, full=True),
}


@dataclass(frozen=True)
class Group:
    """Variants that are compared with one network, which each differs from by one thing.

    Attributes:
        title: Of the section.
        base: Key of what they are compared with.
        variants: Their keys.
    """

    title: str
    base: str
    variants: tuple[str, ...]


_OF_PLAIN = ("preconditioned", *(name for name in VARIANTS if name.startswith("plain-")))
_OF_POSITION = tuple(name for name in VARIANTS if name.startswith("position-"))
_OF_FULL = tuple(name for name in VARIANTS if name.startswith("full-"))
_OF_DIT = tuple(name for name in VARIANTS if not name.startswith(("plain-", "position", "full")) and name != "dit")
GROUPS = (
    Group("DiT with a linear path", "dit", _OF_DIT),
    Group("DiT without a linear path", "plain", _OF_PLAIN),
    Group("Position-only transformer", "position", _OF_POSITION),
    Group("DiT with a linear path, trained in full", "full", _OF_FULL),
)


@dataclass(frozen=True)
class Change:
    """What a variant loses to the network that it is compared with, on the same draws: below 0, it is better.

    Attributes:
        variant: Key.
        label: What is changed.
        held_out: Held-out loss less that of the base, mean over the seeds, nats a sequence; None if no pair is left.
        held_out_error: Its standard error, paired over the seeds; None from fewer than two.
        kl, kl_error: The same of the score error, which the truth must be known for.
        seeds: In which neither failed.
        point: The variant by itself.
    """

    variant: str
    label: str
    held_out: float | None
    held_out_error: float | None
    kl: float | None
    kl_error: float | None
    seeds: int
    point: Point

    @property
    def verdict(self) -> str:
        """By the held-out loss: "helps", "hurts", "no difference shown", or "undecided" from fewer than two seeds."""
        if self.held_out is None or self.held_out_error is None:
            return "undecided"
        if abs(self.held_out) <= THRESHOLD * self.held_out_error:
            return "no difference shown"
        return "helps" if self.held_out < 0 else "hurts"


@dataclass(frozen=True)
class Compared:
    """A group with its results; ``label`` is the base's."""

    group: Group
    label: str
    base: Point
    changes: tuple[Change, ...]


def run(*, quick: bool, seed: int, stage: Stage, folder: Path | None = None) -> Finding:
    """Train every variant on the same draws; compare each with what it differs from by one thing."""
    # Seeds outermost: a sweep that is cut off has whole seeds of every variant.
    names = [name for name, one in VARIANTS.items() if not (quick and one.full)]
    jobs = [_job(name, seed + s, quick) for s in range(QUICK_SEEDS if quick else SEEDS) for name in names]
    rows = run_sweep("improvements", jobs, measure, VariantRow, folder, stage)
    found = compare(rows)
    changes = [
        {"base": one.group.base, "verdict": change.verdict, **{k: v for k, v in vars(change).items() if k != "point"}}
        for one in found
        for change in one.changes
    ]
    return Finding(improvements_page.page(found, N, quick), {"rows": plain(rows), "changes": changes})


@dataclass(frozen=True)
class VariantJob(Job):
    """A job of the sweep with its key in ``VARIANTS`` and the Monte Carlo samples of its score error."""

    variant: str = ""
    samples: int = SAMPLES


@dataclass(frozen=True)
class VariantRow(Row):
    """A row with the held-out loss of the parameters that were kept, nats a sequence."""

    job: VariantJob
    held_out: float | None = None


def _job(name: str, seed: int, quick: bool) -> VariantJob:
    variant = VARIANTS[name]
    budget = QUICK_TRAINING if quick else Training() if variant.full else BUDGETS[variant.learner]
    job = job_of(
        variant.learner,
        N,
        seed,
        training={**budget, **variant.training},
        options={**(QUICK_OPTIONS if quick else NetworkOptions()), **variant.options},
        **(QUICK_SHAPE if quick else {}),
    )
    return VariantJob(**vars(job), variant=name, samples=QUICK_SAMPLES if quick else SAMPLES)


def measure(job: VariantJob) -> VariantRow:
    """Train one variant; its held-out loss and its score error."""
    learner, x = LEARNERS[job.learner], job.draw()
    began = time.process_time()
    try:
        model = fitted(learner, x, job)
    except DivergenceError as reason:
        return VariantRow(job, failed=str(reason), seconds=time.process_time() - began)
    seconds, outcome = time.process_time() - began, model.record["training"]
    kept = next(each for each in outcome["history"] if each["step"] == outcome["best_step"])
    error = metrics.score_kl(
        model.score,
        job.truth(),
        MIN_TIME,
        MAX_TIME,
        num_samples=job.samples,
        linear=learner.linear,
        dtype=torch.float32,
    )
    return VariantRow(
        job,
        kl=error.value,
        standard_error=error.standard_error,
        seconds=seconds,
        parameters=num_parameters(model),
        steps=outcome["steps"],
        best_step=outcome["best_step"],
        held_out=kept["held_out_loss"],
    )


def compare(rows: Sequence[VariantRow]) -> list[Compared]:
    """Every group that was run, paired over the seeds."""
    by_variant = {name: [row for row in rows if row.job.variant == name] for name in VARIANTS}
    return [
        Compared(
            group,
            VARIANTS[group.base].label,
            point(0.0, by_variant[group.base]),
            tuple(change(name, by_variant[name], by_variant[group.base]) for name in group.variants),
        )
        for group in GROUPS
        if by_variant[group.base]
    ]


def change(name: str, rows: Sequence[VariantRow], base: Sequence[VariantRow]) -> Change:
    """The rows of a variant less those of its base, seed by seed."""
    before = {row.job.seed: row for row in base if row.kl is not None}
    pairs = [(row, before[row.job.seed]) for row in rows if row.kl is not None and row.job.seed in before]
    held_out = _mean([after.held_out - first.held_out for after, first in pairs])  # type: ignore[operator]
    kl = _mean([after.kl - first.kl for after, first in pairs])  # type: ignore[operator]
    return Change(name, VARIANTS[name].label, *held_out, *kl, len(pairs), point(0.0, rows))


def _mean(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and its standard error, as far as there are any."""
    if not values:
        return None, None
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return float(np.mean(values)), error
