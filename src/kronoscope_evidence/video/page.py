"""Result, checks and page of the studies of videos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from kronoscope._intervals import student_reach
from kronoscope.report import (
    Animation,
    Column,
    Estimate,
    Figure,
    Line,
    LinePanel,
    MatrixPanel,
    Movie,
    Report,
    Section,
    Table,
    Text,
)
from kronoscope.report.records import Cell
from kronoscope.video import Validation

from ..study import Check
from .paths import EXACT, GROUPS, Paths, gaps

TIME = 0.5  # of the attention maps
TRUE, SHUFFLED, EARLY, GENERATED = "true videos", "true videos, shuffled", "generated, early", "generated"
MOST_CORRELATION_GAP, MOST_COVARIANCE_GAP, LEAST_SINGLE = 0.07, 0.10, 0.99
ROLES = {EXACT: "truth", TRUE: "held-out", GENERATED: "learnt", EARLY: "baseline", SHUFFLED: "null"}
REACH = student_reach(GROUPS - 1)
LEVELS = 100  # of brightness in a clip


@dataclass(frozen=True)
class Clips:
    """A few videos for the page.

    Attributes:
        name: Of the set.
        videos: By video and frame: brightness 0 to 100 of every pixel, row by row, as two hexadecimal digits.
    """

    name: str
    videos: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, name: str, films: Tensor) -> Clips:
        """The clips of films (videos, frames, pixels) with brightness 0 to 1; what lies outside is cut off."""
        levels = (films.clamp(0, 1) * LEVELS).round().int()
        return cls(name, tuple(tuple(bytes(frame).hex() for frame in film) for film in levels.tolist()))

    def brightness(self, video: int, width: int) -> list[list[list[float]]]:
        """One video as (frames, rows, columns)."""
        frames = []
        for text in self.videos[video]:
            pixels = [level / LEVELS for level in bytes.fromhex(text)]
            frames.append([pixels[start : start + width] for start in range(0, len(pixels), width)])
        return frames


@dataclass(frozen=True)
class Attention:
    """Mean attention weights over heads and videos: over time by signed lag and block, and between patches."""

    over_time: tuple[tuple[float, ...], ...]
    over_space: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Evaluation:
    """A point of the training curve."""

    step: int
    seconds: float
    held_out_loss: float
    train_loss: float


@dataclass(frozen=True)
class Seconds:
    """How long the training and the generation took."""

    training: float
    generation: float


@dataclass(frozen=True)
class Result:
    """All numbers of the study.

    Attributes:
        thing: What moves: "ball" or "digit".
        kernel, coordinate_correlation: Of the path; the correlation is that between row and column.
        frames: N.
        shape: Height and width of a frame.
        validation: The decoder on true frames.
        on_noise: The decoder on true frames with white noise as large as what the fit leaves of generated frames.
        refusal: Why positions of generated frames are withheld; None where they are given.
        paths: The exact law, true videos, shuffled ones, those of the early network, and generated ones.
        clips: A few true and generated videos.
        attention, untrained_attention: Of the network, and of the same network before training.
        history: Of the training.
        seconds: By stage.
        parameters: Of the network.
        videos, generated: How many were trained on and generated.
        early_steps, early_videos: Train steps of the early network, and how many videos it generated.
        joint: Whether space and time share one attention.
        precision: Of training.
    """

    thing: str
    kernel: str
    coordinate_correlation: float
    frames: int
    shape: tuple[int, int]
    validation: Validation
    on_noise: Validation
    refusal: str | None
    paths: tuple[Paths, ...]
    clips: tuple[Clips, ...]
    attention: Attention
    untrained_attention: Attention
    history: tuple[Evaluation, ...]
    seconds: Seconds
    parameters: int
    videos: int
    generated: int
    early_steps: int
    early_videos: int
    joint: bool
    precision: str

    def of(self, name: str) -> Paths:
        """The paths of that name."""
        return next(paths for paths in self.paths if paths.name == name)

    def gaps(self, name: str) -> tuple[float, float]:
        """Errors of the correlation and of the covariance of those paths; see :func:`gaps`."""
        return gaps(self.of(name), self.of(EXACT))


def checks(result: Result) -> list[Check]:
    """Correlation, covariance and single objects have targets; two measures of smoothness have none."""
    generated, early = result.of(GENERATED), result.of(EARLY)
    single = Check(
        f"of frames hold exactly one {result.thing}",
        generated.one_ball,
        f"{100 * generated.one_ball:.1f} %",
        f"at least {100 * LEAST_SINGLE:g} %; after {result.early_steps} train steps {100 * early.one_ball:.0f} %",
        generated.one_ball >= LEAST_SINGLE,
    )
    if generated.withheld:
        error = result.on_noise.error
        why = f"the decoder is off by {error:.2g} px under as much noise as generated frames have"
        return [Check("generated paths", error, "withheld", why, False), single]
    return [
        _correlation_check(result),
        _covariance_check(result),
        single,
        _excess(result, "step between frames, against the law's", lambda paths: (paths.step, paths.step_error)),
        _excess(result, "second difference, against the law's", lambda paths: (paths.bend, paths.bend_error)),
    ]


def _correlation_check(result: Result) -> Check:
    gap = result.gaps(GENERATED)[0]
    true, shuffled, early = (result.gaps(name)[0] for name in (TRUE, SHUFFLED, EARLY))
    return Check(
        "largest error of the correlation, lags 1 to 8",
        gap,
        f"{gap:.3f}",
        f"at most {MOST_CORRELATION_GAP:g}; as many true videos {true:.3f}; shuffled {shuffled:.2f}; "
        f"after {result.early_steps} train steps {early:.3f}",
        gap <= MOST_CORRELATION_GAP,
    )


def _covariance_check(result: Result) -> Check:
    gap, true, early = (result.gaps(name)[1] for name in (GENERATED, TRUE, EARLY))
    return Check(
        "largest error of the covariance of row and column",
        gap,
        f"{100 * gap:.1f} %",
        f"at most {100 * MOST_COVARIANCE_GAP:g} %; as many true videos {100 * true:.1f} %; "
        f"after {result.early_steps} train steps {100 * early:.0f} %",
        gap <= MOST_COVARIANCE_GAP,
    )


def _excess(result: Result, label: str, statistic: Callable[[Paths], tuple[float | None, float]]) -> Check:
    """How much larger a statistic is than the law's, with its 95 % interval; no target was set for it."""
    values = {name: statistic(result.of(name)) for name in (EXACT, GENERATED, TRUE, EARLY)}
    truth = values[EXACT][0] or 0.0
    generated, true, early = ((values[name][0] or 0.0) / truth - 1 for name in (GENERATED, TRUE, EARLY))
    return Check(
        label,
        generated,
        f"{100 * generated:+.0f} %",
        f"± {100 * REACH * values[GENERATED][1] / truth:.0f} points; the law's is {truth:.2f} px; as many true videos "
        f"{100 * true:+.1f} %; after {result.early_steps} train steps {100 * early:+.0f} %",
        None,
    )


