"""Sections on the control: the table of learners, score error by noise level, covariances, samplers."""

from __future__ import annotations

import math

import numpy as np

from kronoscope.metrics import ScoreKL
from kronoscope.report import (
    Bar,
    BarPanel,
    Column,
    Estimate,
    Facts,
    Figure,
    Line,
    LinePanel,
    MatrixPanel,
    Section,
    Table,
    Text,
)
from kronoscope.report.records import Cell

from ..yardstick import FEATURES, FRAMES, LENGTHSCALE, MAX_TIME, MIN_TIME
from .control import DIT, POSITION, SHOWN_FRAMES, ControlResult, Covariance

SHOWN = 1e-3  # relative error of a score error below which the digits shown are certain
ROLES = {
    DIT: "learnt",
    POSITION: "second",
    "sample covariance": "baseline",
    "separable": "baseline-2",
    "block-Toeplitz": "baseline-3",
    "stationary separable": "floor",
}
SAMPLER_ROLES = {
    "euler-maruyama": "null",
    "exponential-sde": "baseline",
    "ddim": "baseline-2",
    "heun": "second",
    "dpm-solver": "learnt",
    "dpm-solver-sde": "baseline-3",
}


def learners_section(result: ControlResult) -> Section:
    """Score errors in nats, beside the floors."""
    facts = {
        "data": f"{result.n} sequences of {FRAMES} frames with {FEATURES} features",
        "law": f"Gaussian, covariance exp(−lag/{LENGTHSCALE:g}) ⊗ Σ, Σ fixed",
        "score error": f"over diffusion times {MIN_TIME:g} to {MAX_TIME:g}",
    }
    lead = (
        "The data are drawn from a known Gaussian process, so the exact score is known. The error of each "
        "network is a number in nats, and the theory gives a lower bound."
    )
    return Section(
        "Control: the score error on a known distribution", lead, [Facts(facts), _table(result), _bars(result)]
    )


def _table(result: ControlResult) -> Table:
    ordered = sorted(result.learners, key=lambda learner: learner.kl.value)
    rows: list[list[Cell]] = [
        [
            learner.name if learner.parameters else f"{learner.name} (estimator)",
            Estimate(learner.kl.value, learner.kl.standard_error) if _uncertain(learner.kl) else learner.kl.value,
            result.floor(learner),
            round(2 * result.n * learner.kl.value),
            learner.degrees,
            learner.parameters,
            learner.seconds,
        ]
        for learner in ordered
    ]
    columns: list[Column | str] = [
        "learner",
        Column("score error", "nats"),
        Column("floor of its class", "nats"),
        Column("effective parameters", "2n KL", digits=6),
        Column("parameters of its class", "p", digits=6),
        Column("parameters of the network", digits=7),
        Column("time", "s", decimals=1),
    ]
    caption = (
        f"Score error of every learner from the same {result.n} sequences: the KL divergence in nats that its score "
        "costs. Less is better. The floor is the least mean error of any estimator of the same class, to leading order "
        "in 1/n: p parameters cost at most p/(2n). One set of data can fall to either side of it. Effective "
        "parameters: how many an efficient estimator with the same error would have had to learn."
    )
    note = (
        "dit: Monte Carlo, ± one standard error. All others: by quadrature of an affine map, known to more digits than "
        "are shown. position belongs to the block-Toeplitz class, whose floor is given; no class is known for dit. "
        "Estimators: maximum likelihood on the noised data."
    )
    return Table(columns, rows, caption, note, [ROLES[learner.name] for learner in ordered])


def _uncertain(kl: ScoreKL) -> bool:
    """Whether the digits that are shown are uncertain."""
    return kl.standard_error > SHOWN * kl.value


def _bars(result: ControlResult) -> Figure:
    bars = []
    for learner in result.learners:
        reach, value = 2 * learner.kl.standard_error, learner.kl.value
        bars.append(Bar(learner.name, ROLES[learner.name], value, max(value - reach, value / 10), value + reach))
    bars += [Bar(f"floor: {structure}", "floor", floor) for structure, floor in result.floors.items()]
    gain = result.learner("sample covariance").kl.value / result.learner("stationary separable").kl.value
    return Figure(
        [BarPanel("", "score error (nats, logarithmic)", sorted(bars, key=lambda bar: -bar.value), log_x=True)],
        "The same figures and the floors on a logarithmic axis. The structure of a learner decides, not its size: "
        f"knowing that the law is stationary and separable makes the error {gain:.0f} times smaller than knowing "
        "nothing. Whiskers: two standard errors.",
        "Score errors of all learners and the floors of their classes.",
    )


def noise_section(result: ControlResult) -> Section:
    """Score error by noise level."""
    lines = []
    for learner in result.learners:
        parts, role = learner.kl.by_time, ROLES[learner.name]
        values = [max(value, 1e-8) for value in parts.integrand]
        if _uncertain(learner.kl):
            pairs = list(zip(values, parts.standard_errors, strict=True))
            lower = [max(value - 2 * error, 1e-8) for value, error in pairs]
            lines.append(Line(learner.name, role, parts.times, values, lower, [v + 2 * e for v, e in pairs]))
        else:
            lines.append(Line(learner.name, role, parts.times, values))
    panel = LinePanel(
        "",
        "diffusion time t (small: data; large: noise)",
        "score error (nats per unit of log SNR)",
        lines,
        log_x=True,
        log_y=True,
    )
    caption = (
        "Squared error of each score at every noise level, weighted so that the area under a curve over log t is about "
        "its score error in nats. Near t = 6 all is noise, so no learner errs; towards t = 0.01 the fine structure of "
        "the data has to be right. A bump shows at which noise level a learner is weak. Band: two standard errors of "
        "Monte Carlo."
    )
    figure = Figure([panel], caption, "Score error against diffusion time for every learner, on logarithmic axes.")
    return Section("Control: score error by noise level", "", [figure])


