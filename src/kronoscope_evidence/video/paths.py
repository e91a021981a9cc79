"""Statistics of decoded positions, and the same statistics of the path's own law: the numbers of the video studies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from kronoscope import video
from kronoscope.kernels import Matern
from kronoscope.video import BallVideo

EXACT = "truth, exact"
LAGS = 8
GROUPS = 20
_LENGTHSCALES = (0.05, 200.0)
_SMOOTHNESSES = (0.05, 20.0)


@dataclass(frozen=True)
class Paths:
    """Statistics of positions, with standard errors by a jackknife over videos.

    Attributes:
        name: Such as "truth, exact", "true videos" or "generated".
        correlation, correlation_error: At lag 0..8; empty where withheld.
        covariance, covariance_error: Of row and column, (3,): row, column, both; pixels squared; empty where withheld.
        step, step_error: Root-mean-square distance between neighbouring frames, pixels.
        bend, bend_error: Root mean square of second differences, pixels.
        one_ball, one_ball_error: Share of frames with exactly one ball or digit.
        lengthscale, lengthscale_error, smoothness, smoothness_error: Of the Matern kernel nearest to the autocovariance
            (:func:`nearest_matern`); None where it was not fitted, or where the fit ran to an end of its range.
    """

    name: str
    correlation: tuple[float, ...]
    correlation_error: tuple[float, ...]
    covariance: tuple[float, ...]
    covariance_error: tuple[float, ...]
    step: float | None
    step_error: float
    bend: float | None
    bend_error: float
    one_ball: float
    one_ball_error: float
    lengthscale: float | None = None
    lengthscale_error: float = 0.0
    smoothness: float | None = None
    smoothness_error: float = 0.0

    @property
    def withheld(self) -> bool:
        """Whether only the share of frames with one ball is given."""
        return not self.correlation


def exact(ball: BallVideo) -> Paths:
    """The statistics of the path's law."""
    gamma, sigma = ball.path.temporal_covariance, ball.path.spatial_covariance
    correlation = gamma[0, : LAGS + 1].tolist()
    variance = float(sigma.trace())
    lengthscale, smoothness = _inside(*nearest_matern(correlation))
    return Paths(
        name=EXACT,
        correlation=tuple(correlation),
        correlation_error=(0.0,) * (LAGS + 1),
        covariance=(float(sigma[0, 0]), float(sigma[1, 1]), float(sigma[0, 1])),
        covariance_error=(0.0,) * 3,
        step=math.sqrt(2 * variance * (1 - correlation[1])),
        step_error=0.0,
        bend=math.sqrt(variance * (6 - 8 * correlation[1] + 2 * correlation[2])),
        bend_error=0.0,
        one_ball=1.0,
        one_ball_error=0.0,
        lengthscale=lengthscale,
        smoothness=smoothness,
    )


def measure(name: str, decoded: video.Decoded, *, kernel: bool = True) -> Paths:
    """Statistics of decoded paths; the mean position is that of all frames.

    Args:
        name: Of the result.
        decoded: Positions, and how many balls each frame holds.
        kernel: Whether to fit a Matern kernel.
    """
    positions, single = decoded.positions, decoded.one_ball.double()
    centred = positions - positions.mean(dim=(0, 1))
    folds = torch.arange(len(centred)) % min(GROUPS, len(centred))
    without = torch.stack(
        [_statistics(centred[folds != k], single[folds != k], kernel) for k in range(int(folds.max()) + 1)]
    )
    errors = tuple(((len(without) - 1) * without.var(dim=0, correction=0)).sqrt().tolist())
    values = tuple(_statistics(centred, single, kernel).tolist())
    last = LAGS + 1
    step, bend, single_share = range(last + 3, last + 6)
    lengthscale, smoothness = _inside(values[-2], values[-1]) if kernel else (None, None)
    return Paths(
        name=name,
        correlation=values[:last],
        correlation_error=errors[:last],
        covariance=values[last:step],
        covariance_error=errors[last:step],
        step=values[step],
        step_error=errors[step],
        bend=values[bend],
        bend_error=errors[bend],
        one_ball=values[single_share],
        one_ball_error=errors[single_share],
        lengthscale=lengthscale,
        lengthscale_error=errors[-2] if lengthscale is not None else 0.0,
        smoothness=smoothness,
        smoothness_error=errors[-1] if smoothness is not None else 0.0,
    )


def withhold(paths: Paths) -> Paths:
    """Only the share of frames with one ball, for positions that cannot be trusted."""
    return Paths(paths.name, (), (), (), (), None, 0.0, None, 0.0, paths.one_ball, paths.one_ball_error)


def gaps(paths: Paths, truth: Paths) -> tuple[float, float]:
    """Largest error of the correlations at lags 1 to 8, and of the covariance relative to the variance."""
    correlation = max(abs(a - b) for a, b in zip(paths.correlation[1:], truth.correlation[1:]))
    variance = math.sqrt(truth.covariance[0] * truth.covariance[1])
    return correlation, max(abs(a - b) / variance for a, b in zip(paths.covariance, truth.covariance))


def nearest_matern(autocovariance: Sequence[float]) -> tuple[float, float]:
    """Lengthscale and smoothness by least squares: min over v, l, nu of sum_k (c_k - v Matern(l, nu)(k))^2.

    Args:
        autocovariance: c_0, c_1, ..., at lags 0, 1, ...

    Returns:
        l within 0.05 to 200 frames and nu within 0.05 to 20; at an end of its range, there is no such kernel near.
    """
    target = np.asarray(autocovariance, dtype=np.float64)
    target = target / abs(target[0])
    lags = torch.arange(len(target), dtype=torch.float64)

    def left(logs: np.ndarray) -> np.ndarray:
        shape = Matern(float(np.exp(logs[0])), float(np.exp(logs[1]))).at_lag(lags).numpy()
        return np.asarray(target - (shape @ target) / (shape @ shape) * shape)

    low, high = np.log([_LENGTHSCALES, _SMOOTHNESSES]).T
    best = min(
        (
            optimize.least_squares(left, start, bounds=(low, high), xtol=1e-12, ftol=1e-12, gtol=1e-12)
            for start in np.log([(2.0, 0.5), (6.0, 1.0), (6.0, 2.5)])
        ),
        key=lambda fit: float(fit.cost),
    )
    return float(np.exp(best.x[0])), float(np.exp(best.x[1]))


def _statistics(part: Tensor, ones: Tensor, kernel: bool) -> Tensor:
    frames = part.shape[1]
    lags = torch.stack([(part[:, k:] * part[:, : frames - k]).sum(-1).mean() for k in range(LAGS + 1)])
    rows, columns = part[..., 0], part[..., 1]
    covariance = torch.stack([rows.square().mean(), columns.square().mean(), (rows * columns).mean()])
    steps = part.diff(dim=1)
    sizes = torch.stack([steps.square().sum(-1).mean().sqrt(), steps.diff(dim=1).square().sum(-1).mean().sqrt()])
    fitted = torch.tensor(nearest_matern(lags.tolist()) if kernel else [], dtype=lags.dtype)
    return torch.cat([lags / lags[0], covariance, sizes, ones.mean()[None], fitted])


def _inside(lengthscale: float, smoothness: float) -> tuple[float | None, float | None]:
    """Both, unless one is at an end of its range."""
    for value, (low, high) in ((lengthscale, _LENGTHSCALES), (smoothness, _SMOOTHNESSES)):
        if not 1.01 * low < value < high / 1.01:
            return None, None
    return lengthscale, smoothness
