"""Figures of metrics: a score error by diffusion time, correlations by lag beside their band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from ..report import Figure, Line, LinePanel, MatrixPanel
from .dependence import CorrelationBand

MOST_FEATURES = 9


def score_error_figure(times: Sequence[float], integrand: Sequence[float], errors: Sequence[float]) -> Figure:
    """Where on the way from data to noise a score error sits, with two standard errors on either side."""
    ends = [v - 2 * e for v, e in zip(integrand, errors)], [v + 2 * e for v, e in zip(integrand, errors)]
    line = Line("score error, ± 2 standard errors", "learnt", times, integrand, *ends)
    panel = LinePanel("", "diffusion time t", "nats per unit of log SNR", [line], log_x=True)
    return Figure(
        [panel],
        "The integrand of the score error by diffusion time. The area under the curve over the logarithmic clock "
        "log(expm1(t)) is the error in nats.",
        "Score error by diffusion time with its uncertainty.",
    )


def lag_figure(
    band: CorrelationBand,
    others: Mapping[str, Tensor],
    roles: Mapping[str, str],
    names: Sequence[str],
    unit: str = "frames",
    scale: float = 1.0,
) -> Figure:
    """Autocorrelation of each feature by lag, with the band of the real sequences.

    Args:
        band: Of the real sequences.
        others: Correlations like ``band.center`` by name, drawn in this order.
        roles: By the same names: keys of ``report.ROLES``.
        names: Of the features.
        unit, scale: How lags are counted: so many units from one frame to the next.
    """
    lags = [scale * i for i in range(len(band.center))]
    panels = []
    for j, name in enumerate(names):
        lower, center, upper = (part[:, j, j].tolist() for part in (band.lower, band.center, band.upper))
        label = f"real, with {100 * band.level:g} % bootstrap band"
        series = [Line(label, "truth", lags, center, lower, upper)]
        series += [Line(other, roles[other], lags, values[:, j, j].tolist()) for other, values in others.items()]
        panels.append(LinePanel(name, f"lag ({unit})", "correlation", series))
    return Figure(
        panels,
        "Correlation of each feature with itself, by lag, after removing the mean of every frame; averaged over the "
        "frames. The generated curve should stay within the band, which shows the sampling uncertainty of the "
        "real curve "
        f"({resampled(band)}). Independent frames would drop to 0 "
        "at the first lag.",
        "Correlation by lag of each feature, real with its band and generated.",
        columns=3,
    )


def resampled(band: CorrelationBand) -> str:
    """How the band was drawn, in a few words."""
    if band.block == 1:
        return "bootstrap of sequences"
    return f"bootstrap of blocks of {band.block} neighbouring sequences"


def feature_figure(correlations: Mapping[str, Tensor], names: Sequence[str]) -> Figure:
    """Correlation matrices of the features at lag 0, side by side, by title."""
    panels = [
        correlation_panel(title, values[0], names, "correlation", (-1.0, 1.0)) for title, values in correlations.items()
    ]
    return Figure(
        panels,
        "Correlation between the features within a frame, averaged over the frames. The generated matrix should agree "
        "with the real one as well as the held-out one does; the held-out one differs by chance alone.",
        "Correlation matrices of the features: real, generated, and held-out where there is one.",
        columns=len(panels),
    )


def correlation_panel(
    title: str, values: Tensor, names: Sequence[str], label: str, limits: tuple[float, float]
) -> MatrixPanel:
    """A matrix of feature pairs."""
    rows = values.clamp(*limits).tolist()  # a correlation of 1 may pass it by a round-off
    return MatrixPanel(title, rows, "feature", "feature", label, list(names), list(names), limits, diverging=True)
