"""The page of ``kronoscope reproduce length``: error for each frame, and the same weights on longer sequences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kronoscope.models.extrapolation import HOW
from kronoscope.report import Column, Number, Report, Section, Table, Verdict

from ..legacy import ratio_number, slope_number
from .curves import Curve, Point, point, ratio
from .jobs import Job, Row
from .learners import LEARNERS
from .page_parts import Axis, Rate, axis_section, mean_cell
from .words import (
    TakeAway,
    by_outcome,
    cost_of_training,
    error_text,
    how_it_was_done,
    is_beyond,
    learners_left_out,
    seconds_each,
    take_aways,
)

MILLI = 1000.0
UNIT = "millinats a frame"
AXIS = Axis("frames N", "N = ", UNIT)
RATE = Rate(
    "at most 0",
    "Expected, for networks: Theorem 2 of Fu et al. (docs/paper.md) bounds TV² by a multiple of ℓ^(1/ν) κ² N d³/n, and "
    "TV² is KL/π for nearby laws: the power 1 for a sequence and 0 for a frame where κ is bounded, logarithms "
    "dropped. For estimators: p/(2n) for a frame, fitted to their numbers "
    "of parameters over the same N, where those are known.",
    shift=-1.0,
)
LIMIT = "stationary-separable"  # the estimator whose lags are extended as the unrolled network's are
OWN, NULL, SPECTRUM = "own", "zero", "spectrum"
BESIDE = {  # what else is done with the unrolled network: how it is called, and what it is
    SPECTRUM: ("unrolled, its spectrum as it is", "the learnt spectrum read at longer lags, which nothing taught"),
    NULL: ("unrolled, stretches independent", "the null: as if what was trained were repeated"),
}
HOLDS = 2.0  # times the error for a frame where it was trained, beyond which length is not generalised
AT_THE_LIMIT = 1.15  # times the error of maximum likelihood that is run as long


@dataclass(frozen=True)
class ExtensionJob(Job):
    """A job with the factors by which its sequences are made longer after learning."""

    factors: tuple[int, ...] = ()


@dataclass(frozen=True)
class LongerError:
    """A score error on ``factor`` times as many frames, by the way in which the law was extended.

    Attributes:
        method: ``OWN``; of the unrolled network, too, ``SPECTRUM`` and ``NULL``.
        factor: Times the frames of the training.
        kl: Score error, nats a sequence.
        standard_error: Of the measurement; 0 where it is exact.
    """

    method: str
    factor: int
    kl: float
    standard_error: float


@dataclass(frozen=True)
class ExtensionRow:
    """What was learnt, on longer sequences; no errors where training diverged, and then ``failed`` says why."""

    job: ExtensionJob
    errors: tuple[LongerError, ...]
    failed: str | None = None

    def kl(self, method: str, factor: int) -> float | None:
        """The error of a method at a factor."""
        return next((each.kl for each in self.errors if (each.method, each.factor) == (method, factor)), None)


Extended = Mapping[str, Mapping[int, Point]]  # by learner or what is beside the unrolled one, by factor


def page(found: Sequence[Curve], longer_rows: Sequence[ExtensionRow], n: int, largest: int) -> Report:
    """Error for each frame as sequences grow, then the same weights on longer sequences."""
    caption = (
        f"Score error for each frame at n = {n} against the number of frames, both axes logarithmic. A learner that is "
        "tied in the lag sees every lag once more in every further frame, so that its error for a frame can fall; one "
        "that has parameters for every pair of frames has more to learn with each."
    )
    words = "Score error for each frame against the number of frames."
    trained = longer_rows[0].job.frames
    extended = _points(longer_rows)
    tied, free = _curve(found, "unrolled"), _curve(found, "sample-covariance")
    falls, grows = is_beyond(tied.exponent, 0, below=True), is_beyond(free.exponent, 0, below=False)
    told = (
        f"{cost_of_training(found, AXIS.column)} Exponential kernel of lengthscale 8. Block-Toeplitz and all "
        f"networks but the "
        f"unrolled one with one head are left out where N d is above {largest}. "
        f"Longer sequences: {'; '.join(f'{k}: {v}' for k, v in _ways())}. The DiT "
        "and the perceptron have weights for frame numbers and cannot be run on more. The claim fails if the error for "
        "a frame grows for the learners that are tied in the lag. "
        f"{learners_left_out([c.learner for c in found], seconds_each(found))}"
    )
    return Report(
        "What do longer sequences cost?",
        _subtitle(falls, grows),
        facts={
            "truth": "exponential kernel of lengthscale 8",
            "sequences": n,
            "error": f"{UNIT}: thousandths of a nat",
        },
        sections=[
            take_aways(
                [
                    _do_not_cut(tied, falls),
                    _run_longer(extended, trained),
                    _longest(extended, trained),
                    _beside_null(extended, trained),
                ]
            ),
            axis_section("Error for a frame", found, AXIS, RATE, caption, words),
            Section("Trained short, run long", "", [_longer(extended, longer_rows, trained, n)]),
            how_it_was_done(told),
        ],
        verdict=Verdict(
            [
                slope_number(
                    tied.exponent, f"exponent of N for a frame, {tied.label}", "falls, if the claim holds", falls
                ),
                slope_number(
                    free.exponent, f"exponent of N for a frame, {free.label}", "grows, if the claim holds", grows
                ),
                _generalises(extended, trained),
                _beside_limit(extended, trained),
            ]
        ),
    )


def _curve(found: Sequence[Curve], name: str) -> Curve:
    return next(curve for curve in found if curve.learner == name)


def _subtitle(falls: bool | None, grows: bool | None) -> str:
    tied = by_outcome(
        falls,
        "For the unrolled network, tied in the lag, they are a gift: its error for a frame falls",
        "For the unrolled network, though tied in the lag, they are no gift: its error for a frame grows",
        "Whether the unrolled network's error for a frame falls with them, these seeds do not settle",
    )
    free = by_outcome(
        grows,
        "; for the sample covariance every frame is one more thing to learn.",
        "; that of the sample covariance falls.",
        "; nor is it settled for the sample covariance.",
    )
    return tied + free


def _points(rows: Sequence[ExtensionRow]) -> Extended:
    """Errors for a frame, by learner and what is beside the unrolled one, and by factor."""
    points: dict[str, dict[int, Point]] = {}
    for name in (*dict.fromkeys(row.job.learner for row in rows), *BESIDE):
        own = [row for row in rows if row.job.learner == ("unrolled" if name in BESIDE else name)]
        method = name if name in BESIDE else OWN
        points[name] = {
            factor: point(
                factor,
                [Row(row.job, kl=row.kl(method, factor), failed=row.failed) for row in own],
                _unit(factor),
            )
            for factor in rows[0].job.factors
        }
    return points


def _unit(factor: int) -> Callable[[Row], float]:
    return lambda row: factor * row.job.frames / MILLI


def _ways() -> list[tuple[str, str]]:
    """How each network is called, and what is done to run it longer."""
    return [*((LEARNERS[name].label, how) for name, how in HOW.items()), *BESIDE.values()]


def _called(name: str) -> str:
    return BESIDE[name][0] if name in BESIDE else LEARNERS[name].label


def _head(factor: int, trained: int) -> str:
    return f"{factor * trained} frames"


def _longer(extended: Extended, rows: Sequence[ExtensionRow], trained: int, n: int) -> Table:
    factors = rows[0].job.factors
    cells = [
        [
            _called(name),
            *(mean_cell(by_factor[factor]) for factor in factors),
        ]
        for name, by_factor in extended.items()
    ]
    columns: list[Column | str] = ["learnt"]
    columns += [Column(_head(factor, trained), "millinats") for factor in factors]
    caption = (
        f"Learnt from sequences of {trained} frames, n = {n}, and run on longer ones: score error for each frame "
        "against the exact score there. Who had learnt the dependence and not the length would keep the number; but "
        "lags that are estimated cannot: maximum likelihood shows what they cost once every frame depends on so many "
        "before it. The last row is what a network is worth that knows nothing beyond its length."
    )
    roles = ["null" if name in BESIDE else LEARNERS[name].role for name in extended]
    return Table(columns, cells, caption, note=_measured(rows, trained), row_roles=roles)


def _measured(rows: Sequence[ExtensionRow], trained: int) -> str:
    """How errors were computed, and the largest relative standard error of those by Monte Carlo."""
    relative = [(each.standard_error / each.kl, row.job.learner, each.factor) for row in rows for each in row.errors]
    worst = max(relative, default=(0.0, "", 0))
    failed = "".join(
        f" {LEARNERS[row.job.learner].label}, seed {row.job.seed}, is left out: {row.failed}."
        for row in rows
        if row.failed is not None
    )
    note = (
        "± one standard error over seeds; without ± there is one seed. The unrolled network's errors are exact at "
        "every length, through eigenvectors of the two factors; others' are where the score is linear and its matrix "
        "small, and Monte Carlo elsewhere"
    )
    if worst[0] == 0:
        return note + "." + failed
    where = f"{LEARNERS[worst[1]].label}, {_head(worst[2], trained)}"
    return note + f", whose standard error is at most {100 * worst[0]:.2g} % of one seed's value ({where}).{failed}"


def _generalises(extended: Extended, trained: int) -> Number:
    last = max(extended["unrolled"])
    change = ratio(extended["unrolled"][last], extended["unrolled"][1])
    above = None if change is None else change.above(HOLDS)
    holds = None if above is None else not above
    label = f"times the error for a frame, unrolled, run on {_head(last, trained)}"
    return ratio_number(change, label, f"trained on {trained}; below {HOLDS:g}, if it learnt no length", holds)


def _beside_limit(extended: Extended, trained: int) -> Number:
    """Whether what is lost on the way is lost by training, or by anyone who estimates these lags."""
    last = max(extended["unrolled"])
    change = ratio(extended["unrolled"][last], extended[LIMIT][last])
    above = None if change is None else change.above(AT_THE_LIMIT)
    holds = None if above is None else not above
    label = f"times the error of maximum likelihood, extended alike, at {_head(last, trained)}, unrolled"
    return ratio_number(change, label, f"below {AT_THE_LIMIT:g}, if training loses nothing on the way", holds)


def _do_not_cut(tied: Curve, falls: bool | None) -> TakeAway | None:
    if falls is None:
        return None
    first, last = tied.points[0], tied.points[-1]
    return TakeAway(
        "Do not cut long series short for a network that is tied in the lag."
        if falls
        else "Cutting long series short loses nothing here, even for a network that is tied in the lag.",
        f"Its error for a frame goes from {error_text(first, UNIT)} at {AXIS.head(first.x)} to "
        f"{error_text(last, UNIT)} at "
        f"{AXIS.head(last.x)}.",
        tied.label,
        AXIS.head(last.x),
    )


def _run_longer(extended: Extended, trained: int) -> TakeAway | None:
    """The largest length up to which the error for a frame surely stays within HOLDS, and the first where it is not."""
    by_factor = extended["unrolled"]
    changes = {k: ratio(one, by_factor[1]) for k, one in by_factor.items() if k > 1}
    above = {k: None if change is None else change.above(HOLDS) for k, change in changes.items()}
    first = next((k for k in sorted(above) if above[k]), None)
    last = max((k for k in above if above[k] is False and (first is None or k < first)), default=None)
    shown = first or last
    if shown is None:
        return None
    if last is None:
        advice = f"Train an unrolled network on as many frames as it is to run on, where {trained} are not all."
    else:
        advice = f"An unrolled network that was trained on {trained} frames may be run on {_head(last, trained)}"
        advice += "." if first is None else f"; for {_head(first, trained)} train it on longer sequences."
    because = f"Its error for a frame at {_head(shown, trained)} is {changes[shown]} times that at {trained} frames"
    limit = ratio(extended[LIMIT][shown], extended[LIMIT][1])
    because += "." if limit is None else f"; that of maximum likelihood, extended alike, {limit} times."
    return TakeAway(advice, because, LEARNERS["unrolled"].label, _head(shown, trained))


def _longest(extended: Extended, trained: int) -> TakeAway | None:
    """Which network, trained short, errs least on the longest sequences; nothing where two are not told apart."""
    last = max(extended["unrolled"])
    networks = {name: one[last].kl for name, one in extended.items() if name not in (*BESIDE, LIMIT)}
    ranked = sorted((kl, name) for name, kl in networks.items() if kl is not None)
    if len(ranked) < 2:
        return None
    lead = ratio(extended[ranked[1][1]][last], extended[ranked[0][1]][last])
    if lead is None or lead.above(1) is not True:
        return None
    name = ranked[0][1]
    listed = ", ".join(f"{_called(who)} {error_text(extended[who][last], UNIT)}" for _, who in ranked)
    return TakeAway(
        f"Of networks that were trained on {trained} frames, take for {_head(last, trained)}: {_called(name)}.",
        f"There they err by: {listed}.",
        _called(name),
        _head(last, trained),
    )


def _beside_null(extended: Extended, trained: int) -> TakeAway | None:
    """Whether running the network on further frames beats repeating what was trained."""
    last = max(extended["unrolled"])
    own, null = extended["unrolled"][last], extended[NULL][last]
    factor = ratio(null, own)
    better = None if factor is None else factor.above(1)
    if better is None:
        return None
    return TakeAway(
        "Run it whole on the long sequence, not stretch by stretch."
        if better
        else f"Run it stretch by stretch, {trained} frames each, not whole on the long sequence.",
        f"At {_head(last, trained)} independent stretches err by {error_text(null, UNIT)}, the whole by "
        f"{error_text(own, UNIT)}: {factor} times as much.",
        _called("unrolled" if better else NULL),
        _head(last, trained),
    )
