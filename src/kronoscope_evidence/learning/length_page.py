"""Result, checks and page of ``kronoscope reproduce length``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kronoscope.models.extrapolation import METHODS
from kronoscope.report import Column, Report, Section, Table

from ..study import Check
from .curves import Curve, Point, curves, point, ratio
from .jobs import Job, Row
from .learners import LEARNERS
from .page_parts import Axis, Rate, axis_section, mean_cell
from .words import (
    Recommendation,
    cost_of_training,
    error_text,
    exponent_check,
    how_it_was_done,
    is_beyond,
    learners_left_out,
    ratio_check,
    recommendations_section,
    seconds_each,
)

MILLI = 1000.0
UNIT = "millinats a frame"
AXIS = Axis("frames N", "N = ", UNIT)
RATE = Rate(
    "at most 0",
    "Expected of networks: Theorem 2 of Fu et al. (docs/paper.md) bounds TV² by a multiple of ℓ^(1/ν) κ² N d³/n, and "
    "TV² is KL/π for nearby laws. The power of N is 1 for a sequence, and 0 for a frame, where κ is bounded. "
    "Logarithms are dropped. Expected of estimators: p/(2n) for a frame, fitted to their numbers of parameters p over "
    "the same N, where these are known.",
    shift=-1.0,
)
LARGEST = 256  # frames x features of block-Toeplitz, and of networks that are costly on long sequences
LIMIT = "stationary-separable"  # the estimator whose lags are extended as the unrolled network's are
OWN, REPEATED, SPECTRUM = "own", "repeated", "spectrum"
COMPARED = {  # other ways to run the unrolled network on longer sequences: how it is called, and what is done
    SPECTRUM: (
        "unrolled, its spectrum unchanged",
        "the learnt spectrum at longer lags, which no training determined",
    ),
    REPEATED: ("unrolled, stretches independent", "the null: independent stretches, each of the trained length"),
}
MOST_GROWTH = 2.0  # times the error for a frame at the trained length, beyond which the length is not generalised
NEAR_LIMIT = 1.15  # times the error of maximum likelihood, extended alike

Extended = Mapping[str, Mapping[int, Point]]  # by learner or key of COMPARED, by factor


@dataclass(frozen=True)
class ExtensionJob(Job):
    """A job with the factors by which sequences are longer than in training."""

    factors: tuple[int, ...] = ()


@dataclass(frozen=True)
class ExtendedError:
    """A score error on ``factor`` times as many frames.

    Attributes:
        method: How the law was extended: ``OWN``, or a key of ``COMPARED`` for the unrolled network.
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
    """A learner on longer sequences. Where training diverged there are no errors, and ``failed`` says why."""

    job: ExtensionJob
    errors: tuple[ExtendedError, ...]
    failed: str | None = None

    def kl(self, method: str, factor: int) -> float | None:
        """The error of a method at a factor."""
        return next((each.kl for each in self.errors if (each.method, each.factor) == (method, factor)), None)


@dataclass(frozen=True)
class Result:
    """Every learner for each number of frames; and learners of one length on longer sequences."""

    rows: tuple[Row, ...]
    extensions: tuple[ExtensionRow, ...]

    def curves(self) -> list[Curve]:
        """Score error for a frame against the number of frames."""
        return curves(self.rows, lambda row: row.job.frames, lambda row: row.job.frames / MILLI)

    def curve(self, learner: str) -> Curve:
        """That of one learner."""
        return next(curve for curve in self.curves() if curve.learner == learner)

    @property
    def trained(self) -> int:
        """Frames of the training in the second part."""
        return self.extensions[0].job.frames

    @property
    def longest(self) -> int:
        """Largest factor of the second part."""
        return max(self.extensions[0].job.factors)

    def extended(self) -> Extended:
        """Errors for a frame on longer sequences."""
        points: dict[str, dict[int, Point]] = {}
        for name in (*dict.fromkeys(row.job.learner for row in self.extensions), *COMPARED):
            learner, method = ("unrolled", name) if name in COMPARED else (name, OWN)
            own = [row for row in self.extensions if row.job.learner == learner]
            points[name] = {
                factor: point(
                    factor, [Row(row.job, row.kl(method, factor), failed=row.failed) for row in own], _unit(factor)
                )
                for factor in self.extensions[0].job.factors
            }
        return points


def _unit(factor: int) -> Callable[[Row], float]:
    return lambda row: factor * row.job.frames / MILLI


