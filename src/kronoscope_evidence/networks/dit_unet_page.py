"""The page of ``kronoscope reproduce unet``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kronoscope.models.networks import preset
from kronoscope.report import Column, Estimate, Figure, Line, LinePanel, Number, Report, Section, Table, Verdict
from kronoscope.report.records import Cell

from ..learning.learners import LEARNERS, learning_rate
from ..learning.words import how_it_was_done

if TYPE_CHECKING:
    from .dit_unet import Comparison, Difference, Entrant

CALLED = {who: LEARNERS[who].label for who in ("dit", "dit-plain", "unet")}
LOOKS = {"dit": "learnt", "dit-plain": "baseline-2", "unet": "second"}


def page(result: Comparison, quick: bool) -> Report:
    """Who is nearer, by how much; what each believes; the budgets."""
    steps, seconds = result.budgets["same steps"]["max_steps"], result.budgets["same seconds"]["max_seconds"]
    weights = {one.learner: one.weights for one in result.entrants}
    sizes = ", ".join(f"{CALLED[who]} {size:.0f}" for who, size in weights.items())
    return Report(
        "DiT or U-Net: which is nearer the true dependence in time?",
        "Both are trained on the same draws of Gaussian sequences whose score is known, so that the distance of each "
        "from the truth is a number of nats, kernel by kernel.",
        facts={
            "trained on": f"{result.n} sequences of 32 frames and 4 features, {result.seeds} seed(s)",
            "budgets": f"{steps} steps each; {seconds:g} seconds each",
            "weights": sizes,
        },
        sections=[
            Section("Who is nearer, in nats", "", [_differences(result), _errors(result)]),
            Section("What they believe", "", [_profiles(result, "same steps"), _profiles(result, "same seconds")]),
            how_it_was_done(
                "The score error is that of docs/theory.md, section 2, between t = 0.01 and 6, by Monte Carlo at the "
                "same sequences for all; the correlation is read off the mean Jacobian at t = 0.2. The weights kept "
                f"are those of the least held-out loss. {_sizes(weights)} The library's DiT has a path that is linear "
                "in x, which suits Gaussian data; the DiT as for images has none, and is there to tell the path from "
                "the attention. Steps cost the networks different times, so budgets are matched twice; seconds are "
                f"those of the machine that ran this, and of whatever else it did meanwhile. {_compute(result)} "
                f"The budgets are small: they say who is nearer so early, not who would be in the end. {_rates()}\n\n"
                "The sign of a difference would be refuted by an interval that covers 0; such a kernel counts as "
                "undecided, and where every kernel is, so is the number above. Intervals are each kernel's own, so "
                "of twenty kernels without any difference one would look decided."
            ),
        ],
        verdict=_verdict(result),
    )


def _sizes(weights: dict[str, float]) -> str:
    """Who has how many weights beside the U-Net, in words."""
    shares = [f"{100 * weights[who] / weights['unet']:.0f} % ({CALLED[who]})" for who in weights if who != "unet"]
    return f"Beside the U-Net's weights the others have {', '.join(shares)}."


def _compute(result: Comparison) -> str:
    """Operations of the DiT's trainings beside the U-Net's on either budget, in words."""
    shares = []
    for budget in result.budgets:
        dit, unet = (
            [one.operations for one in result.entrants if (one.learner, one.budget) == (who, budget)]
            for who in ("dit", "unet")
        )
        ratios = [d / u for d, u in zip(dit, unet, strict=True) if math.isfinite(d / u)]
        if ratios:
            shares.append(f"{sum(ratios) / len(ratios):.2g} times in the {budget}")
    if not shares:
        return ""
    return (
        f"Counted in operations (matrix products and convolutions), the DiT's trainings took {' and '.join(shares)} "
        "what the U-Net's took."
    )


def _rates() -> str:
    """How learning rates came about, in words."""
    rates = ", ".join(f"{label} {learning_rate(who):g}" for who, label in CALLED.items())
    return (
        f"Learning rates: {rates}. They were chosen among those that python -m benchmarks tuning tries for each, in "
        f"trainings of {preset('dit').training.max_steps} steps on other numbers of sequences (docs/learning.md lists "
        "them). None was chosen for these budgets, so each might be nearer with a rate of its own."
    )


def _verdict(result: Comparison) -> Verdict:
    pairs = dict.fromkeys((one.learner, one.budget) for one in result.differences)
    return Verdict([_number(result, who, budget) for who, budget in pairs])


def _number(result: Comparison, who: str, budget: str) -> Number:
    """The median over kernels and how many kernels bear its sign out; bad where none does."""
    own = [one for one in result.differences if (one.learner, one.budget) == (who, budget)]
    label = f"U-Net less {CALLED[who]}, {budget}: median kernel"
    known = [one.value for one in own if np.isfinite(one.value)]
    if not known:
        return Number("none", label, "no pair of trainings that both ended", "bad")
    middle = float(np.median(known))
    tally = {name: sum(one.told == name for one in own) for name in ("DiT", "U-Net")}
    undecided = len(own) - sum(tally.values())
    told = (
        f"by 95 % intervals {CALLED[who]} is nearer on {tally['DiT']} kernels, the U-Net on {tally['U-Net']}, "
        f"{undecided} of {len(own)} undecided"
    )
    if undecided == len(own):
        return Number(f"undecided ({middle:+.2f} nats)", label, told, "bad")
    agree = tally["DiT" if middle > 0 else "U-Net"] == len(own)
    return Number(f"{middle:+.2f} nats", label, told, "good" if agree else "neutral")


def _differences(result: Comparison) -> Table:
    rows: list[list[Cell]] = [
        [one.kernel, CALLED[one.learner], one.budget, one.value, _interval(one), one.seeds, one.told]
        for one in result.differences
        if one.seeds
    ]
    columns: list[Column | str] = ["kernel", "DiT", "matched in", Column("U-Net less DiT", "nats", decimals=2)]
    columns += ["95 % interval", "seeds", "nearer"]
    return Table(
        columns,
        rows,
        "Score error of the U-Net less that of the DiT, paired by the draw of data. Above 0 the DiT is nearer.",
        note="Intervals by Student's t over the seeds, each kernel by itself, not corrected for their number.",
    )


def _interval(one: Difference) -> str:
    return "none" if one.lower is None or one.upper is None else f"{one.lower:.2f} to {one.upper:.2f}"


def _errors(result: Comparison) -> Table:
    rows: list[list[Cell]] = []
    looks = []
    for one in result.entrants:
        row: list[Cell] = [one.kernel, CALLED[one.learner], one.budget, _mean(one.kl), _mean(one.gap)]
        rows.append([*row, one.steps, one.seconds, result.white[one.kernel]])
        looks.append(LOOKS[one.learner])
    columns: list[Column | str] = ["kernel", "network", "matched in", Column("score error", "nats")]
    columns += [Column("largest error of gamma", "lags 0 to 16"), Column("steps", digits=4)]
    columns += [Column("training", "s", digits=3), Column("white noise", "nats", digits=3)]
    caption = (
        "Every network by itself. The last column is the null: the error of the untrained network, which takes every "
        "sequence for white noise and believes in no correlation at all."
    )
    return Table(columns, rows, caption, note="± one standard error over seeds.", row_roles=looks)


def _mean(values: np.ndarray) -> Cell:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    if len(known) == 1:
        return float(known[0])
    return Estimate(float(known.mean()), float(known.std(ddof=1) / np.sqrt(len(known))))


def _profiles(result: Comparison, budget: str) -> Figure:
    panels = []
    for kernel, exact in result.truth.items():
        lags = list(range(len(exact)))
        lines = [Line("truth", "truth", lags, exact)]
        own = [one for one in result.entrants if (one.kernel, one.budget) == (kernel, budget)]
        lines += [line for one in own if (line := _line(one)) is not None]
        lines.append(Line("untrained", "null", lags, [1.0] + [0.0] * (len(lags) - 1)))
        panels.append(LinePanel(kernel, "lag (frames)", "correlation", lines, y_limits=(-1.2, 1.2)))
    caption = (
        f"Correlation between frames by their distance that each network believes in, {budget}: median over the seeds, "
        "and from the least to the largest of them, cut off at ±1.2. The nearer the black line, the better; an "
        "untrained network believes in none."
    )
    return Figure(panels, caption, f"Believed correlation by lag for every kernel, {budget}.", columns=3)


def _line(one: Entrant) -> Line | None:
    known = one.gamma[np.isfinite(one.gamma).all(axis=1)].clip(-1.2, 1.2)
    if not len(known):
        return None
    lags = list(range(known.shape[1]))
    low, middle, high = (np.quantile(known, q, axis=0).tolist() for q in (0.0, 0.5, 1.0))
    if len(known) == 1:
        return Line(CALLED[one.learner], LOOKS[one.learner], lags, middle)
    return Line(CALLED[one.learner], LOOKS[one.learner], lags, middle, low, high)
