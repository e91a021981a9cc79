"""Sections on the control: the table of learners, score error by noise level, covariances, samplers."""

from __future__ import annotations

import torch

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
from .control import (
    ControlResult,
    Learner,
    spatial_covariance,
    temporal_correlation,
)

SHOWN = 1e-3  # of a score error: a smaller error of it does not change the digits that are shown
SAMPLER_ROLES = {
    "euler-maruyama": "null",
    "exponential-sde": "baseline",
    "ddim": "baseline-2",
    "heun": "second",
    "dpm-solver": "learnt",
    "dpm-solver-sde": "baseline-3",
}


def learners_section(result: ControlResult) -> Section:
    """What was learnt, in nats, against the floors."""
    facts = {
        "data": f"{result.n} sequences of {FRAMES} frames with {FEATURES} features",
        "law": f"Gaussian, covariance exp(−lag/{LENGTHSCALE:g}) ⊗ Σ, Σ fixed",
        "score error": f"over diffusion times {MIN_TIME:g} to {MAX_TIME:g}",
    }
    lead = (
        "Data drawn from a known Gaussian process, so that the exact score is at hand: what a network lost is a number "
        "in nats, and theory says how small it can be."
    )
    return Section("Control: how much of a known law was learnt", lead, [Facts(facts), _table(result), _bars(result)])


def _table(result: ControlResult) -> Table:
    ordered = sorted(result.learners, key=lambda one: one.kl.value)
    rows: list[list[Cell]] = [
        [
            one.name if one.weights else f"{one.name} (estimator)",
            Estimate(one.kl.value, one.kl.standard_error) if _uncertain(one.kl) else one.kl.value,
            None if one.structure is None else result.floors[one.structure],
            round(2 * result.n * one.kl.value),
            one.parameters,
            one.weights,
            one.seconds,
        ]
        for one in ordered
    ]
    columns: list[Column | str] = [
        "learner",
        Column("score error", "nats"),
        Column("floor of its class", "nats"),
        Column("effective parameters", "2n KL", digits=6),
        Column("parameters", "p", digits=6),
        Column("weights", digits=7),
        Column("time", "s", decimals=1),
    ]
    caption = (
        f"Score error of every learner from the same {result.n} sequences: the KL divergence in nats that its score "
        "costs; less is better. The floor is the least that any estimator of the same class can reach on average, to "
        "leading order in 1/n (p parameters cost at most p/(2n)); one set of data can fall to either side of it. "
        "Effective parameters: how many an efficient estimator with the same error would have had to learn."
    )
    note = (
        "dit: Monte Carlo, ± one standard error. All others: by quadrature of an affine map, known to more digits than "
        "are shown. position lives in the block-Toeplitz "
        "class, whose floor is given; no class is known for dit. Estimators: maximum likelihood on the noised data."
    )
    return Table(columns, rows, caption, note, [one.role for one in ordered])


def _uncertain(kl: ScoreKL) -> bool:
    """Whether the digits that are shown are uncertain."""
    return kl.standard_error > SHOWN * kl.value


def _bars(result: ControlResult) -> Figure:
    bars = []
    for one in result.learners:
        reach, value = 2 * one.kl.standard_error, one.kl.value
        bars.append(Bar(one.name, one.role, value, max(value - reach, value / 10), value + reach))
    bars += [Bar(f"floor: {structure}", "floor", floor) for structure, floor in result.floors.items()]
    gain = result.learner("sample covariance").kl.value / result.learner("stationary separable").kl.value
    return Figure(
        [BarPanel("", "score error (nats, logarithmic)", sorted(bars, key=lambda bar: -bar.value), log_x=True)],
        "The same figures, with the floors among them, on a logarithmic axis. The shape of a learner decides, not its "
        f"size: knowing that the law is stationary and separable makes the error {gain:.0f} times smaller than knowing "
        "nothing. Whiskers: two standard errors.",
        "Score errors of all learners and the floors of their classes.",
    )


def noise_section(result: ControlResult) -> Section:
    """Where between data and noise the error sits."""
    lines = []
    for one in result.learners:
        parts = one.kl.by_time
        values = [max(value, 1e-8) for value in parts.integrand]
        if _uncertain(one.kl):
            pairs = list(zip(values, parts.standard_errors, strict=True))
            lower = [max(value - 2 * error, 1e-8) for value, error in pairs]
            lines.append(Line(one.name, one.role, parts.times, values, lower, [v + 2 * e for v, e in pairs]))
        else:
            lines.append(Line(one.name, one.role, parts.times, values))
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
        "its score error in nats. Near t = 6 all is noise and there is nothing to get wrong; towards t = 0.01 the fine "
        "structure of the data has to be right. A bump says at which noise level a learner is weak. Band: two standard "
        "errors of Monte Carlo."
    )
    figure = Figure([panel], caption, "Score error against diffusion time for every learner, on logarithmic axes.")
    return Section("Control: score error by noise level", "", [figure])