def checks(result: Result) -> list[Check]:
    """Two exponents of N; and the unrolled network on the longest sequences, beside itself and its limit."""
    tied, free = result.curve("unrolled").exponent, result.curve("sample-covariance").exponent
    extended, last = result.extended(), result.longest
    end = extended["unrolled"][last]
    growth, excess = ratio(end, extended["unrolled"][1]), ratio(end, extended[LIMIT][last])
    length = _head(last, result.trained)
    return [
        exponent_check(
            tied,
            f"exponent of N for a frame, {LEARNERS['unrolled'].label}",
            "below 0, if the claim holds",
            is_beyond(tied, 0, below=True),
        ),
        exponent_check(
            free,
            f"exponent of N for a frame, {LEARNERS['sample-covariance'].label}",
            "above 0, if the claim holds",
            is_beyond(free, 0, below=False),
        ),
        ratio_check(
            growth,
            f"times the error for a frame, unrolled, run on {length}",
            f"trained on {result.trained}; below {MOST_GROWTH:g}, if lags were learnt and not the length",
            None if growth is None or growth.above(MOST_GROWTH) is None else not growth.above(MOST_GROWTH),
        ),
        ratio_check(
            excess,
            f"times the error of maximum likelihood, extended alike, at {length}, unrolled",
            f"below {NEAR_LIMIT:g}, if the training loses nothing",
            None if excess is None or excess.above(NEAR_LIMIT) is None else not excess.above(NEAR_LIMIT),
        ),
    ]


def _head(factor: int, trained: int) -> str:
    return f"{factor * trained} frames"


def _label(name: str) -> str:
    return COMPARED[name][0] if name in COMPARED else LEARNERS[name].label


def recommendations(result: Result) -> list[Recommendation | None]:
    """What follows for the length of sequences in training and in use."""
    return [_do_not_cut(result.curve("unrolled")), _how_far(result), _nearest(result), _whole_or_repeated(result)]


def _do_not_cut(tied: Curve) -> Recommendation | None:
    falls = is_beyond(tied.exponent, 0, below=True)
    if falls is None:
        return None
    first, last = tied.points[0], tied.points[-1]
    return Recommendation(
        "Do not shorten long series for a network that is tied in the lag."
        if falls
        else "Shortening long series loses nothing here, even for a network that is tied in the lag.",
        f"Its error for a frame goes from {error_text(first, UNIT)} at {AXIS.head(first.x)} to "
        f"{error_text(last, UNIT)} at {AXIS.head(last.x)}.",
        tied.label,
        AXIS.head(last.x),
    )


def _how_far(result: Result) -> Recommendation | None:
    """The largest length at which the error for a frame has surely not doubled, and the first at which it has."""
    extended, trained = result.extended(), result.trained
    errors = extended["unrolled"]
    changes = {factor: ratio(error, errors[1]) for factor, error in errors.items() if factor > 1}
    above = {factor: None if change is None else change.above(MOST_GROWTH) for factor, change in changes.items()}
    first = next((factor for factor in sorted(above) if above[factor]), None)
    last = max((k for k in above if above[k] is False and (first is None or k < first)), default=None)
    shown = first or last
    if shown is None:
        return None
    if last is None:
        advice = f"Train an unrolled network on as many frames as you will run it on; {trained} are too few."
    else:
        advice = f"An unrolled network that was trained on {trained} frames may be run on {_head(last, trained)}."
        advice += "" if first is None else f" For {_head(first, trained)} train it on longer sequences."
    because = f"Its error for a frame at {_head(shown, trained)} is {changes[shown]} times that at {trained} frames."
    limit = ratio(extended[LIMIT][shown], extended[LIMIT][1])
    because += "" if limit is None else f" That of maximum likelihood, extended alike, is {limit} times."
    return Recommendation(advice, because, LEARNERS["unrolled"].label, _head(shown, trained))


def _nearest(result: Result) -> Recommendation | None:
    """The network, trained short, with the least error on the longest sequences, where it surely leads."""
    last, trained = result.longest, result.trained
    networks = {name: errors[last] for name, errors in result.extended().items() if name not in (*COMPARED, LIMIT)}
    ranked = sorted((error.kl, name) for name, error in networks.items() if error.kl is not None)
    if len(ranked) < 2:
        return None
    lead = ratio(networks[ranked[1][1]], networks[ranked[0][1]])
    if lead is None or lead.above(1) is not True:
        return None
    name = ranked[0][1]
    listed = ", ".join(f"{_label(each)} {error_text(networks[each], UNIT)}" for _, each in ranked)
    return Recommendation(
        f"Of networks that were trained on {trained} frames, choose for {_head(last, trained)}: {_label(name)}.",
        f"The errors there: {listed}.",
        _label(name),
        _head(last, trained),
    )


