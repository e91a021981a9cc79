"""The proven error of a lowered form: from coefficients, lags and spectrum alone. No network and no score is called.

The error is relative, root mean square under p_t: [E|s - s*|^2 / E|s*|^2]^(1/2) with E|s*|^2 = tr C_t^-1. Write A =
C_t, B = alpha^2 operator + sigma^2 for what the network applies, delta = |A - B| |B^-1|, eps = max |r_K| over B's
spectrum.

    |(B^-1 - A^-1) A^1/2|_F = |B^-1 (A - B) A^-1/2|_F <= delta |A^-1/2|_F
    |(s_K - B^-1 v)|:  |r_K(B) B^-1 A^1/2|_F <= eps |B^-1 A^1/2|_F <= eps (1 + delta) |A^-1/2|_F

so the error is at most delta + eps (1 + delta). delta = distance / (low + expm1(t)) and eps both fall with t, so their
values at min_time hold from there on. With a preconditioner r_K has the argument M^-1/2 A M^-1/2, whose spectrum lies
in one interval [a, b] for all t >= min_time (each Rayleigh quotient (p + tau)/(q + tau), tau = expm1(t), moves towards
1, and 1 is inside because the diagonals agree), and the same norm gives eps(b/a). docs/theory.md, section 4.

Round-off is a model here, not a theorem: independent rounding errors of unit size, so that sums of n grow with the root
of n (Higham and Mary, SIAM J. Sci. Comput. 41 (2019) A2815), carried through the iteration by its proven amplification.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..iterations import residual_bound
from . import gates
from .amplification import Amplification, amplification, largest_amplification
from .lag_heads import rounding
from .lowering import Lowered
from .products import Ranges

TAIL_SHARE = 0.02  # of the tolerance, for sequences that leave the range of the products
SLACK = 1.05  # of the ranges, for the error of the entries themselves
MOST_LAYERS = 26  # beyond it the products are exact to float64's round-off


def prove(lowered: Lowered, heads: str, ranges: Ranges | None, dtype: torch.dtype) -> dict[str, float]:
    """The bound by its parts, whose sum holds for every t from min_time to max_time.

    Returns:
        "truncation" or "interpolation" (the operator), "iteration", "product" and "tail" (zero without products by ReLU
        layers), "round-off".
    """
    delta = operator_error(lowered)
    kappa = condition_number(lowered)
    epsilon = 0.0 if lowered.operator is None else float(residual_bound(lowered.builder, kappa, lowered.num_iterations))
    parts = {
        "truncation": 0.0 if lowered.is_interpolated else delta,
        "interpolation": delta if lowered.is_interpolated else 0.0,
        "iteration": epsilon * (1 + delta),
        "product": 0.0,
        "tail": 0.0,
        "round-off": round_off(lowered, heads, ranges, dtype),
    }
    if ranges is not None:
        parts["product"], parts["tail"] = _products(lowered, ranges)
    return parts


def operator_error(lowered: Lowered) -> float:
    """delta at min_time."""
    if lowered.distance == 0:
        return 0.0
    return lowered.distance / (float(lowered.ends[0]) + math.expm1(lowered.min_time))


def condition_number(lowered: Lowered) -> float:
    """Of the interval that the iteration works on, at min_time, where it is largest."""
    low, high = lowered.noised_ends(lowered.min_time)
    return max(1.0, high / low)


def round_off(lowered: Lowered, heads: str, ranges: Ranges | None, dtype: torch.dtype) -> float:
    """The model: each step adds unit round-off times what it adds up, and the tables themselves are rounded."""
    frames, features = lowered.shape
    unit = torch.finfo(dtype).eps / 2
    low, high = _noised(lowered, lowered.min_time)
    layers = 0.0
    if ranges is not None:  # a product by teeth rounds at the size of its range, not of its value
        sawtooth = unit * 4.0 ** (ranges.layers + 2) * _product_error(lowered, ranges, _growth(lowered).last)
        layers = sawtooth / math.sqrt(_least_energy(lowered))
    growth = _growth(lowered)
    if lowered.mean is not None:  # x and its mean cancel, whatever their size
        gate = _gate_bounds(lowered)[gates.RIGHT_SIDE]
        layers += 2 * unit * gate * growth.independent * float(lowered.mean.norm()) / math.sqrt(_least_energy(lowered))
    if lowered.operator is None:
        return 4 * unit * math.sqrt(frames * features) * high / low + layers
    added = _reach_of_a_step(lowered) * (3 + growth.residual) + 4 * (1 + growth.residual)
    steps = unit * math.sqrt(frames + features) * growth.independent * added
    entries = rounding("table" if lowered.basis is not None else heads, lowered.operator)
    noised = math.exp(-lowered.min_time) * lowered.spectrum - math.expm1(-lowered.min_time)
    tables = unit * entries * math.sqrt(frames) * float((1 / noised).square().mean().sqrt())
    return steps * math.sqrt(_weight_spread(lowered)) + tables + layers


def choose_ranges(lowered: Lowered, tolerance: float, share: float, layers: int | None) -> Ranges | None:
    """Ranges of the products, and the fewest layers that keep their part below ``share``; None where no number does.

    Args:
        lowered: The solver.
        tolerance: Of the whole.
        share: Of the products.
        layers: m, or None for the fewest that do.
    """
    for m in range(1, MOST_LAYERS + 1) if layers is None else (layers,):
        ranges = _ranges(lowered, tolerance, m)
        if ranges is not None and (layers is not None or _products(lowered, ranges)[0] <= share):
            return ranges
    return None


def _products(lowered: Lowered, ranges: Ranges) -> tuple[float, float]:
    """The parts "product" and "tail"."""
    energy = _least_energy(lowered)
    entries = lowered.shape[0] * lowered.shape[1]
    probability = _outside(lowered, ranges)
    tail = math.sqrt(2 * math.sqrt(3 * probability) + 2 * ranges.output**2 * entries * probability / energy)
    return _product_error(lowered, ranges, _growth(lowered).last) / math.sqrt(energy), tail


def _product_error(lowered: Lowered, ranges: Ranges, growth: float) -> float:
    """Absolute error, Euclidean, of an iterate: each step is off by sqrt(N d) sum A R 4^-(m+1) at most."""
    entries = lowered.shape[0] * lowered.shape[1]
    each = sum(a * r for a, r in zip(ranges.gates, ranges.values)) * 4.0 ** -(ranges.layers + 1)
    return math.sqrt(entries * _weight_spread(lowered)) * each * growth


def _ranges(lowered: Lowered, tolerance: float, layers: int) -> Ranges | None:
    """Ranges for m layers, or None where the products' errors would use up the slack."""
    spread, bias = _deviations(lowered)
    terms, entries = lowered.terms, lowered.shape[0] * lowered.shape[1]
    wide, largest_gate = 6.0, _gate_bounds(lowered)
    wanted = (TAIL_SHARE * tolerance) ** 2 / 2
    while True:
        values = tuple(bias[n] + SLACK * wide * spread[n] if n != gates.MEAN else bias[n] for n in terms)
        output = SLACK * wide * spread[gates.SOLUTION]
        ranges = Ranges(layers, tuple(largest_gate[n] for n in terms), values, output)
        probability = _outside(lowered, ranges)
        square = math.sqrt(3 * probability) + output**2 * entries * probability / _least_energy(lowered)
        if square <= wanted:
            break
        wide += 0.25
    growth = largest_amplification(lowered.builder, lowered.num_iterations, condition_number(lowered))
    error = _product_error(lowered, ranges, growth)
    reached = {gates.SOLUTION: error, gates.MOMENTUM: 2 * error, gates.PRODUCT: _operator_norm(lowered) * error}
    fits = all(reached[n] <= (SLACK - 1) * wide * spread[n] for n in reached)
    return ranges if fits else None


