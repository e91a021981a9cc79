"""The page of ``kronoscope reproduce complexity``: size and seconds against error, and the fronts."""

from __future__ import annotations

from collections.abc import Sequence

from kronoscope.report import Column, Figure, Line, LinePanel, Number, Report, Section, Table, Verdict
from kronoscope.report.numerals import decimal
from kronoscope.report.records import Cell

from ..learning.curves import Curve, Point, Ratio, ratio
from ..learning.page_parts import Candidate, curve_line, effective_text, front_line, front_table, mean_cell, of_networks
from ..learning.words import (
    TakeAway,
    by_outcome,
    error_text,
    how_it_was_done,
    learners_left_out,
    seconds_each,
    take_aways,
)
from ..legacy import ratio_number

WEIGHTS, SECONDS = Column("weights", digits=7), Column("training", "s", digits=3)


def page(found: Sequence[Curve], quick: bool, n: int, failed: Sequence[str] = ()) -> Report:
    """Size against error, seconds against error, and what nothing beats."""
    nets = of_networks(found)
    sized = [_candidate(c, p, p.x) for c in nets for p in c.points]
    timed = [_candidate(c, p, p.seconds) for c in nets for p in c.points]
    shown = [*(curve.learner for curve in found), "unrolled-4"]  # a size of "unrolled" here
    told = (
        f"{_times(nets)} Steps and batches are each network's own and do not change with its size. The claim fails if "
        f"sizes of one kind differ more than the kinds do. {learners_left_out(shown, seconds_each(nets))}"
    )
    if failed:
        told += f" Left out, because learning failed: {'; '.join(failed)}."
    if quick:
        told += " This quick version trains briefly, once, and leaves out the DiT: what size buys here is partly speed."
    between, within = _between(nets), _within(nets)
    holds = _holds(between, within)
    return Report(
        "Does a larger network learn more?",
        by_outcome(
            holds,
            "Between kinds of networks the error differs more than between sizes of one kind.",
            "Between sizes of one kind the error differs as much as between kinds of networks, or more.",
            "Whether the kind or the size of a network matters more, these numbers do not settle.",
        ),
        facts={"truth": "exponential kernel of lengthscale 8", "sequences": n},
        sections=[
            take_aways([_kind(nets, between, within, holds), _smallest(sized)]),
            Section("Score error against size and seconds", "", [_figure(found, sized, timed, n), _table(nets)]),
            Section("The fronts", "", [_front(sized, WEIGHTS, "weights"), _front(timed, SECONDS, "seconds")]),
            how_it_was_done(told),
        ],
        verdict=Verdict(_verdict(between, within, holds)),
    )


def _candidate(curve: Curve, one: Point, cost: float) -> Candidate:
    return Candidate(_label(curve, one), cost, one)


def _label(curve: Curve, one: Point) -> str:
    return f"{curve.label}, {decimal(one.x, 0)} weights"


def _front(found: Sequence[Candidate], cost: Column, what: str) -> Table:
    caption = (
        f"Pareto front in {what}: nothing that was tried has a lower mean error for as few {what}, or fewer. Where "
        "intervals of neighbours overlap, their order is not settled."
    )
    return front_table(found, cost, caption)


def _figure(found: Sequence[Curve], sized: Sequence[Candidate], timed: Sequence[Candidate], n: int) -> Figure:
    nets = of_networks(found)
    lines = [one for curve in nets if (one := curve_line(curve)) is not None]
    likelihood = next(curve for curve in found if curve.learner == "stationary-separable").points[0]
    if likelihood.kl is not None:
        ends = [min(one.cost for one in sized), max(one.cost for one in sized)]
        lines.append(Line("stationary separable, maximum likelihood", "floor", ends, [likelihood.kl] * 2, dashed=True))
    dots = [_timed_line(curve) for curve in nets]
    y_label = "score error (nats a sequence)"
    caption = (
        f"Score error at n = {n} against the number of weights (left) and against seconds of training on the machine "
        "that ran this (right), all axes logarithmic, with 95 % bands over seeds where there are several. If size "
        "decided, all points on the left would lie on one line. The dark dashed line is the front; the grey one is "
        "what the right structure makes of the same data."
    )
    panels = [
        LinePanel("", "weights", y_label, [*lines, front_line(sized)], log_x=True, log_y=True),
        LinePanel("", "processor seconds", y_label, [*dots, front_line(timed)], log_x=True, log_y=True),
    ]
    return Figure(panels, caption, "Score error against weights and seconds for each kind of network.", columns=2)


