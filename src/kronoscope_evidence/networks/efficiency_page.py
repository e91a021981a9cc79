"""Result, checks and page of the study of learning efficiency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kronoscope.report import Figure, Report, Section

from ..learning.curves import Curve, Point, Ratio, best, curves, ratio
from ..learning.jobs import Row
from ..learning.page_parts import EXPONENT, Axis, Rate, effective_table, error_figure, error_table, exponent_table
from ..learning.words import (
    Recommendation,
    by_outcome,
    cost_of_training,
    error_text,
    exponent_check,
    exponent_text,
    how_it_was_done,
    is_beyond,
    is_near,
    learners_left_out,
    ratio_check,
    recommendations_section,
    seconds_each,
)
from ..study import Check
from .regimes import FailureMap, RegimeRows, failure_map

DEARER = 1.3
TARGET = 1.15
EFFICIENT = -1.0
FLAT = EFFICIENT / 2
LIKELIHOOD = "stationary-separable"
AXIS = Axis("sequences n", "n = ")
RATE = Rate("−1.00", "Expected: p/(2n), of an efficient estimator of a class that holds the truth.", sizes=False)


@dataclass(frozen=True)
class Result:
    """All numbers of the study: every learner at every n, and in every regime."""

    rows: tuple[Row, ...]
    regimes: tuple[RegimeRows, ...]

    def curves(self) -> dict[str, Curve]:
        """By learner: score error against n."""
        return {curve.learner: curve for curve in curves(self.rows, lambda row: row.job.n)}

    def places(self) -> list[int]:
        """The numbers of sequences along the axis."""
        return sorted({row.job.n for row in self.rows})


def checks(result: Result) -> list[Check]:
    """The unrolled network's exponent and its error beside the limits of its class; the DiT's error beside its."""
    by_name, places = result.curves(), result.places()
    unrolled, middle = by_name["unrolled"], places[len(places) // 2]
    at_middle = unrolled.at(middle)
    expected = "p/(2n) is −1; within ±0.1, if the claim holds"
    beside_likelihood = ratio(at_middle, by_name[LIKELIHOOD].at(middle))
    dit = ratio(by_name["dit"].at(middle), at_middle)
    return [
        exponent_check(unrolled.exponent, "exponent of n, unrolled", expected, is_near(unrolled.exponent, EFFICIENT)),
        ratio_check(
            beside_likelihood,
            f"times maximum likelihood of its class, unrolled, n = {middle:g}",
            f"the target is {TARGET:g} on the same draws",
            _not(_above(beside_likelihood, TARGET)),
        ),
        _floor_check(at_middle, middle),
        ratio_check(
            dit,
            f"times as much error of the DiT, n = {middle:g}",
            "with 1/n, as many times the sequences for the same error",
            _above(dit, 1.0),
        ),
    ]


def _floor_check(point: Point | None, n: int) -> Check:
    """The unrolled network over the floor of its class, which decides nothing: it is an expectation."""
    label = f"times the floor of its class, unrolled, n = {n:g}"
    if point is None or point.kl is None or point.floor is None:
        return Check(label, math.nan, "–", "no floor, or training failed", None)
    expected = "1 is the statistical limit, in expectation"
    if point.lower is not None and point.upper is not None:
        bounds = f"{point.lower / point.floor:.2f} to {point.upper / point.floor:.2f}"
        expected = f"95 % interval {bounds}; {expected}"
    value = point.kl / point.floor
    return Check(label, value, f"{value:.2f}", expected, None)


def _above(quotient: Ratio | None, limit: float) -> bool | None:
    return None if quotient is None else quotient.above(limit)


def _not(holds: bool | None) -> bool | None:
    return None if holds is None else not holds


def page(result: Result) -> Report:
    """What to do, the curves, what they are worth in parameters, and where learners break."""
    along, failures = list(result.curves().values()), failure_map(result.regimes)
    job = result.rows[0].job
    return Report(
        "How many sequences does a learner need?",
        _subtitle(result),
        facts={
            "truth": f"{job.frames} frames of {job.features} features, exponential kernel of lengthscale 8",
            "error": "nats a sequence, t from 0.01 to 6",
        },
        sections=[
            recommendations_section(
                [
                    _begin_with(result),
                    _heads(result),
                    _budget(result),
                    _without_structure(result),
                    _refusals(along),
                    failures.take_away(),
                ]
            ),
            Section(
                "Score error against n",
                "",
                [
                    _figure(along),
                    error_table(along, AXIS, _TABLE_CAPTION),
                    exponent_table(along, AXIS, RATE),
                    effective_table(along, AXIS, shared_limit=True),
                ],
            ),
            failures.section(),
            how_it_was_done(_method(along, failures)),
        ],
    )


_TABLE_CAPTION = (
    "Mean score errors. A mean over few draws may lie below the floor, because the floor is one of expectations."
)


def _method(along: Sequence[Curve], failures: FailureMap) -> str:
    text = (
        "Every learner gets the same draws. Networks are trained by denoising score matching. Estimators are fitted by "
        "their formula at the smallest noise that networks see (t = 0.01). The score error is the integral of "
        "docs/theory.md, section 2, in nats: exact for scores that are linear in x, Monte Carlo for the DiT, the U-Net "
        f"and the perceptron. {cost_of_training(along, AXIS.column)}\n\n"
        "The claim fails if the curves of generic networks meet that of the unrolled one, or if its exponent is not "
        f"−1 ± 0.1. {learners_left_out([curve.learner for curve in along], seconds_each(along))}"
    )
    fewer = len({curve.learner for curve in along} - set(failures.learners))
    if fewer:
        text += f" The map of where learners break leaves out {fewer} more, for the same reason."
    return text


def _figure(along: Sequence[Curve]) -> Figure:
    caption = (
        "Score error against the number of sequences, both axes logarithmic. Efficient learning is a straight line of "
        "slope −1, p/(2n). Its height shows as how many parameters p the learner behaves. The dashed line is the least "
        "mean error of any estimator of a stationary separable covariance."
    )
    return error_figure(along, AXIS, caption, "Score error against n for networks and estimators, with the floor.")


def _rival(by_name: dict[str, Curve], n: int) -> tuple[Curve, Ratio | None] | None:
    """The network of another kind with the least error at ``n``, and its error over the unrolled network's."""
    others = [curve for curve in by_name.values() if curve.is_network and not curve.learner.startswith("unrolled")]
    least = best([(curve.learner, curve.at(n)) for curve in others])
    return None if least is None else (by_name[least[0]], ratio(least[1], by_name["unrolled"].at(n)))


