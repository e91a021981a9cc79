"""The figure of a certificate: measured error by diffusion time, below its bound."""

from __future__ import annotations

from collections.abc import Sequence

from ..report import Figure, Line, LinePanel

SMALLEST = 1e-18  # of an error on a logarithmic axis


def error_figure(measured: Sequence[tuple[float, float, float]], bound: float, tolerance: float) -> Figure:
    """The relative error of the score by t, the proven bound and the tolerance that was asked for.

    Args:
        measured: (t, error, standard error).
        bound, tolerance: For every t.
    """
    points = sorted(measured)
    times = [time for time, _, _ in points]
    values = [max(value, SMALLEST) for _, value, _ in points]
    lower = [max(value - 2 * error, SMALLEST) for _, value, error in points]
    upper = [max(value + 2 * error, SMALLEST) for _, value, error in points]
    lines = [
        Line("tolerance", "null", times, [tolerance] * len(times)),
        Line("proven bound", "floor", times, [bound] * len(times)),
        Line("measured, ± 2 standard errors", "learnt", times, values, lower, upper, markers=True),
    ]
    panel = LinePanel("", "diffusion time t", "relative score error", lines, log_x=True, log_y=True)
    return Figure(
        [panel],
        "Relative root-mean-square error of the compiled score under the noised law, measured on the network, below "
        "the bound that holds for every t.",
        "Measured score error by diffusion time, the proven bound and the tolerance.",
    )
