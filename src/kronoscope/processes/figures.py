"""Figures of laws: correlations and a few draws; a sequence given some of its entries."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..report import Figure, Line, LinePanel, MatrixPanel

MOST_FEATURES = 4


def law_figure(
    draws: Tensor, temporal: Tensor, spatial: Tensor, mean: Tensor, lower: Tensor, upper: Tensor, more: str
) -> Figure:
    """Correlation between frames and between features, and draws of the first features.

    Args:
        draws: (n, N, d).
        temporal: Covariance of the frames, (N, N), averaged over the features.
        spatial: Covariance of the features, (d, d), averaged over the frames.
        mean, lower, upper: Of every entry, (N, d), with the ends of the interval that holds 90 %.
        more: What else a reader must know, in a sentence; may be empty.
    """
    panels: list[LinePanel | MatrixPanel] = [
        _correlation("between frames", temporal, "frame"),
        _correlation("between features", spatial, "feature"),
    ]
    frames = list(range(draws.shape[1]))
    for j in range(min(MOST_FEATURES, draws.shape[2])):
        lines = [Line("draws", "truth", frames, draw[:, j].tolist(), thin=True) for draw in draws]
        band = lower[:, j].tolist(), upper[:, j].tolist()
        lines.append(Line("mean and 90 % of the law", "learnt", frames, mean[:, j].tolist(), *band))
        panels.append(LinePanel(f"feature {j}", "frame", "value", lines))
    return Figure(
        panels,
        f"Correlation between frames (averaged over the features) and between features (averaged over the frames), and "
        f"{len(draws)} draws of the first features.{' ' * bool(more)}{more}",
        "Correlation matrices of frames and of features, and curves of draws with mean and 90 % band.",
        columns=2,
    )


def _correlation(title: str, covariance: Tensor, what: str) -> MatrixPanel:
    root = covariance.diagonal().clamp_min(1e-300).sqrt()
    values = (covariance / root / root[:, None]).clamp(-1.0, 1.0)
    return MatrixPanel(title, values.tolist(), what, what, "correlation", limits=(-1.0, 1.0), diverging=True)


def conditional_figure(
    names: Sequence[str], mask: Tensor, mean: Tensor, lower: Tensor, upper: Tensor, level: float
) -> Figure:
    """What is observed of each feature, the conditional mean, and the interval of every hidden entry.

    Args:
        names: Of the features.
        mask: (N, d), True = observed.
        mean, lower, upper: (N, d).
        level: Probability of an entry's interval.
    """
    frames = list(range(len(mean)))
    panels = []
    for j, name in enumerate(names[:MOST_FEATURES]):
        ends = lower[:, j].tolist(), upper[:, j].tolist()
        lines = [Line(f"mean and {100 * level:g} % interval", "learnt", frames, mean[:, j].tolist(), *ends)]
        lines += [
            Line("observed", "truth", run, mean[run, j].tolist(), markers=True) for run in _runs(mask[:, j].tolist())
        ]
        panels.append(LinePanel(name, "frame", "value", lines))
    left = len(names) - len(panels)
    return Figure(
        panels,
        f"The conditional mean and the central interval of each entry ({100 * level:g} %); observed entries are given "
        f"exactly.{f' {left} more features are not shown.' if left else ''}",
        "Observed points, conditional mean and interval of each feature by frame.",
        columns=min(2, len(panels)),
    )


def _runs(observed: Sequence[bool]) -> list[list[int]]:
    """Frames that are observed, those without a hidden one between them together."""
    runs: list[list[int]] = []
    for frame in (i for i, known in enumerate(observed) if known):
        if runs and runs[-1][-1] == frame - 1:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    return runs