def _is_ahead(result: Result) -> bool | None:
    """Whether the unrolled network has a smaller error than every other kind of network at every n."""
    by_name = result.curves()
    rivals = [_rival(by_name, n) for n in result.places()]
    verdicts = [None if rival is None else _above(rival[1], 1.0) for rival in rivals]
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _subtitle(result: Result) -> str:
    rate = by_outcome(
        is_near(result.curves()["unrolled"].exponent, EFFICIENT),
        "The network with the structure of the solver learns at the statistical rate, p/(2n)",
        "The network with the structure of the solver does not learn at the rate p/(2n) here",
        "These seeds do not settle whether the network with the structure of the solver learns at the rate p/(2n)",
    )
    others = by_outcome(
        _is_ahead(result),
        "; generic networks need more sequences than it at every n.",
        "; a network of another kind is ahead of it at some n.",
        "; the intervals, or single seeds, do not set it apart from every other network at every n.",
    )
    return rate + others


def _begin_with(result: Result) -> Recommendation | None:
    by_name, n = result.curves(), result.places()[0]
    rival, unrolled = _rival(by_name, n), by_name["unrolled"]
    if rival is None or rival[1] is None:
        return None
    other, quotient = rival
    holds = _above(quotient, 1.0)
    advice = by_outcome(
        holds,
        "For data that may be Gaussian, begin with the unrolled transformer.",
        f"With as few sequences, prefer {other.label} to the unrolled transformer, even where data are Gaussian.",
        f"Try {other.label} beside the unrolled transformer: these numbers do not tell them apart.",
    )
    because = (
        f"At n = {n:g} its error is {error_text(unrolled.at(n))}. The best network of another kind ({other.label}) has "
        f"{error_text(other.at(n))}: {quotient} times as much."
    )
    return Recommendation(advice, because, (other if holds is False else unrolled).label, AXIS.head(n))


