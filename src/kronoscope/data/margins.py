"""Normal scores: one strictly increasing map a feature to a standard normal margin, and its inverse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtri

from .._errors import InputError
from .time_forms import FloatArray

MARGINS = (None, "normal-scores")
# A map that increases strictly gives a value that recurs one score: where one holds more, the margin is not normal.
LARGEST_ATOM = 0.2

_TAIL_SHARE = 0.05
_FEWEST_TAIL = 10  # values beyond the last knot, for a tail of its own
_BENDS = (0.0, 2.0)
_SAME = 1e-9


@dataclass(frozen=True, eq=False)
class MonotoneMap:
    """z = g(u), strictly increasing and continuously differentiable from the real line onto itself.

    Between the knots it is the rational quadratic spline of Gregory and Delbourgo (IMA J. Numer. Anal. 2, 1982,
    equation 3.1), whose derivative is positive and whose inverse is the root of a quadratic. Beyond the last knot
    (u_K, z_K), with slope s = du/dz there and bend b >= 0,

        u = u_K + s (exp(b (z - z_K)) - 1) / b,        u = u_K + s (z - z_K) for b = 0,

    and likewise mirrored before the first: a normal tail for b = 0, a lognormal one above. What lies beyond the data
    is this extrapolation and nothing else; no tail is bounded, so a quantity that cannot be negative may come back
    slightly negative.

    Attributes:
        values: (K,) the u of the knots.
        scores: (K,) the z of the knots.
        slopes: (K,) dz/du at the knots.
        bends: b of the lower and of the upper tail.
    """

    values: FloatArray
    scores: FloatArray
    slopes: FloatArray
    bends: tuple[float, float]

    def __post_init__(self) -> None:
        arrays = self.values, self.scores, self.slopes
        if any(a.shape != self.values.shape or a.ndim != 1 or not np.isfinite(a).all() for a in arrays):
            raise InputError("the knots of a margin must be three lists of finite numbers, equally long")
        rising = (np.diff(self.values) > 0).all() and (np.diff(self.scores) > 0).all() and (self.slopes > 0).all()
        if len(self.values) < 2 or not rising or len(self.bends) != 2 or not min(self.bends) >= 0:
            raise InputError("a margin needs two knots or more that increase, positive slopes and bends of at least 0")

    @classmethod
    def fit(cls, values: FloatArray) -> MonotoneMap:
        """The map of these values (m,), NaN ignored; knots in number m^(1/3), between 4 and 32, and one tail each side.

        A knot is the mean of a run of sorted values at the mean of their normal scores ndtri((rank - 1/2) / m). The
        outer 5 % on each side (10 values at least) give their tail by maximum likelihood.
        """
        u = np.sort(values[np.isfinite(values)])
        m = len(u)
        normal = _tied_scores(u)
        tail = min(max(int(_TAIL_SHARE * m), _FEWEST_TAIL), m // 4)
        runs = np.array_split(np.arange(tail, m - tail), int(np.clip(m ** (1 / 3), 4, 32)))
        groups = [np.array([tail]), *(run for run in runs if len(run)), np.array([m - 1 - tail])]
        knots = _rising([(float(u[g].mean()), float(normal[g].mean()), len(g)) for g in groups])
        if len(knots) < 2:  # almost all values are equal, or there are hardly any
            knots = _rising([(float(u[i]), float(normal[i]), 1) for i in range(m)])
        at, scores = np.array(knots).T
        secants = np.diff(scores) / np.diff(at)
        lower = _tail(at[0] - u[u < at[0]], -scores[0], 1 / secants[0])
        upper = _tail(u[u > at[-1]] - at[-1], scores[-1], 1 / secants[-1])
        inner = _harmonic(secants, np.diff(at))
        return cls(at, scores, np.concatenate([[1 / lower[0]], inner, [1 / upper[0]]]), (lower[1], upper[1]))

    def apply(self, u: FloatArray) -> FloatArray:
        """g(u); NaN stays NaN."""
        at, z = self.values, self.scores
        left, width, rise, secant = self._pieces(np.searchsorted(at, u, side="right") - 1)
        share = np.clip((u - at[left]) / width, 0.0, 1.0)
        first, last = self.slopes[left], self.slopes[left + 1]
        mixed = share * (1 - share)
        below = secant + (first + last - 2 * secant) * mixed
        inner = z[left] + rise * (secant * share**2 + first * mixed) / below
        low = z[0] - _bent_inverse((at[0] - u) * self.slopes[0], self.bends[0])
        high = z[-1] + _bent_inverse((u - at[-1]) * self.slopes[-1], self.bends[1])
        return np.where(u < at[0], low, np.where(u > at[-1], high, inner))

    def log_slope(self, u: FloatArray) -> FloatArray:
        """log dz/du; NaN stays NaN."""
        at = self.values
        left, width, _, secant = self._pieces(np.searchsorted(at, u, side="right") - 1)
        share = np.clip((u - at[left]) / width, 0.0, 1.0)
        first, last = self.slopes[left], self.slopes[left + 1]
        mixed = share * (1 - share)
        above = secant**2 * (last * share**2 + 2 * secant * mixed + first * (1 - share) ** 2)
        inner = np.log(above) - 2 * np.log(secant + (first + last - 2 * secant) * mixed)
        low, high = (
            np.log(slope) - np.log1p(bend * np.maximum(beyond * slope, 0.0))
            for slope, bend, beyond in (
                (self.slopes[0], self.bends[0], at[0] - u),
                (self.slopes[-1], self.bends[1], u - at[-1]),
            )
        )
        log_slopes = np.where(u < at[0], low, np.where(u > at[-1], high, inner))
        return np.where(np.isnan(u), np.nan, log_slopes)

    def invert(self, z: FloatArray) -> FloatArray:
        """The u of g(u) = z; NaN stays NaN."""
        at, scores = self.values, self.scores
        left, width, rise, secant = self._pieces(np.searchsorted(scores, z, side="right") - 1)
        first, last = self.slopes[left], self.slopes[left + 1]
        done = np.clip((z - scores[left]) / rise, 0.0, 1.0)
        bend = done * (first + last - 2 * secant)
        a, b, c = secant - first + bend, first - bend, -secant * done
        share = 2 * c / (-b - np.sqrt(np.maximum(b * b - 4 * a * c, 0.0)))  # the root that does not cancel
        inner = at[left] + width * share
        low = at[0] - _bent(scores[0] - z, self.bends[0]) / self.slopes[0]
        high = at[-1] + _bent(z - scores[-1], self.bends[1]) / self.slopes[-1]
        return np.where(z < scores[0], low, np.where(z > scores[-1], high, inner))

    def _pieces(self, left: Any) -> tuple[Any, FloatArray, FloatArray, FloatArray]:
        """Index, width, rise and secant of the piece between knots in which each value lies."""
        left = np.clip(left, 0, len(self.values) - 2)
        width, rise = np.diff(self.values)[left], np.diff(self.scores)[left]
        return left, width, rise, rise / width

    def to_plain(self) -> dict[str, list[float]]:
        """Plain lists of numbers, for JSON."""
        arrays = {name: getattr(self, name).tolist() for name in ("values", "scores", "slopes")}
        return {**arrays, "bends": list(self.bends)}

    @classmethod
    def from_plain(cls, plain: dict[str, list[float]]) -> MonotoneMap:
        """Inverse of :meth:`to_plain`."""
        values, scores, slopes = (np.asarray(plain[name], dtype=np.float64) for name in ("values", "scores", "slopes"))
        lower, upper = (float(bend) for bend in plain["bends"])
        return cls(values, scores, slopes, (lower, upper))


def fit_margins(values: FloatArray, names: Sequence[str]) -> tuple[MonotoneMap, ...]:
    """One map a feature of (n, N, d) residuals, all frames pooled; NaN is ignored.

    Raises:
        InputError: Fewer than 40 values of a feature, or one value that holds more than 20 % of them.
    """
    maps = []
    for name, feature in zip(names, np.moveaxis(values, -1, 0), strict=True):
        seen = feature[np.isfinite(feature)]
        if len(seen) < 4 * _FEWEST_TAIL:
            raise InputError(
                f"margins 'normal-scores' need at least {4 * _FEWEST_TAIL} values of each feature, but '{name}' has "
                f"{len(seen)}"
            )
        maps.append(MonotoneMap.fit(seen))
    return tuple(maps)


def refuse_atoms(values: FloatArray, names: Sequence[str]) -> None:
    """Refuse a feature one of whose values, in the user's units, holds more than 20 % of them.

    No increasing map gives a normal margin to such a feature (rain that is often 0). Smaller atoms, as of rounding,
    share one score, the mean of their ranks'.
    """
    for name, feature in zip(names, np.moveaxis(values, -1, 0), strict=True):
        seen = feature[np.isfinite(feature)]
        kinds, counts = np.unique(seen, return_counts=True)
        if len(seen) and counts.max() > LARGEST_ATOM * len(seen):
            share = 100 * counts.max() / len(seen)
            raise InputError(
                f"margins 'normal-scores' cannot represent the feature '{name}': {share:.0f} % of its training values "
                f"equal {kinds[counts.argmax()]:g}, and at most {100 * LARGEST_ATOM:.0f} % may; leave margins out"
            )


def _tied_scores(u: FloatArray) -> FloatArray:
    """Normal scores of sorted values, equal ones at their middle rank."""
    _, inverse, counts = np.unique(u, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    return np.asarray(ndtri(middle / len(u)))[inverse]


def _rising(groups: list[tuple[float, float, int]]) -> list[tuple[float, float]]:
    """Knots that increase: groups of equal values or scores become one, at their mean."""
    least = _SAME * max(groups[-1][0] - groups[0][0], np.finfo(float).tiny)
    knots: list[list[float]] = []
    for value, score, weight in groups:
        if knots and (value - knots[-1][0] <= least or score - knots[-1][1] <= _SAME):
            last = knots[-1]
            both = last[2] + weight
            knots[-1] = [(last[0] * last[2] + value * weight) / both, (last[1] * last[2] + score * weight) / both, both]
        else:
            knots.append([value, score, weight])
    return [(value, score) for value, score, _ in knots]


def _harmonic(secants: FloatArray, widths: FloatArray) -> FloatArray:
    """Slopes at inner knots: the weighted harmonic mean of the neighbours (Fritsch and Butland 1984), so positive."""
    before, after = 2 * widths[1:] + widths[:-1], widths[1:] + 2 * widths[:-1]
    return np.asarray((before + after) / (before / secants[:-1] + after / secants[1:]))


def _tail(excess: FloatArray, score: float, slope: float) -> tuple[float, float]:
    """du/dz at the last knot and the bend beyond it, where scores above ``score`` are those of a normal law."""
    if len(excess) < _FEWEST_TAIL:
        return slope, 0.0

    def loss(free: FloatArray) -> float:
        grow = excess / (slope * np.exp(free[0]))
        z = score + _bent_inverse(grow, free[1])
        log_slope = -np.log1p(free[1] * grow) - free[0]
        return float(np.mean(0.5 * z**2 - log_slope) + log_ndtr(-score))

    limits = [(-5.0, 5.0), _BENDS]
    starts = [np.array([0.0, bend]) for bend in (0.0, 0.5)]
    best = min((minimize(loss, start, bounds=limits, method="L-BFGS-B") for start in starts), key=lambda r: r.fun)
    return slope * float(np.exp(best.x[0])), float(best.x[1])


def _bent(reach: FloatArray, bend: float) -> FloatArray:
    """(exp(b r) - 1) / b for r >= 0, r for b = 0."""
    reach = np.maximum(reach, 0.0)
    return reach if bend < 1e-8 else np.asarray(np.expm1(bend * reach) / bend)


def _bent_inverse(grown: FloatArray, bend: float) -> FloatArray:
    grown = np.maximum(grown, 0.0)
    return grown if bend < 1e-8 else np.asarray(np.log1p(bend * grown) / bend)
