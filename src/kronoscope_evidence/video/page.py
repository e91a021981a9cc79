"""The page of ``kronoscope reproduce video``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

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
    Number,
    Report,
    Section,
    Table,
    Text,
    Verdict,
)
from kronoscope.report.records import Cell

from ..learning.page_parts import how
from .paths import GROUPS

if TYPE_CHECKING:
    from .decoded_paths import Paths, VideoResult

CORRELATION, COVARIANCE, ONE = 0.07, 0.10, 0.99
ROLES = {
    "truth, exact": "truth",
    "true videos": "held-out",
    "generated": "learnt",
    "generated, early": "baseline",
    "true videos, shuffled": "null",
}
NINETY_FIVE = student_reach(GROUPS - 1)


def thing(result: VideoResult) -> str:
    """What moves, in a word."""
    return "ball" if result.ball.sprite is None else "digit"


def page(result: VideoResult, quick: bool) -> Report:
    """One claim, the films, the curve, the numbers."""
    ball, what = result.ball, thing(result)
    shape = "disc" if ball.sprite is None else "handwritten digit"
    return Report(
        f"Does a video transformer learn how the {what} moves?",
        f"A {shape} moves along a Gaussian process whose law is known. A diffusion transformer sees pixels only; what "
        "it generates is decoded back to positions and held against that law.",
        facts={
            "path": f"{ball.kernel}, both coordinates, correlation {ball.correlation:g} between them",
            "videos": f"{ball.frames} frames of {ball.shape[0]} × {ball.shape[1]}, {result.videos} to train on",
            "generated": result.generated,
            "network": f"{'joint' if result.joint else 'factorised'} space and time attention, "
            f"{result.weights} weights",
            "training": f"{result.history[-1]['step']} steps in {result.precision}, "
            f"{result.seconds['training']:.0f} s, generation {result.seconds['generation']:.0f} s"
            + (", cut short" if quick else ""),
        },
        sections=[
            Section("The videos", "", [_films(result)]),
            Section("The path that was learnt", "", [*_withheld(result), _correlations(result), *_tables(result)]),
            Section("Where it looks", "", [_attention(result)]),
            how(_how(result)),
        ],
        verdict=_verdict(result),
    )


def _withheld(result: VideoResult) -> list[Text]:
    if result.refusal is None:
        return []
    return [Text(f"What was read off generated frames is withheld: {result.refusal}.", "note")]


def _how(result: VideoResult) -> str:
    what, early = thing(result), result.of("generated, early")
    correlation, covariance = gaps(early, result.of("truth, exact"))
    null = gaps(result.of("true videos, shuffled"), result.of("truth, exact"))[0]
    return (
        "The loss counts most at the noise levels at which it is decided where a ball stands, and the sampler is the "
        "reverse SDE. That was decided after looking: with likelihood weighting, which counts nats and so spends "
        "itself on pixels, and a deterministic sampler, 1000 steps on the ball gave 0.73 at lag 1 where 0.95 is true. "
        f"The decoder fits the {what}, as the video draws it, to every frame by least squares. On true frames it is "
        f"off by {result.validation.error:.1g} pixels (at most 0.1 are allowed) and sees exactly one {what} in "
        f"{100 * result.validation.one_ball:.4g} % of them (at least 99 % are needed; otherwise this page would not "
        f"have been made). Generated frames differ from the best fit by {result.on_noise.noise:.2g} a pixel, root mean "
        f"square; with white noise of that size on true frames the decoder is off by {result.on_noise.error:.2g} "
        "pixels (above 0.1, nothing read off generated frames would be told). A frame has one "
        f"{what} if exactly one region stands out from the background and the fit explains all but a fifth of what "
        "stands out, squared. Standard errors by a jackknife over videos.\n\n"
        "There are two nulls. True videos whose frames were shuffled: every frame is perfect, and their order is gone; "
        "what does not depend on order, they keep. And the same network after "
        f"{result.early[0]} train steps, which generated {result.early[1]} videos by the same sampler: what the "
        "architecture, the sampler and the decoder give without much learning. Its positions are told whatever the "
        "decoder can make of them. True videos that the network never saw show what as many videos can tell at all."
        "\n\n"
        "What would refute the three targets, however good the frames look: a correlation off by more than "
        f"{CORRELATION:g} at any lag from 1 to 8 (shuffled {null:.2f}, early {correlation:.3f}); a variance or the "
        f"covariance of row and column off by more than {100 * COVARIANCE:g} % of the variance (early "
        f"{100 * covariance:.0f} %); less than {100 * ONE:g} % of frames with exactly one {what} (early "
        f"{100 * early.one_ball:.0f} %). Where a null reaches a target, that target says nothing about learning. "
        "Attention maps prove nothing by themselves (see reproduce attention); they are shown for what they are."
    )


def gaps(one: Paths, truth: Paths) -> tuple[float, float]:
    """Largest error of the correlations at lags 1 to 8, and of the covariance relative to the variance."""
    correlation = max(abs(a - b) for a, b in zip(one.correlation[1:], truth.correlation[1:]))
    size = math.sqrt(truth.covariance[0] * truth.covariance[1])
    return correlation, max(abs(a - b) / size for a, b in zip(one.covariance, truth.covariance))


def _verdict(result: VideoResult) -> Verdict:
    truth, made, early = result.of("truth, exact"), result.of("generated"), result.of("generated, early")
    what = thing(result)
    one = Number(
        f"{100 * made.one_ball:.1f} %",
        f"of frames hold exactly one {what}",
        f"target {100 * ONE:g} %; after {result.early[0]} train steps {100 * early.one_ball:.0f} %",
        "good" if made.one_ball >= ONE else "bad",
    )
    if made.withheld:
        why = f"the decoder is off by {result.on_noise.error:.2g} px under as much noise as generated frames have"
        return Verdict([Number("withheld", "what generated paths say", why, "bad"), one])
    correlation, covariance = gaps(made, truth)
    unseen, before = gaps(result.of("true videos"), truth), gaps(early, truth)
    null = gaps(result.of("true videos, shuffled"), truth)[0]
    return Verdict(
        [
            Number(
                f"{correlation:.3f}",
                "largest error of the correlation, lags 1 to 8",
                f"target {CORRELATION:g}; as many true videos {unseen[0]:.3f}; shuffled {null:.2f}; "
                f"after {result.early[0]} train steps {before[0]:.3f}",
                "good" if correlation <= CORRELATION else "bad",
            ),
            Number(
                f"{100 * covariance:.1f} %",
                "largest error of the covariance of row and column",
                f"target {100 * COVARIANCE:g} %; as many true videos {100 * unseen[1]:.1f} %; "
                f"after {result.early[0]} train steps {100 * before[1]:.0f} %",
                "good" if covariance <= COVARIANCE else "bad",
            ),
            one,
            _excess(result, "step", "step between frames, against the law's"),
            _excess(result, "bend", "second difference, against the law's"),
        ]
    )


def _excess(result: VideoResult, name: str, label: str) -> Number:
    """How much larger than the law says, with its 95 % interval; no target was set for it."""
    truth = getattr(result.of("truth, exact"), name)

    def of(paths: Paths) -> tuple[float, float]:
        error = NINETY_FIVE * getattr(paths, f"{name}_error")
        return 100 * (getattr(paths, name) / truth - 1), 100 * error / truth

    (made, reach), (unseen, _), (early, _) = (
        of(result.of(k)) for k in ("generated", "true videos", "generated, early")
    )
    return Number(
        f"{made:+.0f} %",
        label,
        f"± {reach:.0f} points; the law says {truth:.2f} px; as many true videos {unseen:+.1f} %; after "
        f"{result.early[0]} train steps {early:+.0f} %",
    )


def _films(result: VideoResult) -> Animation:
    movies = []
    for name in ("true videos", "generated"):
        for k, film in enumerate(result.movies[name][:4]):
            frames = film.clamp(0, 1).reshape(-1, *result.ball.shape).mul(100).round().div(100).tolist()
            movies.append(Movie(f"{name.removesuffix(' videos')} {k + 1}", frames))
    what = thing(result)
    caption = (
        "Upper row: videos that were held out. Lower row: generated ones, the first that came. Look at how the "
        f"{what} moves, not at how it looks: speed, smoothness, and whether up goes with right as often as it should."
    )
    return Animation(movies, "brightness", (0, 1), caption, f"True and generated videos of a moving {what}.", 140, 4)


def _correlations(result: VideoResult) -> Figure:
    lines = []
    for name, role in ROLES.items():
        one = result.of(name)
        if one.withheld:
            continue
        lags = list(range(len(one.correlation)))
        reach = [NINETY_FIVE * error for error in one.correlation_error]
        low, high = ([v + s * r for v, r in zip(one.correlation, reach)] for s in (-1, 1))
        band = {} if name == "truth, exact" else {"lower": low, "upper": high}
        lines.append(Line(name, role, lags, one.correlation, markers=name != "truth, exact", **band))  # type: ignore[arg-type]
    caption = (
        "Correlation of decoded positions between frames, both coordinates together, with 95 % bands. Generated videos "
        "should lie on the truth as true ones do; shuffled ones "
        "show what perfect frames give whose order is lost: what is left is that of two frames of one video at random."
    )
    return Figure([LinePanel("", "lag (frames)", "correlation", lines)], caption, "Correlation of positions by lag.")


def _tables(result: VideoResult) -> list[Table]:
    return [_statistics(result), _kernels(result)]


def _statistics(result: VideoResult) -> Table:
    rows: list[list[Cell]] = []
    for name in ROLES:
        one = result.of(name)
        cells: list[Cell] = [Estimate(v, e) for v, e in zip(one.covariance, one.covariance_error)]
        exact = name == "truth, exact"
        rows.append(
            [
                name,
                *(one.covariance if exact else cells or [None] * 3),
                one.step if exact else _estimate(one.step, one.step_error),
                one.bend if exact else _estimate(one.bend, one.bend_error),
                None if exact else Estimate(100 * one.one_ball, 100 * one.one_ball_error),
            ]
        )
    what = thing(result)
    columns: list[Column | str] = [
        "positions",
        Column("variance of the row", "px²"),
        Column("of the column", "px²"),
        Column("covariance", "px²"),
        Column("step", "px"),
        Column("second difference", "px"),
        Column(f"one {what}", "% of frames"),
    ]
    return Table(
        columns,
        rows,
        f"Covariance of the two coordinates, and how far and how jerkily the {what} moves: root mean squares of its "
        "steps and of their changes, which tell smooth kernels from rough ones.",
        note=f"± one standard error by a jackknife over videos. Early: after {result.early[0]} train steps.",
        row_roles=list(ROLES.values()),
    )


def _kernels(result: VideoResult) -> Table:
    names = ("truth, exact", "true videos", "generated")
    rows: list[list[Cell]] = []
    for name in names:
        one = result.of(name)
        rows.append(
            [name, one.lengthscale, one.smoothness]
            if name == "truth, exact"
            else [
                name,
                _estimate(one.lengthscale, one.lengthscale_error),
                _estimate(one.smoothness, one.smoothness_error),
            ]
        )
    return Table(
        ["positions", Column("lengthscale", "frames"), "smoothness"],
        rows,
        "The Matérn kernel that is nearest to the autocovariance at lags 0 to 8, both coordinates together, by least "
        "squares in its variance, lengthscale and smoothness. Jitter of the frames shows in the second differences "
        "above before it shows here.",
        note="± one standard error by a jackknife over videos. A dash: withheld, or no Matérn kernel is near.",
        row_roles=[ROLES[name] for name in names],
    )


def _estimate(value: float | None, error: float) -> Estimate | None:
    return None if value is None else Estimate(value, error)


def _attention(result: VideoResult) -> Figure:
    frames = result.ball.frames
    lags = list(range(1 - frames, frames))
    looks = ("learnt", "second", "baseline", "baseline-2", "baseline-3", "held-out", "floor")
    lines = [Line("before training", "null", lags, profile, thin=True) for profile in result.untrained]
    lines += [
        Line(f"block {k + 1}", looks[k % len(looks)], lags, profile) for k, profile in enumerate(result.over_time)
    ]
    space = result.over_space.tolist()
    panels: list[LinePanel | MatrixPanel] = [
        LinePanel("over time", "signed lag (frames)", "attention weight", lines),
        MatrixPanel("over space, last block", space, "patch looked at", "patch that looks", "attention weight"),
    ]
    caption = (
        "Left: attention over time by lag, mean over heads, patches and videos, at t = 0.5; grey, the "
        "same network before training, whose heads prefer near frames by their initial values alone. Right: "
        "attention between the patches of a frame, numbered row by row."
    )
    return Figure(panels, caption, "Attention over time by lag and over space by patch.", columns=2)
