"""``kronoscope reproduce improvements``: which single changes bring a generic transformer nearer the truth."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

import torch

from kronoscope import metrics
from kronoscope._errors import DivergenceError

from ..learning.jobs import SAMPLES, fitted, num_parameters, run_sweep
from ..learning.learners import BUDGETS, LEARNERS, NetworkOptions, Training
from ..study import Run, Study
from ..yardstick import FEATURES, FRAMES, MAX_TIME, MIN_TIME
from .improvements_page import Change, Comparison, Result, Row, VariantJob, checks, page


@dataclass(frozen=True)
class Variant:
    """A network with something changed.

    Attributes:
        label: What is changed.
        learner: Name in ``LEARNERS``.
        options: Of the network, besides the preset's.
        training: Settings, besides the budget's.
        full: Whether it is trained as long as the preset, and not for the study's budget.
    """

    label: str
    learner: str = "dit"
    options: NetworkOptions = field(default_factory=NetworkOptions)
    training: Training = field(default_factory=Training)
    full: bool = False


def _plain_dit(label: str, options: NetworkOptions | None = None, training: Training | None = None) -> Variant:
    """Without the linear path."""
    return Variant(label, options={"linear_path": False, **(options or {})}, training=training or {})


VARIANTS: dict[str, Variant] = {
    "dit": Variant("DiT, the preset"),
    "plain": _plain_dit("no linear path"),
    "preconditioned": _plain_dit("preconditioned, no linear path", {"data_scale": 1.0}),
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
    "emphasis": Variant("emphasis (0.5, 3.5), not likelihood weighting", training={"emphasis": (0.5, 3.5)}),
    "antithetic": Variant("antithetic noise", training={"antithetic": True}),
    "fixed-noise": Variant("noise drawn once", training={"noise_draws": 1}),
    "plain-lags": _plain_dit("content-free attention", {"attention": "lags"}),
    "plain-gated-lags": _plain_dit("content-gated attention", {"attention": "gated-lags"}),
    "plain-tied": _plain_dit("tied depth", {"tied": True}),
    "plain-rate-0.03": _plain_dit("learning rate 0.03", training={"learning_rate": 3e-2}),
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
    """Variants that are compared with one network, from which each differs by one thing.

    Attributes:
        title: Of the section.
        base: Key of what they are compared with.
        variants: Their keys.
    """

    title: str
    base: str
    variants: tuple[str, ...]


def _named(*starts: str) -> tuple[str, ...]:
    return tuple(name for name in VARIANTS if name.startswith(starts))


_OTHERS = {"dit", *_named("plain-", "position", "full")}
GROUPS = (
    Group("DiT with a linear path", "dit", tuple(name for name in VARIANTS if name not in _OTHERS)),
    Group("DiT without a linear path", "plain", ("preconditioned", *_named("plain-"))),
    Group("Position-only transformer", "position", _named("position-")),
    Group("DiT with a linear path, trained in full", "full", _named("full-")),
)


@dataclass(frozen=True)
class Size:
    """Sequences, their shape, seeds, and how variants are trained.

    Attributes:
        sequences, frames, features: Of the training data.
        seeds: Trainings of each variant.
        error_samples: Sequences at which a score error is measured.
        options: Of all networks, before those of the variant.
        training: Of all variants, before their own settings; None is the budget of each learner.
        groups: What is compared.
    """

    sequences: int
    seeds: int
    groups: tuple[Group, ...]
    frames: int = FRAMES
    features: int = FEATURES
    error_samples: int = SAMPLES
    options: NetworkOptions = field(default_factory=NetworkOptions)
    training: Training | None = None


def measure(run: Run[Size]) -> Result:
    """Train every variant on the same draws; compare each with the network that it changes."""
    groups = run.size.groups
    names = [name for name in VARIANTS if any(name in (group.base, *group.variants) for group in groups)]
    # Seeds outermost: an interrupted sweep has whole seeds of every variant.
    jobs = [variant_job(name, run.seed + seed, run.size) for seed in range(run.size.seeds) for name in names]
    return compare(groups, run_sweep("improvements", jobs, train, Row, run.store, run.stage))


def variant_job(name: str, seed: int, size: Size) -> VariantJob:
    """The training of a variant."""
    variant = VARIANTS[name]
    budget: Training = size.training if size.training is not None else BUDGETS[variant.learner]
    return VariantJob(
        variant.learner,
        size.sequences,
        seed,
        frames=size.frames,
        features=size.features,
        training={**({} if variant.full else budget), **variant.training},
        options={**size.options, **variant.options},
        variant=name,
        error_samples=size.error_samples,
    )


def train(job: VariantJob) -> Row:
    """Train one variant; its held-out loss and its score error."""
    learner, x = LEARNERS[job.learner], job.draw()
    began = time.process_time()
    try:
        model = fitted(learner, x, job)
    except DivergenceError as reason:
        return Row(job, time.process_time() - began, failed=str(reason))
    seconds, outcome = time.process_time() - began, model.record["training"]
    held_out = next(look["held_out_loss"] for look in outcome["history"] if look["step"] == outcome["best_step"])
    error = metrics.score_kl(
        model.score,
        job.truth(),
        MIN_TIME,
        MAX_TIME,
        num_samples=job.error_samples,
        linear=learner.linear,
        dtype=torch.float32,
    )
    return Row(
        job,
        seconds,
        held_out,
        error.value,
        error.standard_error,
        num_parameters(model),
        outcome["steps"],
        outcome["best_step"],
    )


def compare(groups: Sequence[Group], rows: Sequence[Row]) -> Result:
    """Every variant beside the base of its group, paired over the seeds."""
    by_variant = {name: [row for row in rows if row.job.variant == name] for name in VARIANTS}
    comparisons = tuple(
        Comparison(
            group.title,
            group.base,
            VARIANTS[group.base].label,
            tuple(change(name, by_variant[name], by_variant[group.base]) for name in group.variants),
        )
        for group in groups
    )
    return Result(comparisons, tuple(rows))


def change(name: str, rows: Sequence[Row], base: Sequence[Row]) -> Change:
    """The rows of a variant less those of its base, seed by seed."""
    losses, errors = (
        _differences({row.job.seed: quantity(row) for row in rows}, {row.job.seed: quantity(row) for row in base})
        for quantity in (lambda row: row.held_out, lambda row: row.kl)
    )
    return Change(name, VARIANTS[name].label, *_mean(losses), *_mean(errors), len(errors))


def _differences(after: dict[int, float | None], before: dict[int, float | None]) -> list[float]:
    """By seed, where neither failed."""
    pairs = [(value, before.get(seed)) for seed, value in after.items()]
    return [value - first for value, first in pairs if value is not None and first is not None]


def _mean(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and its standard error, where there are enough values."""
    if not values:
        return None, None
    return fmean(values), stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


STUDY = Study(
    claim="The held-out loss shows which single changes reduce the score error of a generic transformer.",
    full=Size(500, 3, GROUPS),
    quick=Size(
        500,
        2,
        GROUPS[:-1],  # training in full is what takes long
        frames=16,
        features=2,
        error_samples=1024,
        options={"width": 48, "num_blocks": 3},
        training={
            "max_steps": 50,
            "evaluate_every": 25,
            "held_out_draws": 256,
            "warmup_steps": 10,
            "batch_size": 32,
        },
    ),
    minutes=(34, 2.5),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
    resumable=True,
)