def covariance_section(result: ControlResult) -> Section:
    """Exact against learnt: the covariance of the first frames, correlation by lag, and Sigma."""
    learnt = _learnt(result)
    sets = {"exact": result.truth, **learnt}
    reach = _largest([covariance.first_frames for covariance in sets.values()])
    axis = "frame and feature"
    maps = [
        MatrixPanel(name, each.first_frames, axis, axis, "covariance", limits=(-reach, reach), diverging=True)
        for name, each in sets.items()
    ]
    origins = "; ".join(f"{name}: {covariance.origin}" for name, covariance in learnt.items())
    whole = Figure(
        maps,
        f"Covariance of the first {SHOWN_FRAMES} frames, {FEATURES} features each. Every small square is the "
        f"covariance between the features of two frames. Exact: one {FEATURES} × {FEATURES} pattern everywhere (the "
        "dependence of the features), which fades away from the diagonal (the dependence of the frames). The learnt "
        f"maps should show the same pattern and the same fading. Learnt covariances are {origins}.",
        "Maps of the exact and the learnt covariance.",
        columns=len(maps),
    )
    return Section(
        "Control: exact and learnt covariance",
        "The theory says that attention captures the dependence between frames, and values that between features.",
        [whole, _by_lag(result.truth, learnt), _spatial(result, learnt)],
    )


def _learnt(result: ControlResult) -> dict[str, Covariance]:
    return {each.name: each.covariance for each in result.learners if each.covariance is not None}


def _largest(matrices: list[tuple[tuple[float, ...], ...]]) -> float:
    return max(abs(value) for matrix in matrices for row in matrix for value in row)


def _by_lag(truth: Covariance, learnt: dict[str, Covariance]) -> Figure:
    lags = list(range(FRAMES))
    lines = [Line(f"exact: exp(−lag/{LENGTHSCALE:g})", "truth", lags, truth.by_lag)]
    lines += [Line(name, ROLES[name], lags, covariance.by_lag) for name, covariance in learnt.items()]
    return Figure(
        [LinePanel("", "lag (frames)", "correlation, mean over features", lines)],
        "Correlation in time, averaged over the features and over all pairs of frames at a lag. The learnt curves "
        "should lie on the exact one. Correlations at long lags rest on few pairs and are the hardest to learn.",
        "Correlation by lag: exact and learnt.",
    )


def _spatial(result: ControlResult, learnt: dict[str, Covariance]) -> Figure:
    sets = {"exact Σ": result.truth.spatial, **{name: each.spatial for name, each in learnt.items()}}
    reach = _largest(list(sets.values()))
    panels = [
        MatrixPanel(name, values, "feature", "feature", "covariance", limits=(-reach, reach), diverging=True)
        for name, values in sets.items()
    ]
    errors = ", ".join(f"{name} {100 * _relative_error(each, result.truth):.1f} %" for name, each in learnt.items())
    return Figure(
        panels,
        "Covariance between the features, averaged over the frames, against the exact Σ. Relative error in the "
        f"Frobenius norm: {errors}. The plain average over the {result.n} sequences misses it by "
        f"{100 * _direct_error(result):.1f} % (root mean square, exact); an error well above that is the network's.",
        "The exact spatial covariance and those learnt.",
        columns=len(panels),
    )


def _relative_error(covariance: Covariance, truth: Covariance) -> float:
    values, exact = np.array(covariance.spatial), np.array(truth.spatial)
    return float(np.linalg.norm(values - exact) / np.linalg.norm(exact))


def _direct_error(result: ControlResult) -> float:
    """Relative error of the mean of x_i x_i' over sequences and frames, for Sigma: root mean square, exact."""
    sigma = np.array(result.truth.spatial)
    lags = np.abs(np.subtract.outer(range(FRAMES), range(FRAMES)))
    mean_square = float((np.array(result.truth.by_lag)[lags] ** 2).mean())
    spread = float(np.trace(sigma) ** 2 + (sigma**2).sum()) * mean_square / result.n
    return math.sqrt(spread / float((sigma**2).sum()))


def samplers_section(result: ControlResult) -> Section:
    """KL against score calls for every sampler with the exact score."""
    lines = [
        Line(each.name, SAMPLER_ROLES[each.name], each.calls, [max(value, 1e-12) for value in each.kl], markers=True)
        for each in result.samplers
    ]
    calls = result.samplers[0].calls
    panel = LinePanel(
        "",
        "score calls",
        "KL to the exact law (nats)",
        lines,
        log_x=True,
        log_y=True,
        x_ticks=[float(count) for count in calls],
    )
    caption = (
        "The error of a sampler itself, with the exact score: KL divergence of the law that it generates from the "
        "exact law at t = 0.01, against its number of score calls. It is exact, from the sampler's mean and "
        "covariance in closed form: no sequence was drawn. A steeper line is a method of higher order. The end of the "
        "best line is the start from pure noise at t = 8, which no sampler can undo. Colours only tell the methods "
        "apart."
    )
    alt = f"KL against score calls for {len(lines)} samplers, on logarithmic axes."
    columns: list[Column | str] = ["sampler", *(Column(f"{count} calls", "nats", digits=2) for count in calls)]
    rows: list[list[Cell]] = [[each.name, *each.kl] for each in result.samplers]
    table = Table(columns, rows, "The same figures.", row_roles=[SAMPLER_ROLES[each.name] for each in result.samplers])
    note = Text("A sampler suffices if its KL is well below the score error of the network.", "note")
    return Section("Samplers with the exact score", "", [Figure([panel], caption, alt), table, note])
