"""``kronoscope reproduce complexity``: score error against the size of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kronoscope.report import Column, Figure, Line, LinePanel, Report, Section, Table
from kronoscope.report.numerals import decimal
from kronoscope.report.records import Cell

from ..learning.curves import Curve, Point, Ratio, curves, ratio
from ..learning.jobs import Job, Row, job_of, run_jobs
from ..learning.learners import LEARNERS, NetworkOptions, Training
from ..learning.page_parts import (
    Candidate,
    curve_line,
    effective_text,
    front_line,
    front_table,
    mean_cell,
    of_networks,
    points_line,
)
from ..learning.words import (
    Recommendation,
    error_text,
    how_it_was_done,
    learners_left_out,
    ratio_check,
    recommendations_section,
    seconds_each,
)
from ..study import Check, Run, Study

PARAMETERS, SECONDS = Column("parameters", digits=7), Column("training", "s", digits=3)
LIMIT = "stationary-separable"  # the estimator of the class that holds the truth


@dataclass(frozen=True)
class Size:
    """What is trained.

    Attributes:
        options: By network, those of each of its sizes.
        n, frames, features: Of the sequences.
        seeds: Of the networks.
        limit_seeds: Of the estimator.
        training: Trainings that differ from the networks' budgets.
    """

    options: dict[str, tuple[NetworkOptions, ...]]
    n: int
    frames: int
    features: int
    seeds: int
    limit_seeds: int
    training: dict[str, Training] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """Every network in several sizes, and the estimator."""

    rows: tuple[Row, ...]

    def curves(self) -> list[Curve]:
        """Score error against the number of parameters."""
        learnt = [row for row in self.rows if row.kl is not None]
        return curves(learnt, lambda row: float(row.parameters or 0))

    def networks(self) -> list[Curve]:
        """The curves of the networks."""
        return of_networks(self.curves())

    def between(self) -> tuple[Ratio | None, Curve]:
        """The worst kind over the best, each in its best size; and the best kind."""
        ranked = sorted(self.networks(), key=lambda curve: _error(_best(curve)))
        return ratio(_best(ranked[-1]), _best(ranked[0])), ranked[0]

    def within(self) -> tuple[Ratio | None, Curve]:
        """The worst size over the best, of the kind that depends most on its size; and that kind."""
        spreads = [(ratio(max(curve.points, key=_error), _best(curve)), curve) for curve in self.networks()]
        return max(spreads, key=lambda pair: 0.0 if pair[0] is None else pair[0].value)

    def kinds_differ_more(self) -> bool | None:
        """Whether kinds differ more than sizes; None where the two intervals overlap."""
        kinds, sizes = self.between()[0], self.within()[0]
        if kinds is None or sizes is None or kinds.lower is None or kinds.upper is None:
            return None
        if sizes.lower is None or sizes.upper is None:
            return None
        if kinds.lower > sizes.upper:
            return True
        return False if kinds.upper < sizes.lower else None


def _error(point: Point) -> float:
    return point.kl or 0.0


def _best(curve: Curve) -> Point:
    return min(curve.points, key=_error)


def jobs(size: Size, seed: int) -> list[Job]:
    """Every network in every size on the same draws, and the estimator."""
    networks = [
        _job(size, name, seed + s, options)
        for name, sizes in size.options.items()
        for options in sizes
        for s in range(size.seeds)
    ]
    return networks + [_job(size, LIMIT, seed + s) for s in range(size.limit_seeds)]


def _job(size: Size, name: str, seed: int, options: NetworkOptions | None = None) -> Job:
    training = size.training.get(name)
    return job_of(name, size.n, seed, frames=size.frames, features=size.features, training=training, options=options)


def measure(run: Run[Size]) -> Result:
    """Train every network in several sizes."""
    return Result(tuple(run_jobs("complexity", jobs(run.size, run.seed), run.store, run.stage)))


def checks(result: Result) -> list[Check]:
    """How much kinds of networks differ, and how much sizes of one kind."""
    kinds, (sizes, kind) = result.between()[0], result.within()
    return [
        ratio_check(kinds, "times, between kinds of networks", "best size of each", None, claimed=False),
        ratio_check(
            sizes,
            f"times at most, between sizes of one kind ({kind.label})",
            "less than between kinds, if the claim holds",
            result.kinds_differ_more(),
        ),
    ]


def recommendations(result: Result) -> list[Recommendation | None]:
    """Which kind, and which size."""
    return [_kind(result), _smallest(_candidates(result, by_size=True))]


def _kind(result: Result) -> Recommendation | None:
    holds = result.kinds_differ_more()
    if holds is None:
        return None
    (kinds, best), (sizes, kind) = result.between(), result.within()
    curve = best if holds else kind
    return Recommendation(
        "Choose the kind of network before its size."
        if holds
        else f"Choose the size with care: for {kind.label} it matters as much as the kind.",
        f"The best sizes of two of {len(result.networks())} kinds differ by up to {kinds} times, sizes of one kind by "
        f"up to {sizes} times ({kind.label}).",
        _label(curve, _best(curve)),
        "score error",
    )


def _smallest(candidates: Sequence[Candidate]) -> Recommendation | None:
    """The smallest network that nothing larger surely beats."""
    ordered = sorted(candidates, key=lambda each: each.cost)

    def is_beaten(each: Candidate, other: Candidate) -> bool:
        factor = ratio(each.point, other.point)
        return factor is not None and factor.above(1) is True

    settled = all(each.point.lower is not None for each in ordered)
    chosen = next((each for each in ordered if not any(is_beaten(each, other) for other in ordered)), None)
    if chosen is None or not settled:
        return None
    return Recommendation(
        f"Choose {chosen.label}: nothing larger is surely better here.",
        f"Its error is {error_text(chosen.point)}; no network here has a surely smaller one.",
        chosen.label,
        "score error",
    )


def _candidates(result: Result, *, by_size: bool) -> list[Candidate]:
    """The networks with their parameters as costs, or with their seconds."""
    return [
        Candidate(_label(curve, point), point.x if by_size else point.seconds, point)
        for curve in result.networks()
        for point in curve.points
    ]


def _label(curve: Curve, point: Point) -> str:
    return f"{curve.label}, {decimal(point.x, 0)} parameters"


def page(result: Result) -> Report:
    """Size against error, seconds against error, and the Pareto fronts."""
    networks, job = result.networks(), result.rows[0].job
    shown = [*(curve.learner for curve in result.curves()), "unrolled-4"]  # a size of "unrolled" here
    seconds = ", ".join(
        f"{curve.label} {min(p.seconds for p in curve.points):.1f} to {max(p.seconds for p in curve.points):.1f} s"
        for curve in networks
    )
    method = (
        f"Mean training time, shortest to longest among sizes: {seconds}. Train steps and batches are each network's "
        "own and do not change with its size, so neither parameters nor seconds are matched. The claim would be "
        "refuted if sizes of one kind differed more than the kinds do. "
        f"{learners_left_out(shown, seconds_each(networks))}"
    )
    failed = [
        f"{LEARNERS[row.job.learner].label}, {_options_text(row.job.options)}, seed {row.job.seed}: {row.failed}"
        for row in result.rows
        if row.failed is not None
    ]
    if failed:
        method += f" Left out, because learning failed: {'; '.join(failed)}."
    return Report(
        "Does a larger network reach a smaller score error?",
        "If size decided, networks of one size would have one error, whatever their kind. If the kind decides, sizes "
        "of one kind differ less than kinds do.",
        facts={
            "truth": f"exponential kernel of lengthscale 8, {job.frames} frames of {job.features} features",
            "sequences": job.n,
        },
        sections=[
            recommendations_section(recommendations(result)),
            Section("Score error against size and seconds", "", [_figure(result, job.n), _table(networks)]),
            Section("The fronts", "", [_front(result, PARAMETERS, "parameters"), _front(result, SECONDS, "seconds")]),
            how_it_was_done(method),
        ],
    )


def _options_text(options: NetworkOptions) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items())


def _front(result: Result, cost: Column, unit: str) -> Table:
    caption = (
        f"Pareto front in {unit}: no network here has a lower mean error for as few {unit} or fewer. Where intervals "
        "of neighbours overlap, their order is not settled."
    )
    return front_table(_candidates(result, by_size=cost is PARAMETERS), cost, caption)


def _figure(result: Result, n: int) -> Figure:
    networks = result.networks()
    sized, timed = _candidates(result, by_size=True), _candidates(result, by_size=False)
    by_size = [line for curve in networks if (line := curve_line(curve)) is not None]
    limit = next((curve for curve in result.curves() if curve.learner == LIMIT), None)
    if limit is not None and limit.points[0].kl is not None:
        ends = [min(each.cost for each in sized), max(each.cost for each in sized)]
        label = "stationary separable, maximum likelihood"
        by_size.append(Line(label, "floor", ends, [limit.points[0].kl] * 2, dashed=True))
    by_time = []
    for curve in networks:
        points = sorted(((point.seconds, point) for point in curve.points), key=lambda pair: pair[0])
        line = points_line(curve.label, curve.role, points)
        by_time += [] if line is None else [line]
    caption = (
        f"Score error at n = {n} against the number of parameters (left) and against seconds of training on the "
        "machine that ran this (right). All axes are logarithmic; 95 % bands over seeds where there are several. If "
        "size decided, all points on the left would lie on one line. The dark dashed line is the Pareto front; the "
        "grey one is the error of maximum likelihood in the class that holds the truth."
    )
    y_label = "score error (nats a sequence)"
    panels = [
        LinePanel("", "parameters", y_label, [*by_size, front_line(sized)], log_x=True, log_y=True),
        LinePanel("", "processor seconds", y_label, [*by_time, front_line(timed)], log_x=True, log_y=True),
    ]
    alt = "Score error against parameters and seconds for each kind of network."
    return Figure(panels, caption, alt, columns=2)


def _table(networks: Sequence[Curve]) -> Table:
    pairs = [(curve, point) for curve in networks for point in curve.points]
    rows: list[list[Cell]] = [
        [_label(curve, point), int(point.x), mean_cell(point), effective_text(point), point.seconds]
        for curve, point in pairs
    ]
    columns: list[Column | str] = ["network", PARAMETERS, Column("score error", "nats"), "effective parameters"]
    caption = (
        "The numbers of the figure: parameters, error ± one standard error over seeds, and effective parameters, 2 n × "
        "error with 95 % intervals, which are not the numbers of parameters."
    )
    return Table([*columns, SECONDS], rows, caption, row_roles=[curve.role for curve, _ in pairs])


def _widths(*widths: int) -> tuple[NetworkOptions, ...]:
    return tuple(NetworkOptions(width=width) for width in widths)


STUDY = Study(
    claim="The kind of a network matters more than its size.",
    full=Size(
        {
            "unrolled": tuple(NetworkOptions(heads=heads) for heads in (1, 2, 4, 8)),
            "position": _widths(16, 32, 64, 96),
            "dit": _widths(16, 32, 64, 96),
            "unet": _widths(8, 16, 32, 48),
            "linear": tuple(NetworkOptions(num_nodes=nodes) for nodes in (4, 8, 16)),
            "mlp": _widths(32, 128, 256),
        },
        500,
        32,
        4,
        5,
        5,
    ),
    quick=Size(
        {
            "unrolled": tuple(NetworkOptions(heads=heads) for heads in (1, 2, 4)),
            "position": tuple(NetworkOptions(width=width, num_blocks=2) for width in (8, 16, 32)),
            "unet": _widths(8, 16),
            "linear": tuple(NetworkOptions(num_nodes=nodes) for nodes in (4, 8)),
            "mlp": _widths(32, 128),
        },
        500,
        16,
        2,
        1,
        3,
        {
            "unrolled": {"max_steps": 900, "evaluate_every": 900},
            "position": {"max_steps": 300, "evaluate_every": 50},
            "unet": {"max_steps": 200, "evaluate_every": 50},
            "linear": {"max_steps": 600},
            "mlp": {"max_steps": 300, "evaluate_every": 50},
        },
    ),
    minutes=(18, 1),
    result=Result,
    measure=measure,
    checks=checks,
    page=page,
    resumable=True,
)
