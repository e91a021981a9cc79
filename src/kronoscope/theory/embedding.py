"""Assumption 1 of [F]: the temporal covariance as a function of distances between embedded times (docs/paper.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import mpmath
import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError
from ..kernels import CircularPowerExponential, Kernel, Periodic, PowerExponential, Scaled
from ..processes import GaussianLaw, GaussianSequence
from .eigenvalues import EXACT_LAGS, power_lags
from .records import MET, VIOLATED, Condition, Row, Statement, number
from .separable import separable

SAME = 1e-9  # relative, of distances and norms that count as equal
SAME_KERNEL = 1e-9  # absolute, of correlations
SMALLEST = 1e-280  # of correlations whose logarithm is used
LEAST_EXPONENT = 0.01  # nu below which the formulas overflow


@dataclass(frozen=True, repr=False, eq=False)
class Assumption1(Statement):
    """The decay of dependence that [F] assumes: gamma(h_i, h_j) = exp(-|e_i - e_j|^nu / ell).

    Attributes:
        embedding: e_1, ..., e_N, (N, d_e), float64.
        distance_function: f with |e_i - e_j| = f(|i - j|), in words.
        distances: f(1), ..., f(N - 1).
        radius: The largest |e_i|.
        slope: c, the smallest f(k)/k.
        exponent: nu.
        ell: In units of distance^nu.
        conditions: By name: "norm", "distance", "increasing", "growth", "kernel", "exponent".
        exact_lags: The correlations in more digits than float64, where the kernel is known as a formula.
    """

    embedding: Tensor
    distance_function: str
    distances: tuple[float, ...]
    radius: float
    slope: float
    exponent: float
    ell: float
    conditions: dict[str, Condition]
    exact_lags: EXACT_LAGS | None = field(default=None)

    @property
    def dimension(self) -> int:
        """d_e."""
        return self.embedding.shape[1]

    @property
    def title(self) -> str:
        return f"Assumption 1, {len(self.embedding)} frames"

    @property
    def all_conditions(self) -> Mapping[str, Condition]:
        return self.conditions

    @property
    def remarks(self) -> list[str]:
        return [f"{name}: {condition.note}" for name, condition in self.conditions.items() if condition.note]

    def rows(self) -> list[Row]:
        return [
            ("d_e", str(self.dimension), "size of the embedding", "explicit", ""),
            ("f", self.distance_function, "|e_i - e_j| = f(|i - j|)", "explicit", ""),
            ("r", number(self.radius), "|e_i|", "explicit", ""),
            ("c", number(self.slope), "f(k) >= c k", "explicit", ""),
            ("nu", number(self.exponent), "exponent", "explicit", ""),
            ("ell", number(self.ell), "gamma = exp(-f^nu / ell)", "explicit", ""),
        ]


def line(process: GaussianLaw) -> Tensor:
    """The times themselves as an embedding, in units of the mean step: e_i = (h_i - h_1) (N - 1) / (h_N - h_1), (N, 1).

    Its norm is not constant, so Assumption 1 is violated for more than two frames.
    """
    if not isinstance(process, GaussianSequence):
        return torch.arange(process.num_frames, dtype=torch.float64)[:, None]
    times = process.times.cpu()
    return ((times - times[0]) * ((len(times) - 1) / (times[-1] - times[0])))[:, None]


def circle(num_frames: int, period: float, radius: float | None = None) -> Tensor:
    """The embedding of [F]'s example, e_i = r (sin(2 pi i / C), cos(2 pi i / C)), (N, 2).

    |e_i - e_j| = 2 r sin(pi |i - j| / C), which grows with the lag up to C / 2.

    Args:
        num_frames: N.
        period: C, in frames.
        radius: r; None is C / (2 pi), for which neighbours are about 1 apart.
    """
    count = _checks.count("num_frames", num_frames)
    turn = 2 * math.pi / _checks.positive("period", period)
    size = 1 / turn if radius is None else _checks.positive("radius", radius)
    angles = turn * torch.arange(count, dtype=torch.float64)
    return size * torch.stack([angles.sin(), angles.cos()], dim=1)


def sphere(num_frames: int, power: float) -> Tensor:
    """Points of equal norm with |e_i - e_j| = |i - j|^power, (N, N - 1).

    They exist for 0 < power < 1, since |i - j|^(2 power) is then strictly negative definite (Schoenberg 1938); the
    centre of their sphere is the origin. At power 1 they would lie on a line, which meets a sphere at most twice. So
    exp(-(lag/L)^p) with p < 2 has an embedding with nu = 2, f(k) = k^(p/2), ell = L^p, but its slope is
    c = (N - 1)^(p/2 - 1).

    Args:
        num_frames: N, at least 2.
        power: Between 0 and 1, both excluded.
    """
    count = _checks.count("num_frames", num_frames, 2)
    if not 0 < _checks.real("power", power) < 1:
        raise InputError(f"power must be greater than 0 and less than 1, got {power:g}")
    index = torch.arange(count, dtype=torch.float64)
    squares = (index[:, None] - index).abs() ** (2 * power)
    weights = torch.linalg.solve(squares, torch.ones(count, dtype=torch.float64))
    values, vectors = torch.linalg.eigh(0.5 / weights.sum() - squares / 2)  # e_i . e_j = r^2 - |e_i - e_j|^2 / 2
    return vectors[:, 1:] * values[1:].clamp(min=0.0).sqrt()


def assumption1(process: GaussianLaw, embedding: Tensor | None = None) -> Assumption1:
    """Check Assumption 1 of [F] for the temporal covariance of ``process``.

    There are e_1, ..., e_N with |e_i| = r, |e_i - e_j| = f(|i - j|) >= c |i - j|, f strictly increasing, and
    gamma(h_i, h_j) = exp(-|e_i - e_j|^nu / ell) with nu in [1, 2], ell > 0. A constant factor of gamma counts to Sigma.

    Args:
        process: A separable law with at least 2 frames.
        embedding: e, (N, d_e). None is the circle for :class:`kronoscope.kernels.CircularPowerExponential` and
            ``Periodic``, and the line of the times otherwise.

    Returns:
        Conditions with their values; nu and ell as fitted to the covariance, which is exact where it has that form.

    Raises:
        InputError: The law is not separable or has one frame, or the embedding has another shape.

    Source: [F], Assumption 1.

    Example:
        >>> from kronoscope.kernels import CircularPowerExponential
        >>> kernel = CircularPowerExponential(lengthscale=0.5, exponent=1.0, period=32.0)
        >>> result = assumption1(GaussianSequence(kernel, torch.eye(2), times=16))
        >>> result.applies, result.exponent, round(result.ell, 12), round(result.slope, 4)
        (True, 1.0, 0.5, 0.6758)
    """
    parts = separable(process)
    frames = len(parts.temporal)
    if frames < 2:
        raise InputError("process must have at least 2 frames for an embedding of its times, got 1")
    kernel = _without_factor(process.kernel) if isinstance(process, GaussianSequence) else None
    points = _points(process, kernel, frames, embedding)
    apart = (points[:, None] - points[None]).norm(dim=-1)
    lag = (torch.arange(frames)[:, None] - torch.arange(frames)).abs()
    rows = [apart[lag == k] for k in range(1, frames)]
    distances = torch.stack([row.mean() for row in rows])
    spread = max(float(row.max() - row.min()) for row in rows) / float(distances.max())
    nu, ell = _fitted(parts.temporal, apart, _exponent(kernel))
    norms = points.norm(dim=1)
    conditions = {
        "norm": _norm(norms, distances, frames),
        "distance": _small("|e_i - e_j| = f(|i - j|)", spread, SAME, "0: no spread within a lag"),
        "increasing": _increasing(distances),
        "growth": _growth(distances),
        "kernel": _kernel_form(parts.temporal, apart, nu, ell),
        "exponent": Condition("1 <= nu <= 2", _status(1 - 1e-6 <= nu <= 2 + 1e-6), nu, "from 1 to 2"),
    }
    steps = torch.arange(1, frames, dtype=torch.float64)
    slope = float((distances / steps).min())
    exact = _exact_lags(process, kernel) if conditions["kernel"].met else None
    name = _function_name(points, distances, float(norms.max()))
    return Assumption1(points, name, tuple(distances.tolist()), float(norms.max()), slope, nu, ell, conditions, exact)


def require_form(assumption: Assumption1) -> None:
    """Refuse a covariance for which the formulas of the theorems have no nu and ell.

    Raises:
        InputError: As said.
    """
    if not (assumption.exponent > LEAST_EXPONENT and math.isfinite(assumption.ell)):
        raise InputError(
            "process must have correlations between 0 and 1 that fall with the distance, or nu and ell do not exist: "
            "see theory.assumption1 for the conditions"
        )


def _without_factor(kernel: Kernel) -> Kernel:
    return _without_factor(kernel.kernel) if isinstance(kernel, Scaled) else kernel


def _exponent(kernel: Kernel | None) -> float | None:
    if isinstance(kernel, (PowerExponential, CircularPowerExponential)):
        return float(kernel.exponent)
    return 2.0 if isinstance(kernel, Periodic) else None


def _points(process: GaussianLaw, kernel: Kernel | None, frames: int, given: Tensor | None) -> Tensor:
    if given is not None:
        points = _checks.finite("embedding", _checks.tensor("embedding", given, torch.float64, "cpu"))
        if points.ndim != 2 or len(points) != frames or points.shape[1] == 0:
            raise InputError(
                f"embedding must have shape ({frames}, d_e), one row for each frame, got {tuple(points.shape)}"
            )
        if bool((points == points[0]).all()):
            raise InputError("embedding must have at least two different rows")
        return points
    if isinstance(kernel, (CircularPowerExponential, Periodic)):
        assert isinstance(process, GaussianSequence)
        angles = 2 * math.pi / kernel.period * process.times.cpu()
        step = float(process.times[-1] - process.times[0]) / (frames - 1)
        return kernel.period / (2 * math.pi * step) * torch.stack([angles.sin(), angles.cos()], dim=1)
    return line(process)


def _fitted(gamma: Tensor, apart: Tensor, known: float | None) -> tuple[float, float]:
    """nu and ell with -log gamma = apart^nu / ell, by least squares of logarithms; NaN where no correlation is used."""
    used = (apart > 0) & (gamma > SMALLEST) & (gamma < 1)
    if not bool(used.any()):
        return math.nan, math.nan
    x, y = apart[used].log(), (-gamma[used].log()).log()
    centred = x - x.mean()
    power = float(centred.square().sum())
    slope = float((centred * y).sum()) / power if power > 1e-20 * len(x) else 1.0
    nu = known if known is not None and (abs(slope - known) < 1e-6 or power <= 1e-20 * len(x)) else slope
    return nu, math.exp(float((nu * x - y).mean()))


def _status(holds: bool) -> str:
    return MET if holds else VIOLATED


def _small(statement: str, value: float, most: float, needed: str, note: str = "") -> Condition:
    return Condition(statement, _status(value <= most), value, needed, note=note)


def _norm(norms: Tensor, distances: Tensor, frames: int) -> Condition:
    low, high = float(norms.min()), float(norms.max())
    steps = torch.arange(1, frames, dtype=torch.float64)
    ratio = distances / steps
    straight = frames > 2 and float(ratio.max() - ratio.min()) <= SAME * float(ratio.max())
    note = ""
    if straight:
        note = (
            "f(k) is proportional to k, so the points lie on a line, and a line meets a sphere at most twice: no "
            "embedding of constant norm has this f. The circle has f(k) = 2 r sin(pi k / C), and theory.sphere has "
            "f(k) = k^a for a < 1"
        )
    spread = (high - low) / high if high else 0.0
    return _small("|e_i| = r", spread, SAME, f"0: norms are {number(low)} to {number(high)}", note)


def _increasing(distances: Tensor) -> Condition:
    steps = torch.cat([distances[:1], distances.diff()])
    value = float(steps.min())
    return Condition("f strictly increasing", _status(value > 0), value, "f(k + 1) - f(k) above 0")


def _growth(distances: Tensor) -> Condition:
    slope = float((distances / torch.arange(1, len(distances) + 1)).min())
    return Condition("f(k) >= c k", _status(slope > SAME * float(distances.max())), slope, "c above 0")


def _kernel_form(gamma: Tensor, apart: Tensor, nu: float, ell: float) -> Condition:
    statement = "gamma = exp(-|e_i - e_j|^nu / ell)"
    miss = float((gamma - torch.exp(-(apart**nu) / ell)).abs().max()) if math.isfinite(nu) else math.inf
    negative = float(gamma.min()) < 0
    note = "some correlations are negative, which this form cannot give" if negative else ""
    return _small(statement, miss, SAME_KERNEL, "0: largest difference of correlations", note)


def _function_name(points: Tensor, distances: Tensor, radius: float) -> str:
    steps = torch.arange(1, len(distances) + 1, dtype=torch.float64)
    if points.shape[1] == 2 and len(distances) > 1:
        turn = 2 * math.asin(min(1.0, float(distances[0]) / (2 * radius)))
        chord = 2 * radius * torch.sin(turn / 2 * steps).abs()
        if torch.allclose(chord, distances, rtol=1e-6, atol=1e-9 * radius):
            return f"2 r sin(pi k / C), C = {number(2 * math.pi / turn)}"
    slope = math.log(float(distances[-1] / distances[0])) / math.log(len(distances)) if len(distances) > 1 else 1.0
    if torch.allclose(distances, distances[0] * steps**slope, rtol=1e-6, atol=0.0):
        factor = "" if abs(float(distances[0]) - 1) < 1e-9 else f"{number(float(distances[0]))} "
        return f"{factor}k" if abs(slope - 1) < 1e-9 else f"{factor}k^{number(slope)}"
    return f"from {number(float(distances[0]))} at lag 1 to {number(float(distances[-1]))} at lag {len(distances)}"


def _exact_lags(process: GaussianLaw, kernel: Kernel | None) -> EXACT_LAGS | None:
    """The lags in more digits, for the two kernels of this form at whole-number times."""
    if not isinstance(process, GaussianSequence) or process.num_frames < 2:
        return None
    times = process.times
    steps = times.diff()
    if not bool((steps == steps[0]).all()):
        return None
    step = float(steps[0])
    if isinstance(kernel, PowerExponential):
        scale = kernel.lengthscale
        return power_lags(lambda k: k * mpmath.mpf(step) / mpmath.mpf(scale), kernel.exponent)
    if isinstance(kernel, CircularPowerExponential):
        return power_lags(lambda k: _chord(k * mpmath.mpf(step), kernel.period, kernel.lengthscale), kernel.exponent)
    return None


def _chord(lag: mpmath.mpf, period: float, scale: float) -> mpmath.mpf:
    turn = mpmath.mpf(period)
    return turn / mpmath.pi * abs(mpmath.sin(mpmath.pi * lag / turn)) / mpmath.mpf(scale)
