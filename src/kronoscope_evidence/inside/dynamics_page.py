"""The page of ``kronoscope reproduce dynamics``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from kronoscope.report import (
    Animation,
    Column,
    Figure,
    Line,
    LinePanel,
    MatrixPanel,
    Movie,
    Number,
    Report,
    Section,
    Table,
    Verdict,
)
from kronoscope.report.records import Cell

from ..learning.page_parts import how

if TYPE_CHECKING:
    from .dynamics import DynamicsResult, Order

ABOVE = "variance above 1"
BANDS = 5
BAND_ROLES = ("learnt", "baseline", "second", "baseline-2", "baseline-3")
PICTURES = 6


def page(result: DynamicsResult, quick: bool) -> Report:
    """The claim, curves by size of the mode, the order, and pictures of the error as training goes on."""
    seeds = len(result.errors)
    return Report(
        "Are modes of larger variance learnt first?",
        "The score of the yardstick splits into modes, a direction in time times one in space. A network's error is "
        "followed mode by mode while it is trained; the claim is that modes of larger variance are learnt first.",
        facts={
            "network": "DiT, the library's preset" + (", cut short" if quick else ""),
            "trained on": f"{result.n} sequences, {result.steps[-1]} steps, {seeds} seed{'s' if seeds > 1 else ''}",
            "read at": "t = 0.2, 256 noised sequences, the averaged weights",
        },
        sections=[
            Section("Errors while it learns", "", [_curves(result)]),
            Section("Which mode is learnt when", "", [_order(result), _table(result)]),
            Section("Frames of the training", "", [_movie(result), _pictures(result)]),
            how(
                "A mode of variance c has a true score of mean square 1/c; the error of a mode is the mean square "
                "of the difference over this. It counts as learnt when its error has fallen below a share of what it "
                "was before the first step, and stays there. Modes that start with an error below 5 % are left out: "
                "the untrained network, which takes everything for white noise, has them right by chance. The p-value "
                "shuffles variances over modes 10 000 times, one-sided. It treats modes as exchangeable; neighbours "
                "learn together, so it is a lower bound of the true one, and the correlation is the figure to read. "
                "Averaged weights lag behind the weights themselves, for all modes alike. An untrained network "
                "believes in variance 1 everywhere, so it has to learn that some modes hold more and others less; the "
                "split at variance 1 was made after a first look at all modes together, and is exploration. The claim "
                "is refuted by a correlation inside the permuted range, or above 0, over all modes."
            ),
        ],
        verdict=Verdict([_number(result, one) for one in result.orders if one.among in ("all modes", ABOVE)]),
    )


def _number(result: DynamicsResult, one: Order) -> Number:
    gone = f"rank correlation of variance with the step at which {100 * (1 - one.level):.0f} % of the error is gone"
    null = f"p = {one.p_value:.2g}; permuted modes {one.null[0]:.2f} to {one.null[1]:.2f}"
    if one.among == ABOVE:
        return Number(f"{one.correlation:.2f}", gone, f"{len(one.steps)} modes of {ABOVE}, split afterwards; {null}")
    spread = ", ".join(f"{value:.2f}" for value in result.by_seed[one.level])
    mood: Literal["good", "bad"] = "good" if one.correlation < one.null[0] else "bad"
    return Number(f"{one.correlation:.2f}", gone, f"all modes, the claim as it was put; {null}; by seed {spread}", mood)


def _curves(result: DynamicsResult) -> Figure:
    errors = result.errors.mean(axis=0).reshape(len(result.steps), -1)
    by_size = np.array_split(np.argsort(-result.variance.reshape(-1)), BANDS)
    lines = []
    for modes, role in zip(by_size, BAND_ROLES, strict=True):
        sizes = result.variance.reshape(-1)[modes]
        label = f"variance {sizes.min():.2g} to {sizes.max():.2g}"
        lines.append(Line(label, role, result.steps, errors[:, modes].mean(axis=1).clip(1e-6).tolist()))
    caption = (
        "Mean relative score error of five groups of modes, equally many in each, from the largest variance "
        "(with noise) to the smallest. 1 is what a score of nought gives. Curves that fall in the legend's order say "
        "that large modes go first; a group that starts low was right before it was trained."
    )
    panel = LinePanel("", "train step", "relative score error", lines, log_y=True)
    return Figure([panel], caption, "Score error of five groups of modes while the network is trained.")


def _order(result: DynamicsResult) -> Figure:
    panels = []
    for one in (order for order in result.orders if order.among == "all modes"):
        rank = np.argsort(one.variance)
        size, when, reached = one.variance[rank], one.steps[rank], one.reached[rank]
        lines = []
        for label, role, part in (("learnt", "learnt", reached), ("not by the end", "null", ~reached)):
            lines += [Line(label, role, [float(s)], [float(w)], markers=True) for s, w in zip(size[part], when[part])]
        title = f"{100 * (1 - one.level):.0f} % of the error gone"
        panels.append(LinePanel(title, "variance of the mode, with noise", "train step", lines, log_x=True))
    caption = (
        "When each mode is learnt, against its variance; one mark a mode. Falling from left to right: larger ones are "
        "learnt first. If the order had nothing to do with variance, the marks would be level."
    )
    return Figure(panels, caption, "Train step at which a mode is learnt, against its variance.", columns=2)


def _table(result: DynamicsResult) -> Table:
    rows: list[list[Cell]] = []
    for one in result.orders:
        third = np.array_split(np.argsort(-one.variance), 3)
        medians: list[Cell] = [float(np.median(one.steps[part])) for part in third]
        told = f"{one.null[0]:.2f} to {one.null[1]:.2f}"
        name = f"{100 * one.level:.0f} % of the first error"
        rows.append([one.among, name, f"{int(one.reached.sum())} of {len(one.steps)}", *medians, one.correlation, told])
    columns: list[Column | str] = ["among", "reached", "modes that do"]
    columns += [Column(f"{name} third", "median step", digits=4) for name in ("largest", "middle", "smallest")]
    columns += [Column("rank correlation", decimals=2), "permuted modes (95 %)"]
    caption = "The order by thirds of the modes that count, and its rank correlation beside that of shuffled modes."
    return Table(columns, rows, caption, note="A mode that is never learnt counts as learnt after the last step.")


def _movie(result: DynamicsResult) -> Animation:
    logs = np.log10(result.errors.mean(axis=0).clip(1e-4, 1e1))
    caption = (
        f"The whole training, {len(result.steps)} looks from step {result.steps[0]} to {result.steps[-1]}, in a loop. "
        "Temporal modes from left to right, spatial ones from above, both by falling variance; pale is learnt. The "
        "claim would have the pale area grow from the upper left corner."
    )
    movie = Movie("error by mode", [log.T.tolist() for log in logs])
    limits = (float(logs.min()), float(logs.max()))
    label = "log10 of the relative score error"
    return Animation([movie], label, limits, caption, "The error by mode fading while training goes on.", 350, 2)


def _pictures(result: DynamicsResult) -> Figure:
    errors = result.errors.mean(axis=0).clip(1e-4, 1e1)
    chosen = np.unique(np.geomspace(1, len(result.steps), PICTURES).round().astype(int) - 1)
    logs = np.log10(errors[chosen])
    limits = (float(logs.min()), float(logs.max()))
    panels = [
        MatrixPanel(
            f"step {result.steps[look]}",
            log.T.tolist(),
            "temporal mode",
            "spatial mode",
            "log10 of the relative score error",
            limits=limits,
        )
        for look, log in zip(chosen, logs, strict=True)
    ]
    caption = (
        "The relative score error of every mode (temporal modes from left to right, spatial ones down, both "
        "by falling variance) before training and at five steps of it. Where the first picture is right already, the "
        "mode's variance with noise is about 1."
    )
    return Figure(panels, caption, "Maps of the score error by mode at six steps of the training.", columns=2)
