"""Integrals over the clock against scipy's adaptive quadrature, and what the rule says that it misses."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate

from kronoscope import diffusion

LOW, HIGH = 0.01, 6.0


def clock(t):
    return math.log(math.expm1(t))


def smooth(t):
    """1/2 sigma^2 E|s - s*|^2 of two diagonal laws: what ``score_kl`` integrates."""
    shrink, noise = math.exp(-t), -math.expm1(-t)
    pairs = [(3.0, 1.0), (1.0, 1.3), (0.1, 0.02)]
    gaps = [(1 / (shrink * a + noise) - 1 / (shrink * b + noise)) ** 2 * (shrink * a + noise) for a, b in pairs]
    return 0.5 * noise * sum(gaps)


def exact(f, low, high, breaks=()):
    ends = [clock(t) for t in (low, *breaks, high)]
    parts = itertools.pairwise(ends)
    options = {"epsabs": 0, "epsrel": 1e-12, "limit": 500}
    return sum(scipy.integrate.quad(lambda u: f(math.log1p(math.exp(u))), a, b, **options)[0] for a, b in parts)


@pytest.mark.parametrize(("low", "high"), [(1e-2, 6.0), (1e-4, 8.0), (0.5, 0.6), (1e-2, 20.0)])
def test_a_smooth_integrand_takes_one_rule_and_its_error_is_tiny(low, high):
    got = diffusion.integrate_on_clock(lambda t: (smooth(t), 0.0), low, high)
    assert got.times == diffusion.clock_rule(low, high).times
    assert got.value == pytest.approx(exact(smooth, low, high), rel=1e-10)
    assert got.quadrature_error < 1e-6 * got.value


@pytest.mark.parametrize("shape", ["jump", "kink"])
def test_the_error_covers_jumps_and_kinks_wherever_they_are(shape):
    """50 places; the rule, refined there or not, misses less than it says."""
    rng = np.random.default_rng(0)
    for place in np.exp(rng.uniform(math.log(1.05 * LOW), math.log(0.98 * HIGH), 50)):
        parts = {"jump": lambda t, a=place: float(t < a), "kink": lambda t, a=place: abs(math.log(t / a))}

        def f(t, part=parts[shape]):
            return smooth(t) + part(t)

        got = diffusion.integrate_on_clock(lambda t, f=f: (f(t), 0.0), LOW, HIGH)
        want = exact(f, LOW, HIGH, [place])
        assert abs(got.value - want) <= got.quadrature_error + 1e-6 * want
        assert got.quadrature_error < 0.02 * want
        assert sum(got.weights) == pytest.approx(clock(HIGH) - clock(LOW), rel=1e-12)
        assert list(got.times) == sorted(got.times)


def test_one_rule_alone_says_what_it_misses_of_a_jump():
    rule = diffusion.clock_rule(LOW, HIGH)
    times, weights = rule.times, rule.weights
    for place in np.geomspace(0.012, 5.5, 200):
        values = np.array([float(t < place) for t in times])
        missed = diffusion.missed_by_rule(clock(LOW), clock(HIGH), values, np.zeros_like(values))
        assert abs(float(weights @ values) - (clock(place) - clock(LOW))) <= missed


@pytest.mark.parametrize("jump", [0.0, 0.5])
def test_errors_cover_noisy_integrands(jump):
    """200 integrals with noise of 3 %: z has unit variance (chi-square window of 1e-4), and smooth ones cost one rule.

    A jump that the noise hides biases each by less than its error; 98 % lie within three of them.
    """

    def f(t):
        return smooth(t) + jump * (t < 0.5)

    want, z, calls = exact(f, LOW, HIGH, [0.5]), [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        got = diffusion.integrate_on_clock(
            lambda t, rng=rng: (f(t) * (1 + 0.03 * rng.standard_normal()), 0.03 * f(t)), LOW, HIGH
        )
        z.append((got.value - want) / math.hypot(got.sampling_error, got.quadrature_error))
        calls.append(len(got.times))
    assert np.mean(np.abs(z) < 3) >= 0.98
    if not jump:
        assert 0.64 < np.mean(np.square(z)) < 1.44
        assert np.mean(np.array(calls) == min(calls)) > 0.94


def test_an_integrand_rough_everywhere_is_given_up_with_its_error():
    got = diffusion.integrate_on_clock(lambda t: (1 + math.sin(1e7 * t), 0.0), LOW, HIGH)
    want = clock(HIGH) - clock(LOW)
    assert abs(got.value - want) < got.quadrature_error
    assert len(got.times) < 150