def page(result: Result) -> Report:
    """The films, the curves, the numbers, the attention."""
    shape = "disc" if result.thing == "ball" else "handwritten digit"
    height, width = result.shape
    return Report(
        f"Does a video transformer learn how the {result.thing} moves?",
        f"A {shape} moves along a Gaussian process whose law is known. A diffusion transformer is trained on pixels "
        "alone. The positions in its generated videos are decoded and compared with that law.",
        facts={
            "path": f"{result.kernel}, both coordinates, correlation {result.coordinate_correlation:g} between them",
            "videos": f"{result.frames} frames of {height} × {width}, {result.videos} to train on",
            "generated": result.generated,
            "network": f"{'joint' if result.joint else 'factorised'} space and time attention, "
            f"{result.parameters} parameters",
            "training": f"{result.history[-1].step} steps in {result.precision}, {result.seconds.training:.0f} s, "
            f"generation {result.seconds.generation:.0f} s",
        },
        sections=[
            Section("The videos", "", [_films(result)]),
            Section(
                "The path that was learnt",
                "",
                [*_withheld(result), _correlations(result), _statistics(result), _kernels(result)],
            ),
            Section("Attention", "", [_attention(result)]),
            Section("How it was done", "", [Text(_method(result))]),
        ],
    )


def _withheld(result: Result) -> list[Text]:
    if result.refusal is None:
        return []
    return [Text(f"Positions in generated frames are withheld: {result.refusal}.", "note")]