def _timed_line(curve: Curve) -> Line:
    """The same points by seconds; a band only where all have intervals."""
    points = sorted((point for point in curve.points if point.kl is not None), key=lambda point: point.seconds)
    x, y = [point.seconds for point in points], [point.kl or 0.0 for point in points]
    lower = [point.lower for point in points if point.lower is not None]
    upper = [point.upper for point in points if point.upper is not None]
    if len(lower) < len(points):
        return Line(curve.label, curve.role, x, y, markers=True)
    return Line(curve.label, curve.role, x, y, lower, upper, markers=True)


def _times(nets: Sequence[Curve]) -> str:
    told = ", ".join(
        f"{c.label} {min(p.seconds for p in c.points):.1f} to {max(p.seconds for p in c.points):.1f} s" for c in nets
    )
    words = f"Mean training, shortest to longest among sizes: {told}."
    return words + " Neither weights nor seconds are matched: both are varied."


def _least(curve: Curve) -> Point:
    return min((point for point in curve.points if point.kl is not None), key=lambda point: point.kl or 0.0)


def _most(curve: Curve) -> Point:
    return max((point for point in curve.points if point.kl is not None), key=lambda point: point.kl or 0.0)


def _between(nets: Sequence[Curve]) -> tuple[Ratio | None, Curve]:
    """The worst kind over the best, each in its best size, and the best."""
    ranked = sorted(nets, key=lambda curve: _least(curve).kl or 0.0)
    return ratio(_least(ranked[-1]), _least(ranked[0])), ranked[0]


def _within(nets: Sequence[Curve]) -> tuple[Ratio | None, Curve]:
    """The worst size over the best of the kind that depends most on size, and that kind."""
    spreads = [(ratio(_most(curve), _least(curve)), curve) for curve in nets]
    return max(spreads, key=lambda pair: 0.0 if pair[0] is None else pair[0].value)


def _holds(between: tuple[Ratio | None, Curve], within: tuple[Ratio | None, Curve]) -> bool | None:
    """Whether the kinds differ more: surely, by intervals that do not overlap."""
    kinds, sizes = between[0], within[0]
    if kinds is None or sizes is None or kinds.lower is None or kinds.upper is None:
        return None
    if sizes.lower is None or sizes.upper is None:
        return None
    if kinds.lower > sizes.upper:
        return True
    return False if kinds.upper < sizes.lower else None


def _verdict(
    between: tuple[Ratio | None, Curve], within: tuple[Ratio | None, Curve], holds: bool | None
) -> list[Number]:
    return [
        ratio_number(between[0], "times, between the kinds", "best size of each", None, claimed=False),
        ratio_number(
            within[0],
            f"times at most, within a kind ({within[1].label})",
            "the claim needs this to be the smaller one",
            holds,
        ),
    ]


def _kind(
    nets: Sequence[Curve],
    between: tuple[Ratio | None, Curve],
    within: tuple[Ratio | None, Curve],
    holds: bool | None,
) -> TakeAway | None:
    if holds is None:
        return None
    one = _least(between[1]) if holds else _least(within[1])
    return TakeAway(
        "Choose the kind of network before its size."
        if holds
        else f"Choose the size with care: for {within[1].label} it matters as much as the kind.",
        f"The best sizes of two of {len(nets)} kinds differ by up to {between[0]} times, sizes of one kind by up to "
        f"{within[0]} times ({within[1].label}).",
        _label(between[1] if holds else within[1], one),
        "score error",
    )


def _smallest(found: Sequence[Candidate]) -> TakeAway | None:
    """The smallest network that nothing larger surely beats."""
    known = sorted((one for one in found if one.point.kl is not None), key=lambda one: one.cost)

    def surely(one: Candidate, other: Candidate) -> bool:
        beaten = ratio(one.point, other.point)
        return beaten is not None and beaten.above(1) is True

    settled = all(one.point.lower is not None for one in known)
    chosen = next((one for one in known if not any(surely(one, other) for other in known)), None)
    if chosen is None or not settled:
        return None
    return TakeAway(
        f"Nothing larger than {chosen.label} is worth its weights here.",
        f"It errs by {error_text(chosen.point)}; no network that was tried errs surely less.",
        chosen.label,
        "score error",
    )


def _table(nets: Sequence[Curve]) -> Table:
    rows: list[list[Cell]] = [
        [_label(curve, one), int(one.x), mean_cell(one), effective_text(one), one.seconds]
        for curve in nets
        for one in curve.points
    ]
    columns: list[Column | str] = ["network", WEIGHTS, Column("score error", "nats"), "effective parameters", SECONDS]
    caption = (
        "The same in numbers: weights counted, error ± one standard error over seeds, and effective parameters, 2 n × "
        "error with 95 % intervals, which are not the weights."
    )
    roles = [curve.role for curve in nets for _ in curve.points]
    return Table(columns, rows, caption, row_roles=roles)