def _whole_or_repeated(result: Result) -> Recommendation | None:
    """Whether the network on the whole sequence beats the network on independent stretches."""
    extended, last, trained = result.extended(), result.longest, result.trained
    whole, null = extended["unrolled"][last], extended[REPEATED][last]
    factor = ratio(null, whole)
    better = None if factor is None else factor.above(1)
    if better is None:
        return None
    return Recommendation(
        "Run an unrolled network on the whole sequence, not stretch by stretch."
        if better
        else f"Run an unrolled network stretch by stretch, {trained} frames each, not on the whole sequence.",
        f"At {_head(last, trained)} the error of independent stretches is {error_text(null, UNIT)}, that of the whole "
        f"{error_text(whole, UNIT)}: {factor} times as much.",
        _label("unrolled" if better else REPEATED),
        _head(last, trained),
    )


def page(result: Result) -> Report:
    """Error for a frame as sequences grow, then what was learnt on longer sequences."""
    summaries, n = result.curves(), result.rows[0].job.n
    caption = (
        f"Score error for a frame at n = {n} against the number of frames, both axes logarithmic. A learner that is "
        "tied in the lag sees every lag once more in every further frame, so its error for a frame can fall. A learner "
        "with parameters for every pair of frames has more to learn with each frame."
    )
    ways = [*((LEARNERS[name].label, how) for name, how in METHODS.items()), *COMPARED.values()]
    method = (
        f"{cost_of_training(summaries, AXIS.column)} The kernel is exponential with lengthscale 8. Block-Toeplitz, and "
        f"all networks but the unrolled one with one head, are left out where N d is above {LARGEST}. How lags are "
        f"extended to longer sequences: {'; '.join(f'{label}: {how}' for label, how in ways)}. The DiT and the "
        "perceptron have parameters for frame numbers and cannot be run on more frames. The claim would be refuted by "
        "an error for a frame that grows with N for a learner that is tied in the lag. "
        f"{learners_left_out([curve.learner for curve in summaries], seconds_each(summaries))}"
    )
    return Report(
        "How does the score error depend on the sequence length?",
        "A learner that is tied in the lag sees every lag again in every further frame. Its error for a frame should "
        "fall; that of a learner with parameters for every pair of frames should grow.",
        facts={
            "truth": "exponential kernel of lengthscale 8",
            "sequences": n,
            "error": f"{UNIT}: thousandths of a nat",
        },
        sections=[
            recommendations_section(recommendations(result)),
            axis_section(
                "Error for a frame",
                summaries,
                AXIS,
                RATE,
                caption,
                "Score error for each frame against the number of frames.",
            ),
            Section("Trained short, run long", "", [_extension_table(result, n)]),
            how_it_was_done(method),
        ],
    )


def _extension_table(result: Result, n: int) -> Table:
    extended, trained = result.extended(), result.trained
    factors = result.extensions[0].job.factors
    cells = [[_label(name), *(mean_cell(errors[factor]) for factor in factors)] for name, errors in extended.items()]
    columns: list[Column | str] = ["learnt"]
    columns += [Column(_head(factor, trained), "millinats") for factor in factors]
    caption = (
        f"Learnt from sequences of {trained} frames, n = {n}, and run on longer ones: score error for a frame against "
        "the exact score there. A learner with exact lags would keep its error. Estimated lags cannot: "
        "maximum likelihood shows what they cost when every frame depends on so many before it. The last row is the "
        "null, which treats stretches of the trained length as independent."
    )
    roles = ["null" if name in COMPARED else LEARNERS[name].role for name in extended]
    return Table(columns, cells, caption, note=_how_measured(result.extensions, trained), row_roles=roles)


def _how_measured(rows: Sequence[ExtensionRow], trained: int) -> str:
    """How errors were computed, and the largest relative standard error of those by Monte Carlo."""
    relative = [(each.standard_error / each.kl, row.job.learner, each.factor) for row in rows for each in row.errors]
    share, learner, factor = max(relative, default=(0.0, "", 0))
    note = (
        "± one standard error over seeds; without ± there is one seed. Errors of the unrolled network are exact at "
        "every length, through the eigenvectors of the two factors. Others are exact where the score is linear and its "
        "matrix small, and Monte Carlo elsewhere."
    )
    if share:
        where = f"{LEARNERS[learner].label}, {_head(factor, trained)}"
        note += f" The largest standard error of a Monte Carlo value is {100 * share:.2g} % ({where})."
    for row in rows:
        if row.failed is not None:
            note += f" {LEARNERS[row.job.learner].label}, seed {row.job.seed}, is left out: {row.failed}."
    return note
