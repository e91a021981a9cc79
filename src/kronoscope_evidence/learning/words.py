"""Text and checks that the studies of learning share. Everything is computed from the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kronoscope.report import Section, Table, Text
from kronoscope.report.numerals import decimal, significant
from kronoscope.report.records import Cell

from ..slopes import Slope
from ..study import RECOMMENDATIONS, Check
from .curves import Curve, Point, Ratio
from .learners import LEARNERS

SLOPE_TOLERANCE = 0.1
MATCHED = 1.5
SHORT_TRAININGS = ("dit", "dit-plain", "unet", "mlp", "linear")


@dataclass(frozen=True)
class Recommendation:
    """A recommendation, and the cell of a table that supports it.

    Attributes:
        advice: What to do.
        because: The numbers.
        row: First cell of the row, as it is in a table of the page.
        column: Its head, as it is there.
    """

    advice: str
    because: str
    row: str
    column: str


def recommendations_section(recommendations: Sequence[Recommendation | None]) -> Section:
    """The recommendations of a page. Those that the numbers do not settle are None and are left out."""
    settled = [each for each in recommendations if each is not None]
    lead = "Measured on Gaussian sequences, whose truth is known. Other distributions may rank learners differently."
    if not settled:
        text = "These numbers settle nothing to act on: there is a single seed, or intervals overlap."
        return Section(RECOMMENDATIONS, lead, [Text(text)])
    rows: list[list[Cell]] = [[each.advice, each.because, each.row, each.column] for each in settled]
    caption = (
        "The program that made this page computes each sentence from the row and the column named beside it. With "
        "other numbers the sentence changes, or is left out. Brackets hold 95 % intervals; “no interval” means one "
        "seed."
    )
    return Section(RECOMMENDATIONS, lead, [Table(["what to do", "because", "row", "column"], rows, caption)])


def how_it_was_done(text: str) -> Section:
    """The method, and what would have refuted the claim."""
    return Section("How it was done", "", [Text(text)])


def by_outcome(holds: bool | None, yes: str, no: str, unsettled: str) -> str:
    """The text that the outcome of a check allows."""
    return unsettled if holds is None else (yes if holds else no)


def is_near(exponent: Slope | None, expected: float) -> bool | None:
    """Whether an exponent is within 0.1 of ``expected``; None where its interval is too wide to tell."""
    if exponent is None:
        return None
    low, high = expected - SLOPE_TOLERANCE, expected + SLOPE_TOLERANCE
    if exponent.upper < low or exponent.lower > high:
        return False
    if (exponent.upper - exponent.lower) / 2 > SLOPE_TOLERANCE:
        return None
    return low <= exponent.value <= high


def is_beyond(exponent: Slope | None, limit: float, *, below: bool) -> bool | None:
    """Whether the whole interval is below (or above) a limit; False where it is on the other side."""
    if exponent is None or exponent.lower <= limit <= exponent.upper:
        return None
    return (exponent.upper < limit) == below


def exponent_text(exponent: Slope) -> str:
    """An exponent with its interval."""
    return f"{decimal(exponent.value, 2)} ({decimal(exponent.lower, 2)} to {decimal(exponent.upper, 2)})"


def exponent_check(exponent: Slope | None, label: str, expected: str, holds: bool | None) -> Check:
    """An exponent as a check, with its interval."""
    if exponent is None:
        return Check(label, math.nan, "–", "too few errors", None)
    unsettled = "; too wide to tell" if holds is None else ""
    interval = f"95 % interval {decimal(exponent.lower, 2)} to {decimal(exponent.upper, 2)}{unsettled}"
    return Check(label, exponent.value, decimal(exponent.value, 2), f"{interval}; {expected}", holds)


def ratio_check(ratio: Ratio | None, label: str, expected: str, holds: bool | None, *, claimed: bool = True) -> Check:
    """A ratio as a check, with its interval; ``claimed`` says whether a claim depends on it."""
    if ratio is None:
        return Check(label, math.nan, "–", "nothing to compare: one of the two failed", None)
    if ratio.lower is None or ratio.upper is None:
        return Check(label, ratio.value, significant(ratio.value), f"one seed, no interval; {expected}", holds)
    unsettled = "; too wide to tell" if holds is None and claimed else ""
    interval = f"95 % interval {significant(ratio.lower)} to {significant(ratio.upper)}{unsettled}"
    return Check(label, ratio.value, significant(ratio.value), f"{interval}; {expected}", holds)


def cost_of_training(curves: Sequence[Curve], place: str) -> str:
    """Parameters, operations and seconds of the networks, and whether the seconds are alike at each place."""
    networks = [curve for curve in curves if curve.is_network]
    sizes = {c.label: next((p.parameters for p in c.points if p.parameters), 0) for c in networks}
    text = "Parameters: " + ", ".join(f"{label} {size}" for label, size in sizes.items()) + "."
    text += _operations(networks, place)
    ends: dict[float, tuple[tuple[float, str], tuple[float, str]]] = {}
    for x in sorted({point.x for curve in networks for point in curve.points}):
        seconds = [(p.seconds, c.label) for c in networks if (p := c.at(x)) is not None and p.kl is not None]
        if len(seconds) > 1:
            ends[x] = min(seconds), max(seconds)
    if not ends:
        return text
    listed = "; ".join(
        f"{place}{x:g}: {significant(least, 2)} ({fastest}) to {significant(most, 2)} ({slowest})"
        for x, ((least, fastest), (most, slowest)) in ends.items()
    )
    text += f" Mean processor seconds of training, shortest to longest network: {listed}."
    apart = [f"{place}{x:g}" for x, ((least, _), (most, _)) in ends.items() if most > MATCHED * least]
    if not apart:
        text += f" Networks are matched in time, to a factor of {MATCHED:g}."
    else:
        where = "anywhere" if len(apart) == len(ends) else f"at {', '.join(apart)}"
        text += (
            f" Networks are not matched in time to a factor of {MATCHED:g} {where}. Their train steps were set once, "
            "at n = 500 with 32 frames of 4 features, and other work on the machine slows some trainings."
        )
    short = [curve.label for curve in curves if curve.learner in SHORT_TRAININGS]
    if short:
        text += (
            f" The time is short for {', '.join(short)}: docs/learning.md has longer trainings, with smaller errors."
        )
    return text


def _operations(networks: Sequence[Curve], place: str) -> str:
    """Operations of training at the first place where all networks have them."""
    for x in sorted({point.x for curve in networks for point in curve.points}):
        counts = {c.label: p.operations for c in networks if (p := c.at(x)) is not None and p.operations}
        if len(counts) == len(networks):
            each = ", ".join(f"{label} {count / 1e12:.2g}" for label, count in counts.items())
            return f" Tera-operations of training (matrix products and convolutions) at {place}{x:g}: {each}."
    return ""


def learners_left_out(shown: Sequence[str], seconds: float) -> str:
    """Which learners a page leaves out, and why.

    Args:
        shown: Names in ``LEARNERS``.
        seconds: Mean seconds of a network's training on this page.
    """
    missing = [learner for name, learner in LEARNERS.items() if name not in shown]
    if not missing:
        return "No learner is left out."
    networks, estimators = (
        ", ".join(learner.label for learner in missing if bool(learner.network) == is_network)
        for is_network in (True, False)
    )
    text = (
        f"Networks left out to keep the run short, at {seconds:.0f} s a training here: {networks}. " if networks else ""
    )
    text += f"Estimators left out, since this page is about networks: {estimators}. " if estimators else ""
    return text + "`reproduce learning-efficiency` in full has all of them."


def seconds_each(curves: Sequence[Curve]) -> float:
    """Mean seconds of a network's training."""
    every = [point.seconds for curve in curves if curve.is_network for point in curve.points]
    return sum(every) / len(every) if every else 0.0


def error_text(point: Point | None, unit: str = "nats") -> str:
    """A mean error with its interval."""
    if point is None or point.kl is None:
        return "a failure"
    if point.lower is None or point.upper is None:
        return f"{significant(point.kl)} {unit} (no interval)"
    return f"{significant(point.kl)} {unit} ({significant(point.lower)} to {significant(point.upper)})"