def covariance_section(result: ControlResult) -> Section:
    """Exact against learnt: the whole covariance, correlation by lag, and Sigma."""
    truth = result.process.covariance()
    learnt = [one for one in result.learners if one.covariance is not None]
    everything = [("exact", truth), *((one.name, one.covariance) for one in learnt)]
    reach = max(float(values.abs().max()) for _, values in everything if values is not None)
    maps = [
        MatrixPanel(
            name,
            _coarse(values).tolist(),
            "frame and feature",
            "frame and feature",
            "covariance",
            limits=(-reach, reach),
            diverging=True,
        )
        for name, values in everything
        if values is not None
    ]
    kinds = "; ".join(f"{one.name}: {one.covariance_kind}" for one in learnt)
    whole = Figure(
        maps,
        f"Covariance of the first {SHOWN_FRAMES} frames, {FEATURES} features each: every small square is the "
        "covariance between the features of two frames. Exact: one 4 × 4 pattern everywhere (what the features have "
        "to do with each other), which fades away from the diagonal (what the frames have to do with each other). "
        f"The learnt maps should show the same pattern and the same fading. Learnt covariances are {kinds}.",
        "Maps of the exact and the learnt covariance.",
        columns=len(maps),
    )
    return Section(
        "Control: exact and learnt covariance",
        "The theory says: attention captures which frames matter to each other, values which features do.",
        [whole, _by_lag(learnt), _spatial(result, learnt)],
    )


SHOWN_FRAMES = 12


def _coarse(covariance: torch.Tensor) -> torch.Tensor:
    size = SHOWN_FRAMES * FEATURES
    return covariance[:size, :size]


def _by_lag(learnt: list[Learner]) -> Figure:
    lags = list(range(FRAMES))
    exact = torch.exp(-torch.arange(FRAMES, dtype=torch.float64) / LENGTHSCALE)
    lines = [Line(f"exact: exp(−lag/{LENGTHSCALE:g})", "truth", lags, exact.tolist())]
    for one in learnt:
        assert one.covariance is not None
        lines.append(Line(one.name, one.role, lags, temporal_correlation(one.covariance).tolist()))
    return Figure(
        [LinePanel("", "lag (frames)", "correlation, mean over features", lines)],
        "Correlation in time, averaged over the features and over all pairs of frames at a lag. The learnt curves "
        "should lie on the exact one. Correlations at long lags rest on few pairs and are the hardest to learn.",
        "Correlation by lag: exact and learnt.",
    )


def _spatial(result: ControlResult, learnt: list[Learner]) -> Figure:
    sets = [("exact Σ", result.process.spatial_covariance)]
    sets += [(one.name, spatial_covariance(one.covariance)) for one in learnt if one.covariance is not None]
    reach = max(float(values.abs().max()) for _, values in sets)
    panels = [
        MatrixPanel(name, values.tolist(), "feature", "feature", "covariance", limits=(-reach, reach), diverging=True)
        for name, values in sets
    ]
    exact = sets[0][1]
    errors = ", ".join(f"{name} {100 * float((v - exact).norm() / exact.norm()):.1f} %" for name, v in sets[1:])
    return Figure(
        panels,
        "Covariance between the features, averaged over the frames, against the exact Σ. Relative error in the "
        f"Frobenius norm: {errors}. The plain average over the {result.n} sequences themselves misses it by "
        f"{100 * _direct_error(result):.1f} % (root mean square, exact); much more than that is the network's.",
        "The exact spatial covariance and those learnt.",
        columns=len(panels),
    )


def _direct_error(result: ControlResult) -> float:
    """Relative error of the mean of x_i x_i' over sequences and frames, for Sigma: root mean square, exact."""
    sigma, gamma = result.process.spatial_covariance, result.process.temporal_covariance
    spread = float(sigma.trace() ** 2 + sigma.square().sum()) * float(gamma.square().mean()) / result.n
    return float((spread / sigma.square().sum()) ** 0.5)


def samplers_section(result: ControlResult) -> Section:
    """KL against score calls for every sampler with the exact score."""
    lines = []
    for name, row in result.samplers.items():
        values = [max(value, 1e-12) for value in row.values()]
        lines.append(Line(name, SAMPLER_ROLES[name], list(row), values, markers=True))
    calls = list(next(iter(result.samplers.values())))
    panel = LinePanel(
        "",
        "score calls",
        "KL to the exact law (nats)",
        lines,
        log_x=True,
        log_y=True,
        x_ticks=[float(c) for c in calls],
    )
    caption = (
        "What a sampler itself costs, with the exact score: KL divergence of the law that it generates from the exact "
        "law at t = 0.01, against the number of times that it calls the score. Exact, from the sampler's mean and "
        "covariance carried in closed form: no sequence was drawn. A steeper line is a method of higher order; the "
        "end of the best line is the start from pure noise at t = 8, which no sampler can undo. Colours tell the "
        "methods apart and have no other meaning here."
    )
    figure = Figure([panel], caption, "KL against score calls for five samplers, on logarithmic axes.")
    columns: list[Column | str] = ["sampler", *(Column(f"{count} calls", "nats", digits=2) for count in calls)]
    rows: list[list[Cell]] = [[name, *row.values()] for name, row in result.samplers.items()]
    table = Table(columns, rows, "The same figures.", row_roles=[SAMPLER_ROLES[name] for name in result.samplers])
    note = Text("A sampler is worth its calls as long as its KL is well below the score error of the network.", "note")
    return Section("Samplers with the exact score", "", [figure, table, note])