def _outside(lowered: Lowered, ranges: Ranges) -> float:
    """Union bound over all Gaussian entries of the exact iteration that any entry is beyond its range."""
    entries = lowered.shape[0] * lowered.shape[1]
    gaussian = sum(lowered.num_iterations if n != gates.RIGHT_SIDE else 1 for n in lowered.terms if n != gates.MEAN) + 1
    return entries * gaussian * math.erfc(deviations(lowered, ranges) / math.sqrt(2))


def deviations(lowered: Lowered, ranges: Ranges) -> float:
    """How many standard deviations of an entry the ranges leave beyond its known part."""
    spread, _ = _deviations(lowered)
    return ranges.output / (SLACK * spread[gates.SOLUTION])


def _deviations(lowered: Lowered) -> tuple[dict[str, float], dict[str, float]]:
    """Largest standard deviation of an entry of each slot, over all steps and times, and the largest known part.

    s_k = (1 - r_k) B^-1 v with cov v = A <= (1 + delta) B, so the variance of an entry is at most
    (1 + delta) max (1 - r_k)^2 / lambda; likewise d_k = (r_k - r_{k+1}) B^-1 v and K s_k.
    """
    growth, slack = _growth(lowered), math.sqrt(1 + operator_error(lowered))
    ends = [_noised(lowered, t) for t in (lowered.min_time, lowered.max_time)]
    largest = float(lowered.spectrum.max())
    top = max(math.exp(-t) * largest - math.expm1(-t) for t in (lowered.min_time, lowered.max_time))
    below = min(low for low, _ in ends)
    if lowered.diagonal is not None:
        below = float(lowered.ends[0]) * _least_weight(lowered)
    solution = slack * (1 + growth.residual) / math.sqrt(below)
    mean = 0.0 if lowered.mean is None else float(lowered.mean.abs().max())
    spread = {
        gates.MOMENTUM: slack * 2 * growth.residual / math.sqrt(below),
        gates.RIGHT_SIDE: math.sqrt(top),
        gates.MEAN: 0.0,
        gates.SOLUTION: solution,
        gates.PRODUCT: _operator_norm(lowered) * solution,
    }
    return spread, dict.fromkeys(spread, 0.0) | {gates.RIGHT_SIDE: mean, gates.MEAN: mean}


