"""What the pages of the study say in words: verdicts, take-aways, who is matched, who is left out. All from numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kronoscope.report import Number, Section, Table, Text
from kronoscope.report.numerals import decimal, significant
from kronoscope.report.records import Cell

from .curves import Curve, Exponent, Point, Ratio
from .learners import LEARNERS

SLOPE_TOLERANCE = 0.1
MATCHED = 1.5
STANDINGS: dict[bool | None, str] = {True: "good", False: "bad", None: "neutral"}


@dataclass(frozen=True)
class TakeAway:
    """A sentence that can be acted on, and the cell of a table that backs it.

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


def take_aways(found: Sequence[TakeAway | None]) -> Section:
    """What to do about it: the page's summary. Those that the numbers do not settle are None, and are not said."""
    said = [one for one in found if one is not None]
    lead = "Measured on Gaussian sequences, whose truth is known; other laws may rank learners differently."
    if not said:
        return Section(
            "Take-aways",
            lead,
            [Text("These numbers settle nothing that could be acted on: a single seed, or intervals that overlap.")],
        )
    rows: list[list[Cell]] = [[one.advice, one.because, one.row, one.column] for one in said]
    caption = (
        "Each sentence is read off the row and the column that are named beside it, by the program that made this "
        "page, and says the opposite, or nothing, where the numbers do. In brackets 95 % intervals; “no interval” is "
        "one seed."
    )
    return Section("Take-aways", lead, [Table(["what to do", "because", "row", "column"], rows, caption)])


def how(sentences: str) -> Section:
    """How it was done and how it could have failed."""
    return Section("How it was done", "", [Text(sentences)])


def said(holds: bool | None, yes: str, no: str, unsettled: str) -> str:
    """The sentence that the numbers allow."""
    return unsettled if holds is None else (yes if holds else no)


def on_slope(found: Exponent | None, expected: float) -> bool | None:
    """Whether a slope is within 0.1 of ``expected``; None where its interval is too wide to tell, or there is none."""
    if found is None:
        return None
    low, high = expected - SLOPE_TOLERANCE, expected + SLOPE_TOLERANCE
    if found.upper < low or found.lower > high:
        return False
    if (found.upper - found.lower) / 2 > SLOPE_TOLERANCE:
        return None
    return low <= found.value <= high


def beyond(found: Exponent | None, limit: float, *, below: bool) -> bool | None:
    """Whether the whole interval of a slope is below (or above) a limit; False if beyond it on the other side."""
    if found is None or found.lower <= limit <= found.upper:
        return None
    return (found.upper < limit) == below


def slope_number(found: Exponent | None, label: str, expected: str, holds: bool | None) -> Number:
    """A slope in the verdict, with its interval and what it is to be read against."""
    if found is None:
        return Number("–", label, "too few errors")
    unsettled = "; too wide to tell" if holds is None else ""
    told = f"95 % interval {decimal(found.lower, 2)} to {decimal(found.upper, 2)}{unsettled}; {expected}"
    return Number(decimal(found.value, 2), label, told, STANDINGS[holds])


def ratio_number(found: Ratio | None, label: str, expected: str, holds: bool | None, *, claimed: bool = True) -> Number:
    """A ratio in the verdict; without a claim that it could settle, no standing."""
    if found is None:
        return Number("–", label, "nothing to compare: one of them failed")
    if found.lower is None or found.upper is None:
        return Number(significant(found.value), label, f"one seed, no interval; {expected}", STANDINGS[holds])
    unsettled = "; too wide to tell" if holds is None and claimed else ""
    told = f"95 % interval {significant(found.lower)} to {significant(found.upper)}{unsettled}; {expected}"
    return Number(significant(found.value), label, told, STANDINGS[holds])


def matched(found: Sequence[Curve], place: str) -> str:
    """Who is matched with whom, in seconds and in weights, as measured at each place of an axis."""
    nets = [curve for curve in found if curve.told.network]
    sizes = {c.told.label: next((p.weights for p in c.points if p.weights), 0) for c in nets}
    words = "Weights: " + ", ".join(f"{label} {size}" for label, size in sizes.items()) + "."
    words += _compute(nets, place)
    ends: dict[float, tuple[tuple[float, str], tuple[float, str]]] = {}
    for x in sorted({point.x for curve in nets for point in curve.points}):
        there = [(p.seconds, c.told.label) for c in nets if (p := c.at(x)) is not None and p.kl is not None]
        if len(there) > 1:
            ends[x] = min(there), max(there)
    if not ends:
        return words
    listed = "; ".join(
        f"{place}{x:g}: {significant(least, 2)} ({who}) to {significant(most, 2)} ({whom})"
        for x, ((least, who), (most, whom)) in ends.items()
    )
    words += f" Mean processor seconds of training, shortest to longest network: {listed}."
    apart = [f"{place}{x:g}" for x, ((least, _), (most, _)) in ends.items() if most > MATCHED * least]
    if not apart:
        return words + f" Networks are matched in time, to a factor of {MATCHED:g}." + _cut_short(found)
    where = "anywhere" if len(apart) == len(ends) else f"at {', '.join(apart)}"
    return (
        words
        + f" They are not matched in time to a factor of {MATCHED:g} {where}: train steps were set once, at n = 500 "
        "with 32 frames of 4 features, and what else runs slows some trainings." + _cut_short(found)
    )


def _compute(nets: Sequence[Curve], place: str) -> str:
    """Operations of training at the first place where all are told."""
    for x in sorted({point.x for curve in nets for point in curve.points}):
        found = {c.told.label: p.operations for c in nets if (p := c.at(x)) is not None and p.operations}
        if len(found) == len(nets):
            each = ", ".join(f"{label} {count / 1e12:.2g}" for label, count in found.items())
            return f" Tera-operations of training (matrix products and convolutions) at {place}{x:g}: {each}."
    return ""


def _cut_short(found: Sequence[Curve]) -> str:
    generic = [c.told.label for c in found if c.learner in ("dit", "dit-plain", "unet", "mlp", "linear")]
    if not generic:
        return ""
    return (
        f" The time is short for {', '.join(generic)}, which would come nearer in more; docs/learning.md has "
        "longer trainings."
    )


def left_out(shown: Sequence[str], seconds: float) -> str:
    """Which learners a page has no row for, and why.

    Args:
        shown: Names in ``LEARNERS``.
        seconds: What one training of a network took here, mean.
    """
    missing = [learner for name, learner in LEARNERS.items() if name not in shown]
    if not missing:
        return "No learner of the library's list is left out."
    nets, others = (", ".join(one.label for one in missing if bool(one.network) == which) for which in (True, False))
    words = f"Networks left out to keep the run short, at {seconds:.0f} s a training here: {nets}. " if nets else ""
    words += f"Estimators left out, since networks are what this page is about: {others}. " if others else ""
    return words + "`reproduce learning-efficiency` in full has all of them."


def seconds_each(found: Sequence[Curve]) -> float:
    """Mean seconds of a network's training."""
    every = [point.seconds for curve in found if curve.told.network for point in curve.points]
    return sum(every) / len(every) if every else 0.0


def nats(point: Point | None, unit: str = "nats") -> str:
    """A mean with its interval, as text."""
    if point is None or point.kl is None:
        return "a failure"
    if point.lower is None or point.upper is None:
        return f"{significant(point.kl)} {unit} (no interval)"
    return f"{significant(point.kl)} {unit} ({significant(point.lower)} to {significant(point.upper)})"