def _heads(result: Result) -> Recommendation | None:
    by_name, (first, *_, last) = result.curves(), result.places()
    single, four = by_name["unrolled"], by_name.get("unrolled-4")
    price = None if four is None else ratio(four.at(last), single.at(last))
    if four is None or price is None or price.upper is None:
        return None
    advice = by_outcome(
        price.above(DEARER),
        "If separability is in doubt, use four heads, and expect to need more sequences.",
        f"If separability is in doubt, use four heads: given many sequences, under {DEARER:g} times the error.",
        "If separability is in doubt, compare one head with four on held-out loss: the price is not settled here.",
    )
    because = (
        f"Where one head is enough, four have an error of {error_text(four.at(last))} at n = {last:g}, one has "
        f"{error_text(single.at(last))}: {price} times as much."
    )
    at_first = ratio(four.at(first), single.at(first))
    if at_first is not None and first != last:
        because += f" At n = {first:g}: {at_first} times."
    return Recommendation(advice, because, four.label, AXIS.head(last))


def _budget(result: Result) -> Recommendation | None:
    """Whether more sequences still help the generic network that has the least error at the most of them."""
    by_name, (first, *_, last) = result.curves(), result.places()
    rival = _rival(by_name, last)
    if rival is None or rival[0].exponent is None:
        return None
    curve, exponent = rival[0], rival[0].exponent
    is_flat = is_beyond(exponent, FLAT, below=False)
    if is_flat is None:
        return None
    label = curve.label
    return Recommendation(
        f"Before you collect more sequences for a {label}, train it longer."
        if is_flat
        else f"A {label} has use for more sequences even when its training is as short as here.",
        f"Of the generic networks it has the least error at n = {last:g}. From n = {first:g} on its error goes from "
        f"{error_text(curve.points[0])} to {error_text(curve.at(last))}, an exponent of {exponent_text(exponent)}; −1 "
        "would use all sequences. For longer trainings: reproduce time-to-quality.",
        label,
        EXPONENT,
    )


def _without_structure(result: Result) -> Recommendation | None:
    by_name, n = result.curves(), result.places()[0]
    free = [by_name[name] for name in ("sample-covariance", "tapered", "ledoit-wolf") if name in by_name]
    known = [(point.kl, curve) for curve in free if (point := curve.at(n)) is not None and point.kl is not None]
    ranked = [curve for _, curve in sorted(known, key=lambda pair: pair[0])]
    if len(ranked) < 2:
        return None
    first, second, *_ = ranked
    errors = ", ".join(f"{curve.label} {error_text(curve.at(n))}" for curve in ranked)
    if _above(ratio(second.at(n), first.at(n)), 1.0):
        advice = f"Without any structure, use {first.label} when sequences are few."
    else:
        advice = (
            f"Without any structure, choose {first.label} or {second.label} by convenience when sequences are few: "
            "these numbers do not tell them apart."
        )
    return Recommendation(advice, f"At n = {n:g}: {errors}.", first.label, AXIS.head(n))


def _refusals(along: Sequence[Curve]) -> Recommendation | None:
    failed = [(curve.label, point.x, point.failed[0]) for curve in along for point in curve.points if point.failed]
    if not failed:
        return None
    names = ", ".join(dict.fromkeys(label for label, _, _ in failed))
    label, n, reason = failed[0]
    return Recommendation(
        f"Expect an error message, not a bad answer, from these where n is too small: {names}.",
        f"{label} at n = {n:g}: {reason}. The note of the table has every message.",
        label,
        AXIS.head(n),
    )
