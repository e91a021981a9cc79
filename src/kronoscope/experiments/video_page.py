"""The page of ``kronoscope reproduce video``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..report import (
    Animation,
    Column,
    Estimate,
    Figure,
    Line,
    LinePanel,
    MatrixPanel,
    Movie,
    Number,
    Report,
    Section,
    Table,
    Verdict,
)
from ..report.records import Cell
from .learning_page import how

if TYPE_CHECKING:
    from .video import Paths, VideoResult

CORRELATION, COVARIANCE, ONE = 0.07, 0.10, 0.99
ROLES = {"truth, exact": "truth", "true videos": "held-out", "generated": "learnt", "true videos, shuffled": "null"}


def page(result: VideoResult, quick: bool) -> Report:
    """One claim, the films, the curve, the numbers."""
    ball = result.ball
    return Report(
        "Does a video transformer learn how the ball moves?",
        "A disc moves along a Gaussian process whose law is known. A diffusion transformer sees pixels only; what it "
        "generates is decoded back to positions and held against that law.",
        facts={
            "path": f"{ball.kernel}, both coordinates, correlation {ball.correlation:g} between them",
            "videos": f"{ball.frames} frames of {ball.size} × {ball.size}, {result.videos} to train on",
            "generated": result.generated,
            "network": f"factorised space and time attention, {result.weights} weights",
            "training": f"{result.seconds['training']:.0f} s, generation {result.seconds['generation']:.0f} s"
            + (", cut short" if quick else ""),
        },
        sections=[
            Section("The videos", "", [_films(result)]),
            Section("The path that was learnt", "", [_correlations(result), _table(result)]),
            Section("Where it looks", "", [_attention(result)]),
            how(
                "The loss counts most at the noise levels at which it is decided where a ball stands. With likelihood "
                "weighting, which counts nats and so spends itself on pixels, and a deterministic sampler, 1000 steps "
                "gave 0.73 at lag 1 where 0.95 is true. The sampler here is the reverse SDE. "
                "The decoder fits a disc to every frame by least squares. On true frames it is off by "
                f"{result.validation.error:.1g} pixels (at most 0.1 are allowed; otherwise this page would not have "
                "been made). A frame has one ball if exactly one region is bright and a disc explains all but a fifth "
                "of its brightness, squared. Standard errors by a jackknife over videos. The null is true videos whose "
                "frames were shuffled: every frame is perfect, and their order is gone. True videos that the "
                "network "
                "never saw show what as many videos can tell at all. The claim would be refuted by a curve that misses "
                "the truth by more than the target, however good the frames look. Attention maps prove nothing by "
                "themselves (see reproduce attention); they are shown for what they are."
            ),
        ],
        verdict=_verdict(result),
    )


def gaps(one: Paths, truth: Paths) -> tuple[float, float]:
    """Largest error of the correlations at lags 1 to 8, and of the covariance relative to the variance."""
    correlation = max(abs(a - b) for a, b in zip(one.correlation[1:], truth.correlation[1:]))
    size = math.sqrt(truth.covariance[0] * truth.covariance[1])
    return correlation, max(abs(a - b) / size for a, b in zip(one.covariance, truth.covariance))


def _verdict(result: VideoResult) -> Verdict:
    truth, made = result.of("truth, exact"), result.of("generated")
    correlation, covariance = gaps(made, truth)
    unseen = gaps(result.of("true videos"), truth)
    null = gaps(result.of("true videos, shuffled"), truth)[0]
    return Verdict(
        [
            Number(
                f"{correlation:.3f}",
                "largest error of the correlation, lags 1 to 8",
                f"target {CORRELATION:g}; as many true videos {unseen[0]:.3f}; shuffled {null:.2f}",
                "good" if correlation <= CORRELATION else "bad",
            ),
            Number(
                f"{100 * covariance:.1f} %",
                "largest error of the covariance of row and column",
                f"target {100 * COVARIANCE:g} %; as many true videos {100 * unseen[1]:.1f} %",
                "good" if covariance <= COVARIANCE else "bad",
            ),
            Number(
                f"{100 * made.one_ball:.1f} %",
                "of frames hold exactly one ball",
                f"target {100 * ONE:g} %",
                "good" if made.one_ball >= ONE else "bad",
            ),
            Number(
                f"{made.step:.2f} px",
                "root-mean-square step between frames",
                f"the law says {truth.step:.2f}",
            ),
        ]
    )


def _films(result: VideoResult) -> Animation:
    side = result.ball.size
    movies = []
    for name in ("true videos", "generated"):
        for k, film in enumerate(result.movies[name][:4]):
            frames = film.clamp(0, 1).reshape(-1, side, side).mul(100).round().div(100).tolist()
            movies.append(Movie(f"{name.removesuffix(' videos')} {k + 1}", frames))
    caption = (
        "Upper row: videos that were held out. Lower row: generated ones, the first that came. Look at how the ball "
        "moves, not at how it looks: speed, smoothness, and whether up goes with right as often as it should."
    )
    return Animation(movies, "brightness", (0, 1), caption, "True and generated videos of a moving ball.", 140, 4)


def _correlations(result: VideoResult) -> Figure:
    lines = []
    for name, role in ROLES.items():
        one = result.of(name)
        lags = list(range(len(one.correlation)))
        reach = [1.96 * error for error in one.correlation_error]
        low, high = ([v + s * r for v, r in zip(one.correlation, reach)] for s in (-1, 1))
        band = {} if name == "truth, exact" else {"lower": low, "upper": high}
        lines.append(Line(name, role, lags, one.correlation, markers=name != "truth, exact", **band))  # type: ignore[arg-type]
    caption = (
        "Correlation of decoded positions between frames, both coordinates together, with 95 % bands. Generated videos "
        "should lie on the truth as true ones do; shuffled ones "
        "show what perfect frames give whose order is lost: what is left is that of two frames of one video at random."
    )
    return Figure([LinePanel("", "lag (frames)", "correlation", lines)], caption, "Correlation of positions by lag.")


def _table(result: VideoResult) -> Table:
    rows: list[list[Cell]] = []
    for name in ROLES:
        one = result.of(name)
        cells = [Estimate(v, e) for v, e in zip(one.covariance, one.covariance_error)]
        exact = name == "truth, exact"
        rows.append(
            [
                name,
                *(one.covariance if exact else cells),
                one.step if exact else Estimate(one.step, one.step_error),
                one.bend if exact else Estimate(one.bend, one.bend_error),
                None if exact else Estimate(100 * one.one_ball, 100 * one.one_ball_error),
            ]
        )
    columns: list[Column | str] = [
        "positions",
        Column("variance of the row", "px²"),
        Column("of the column", "px²"),
        Column("covariance", "px²"),
        Column("step", "px"),
        Column("second difference", "px"),
        Column("one ball", "% of frames"),
    ]
    return Table(
        columns,
        rows,
        "Covariance of the two coordinates, and how far and how jerkily the ball moves: root mean squares of its steps "
        "and of their changes, which tell smooth kernels from rough ones.",
        note="± one standard error by a jackknife over videos.",
        row_roles=list(ROLES.values()),
    )


def _attention(result: VideoResult) -> Figure:
    frames = result.ball.frames
    lags = list(range(1 - frames, frames))
    looks = ("learnt", "second", "baseline", "baseline-2", "baseline-3", "held-out", "floor", "null")
    lines = [Line(f"block {k + 1}", looks[k % len(looks)], lags, profile) for k, profile in enumerate(result.over_time)]
    space = result.over_space.tolist()
    panels: list[LinePanel | MatrixPanel] = [
        LinePanel("over time", "signed lag (frames)", "attention weight", lines),
        MatrixPanel("over space, last block", space, "patch looked at", "patch that looks", "attention weight"),
    ]
    caption = (
        "Left: attention over time by lag, mean over heads, patches and videos, at t = 0.5. Right: attention between "
        "the patches of a frame, numbered row by row."
    )
    return Figure(panels, caption, "Attention over time by lag and over space by patch.", columns=2)
