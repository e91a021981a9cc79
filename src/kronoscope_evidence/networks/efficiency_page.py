"""The page of ``kronoscope reproduce learning-efficiency``: what the numbers say, and where learners break."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kronoscope.report import Figure, Number, Report, Section, Table, Verdict

from ..learning.curves import Curve, Ratio, best, ratio
from ..learning.page_parts import EXPONENT, Axis, Rate, effective_table, error_figure, error_table, exponent_table
from ..learning.words import (
    TakeAway,
    by_outcome,
    cost_of_training,
    error_text,
    exponent_text,
    how_it_was_done,
    is_beyond,
    is_near,
    learners_left_out,
    seconds_each,
    take_aways,
)
from ..legacy import ratio_number, slope_number
from .regimes import Regimes, failure_map

DEARER = 1.3
TARGET = 1.15
HELD_UP = -0.5  # half the exponent of an efficient learner
LIMIT = "stationary-separable"
AXIS = Axis("sequences n", "n = ")
RATE = Rate("−1.00", "Expected: p/(2n), of an efficient estimator of a class that holds the truth.", sizes=False)


def page(found: Sequence[Curve], regimes: Regimes, quick: bool) -> Report:
    """One claim, what to do, the curves, what they are worth in parameters, where learners break."""
    shape = "16 frames of 2 features" if quick else "32 frames of 4 features"
    failures = failure_map(regimes)
    told = (
        "Every learner gets the same draws and is trained by denoising score matching, or fitted by its formula at the "
        "smallest noise that networks see (t = 0.01). The score error is the integral of docs/theory.md, section 2, in "
        "nats: exact for scores that are linear in x, Monte Carlo for the DiT, the U-Net and the perceptron. "
        f"{cost_of_training(found, AXIS.column)} The claim fails if the generic networks' curves meet the "
        f"unrolled one's, or "
        f"if its exponent is not −1 ± 0.1. {learners_left_out([c.learner for c in found], seconds_each(found))}"
    )
    fewer = len({curve.learner for curve in found} - set(failures.names))
    if fewer:
        told += f" The map of where learners break leaves out {fewer} more, for the same reason."
    if quick:
        told += " In this quick version trainings are short, so that networks are further from their best than in full."
    return Report(
        "How many sequences does a learner need?",
        _subtitle(found),
        facts={"truth": f"{shape}, exponential kernel of lengthscale 8", "error": "nats a sequence, t from 0.01 to 6"},
        sections=[
            take_aways([*_take_aways(found), failures.take_away()]),
            Section(
                "Score error against n",
                "",
                [
                    _figure(found),
                    _table(found),
                    exponent_table(found, AXIS, RATE),
                    effective_table(found, AXIS, shared_limit=True),
                ],
            ),
            failures.section(),
            how_it_was_done(told),
        ],
        verdict=Verdict(_verdict(found, quick)),
    )


def _rival(found: Sequence[Curve], x: float) -> tuple[str, Ratio | None] | None:
    """The best network of another kind at ``x``, and its error over the unrolled one's."""
    by_name = {curve.learner: curve for curve in found}
    others = [(c.learner, c.at(x)) for c in found if c.is_network and not c.learner.startswith("unrolled")]
    chosen = best(others)
    return None if chosen is None else (chosen[0], ratio(chosen[1], by_name["unrolled"].at(x)))


def _ahead(found: Sequence[Curve]) -> bool | None:
    """Whether the unrolled network errs less than every other kind of network at every n."""
    rivals = [_rival(found, point.x) for point in found[0].points]
    verdicts = [None if one is None or one[1] is None else one[1].above(1) for one in rivals]
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _subtitle(found: Sequence[Curve]) -> str:
    unrolled = next(curve for curve in found if curve.learner == "unrolled")
    rate = by_outcome(
        is_near(unrolled.exponent, -1),
        "The network with the shape of the solver learns at the rate of the statistics, p/(2n)",
        "The network with the shape of the solver does not learn at the rate p/(2n) here",
        "Whether the network with the shape of the solver learns at the rate p/(2n), these seeds do not settle",
    )
    others = by_outcome(
        _ahead(found),
        "; generic networks need more sequences than it at every n.",
        "; a network of another kind is ahead of it at some n.",
        "; the intervals, or single seeds, do not set it apart from every other network at every n.",
    )
    return rate + others


def _figure(found: Sequence[Curve]) -> Figure:
    caption = (
        "Score error against the number of sequences, both axes logarithmic. Efficient learning is a straight line of "
        "slope −1, p/(2n); how high it lies says how many parameters p the learner behaves as if it had. The dashed "
        "line is the least that any estimator of a stationary separable law can reach on average."
    )
    return error_figure(found, AXIS, caption, "Score error against n for networks and estimators, with the floor.")


def _table(found: Sequence[Curve]) -> Table:
    caption = "The same in numbers. Means over few draws may lie below the floor, which is one of expectations."
    return error_table(found, AXIS, caption)


