"""Figures of probes: what a network learnt, beside the truth or a null."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..report import Bar, BarPanel, Figure, Line, LinePanel, MatrixPanel

MOST_CELLS = 128  # rows of a matrix that is drawn
MOST_HEADS = 12
MOST_BARS = 40
INTERVAL = "95 % interval"


def jacobian_figure(
    matrices: dict[str, Tensor], profiles: dict[str, Tensor], ends: tuple[Tensor, Tensor] | None, t: float
) -> Figure:
    """-E[ds/dx] beside the truth, and the correlation by lag that follows from it.

    Args:
        matrices: By title, (N d, N d).
        profiles: By title, (N,); the first is that of the network.
        ends: Interval of the first profile; None without one.
        t: Diffusion time.
    """
    size = min(MOST_CELLS, len(next(iter(matrices.values()))))
    reach = max(float(matrix[:size, :size].abs().max()) for matrix in matrices.values()) or 1.0
    panels: list[MatrixPanel | LinePanel] = [
        MatrixPanel(
            title, matrix[:size, :size].tolist(), "entry", "entry", "precision", limits=(-reach, reach), diverging=True
        )
        for title, matrix in matrices.items()
    ]
    lines = []
    for (title, values), role in zip(profiles.items(), ("learnt", "truth"), strict=False):
        lags = list(range(len(values)))
        band = (ends[0].tolist(), ends[1].tolist()) if role == "learnt" and ends is not None else (None, None)
        lines.append(Line(f"{title}, {INTERVAL}" if band[0] else title, role, lags, values.tolist(), *band))
    panels.append(LinePanel("correlation by lag", "lag (frames)", "correlation", lines))
    whole = len(next(iter(matrices.values())))
    cut = f" Only the first {size} of {whole} entries are shown." if whole > size else ""
    return Figure(
        panels,
        f"Minus the mean Jacobian of the score at t = {t:g}, which is the precision of the noised law for an exact "
        f"score, and the correlation by lag of the implied covariance.{cut}",
        "Precision matrices and correlation by lag of a score.",
        columns=len(panels),
    )


def attention_figure(weights: Tensor, labels: Sequence[tuple[int, int]], t: float) -> Figure:
    """The attention maps of the heads, (heads, N, N)."""
    shown = weights[:MOST_HEADS, :MOST_CELLS, :MOST_CELLS]
    signed = bool((shown < 0).any())
    low, high = (float(v) for v in (shown.min(), shown.max()))
    reach = max(-low, high) or 1.0
    limits = (-reach, reach) if signed else (min(0.0, low), high if high > 0 else 1.0)
    panels = [
        MatrixPanel(
            f"block {block}, head {head}", values.tolist(), "from frame", "to frame", "weight",
            limits=limits, diverging=signed,
        )
        for (block, head), values in zip(labels, shown, strict=False)
    ]  # fmt: skip
    left = len(weights) - len(panels)
    return Figure(
        panels,
        f"Attention weights of each head at t = {t:g}, averaged over the inputs: the weight of each other frame "
        "(column) in "
        f"each frame (row).{f' {left} more heads are not shown.' if left else ''}",
        "Attention maps, one matrix per head.",
        columns=min(4, len(panels)),
    )


def association_figure(correlation: Tensor, p_value: Tensor) -> Figure:
    """Partial correlation of every head with a covariance."""
    order = correlation.abs().argsort(descending=True)[:MOST_BARS].tolist()
    bars = [
        Bar(f"head {k}, p = {float(p_value[k]):.2g}", "learnt" if float(p_value[k]) <= 0.05 else "null",
            float(correlation[k]))
        for k in order
    ]  # fmt: skip
    return Figure(
        [BarPanel("", "partial correlation with the covariance", bars)],
        "Partial correlation of each head's map with the temporal covariance, beyond the null maps. p is corrected for "
        "the number of heads; heads with p above 0.05 are grey.",
        "Bars of the partial correlation of each head.",
    )


def alignment_figure(angles: Sequence[float], null_angles: Sequence[float]) -> Figure:
    """Principal angles between eigenspaces beside those of random rotations."""
    dimensions = list(range(1, len(angles) + 1))
    lines = [
        Line("random rotations (median)", "null", dimensions, null_angles, markers=True),
        Line("value matrix", "learnt", dimensions, angles, markers=True),
    ]
    labels = "dimension of the eigenspace", "largest angle (degrees)"
    panel = LinePanel("", *labels, lines, y_limits=(-3.0, 93.0), x_ticks=_marks(dimensions))
    return Figure(
        [panel],
        "Largest principal angle between the leading eigenspaces of the value matrix and of Sigma: 0 where they agree.",
        "Principal angles by dimension, with those of random rotations.",
    )


def spectrum_figure(shares: Sequence[float], truth: Sequence[float]) -> Figure:
    """Eigenvalues of a value matrix and of Sigma, each over the sum of its sizes."""
    modes = list(range(1, len(shares) + 1))
    lines = [
        Line("Sigma", "truth", modes, truth, markers=True),
        Line("value matrix", "learnt", modes, shares, markers=True),
    ]
    return Figure(
        [LinePanel("", "mode", "share of the spectrum", lines, x_ticks=_marks(modes))],
        "Eigenvalues in decreasing order, over the sum of their absolute values: a value matrix that is "
        "proportional to "
        "Sigma has the same shares.",
        "Shares of the eigenvalues of the value matrix and of Sigma.",
    )


def _marks(numbers: Sequence[int]) -> list[float]:
    """At most about ten of them, evenly spaced."""
    return [float(number) for number in numbers[:: -(-len(numbers) // 10)]]


def ablation_figure(damages: Sequence[tuple[str, float, float]]) -> Figure:
    """Rise of the score error without each head: (name, nats, standard error), the largest first."""
    rows = sorted(damages, key=lambda row: -row[1])
    bars = [Bar(name, "learnt", nats, nats - 2 * error, nats + 2 * error) for name, nats, error in rows[:MOST_BARS]]
    left = len(rows) - len(bars)
    return Figure(
        [BarPanel("", "rise of the score error without the head (nats)", bars)],
        "Rise of the score error when each head is removed, ± 2 standard errors."
        f"{f' {left} heads with smaller effects are not shown.' if left else ''}",
        "Bars of the damage by head.",
    )
