"""Integrals over diffusion time on the clock, with an estimate of what the rule itself misses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from .._display import Displayed
from .schedule import clock, time_from_clock, times_on_clock

NODES_PER_CLOCK_UNIT = 3.0
LEAST_NODES = 8
SETTLED = 1e-6  # of the value: a rule that misses less is not refined
SHARE_OF_NOISE = 0.3  # of the sampling error: the same
MOST_BISECTIONS = 14
PATIENCE = 4  # bisections in which the error must fall by 30 %, as it does about a jump but not where all is rough
FALSE_ALARMS = 0.01  # share of smooth integrands that are refined because of their noise alone
SMALLEST_FALL = 10.0  # of coefficients, from the middle to the highest degrees, that is taken for geometric
JUMP_REACH = 3.0  # standard errors within which two parts of the clock meet

Integrand = Callable[[float], tuple[float, float]]


@dataclass(frozen=True, repr=False)
class ClockIntegral(Displayed):
    """int f du between two diffusion times, u = log(expm1(t)).

    Attributes:
        times: Nodes, ascending.
        weights: Of the rule, so that value = sum(weights * values).
        values: f at the nodes.
        errors: Standard errors of ``values``.
        value: The integral.
        sampling_error: Standard error of ``value`` that comes from ``errors``.
        quadrature_error: Estimate of |value - integral|; 0 where the noise of ``values`` hides what the rule misses.
    """

    times: tuple[float, ...]
    weights: tuple[float, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...]
    value: float
    sampling_error: float
    quadrature_error: float


@dataclass(frozen=True)
class _Panel:
    """A Gauss-Legendre rule on a part of the clock: nodes, weights, values, errors, and what it misses."""

    low: float
    high: float
    times: tuple[float, ...]
    weights: np.ndarray
    values: np.ndarray
    errors: np.ndarray
    missed: float


@dataclass(frozen=True, eq=False, repr=False)
class ClockRule(Displayed):
    """A Gauss-Legendre rule on a part of the clock.

    Attributes:
        low, high: Ends, on the clock.
        times: Nodes, diffusion times, ascending.
        weights: In u.
    """

    low: float
    high: float
    times: tuple[float, ...]
    weights: np.ndarray

    def integral(self, values: ArrayLike, errors: ArrayLike) -> ClockIntegral:
        """The integral of what has these values at the nodes, with independent standard errors."""
        array, deviations = np.asarray(values, dtype=np.float64), np.asarray(errors, dtype=np.float64)
        return ClockIntegral(
            self.times,
            tuple(self.weights.tolist()),
            tuple(array.tolist()),
            tuple(deviations.tolist()),
            math.fsum(self.weights * array),
            math.sqrt(math.fsum((self.weights * deviations) ** 2)),
            missed_by_rule(self.low, self.high, array, deviations),
        )


def clock_rule(min_time: float, max_time: float, count: int | None = None) -> ClockRule:
    """The Gauss-Legendre rule between two diffusion times.

    Args:
        min_time, max_time: Ends.
        count: Nodes; None is three a unit of the clock.

    Raises:
        InputError: Times out of order.
    """
    high, low = (float(end) for end in clock(times_on_clock(min_time, max_time, 2)))
    return _rule(low, high, count)


def integrate_on_clock(integrand: Integrand, min_time: float, max_time: float) -> ClockIntegral:
    """Integrate by one Gauss-Legendre rule, and by halves where that rule does not settle.

    The rule's Legendre coefficients fall geometrically for a smooth integrand and hardly where it jumps or bends; from
    those of the highest degrees the error is estimated. While it is above a millionth of the value and above a third of
    the sampling error, the part of the clock with the largest error is cut into two, each with a rule of its own: at
    most 14 times and while that helps. A smooth integrand costs one rule.

    Args:
        integrand: f(t) and the standard error of that value, 0 if it is exact.
        min_time, max_time: Ends, diffusion times.

    Raises:
        InputError: Times out of order.
    """
    high, low = (float(end) for end in clock(times_on_clock(min_time, max_time, 2)))
    panels, missed = [_panel(integrand, low, high)], []
    while True:
        whole = _joined(panels)
        missed.append(whole.quadrature_error)
        settled = missed[-1] <= max(SETTLED * abs(whole.value), SHARE_OF_NOISE * whole.sampling_error)
        stuck = len(missed) > PATIENCE and missed[-1] > 0.7 * missed[-1 - PATIENCE]
        if settled or stuck or len(missed) > MOST_BISECTIONS:
            return whole
        place = int(np.argmax(_missed(panels)))
        low, high = panels[place].low, panels[place].high
        middle = (low + high) / 2
        panels[place : place + 1] = [_panel(integrand, low, middle), _panel(integrand, middle, high)]


def missed_by_rule(low: float, high: float, values: np.ndarray, errors: np.ndarray) -> float:
    """Estimated error of the Gauss-Legendre rule with ``values`` at its nodes between two clocks.

    c_k are the Legendre coefficients that the rule gives, noise_k their standard errors. Of a unit jump c_k is about
    0.8 / sqrt(k) and the rule misses up to 1.6 / n; half the amplitude of the highest coefficients is above that. Where
    they have fallen by more than ten from the middle degrees on, they are extrapolated to the degree 2 n of the rule.
    Coefficients that noise explains count as 0.

    Args:
        low, high: Ends, on the clock.
        values: (n,), of the integrand.
        errors: (n,), their standard errors.
    """
    count = len(values)
    degree, rows = np.arange(count), _to_coefficients(count)
    coefficients, noise = rows @ values, np.sqrt(rows**2 @ errors**2)
    block = max(count // 8, 2)
    last, middle = slice(count - block, count), slice(count // 2 - block // 2, count // 2 - block // 2 + block)
    upper = degree >= count // 2
    if noise.any():
        ratios = (coefficients[upper] / noise[upper]) ** 2
        if chdtrc(len(ratios), ratios.sum()) > FALSE_ALARMS:
            return 0.0
    top = math.sqrt(max(2 * float(np.mean(coefficients[last] ** 2 - noise[last] ** 2)), 0.0))
    before = float(np.abs(coefficients[middle]).max())
    fall = min(1.0, SMALLEST_FALL * top / before) if before else 1.0
    return 0.5 * top * fall**2 * (high - low) / 2


def _rule(low: float, high: float, count: int | None = None) -> ClockRule:
    if count is None:
        count = max(LEAST_NODES, math.ceil(NODES_PER_CLOCK_UNIT * (high - low)))
    points, weights = _gauss(count)
    clocks = torch.from_numpy((high + low) / 2 + (high - low) / 2 * points)
    return ClockRule(low, high, tuple(time_from_clock(clocks).tolist()), (high - low) / 2 * weights)


def _panel(integrand: Integrand, low: float, high: float) -> _Panel:
    rule = _rule(low, high)
    values, errors = (np.array(part) for part in zip(*(integrand(t) for t in rule.times), strict=True))
    return _Panel(low, high, rule.times, rule.weights, values, errors, missed_by_rule(low, high, values, errors))


def _missed(panels: list[_Panel]) -> np.ndarray:
    """What each of the adjacent panels misses, a jump between the nodes of one and of the next included."""
    missed = np.array([panel.missed for panel in panels])
    for k, (left, right) in enumerate(itertools.pairwise(panels)):
        (below, below_error), (above, above_error) = _at_end(left, 1.0), _at_end(right, -1.0)
        jump = max(abs(above - below) - JUMP_REACH * math.hypot(below_error, above_error), 0.0)
        missed[k] += jump * left.weights[-1]
        missed[k + 1] += jump * right.weights[0]
    return missed


def _at_end(panel: _Panel, end: float) -> tuple[float, float]:
    """The interpolating polynomial at one end of the panel, with its standard error."""
    row = end ** np.arange(len(panel.values)) @ _to_coefficients(len(panel.values))
    return float(row @ panel.values), math.sqrt(float(row**2 @ panel.errors**2))


@cache
def _gauss(count: int) -> tuple[np.ndarray, np.ndarray]:
    points, weights = np.polynomial.legendre.leggauss(count)
    return points, weights


@cache
def _to_coefficients(count: int) -> np.ndarray:
    """(count, count): Legendre coefficients from values at the Gauss nodes."""
    points, weights = _gauss(count)
    rows: np.ndarray = np.polynomial.legendre.legvander(points, count - 1).T * weights
    return (np.arange(count)[:, None] + 0.5) * rows


def _joined(panels: list[_Panel]) -> ClockIntegral:
    weights, values, errors = (
        np.concatenate([getattr(panel, name) for panel in panels]) for name in ("weights", "values", "errors")
    )
    return ClockIntegral(
        tuple(t for panel in panels for t in panel.times),
        tuple(weights.tolist()),
        tuple(values.tolist()),
        tuple(errors.tolist()),
        math.fsum(weights * values),
        math.sqrt(math.fsum((weights * errors) ** 2)),
        math.fsum(_missed(panels)),
    )