def _method(result: Result) -> str:
    thing, validation, on_noise = result.thing, result.validation, result.on_noise
    correlation, covariance = result.gaps(EARLY)
    return (
        "The loss gives most weight to the noise levels that decide where the object stands, and the sampler is the "
        "reverse SDE. Both were chosen after looking: likelihood weighting counts nats, which lie in the pixels, and "
        "with it and a deterministic sampler 1000 steps on the ball gave 0.73 at lag 1 where 0.95 is true.\n\n"
        f"The decoder fits the {thing}, as the video draws it, to every frame by least squares. On true frames it is "
        f"off by {validation.error:.1g} pixels (at most 0.1 is allowed). It finds exactly one {thing} in "
        f"{100 * validation.one_ball:.4g} % of them (at least 99 % is needed; otherwise the study stops). Generated "
        f"frames differ from the best fit by {on_noise.noise:.2g} a pixel, root mean square. With white noise of that "
        f"size on true frames the decoder is off by {on_noise.error:.2g} pixels. Above 0.1, positions in generated "
        f"frames are withheld. A frame has one {thing} if exactly one region stands out from the background and the "
        "fit explains all but a fifth of it, squared. Standard errors come from a jackknife over videos.\n\n"
        "There are two nulls. In shuffled true videos every frame is perfect and the order is lost. The early network "
        f"is the same network after {result.early_steps} train steps; it generated {result.early_videos} videos with "
        "the same sampler. It shows what architecture, sampler and decoder give without much learning, and its "
        "positions are never withheld. True videos that the network never saw show how close as many videos can "
        "come.\n\n"
        "The claim is refuted, however good the frames look, by a correlation off by more than "
        f"{MOST_CORRELATION_GAP:g} at any lag from 1 to 8 (shuffled {result.gaps(SHUFFLED)[0]:.2f}, early "
        f"{correlation:.3f}); by a variance, or the covariance of row and column, off by more than "
        f"{100 * MOST_COVARIANCE_GAP:g} % of the variance (early {100 * covariance:.0f} %); or by fewer than "
        f"{100 * LEAST_SINGLE:g} % of frames with exactly one {thing} (early {100 * result.of(EARLY).one_ball:.0f} %). "
        "Where a null reaches a target, that target says nothing about learning. Attention maps prove nothing by "
        "themselves (see `kronoscope reproduce attention`)."
    )


def _films(result: Result) -> Animation:
    movies = []
    for clips in result.clips:
        for number in range(len(clips.videos)):
            frames = clips.brightness(number, result.shape[1])
            movies.append(Movie(f"{clips.name.removesuffix(' videos')} {number + 1}", frames))
    caption = (
        "Upper row: held-out videos. Lower row: the first generated ones. Compare how the "
        f"{result.thing} moves, not how it looks: its speed, its smoothness, and how often up "
        "goes with right."
    )
    return Animation(
        movies, "brightness", (0, 1), caption, f"True and generated videos of a moving {result.thing}.", 140, 4
    )