def _verdict(found: Sequence[Curve], quick: bool) -> list[Number]:
    by_name = {curve.learner: curve for curve in found}
    unrolled, dit = by_name["unrolled"], by_name["dit"]
    middle = unrolled.points[len(unrolled.points) // 2].x
    expected = "p/(2n) is −1; within ±0.1, if the claim holds"
    numbers = [slope_number(unrolled.exponent, "exponent of n, unrolled", expected, is_near(unrolled.exponent, -1))]
    beside = ratio(unrolled.at(middle), by_name[LIMIT].at(middle))
    above = None if beside is None else beside.above(TARGET)
    holds = None if above is None else not above
    label = f"times maximum likelihood of its class, unrolled, n = {middle:g}"
    numbers.append(ratio_number(beside, label, f"the target is {TARGET:g} on the same draws", holds))
    at = unrolled.at(middle)
    if at is not None and at.kl is not None and at.floor is not None:
        told = "1 is the limit of statistics, in expectation"
        if at.lower is not None and at.upper is not None:
            told = f"95 % interval {at.lower / at.floor:.2f} to {at.upper / at.floor:.2f}; {told}"
        label = f"times the floor of its class, unrolled, n = {middle:g}"
        numbers.append(Number(f"{at.kl / at.floor:.2f}", label, told))
    factor = ratio(dit.at(middle), unrolled.at(middle))
    expected = "with 1/n, as many times the sequences for the same error"
    if quick:
        expected = "its training is cut short in this quick version: read the full one"
    holds = None if factor is None or quick else factor.above(1)
    numbers.append(ratio_number(factor, f"times as much error of the DiT, n = {middle:g}", expected, holds))
    return numbers


def _take_aways(found: Sequence[Curve]) -> list[TakeAway | None]:
    by_name = {curve.learner: curve for curve in found}
    first, last = found[0].points[0].x, found[0].points[-1].x
    return [
        _begin_with(found, by_name, first),
        _heads(by_name, first, last),
        _budget(found),
        _no_structure(by_name, first),
        _refusals(found),
    ]


def _begin_with(found: Sequence[Curve], by_name: Mapping[str, Curve], x: float) -> TakeAway | None:
    rival = _rival(found, x)
    unrolled = by_name["unrolled"]
    if rival is None or rival[1] is None:
        return None
    other, factor = by_name[rival[0]], rival[1]
    holds = factor.above(1)
    advice = by_outcome(
        holds,
        "For data that may be Gaussian, begin with the unrolled transformer.",
        f"With as few sequences, prefer {other.label} to the unrolled transformer, even where data are Gaussian.",
        f"Try {other.label} beside the unrolled transformer: these numbers do not tell them apart.",
    )
    because = (
        f"At n = {x:g} it errs by {error_text(unrolled.at(x))}, the best network of another kind ({other.label}) by "
        f"{error_text(other.at(x))}, {factor} times as much."
    )
    return TakeAway(advice, because, (other if holds is False else unrolled).label, AXIS.head(x))


def _heads(by_name: Mapping[str, Curve], first: float, x: float) -> TakeAway | None:
    one, four = by_name["unrolled"], by_name.get("unrolled-4")
    price = None if four is None else ratio(four.at(x), one.at(x))
    if four is None or price is None or price.upper is None:
        return None
    advice = by_outcome(
        price.above(DEARER),
        "If separability is in doubt, take four heads, and expect to pay for it in sequences.",
        f"If separability is in doubt, take four heads: given many sequences, under {DEARER:g} times the error.",
        "If separability is in doubt, compare one head with four on held-out loss: the price is not settled here.",
    )
    because = (
        f"Where one head would have been right, four err by {error_text(four.at(x))} at n = {x:g}, one by "
        f"{error_text(one.at(x))}: {price} times as much."
    )
    at_first = ratio(four.at(first), one.at(first))
    if at_first is not None and first != x:
        because += f" At n = {first:g}: {at_first} times."
    return TakeAway(advice, because, four.label, AXIS.head(x))


def _budget(found: Sequence[Curve]) -> TakeAway | None:
    """Whether sequences still help the generic network that has the least error at the most of them."""
    last = found[0].points[-1].x
    rival = _rival(found, last)
    curve = None if rival is None else next(one for one in found if one.learner == rival[0])
    if curve is None or curve.exponent is None:
        return None
    flat = is_beyond(curve.exponent, HELD_UP, below=False)
    if flat is None:
        return None
    label = curve.label
    return TakeAway(
        f"Before you collect more sequences for a {label}, train it longer."
        if flat
        else f"A {label} has use for more sequences even when its training is as short as here.",
        f"Of the generic networks it is nearest at n = {last:g}; from n = {curve.points[0].x:g} on its error goes from "
        f"{error_text(curve.points[0])} to {error_text(curve.at(last))}, an exponent of "
        f"{exponent_text(curve.exponent)} "
        f"where −1 would use them "
        "all. What longer trainings give: reproduce time-to-quality.",
        label,
        EXPONENT,
    )


def _no_structure(by_name: Mapping[str, Curve], x: float) -> TakeAway | None:
    several = [by_name[name] for name in ("sample-covariance", "tapered", "ledoit-wolf") if name in by_name]
    known = [(p.kl, c) for c in several if (p := c.at(x)) is not None and p.kl is not None]
    ranked = [curve for _, curve in sorted(known, key=lambda pair: pair[0])]
    if len(ranked) < 2:
        return None
    lead = ratio(ranked[1].at(x), ranked[0].at(x))
    listed = f"At n = {x:g}: " + ", ".join(f"{c.label} {error_text(c.at(x))}" for c in ranked) + "."
    if lead is None or lead.above(1) is not True:
        advice = (
            f"Without any structure, choose {ranked[0].label} or {ranked[1].label} by convenience when "
            "sequences are few: these numbers do not tell them apart."
        )
    else:
        advice = f"Without any structure, use {ranked[0].label} when sequences are few."
    return TakeAway(advice, listed, ranked[0].label, AXIS.head(x))


def _refusals(found: Sequence[Curve]) -> TakeAway | None:
    failed = [(c.label, one.x, one.failed[0]) for c in found for one in c.points if one.failed]
    if not failed:
        return None
    names = ", ".join(dict.fromkeys(label for label, _, _ in failed))
    label, x, why = failed[0]
    return TakeAway(
        f"Expect a refusal, not a bad answer, from these where n is too small: {names}.",
        f"{label} at n = {x:g}: {why}. The note of the table has every message.",
        label,
        AXIS.head(x),
    )