def _gate_bounds(lowered: Lowered) -> dict[str, float]:
    step = _largest_step(lowered)
    if lowered.diagonal is not None:
        step = step / _least_weight(lowered)
    return {
        gates.MOMENTUM: 1.0,
        gates.RIGHT_SIDE: step,
        gates.MEAN: step * math.exp(-lowered.min_time / 2),
        gates.SOLUTION: -step * math.expm1(-lowered.max_time),
        gates.PRODUCT: step * math.exp(-lowered.min_time),
    }


def _largest_step(lowered: Lowered) -> float:
    """Over all iterations and times; at the ends of the times, because low and high are monotone in t."""
    steps = []
    for t in (lowered.min_time, lowered.max_time):
        low, high = lowered.noised_ends(t)
        known = {
            "gradient-descent": 2 / (low + high),
            "heavy-ball": 4 / (math.sqrt(low) + math.sqrt(high)) ** 2,
            "chebyshev": 4 / (high + 3 * low),
        }
        steps.append(known.get(lowered.builder, 1 / low))
    return max(steps)


def _growth(lowered: Lowered) -> Amplification:
    if lowered.num_iterations == 1:
        return Amplification(1.0, 1.0, 1.0)
    return amplification(lowered.builder, lowered.num_iterations, condition_number(lowered))


def _noised(lowered: Lowered, t: float) -> tuple[float, float]:
    """Ends of the spectrum of B in working coordinates."""
    if lowered.diagonal is None:
        return lowered.noised_ends(t)
    spectrum = math.exp(-t) * lowered.spectrum - math.expm1(-t)
    return float(spectrum.min()), float(spectrum.max())


def _reach_of_a_step(lowered: Lowered) -> float:
    """max of step_k(t) high(t): it depends on t through kappa alone, with which it grows, so min_time has the most."""
    kappa = condition_number(lowered)
    known = {
        "gradient-descent": 2 * kappa / (kappa + 1),
        "heavy-ball": 4 * kappa / (1 + math.sqrt(kappa)) ** 2,
        "chebyshev": 4 * kappa / (kappa + 3),
    }
    return known.get(lowered.builder, kappa)


def _weights(lowered: Lowered) -> Tensor:
    """M at both ends of the times, (2, frames, features): each entry is monotone in between."""
    assert lowered.diagonal is not None
    return torch.stack([math.exp(-t) * lowered.diagonal - math.expm1(-t) for t in (lowered.min_time, lowered.max_time)])


def _least_weight(lowered: Lowered) -> float:
    return float(_weights(lowered).min())


def _weight_spread(lowered: Lowered) -> float:
    """Largest condition number of M: how far the norm of the preconditioned iteration can be from the Euclidean."""
    if lowered.diagonal is None or lowered.operator is None:
        return 1.0
    return float(_weights(lowered).max() / _weights(lowered).min())


def _operator_norm(lowered: Lowered) -> float:
    if lowered.diagonal is None:
        return float(lowered.ends.abs().max())
    return float(lowered.spectrum.abs().max())


def _least_energy(lowered: Lowered) -> float:
    """min over t of tr C_t^-1, from below: each eigenvalue is monotone in t."""
    ends = [math.exp(-t) * lowered.spectrum - math.expm1(-t) for t in (lowered.min_time, lowered.max_time)]
    return float((1 / torch.maximum(*ends)).sum())


def exact_condition(lowered: Lowered, t: float) -> float:
    """kappa_t of the exact marginal."""
    noised = math.exp(-t) * lowered.spectrum - math.expm1(-t)
    return float(noised.max() / noised.min())