def _correlations(result: Result) -> Figure:
    lines = []
    for name, role in ROLES.items():
        paths = result.of(name)
        if paths.withheld:
            continue
        lags = list(range(len(paths.correlation)))
        if name == EXACT:
            lines.append(Line(name, role, lags, paths.correlation))
            continue
        reach = [REACH * error for error in paths.correlation_error]
        low, high = ([v + sign * r for v, r in zip(paths.correlation, reach)] for sign in (-1, 1))
        lines.append(Line(name, role, lags, paths.correlation, low, high, markers=True))
    caption = (
        "Correlation of decoded positions between frames, both coordinates together, with 95 % bands. Generated videos "
        "should lie on the truth as true ones do. Shuffled videos show perfect frames whose order is lost: what "
        "remains is the correlation of two frames of one video at random."
    )
    return Figure([LinePanel("", "lag (frames)", "correlation", lines)], caption, "Correlation of positions by lag.")


def _statistics(result: Result) -> Table:
    rows: list[list[Cell]] = []
    for name in ROLES:
        paths = result.of(name)
        covariance: list[Cell] = [Estimate(v, e) for v, e in zip(paths.covariance, paths.covariance_error)]
        if name == EXACT:
            rows.append([name, *paths.covariance, paths.step, paths.bend, None])
        else:
            sizes = (_estimate(paths.step, paths.step_error), _estimate(paths.bend, paths.bend_error))
            rows.append(
                [name, *(covariance or [None] * 3), *sizes, Estimate(100 * paths.one_ball, 100 * paths.one_ball_error)]
            )
    columns: list[Column | str] = [
        "positions",
        Column("variance of the row", "px²"),
        Column("of the column", "px²"),
        Column("covariance", "px²"),
        Column("step", "px"),
        Column("second difference", "px"),
        Column(f"one {result.thing}", "% of frames"),
    ]
    return Table(
        columns,
        rows,
        f"Covariance of the two coordinates, and how far and how unevenly the {result.thing} moves: root mean squares "
        "of its steps and of their changes, which tell smooth kernels from rough ones.",
        note=f"± one standard error by a jackknife over videos. Early: after {result.early_steps} train steps.",
        row_roles=list(ROLES.values()),
    )


def _kernels(result: Result) -> Table:
    names = (EXACT, TRUE, GENERATED)
    rows: list[list[Cell]] = []
    for paths in map(result.of, names):
        if paths.name == EXACT:
            rows.append([paths.name, paths.lengthscale, paths.smoothness])
        else:
            lengthscale = _estimate(paths.lengthscale, paths.lengthscale_error)
            rows.append([paths.name, lengthscale, _estimate(paths.smoothness, paths.smoothness_error)])
    return Table(
        ["positions", Column("lengthscale", "frames"), "smoothness"],
        rows,
        "The Matérn kernel nearest to the autocovariance at lags 0 to 8, both coordinates together, by least squares "
        "in its variance, lengthscale and smoothness. Jitter of the frames appears in the second differences above "
        "before it appears here.",
        note="± one standard error by a jackknife over videos. A dash: withheld, or no Matérn kernel is near.",
        row_roles=[ROLES[name] for name in names],
    )


def _estimate(value: float | None, error: float) -> Estimate | None:
    return None if value is None else Estimate(value, error)


def _attention(result: Result) -> Figure:
    lags = list(range(1 - result.frames, result.frames))
    roles = ("learnt", "second", "baseline", "baseline-2", "baseline-3", "held-out", "floor")
    profiles = result.untrained_attention.over_time
    lines = [Line("before training", "null", lags, profile, thin=True) for profile in profiles]
    for number, profile in enumerate(result.attention.over_time):
        lines.append(Line(f"block {number + 1}", roles[number % len(roles)], lags, profile))
    space = result.attention.over_space
    panels: list[LinePanel | MatrixPanel] = [
        LinePanel("over time", "signed lag (frames)", "attention weight", lines),
        MatrixPanel("over space, last block", space, "patch attended to", "patch that attends", "attention weight"),
    ]
    caption = (
        f"Left: attention over time by lag, mean over heads, patches and videos, at t = {TIME:g}. Grey: the same "
        "network before training, whose heads prefer near frames because of their initial values. Right: attention "
        "between the patches of a frame, numbered row by row."
    )
    return Figure(panels, caption, "Attention over time by lag and over space by patch.", columns=2)
