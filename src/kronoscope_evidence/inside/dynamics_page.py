"""Result, checks and page of the study of the order in which modes are learnt."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kronoscope.report import (
    Animation,
    Column,
    Figure,
    Line,
    LinePanel,
    MatrixPanel,
    Movie,
    Report,
    Section,
    Table,
    Text,
)
from kronoscope.report.records import Cell

from ..study import Check

TIME = 0.2
SEQUENCES = 256  # that errors are averaged over
ALL, ABOVE, BELOW = "all modes", "variance above 1", "variance below 1"
GROUPS = {ALL: (0.0, math.inf), ABOVE: (1.0, math.inf), BELOW: (0.0, 1.0)}
STARTS_WRONG = 0.05  # least relative error before training of a mode that counts
PERMUTATIONS = 10_000
BANDS = 5
BAND_ROLES = ("learnt", "baseline", "second", "baseline-2", "baseline-3")
PICTURES = 6

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Order:
    """When modes were learnt, against their variance.

    Attributes:
        among: Key of ``GROUPS``: which modes.
        level: Share of its first error that a mode's error must fall below, and stay below.
        variance: Of the modes that count, with the noise.
        steps: When they did; the last step plus one look where they never did, which ranks last.
        reached: Which ones did.
        correlation: Spearman's, of steps with variance.
        p_value: Share of permutations with a correlation at most this one: one-sided.
        null: 2.5 % and 97.5 % of the permutations' correlations.
        by_seed: Correlations of each seed alone, over all modes; empty for the other groups.
    """

    among: str
    level: float
    variance: tuple[float, ...]
    steps: tuple[float, ...]
    reached: tuple[bool, ...]
    correlation: float
    p_value: float
    null: tuple[float, float]
    by_seed: tuple[float, ...] = ()

    @property
    def gone(self) -> str:
        """How much of the error is gone by then."""
        return f"{100 * (1 - self.level):.0f} % of the error is gone"


@dataclass(frozen=True)
class Result:
    """All numbers of the study.

    Attributes:
        n: Sequences learnt from.
        seeds: How many trainings.
        steps: Of the looks.
        errors: Relative score error by look, temporal mode and spatial mode, mean over the seeds:
            E(u's - u's*)^2 / E(u's*)^2.
        variance: alpha^2 lam_i sig_j + sigma^2, by temporal and spatial mode, both by falling eigenvalue.
        orders: One for each of ``GROUPS`` and each level, over the mean of the seeds.
    """

    n: int
    seeds: int
    steps: tuple[int, ...]
    errors: tuple[Matrix, ...]
    variance: Matrix
    orders: tuple[Order, ...]

    def among(self, group: str) -> list[Order]:
        """The orders of that group of modes."""
        return [order for order in self.orders if order.among == group]


def checks(result: Result) -> list[Check]:
    """Correlations over all modes decide; those of modes of variance above 1 are exploration."""
    numbers = []
    for order in (*result.among(ALL), *result.among(ABOVE)):
        null = f"p = {order.p_value:.2g}; permuted modes {order.null[0]:.2f} to {order.null[1]:.2f}"
        if order.among == ALL:
            spread = ", ".join(f"{value:.2f}" for value in order.by_seed)
            expected = f"all modes, the claim as stated; {null}; by seed {spread}"
            holds = order.correlation < min(order.null[0], 0.0)
        else:
            expected, holds = f"{len(order.steps)} modes of {ABOVE}, split afterwards; {null}", None
        label = f"rank correlation of variance with the step at which {order.gone}"
        numbers.append(Check(label, order.correlation, f"{order.correlation:.2f}", expected, holds))
    return numbers


def page(result: Result) -> Report:
    """Curves by size of the mode, the order, and pictures of the error during training."""
    return Report(
        "Are modes of larger variance learnt first?",
        "The score of the reference process splits into modes, each a direction in time times one in space. The "
        "study follows "
        "a network's error mode by mode during training. The claim is that modes of larger variance are learnt first.",
        facts={
            "network": "DiT, the library's preset",
            "trained on": f"{result.n} sequences, {result.steps[-1]} steps, {result.seeds} "
            f"seed{'s' if result.seeds > 1 else ''}",
            "measured at": f"t = {TIME:g}, {SEQUENCES} noised sequences, averaged parameters",
        },
        sections=[
            Section("Errors during training", "", [_curves(result)]),
            Section("The step at which each mode is learnt", "", [_order(result), _table(result)]),
            Section("Frames of the training", "", [_movie(result), _pictures(result)]),
            Section("How it was done", "", [Text(_METHOD)]),
        ],
    )


_METHOD = (
    "A mode of variance c has a true score of mean square 1/c. The error of a mode is the mean square of the "
    "difference over this. A mode counts as learnt when its error has fallen below a share of its first error and "
    f"stays there. Modes that start with an error below {100 * STARTS_WRONG:g} % are left out: the untrained network, "
    f"which takes everything for white noise, has them right by chance.\n\n"
    f"The p-value shuffles variances over modes {PERMUTATIONS} times, one-sided. It treats modes as exchangeable. "
    "Neighbouring modes are learnt together, so it is a lower bound of the true p-value, and the correlation is the "
    "figure to use. Averaged parameters lag behind the parameters themselves, for all modes alike.\n\n"
    "An untrained network assumes variance 1 everywhere, so it has to learn that some modes have more and others less. "
    "The split at variance 1 was made after looking at all modes together, and is exploration. The claim is refuted by "
    "a correlation over all modes that is inside the permuted range, or above 0."
)


def _curves(result: Result) -> Figure:
    errors = np.array(result.errors).reshape(len(result.steps), -1)
    variance = np.array(result.variance).ravel()
    lines = []
    for modes, role in zip(np.array_split(np.argsort(-variance), BANDS), BAND_ROLES, strict=True):
        label = f"variance {variance[modes].min():.2g} to {variance[modes].max():.2g}"
        lines.append(Line(label, role, result.steps, errors[:, modes].mean(axis=1).clip(1e-6).tolist()))
    caption = (
        f"Mean relative score error of {BANDS} groups of modes of equal size, from the largest variance (with noise) "
        "to the smallest. A score of zero has error 1. If large modes are learnt first, the curves fall in the "
        "legend's order. A group that starts low was right before training."
    )
    panel = LinePanel("", "train step", "relative score error", lines, log_y=True)
    return Figure([panel], caption, f"Score error of {BANDS} groups of modes during training.")


def _order(result: Result) -> Figure:
    panels = []
    for order in result.among(ALL):
        modes = sorted(zip(order.variance, order.steps, order.reached, strict=True))
        lines = [
            Line(label, role, [variance], [step], markers=True)
            for label, role, part in (("learnt", "learnt", True), ("not by the end", "null", False))
            for variance, step, reached in modes
            if reached == part
        ]
        panels.append(LinePanel(order.gone, "variance of the mode, with noise", "train step", lines, log_x=True))
    caption = (
        "When each mode is learnt, against its variance; one mark a mode. Marks that fall from left to right mean that "
        "larger modes are learnt first. If the order did not depend on variance, the marks would be level."
    )
    return Figure(panels, caption, "Train step at which a mode is learnt, against its variance.", columns=2)


def _table(result: Result) -> Table:
    rows: list[list[Cell]] = []
    for order in result.orders:
        thirds = np.array_split(np.argsort(-np.array(order.variance)), 3)
        medians: list[Cell] = [float(np.median(np.array(order.steps)[part])) for part in thirds]
        level, count = f"{100 * order.level:.0f} % of the first error", f"{sum(order.reached)} of {len(order.steps)}"
        null = f"{order.null[0]:.2f} to {order.null[1]:.2f}"
        rows.append([order.among, level, count, *medians, order.correlation, null])
    columns: list[Column | str] = ["among", "reached", "modes that do"]
    columns += [Column(f"{name} third", "median step", digits=4) for name in ("largest", "middle", "smallest")]
    columns += [Column("rank correlation", decimals=2), "permuted modes (95 %)"]
    caption = "The order by thirds of the modes that count, and its rank correlation beside that of shuffled modes."
    return Table(columns, rows, caption, note="A mode that is never learnt counts as learnt after the last step.")


def _movie(result: Result) -> Animation:
    logs = np.log10(np.array(result.errors).clip(1e-4, 1e1))
    caption = (
        f"The whole training, {len(result.steps)} looks from step {result.steps[0]} to {result.steps[-1]}, in a loop. "
        "Temporal modes from left to right, spatial ones from above, both by falling variance. Pale is learnt. By the "
        "claim the pale area grows from the upper left corner."
    )
    movie = Movie("error by mode", [log.T.tolist() for log in logs])
    limits = (float(logs.min()), float(logs.max()))
    label = "log10 of the relative score error"
    return Animation([movie], label, limits, caption, "The error by mode fading during training.", 350, 2)


def _pictures(result: Result) -> Figure:
    errors = np.array(result.errors).clip(1e-4, 1e1)
    chosen = np.unique(np.geomspace(1, len(result.steps), PICTURES).round().astype(int) - 1)
    logs = np.log10(errors[chosen])
    limits = (float(logs.min()), float(logs.max()))
    label = "log10 of the relative score error"
    panels = [
        MatrixPanel(f"step {result.steps[look]}", log.T.tolist(), "temporal mode", "spatial mode", label, limits=limits)
        for look, log in zip(chosen, logs, strict=True)
    ]
    caption = (
        "The relative score error of every mode (temporal modes from left to right, spatial ones down, both by falling "
        "variance) before training and during it. Where the first picture is right already, the mode's variance with "
        "noise is about 1."
    )
    alt = f"Maps of the score error by mode at {len(chosen)} steps of the training."
    return Figure(panels, caption, alt, columns=2)
