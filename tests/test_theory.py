"""Assumption 1, Lemma 1 and Corollary 1 of Fu et al. (2025) against dense linear algebra and mpmath."""

import math

import mpmath
import numpy as np
import pytest
import torch
from benchmarks.theory import ROUND_OFF, lemma1_cases

from kronoscope import theory
from kronoscope.kernels import CircularPowerExponential, Matern, Periodic, PowerExponential, White
from kronoscope.processes import BlockToeplitzSequence, DenseGaussian, GaussianSequence, SeparableGaussian
from kronoscope.theory.eigenvalues import below_smallest, compare_smallest, durbin, power_lags

SPATIAL = torch.tensor([[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]], dtype=torch.float64)


def on_circle(lengthscale=0.5, exponent=1.0, frames=10, period=20.0, spatial=SPATIAL):
    return GaussianSequence(CircularPowerExponential(lengthscale, exponent, period), spatial, times=frames)


def statuses(result):
    return {name: condition.status for name, condition in result.conditions.items()}


@pytest.mark.parametrize(("exponent", "lengthscale"), [(1.0, 0.5), (1.5, 3.0), (2.0, 0.7)])
def test_the_circle_meets_assumption_1(exponent, lengthscale):
    result = theory.assumption1(on_circle(lengthscale, exponent))
    assert set(statuses(result).values()) == {"met"}
    assert result.applies
    radius = 20 / (2 * math.pi)
    chords = [2 * radius * math.sin(math.pi * k / 20) for k in range(1, 10)]
    np.testing.assert_allclose(result.distances, chords, rtol=1e-12)
    assert result.exponent == exponent
    assert result.ell == pytest.approx(lengthscale**exponent, rel=1e-10)
    assert result.radius == pytest.approx(radius, rel=1e-12)
    assert result.slope == pytest.approx(min(f / k for k, f in enumerate(chords, start=1)), rel=1e-12)
    assert result.dimension == 2


def test_the_line_has_no_constant_norm_and_says_which_functions_do():
    process = GaussianSequence(PowerExponential(3.0, 1.5), SPATIAL, times=torch.arange(8.0) * 0.5)
    result = theory.assumption1(process)
    assert {name for name, status in statuses(result).items() if status == "violated"} == {"norm"}
    assert result.distance_function == "k"
    assert result.ell == pytest.approx(6.0**1.5, rel=1e-12)  # in frames, which are half a unit of time apart
    assert "meets a sphere at most twice" in result.conditions["norm"].note
    assert "sin(pi k / C)" in result.conditions["norm"].note


@pytest.mark.parametrize("exponent", [0.8, 1.0, 1.7])
def test_the_sphere_carries_every_powered_exponential_below_2(exponent):
    points = theory.sphere(9, exponent / 2)
    gaps = np.linalg.norm(points[:, None].numpy() - points[None].numpy(), axis=-1)
    lag = np.abs(np.subtract.outer(np.arange(9), np.arange(9)))
    np.testing.assert_allclose(gaps, lag ** (exponent / 2), atol=1e-12)
    np.testing.assert_allclose(points.norm(dim=1), float(points[0].norm()), rtol=1e-12)
    result = theory.assumption1(GaussianSequence(PowerExponential(3.0, exponent), SPATIAL, times=9), points)
    assert result.applies
    assert result.exponent == pytest.approx(2.0, abs=1e-9)
    assert result.ell == pytest.approx(3.0**exponent, rel=1e-9)
    assert result.slope == pytest.approx(8 ** (exponent / 2 - 1), rel=1e-9)


def bent(points):
    """The first point moved off the circle."""
    moved = points.clone()
    moved[0] *= 1.001
    return moved


@pytest.mark.parametrize(
    ("process", "embedding", "violated"),
    [
        (on_circle(exponent=1.5), bent(theory.circle(10, 20.0)), {"norm", "distance", "kernel"}),
        (on_circle(period=12.0), None, {"increasing"}),  # chords shrink beyond half the period
        (on_circle(period=9.0), None, {"increasing", "growth"}),  # the last frame is the first again
        (on_circle(exponent=0.7), None, {"exponent"}),
        (GaussianSequence(Matern(3.0, 1.5), SPATIAL, times=10), None, {"norm", "kernel"}),
        (GaussianSequence(PowerExponential(3.0), SPATIAL, times=[0.0, 1.0, 3.0]), None, {"norm", "distance"}),
    ],
)
def test_each_condition_is_named_where_it_fails(process, embedding, violated):
    result = theory.assumption1(process, embedding)
    assert {name for name, status in statuses(result).items() if status == "violated"} == violated
    assert not result.applies
    assert all(name in result.verdict for name in violated)


def test_a_constant_factor_of_gamma_counts_to_sigma():
    scaled = GaussianSequence(4.0 * CircularPowerExponential(0.5, 1.0, 20.0), SPATIAL / 4, times=10)
    plain = on_circle()
    assert theory.assumption1(scaled).ell == pytest.approx(theory.assumption1(plain).ell, rel=1e-12)
    first, second = theory.lemma1(scaled, 0.2, 3, 5), theory.lemma1(plain, 0.2, 3, 5)
    assert first.bound == pytest.approx(second.bound, rel=1e-12)
    assert first.measured == pytest.approx(second.measured, rel=1e-12)


def test_periodic_is_the_circle_with_exponent_2():
    result = theory.assumption1(GaussianSequence(Periodic(0.8, 40.0), SPATIAL, times=10))
    assert result.applies
    assert result.exponent == 2.0
    assert result.ell == pytest.approx(2 * 0.8**2 * result.radius**2, rel=1e-9)


# Smallest eigenvalues in more digits.


def exact_smallest(lags):
    size = len(lags)
    with mpmath.workdps(80):
        matrix = mpmath.matrix(size, size)
        for i in range(size):
            for j in range(size):
                matrix[i, j] = lags[abs(i - j)]
        return min(mpmath.eigsy(matrix, eigvals_only=True))


def squared_exponential(scale):
    return power_lags(lambda k: mpmath.mpf(k) / mpmath.mpf(scale), 2.0)


def test_an_eigenvalue_below_round_off_is_resolved_in_more_digits():
    scale, size = 12.0, 10
    exact = squared_exponential(scale)
    with mpmath.workdps(80):
        smallest = exact_smallest(exact(size))
        assert 0 < smallest < 1e-14
        below, above = float(smallest * mpmath.mpf("0.999")), float(smallest * mpmath.mpf("1.001"))
    gamma = PowerExponential(scale, 2.0).covariance(torch.arange(float(size)))
    assert compare_smallest(gamma, below).status == "unresolved in float64"
    assert compare_smallest(gamma, below, exact).status == "met"
    assert compare_smallest(gamma, above, exact).status == "violated"
    value = compare_smallest(gamma, 0.01, exact, refine=True)
    assert value.status == "violated"
    assert value.value <= float(smallest) <= size * value.value
    assert "digits" in value.how


def test_the_durbin_recursion_gives_the_last_pivot():
    exact = squared_exponential(1.3)
    gamma = PowerExponential(1.3, 2.0).covariance(torch.arange(7.0)).numpy()
    with mpmath.workdps(50):
        error, coefficients = durbin(exact(7))
        below = below_smallest(exact(7))
    assert float(below) == pytest.approx(1 / np.trace(np.linalg.inv(gamma)), rel=1e-9)
    assert float(error) == pytest.approx(np.linalg.cholesky(gamma)[-1, -1] ** 2, rel=1e-10)
    expected = np.linalg.solve(gamma[:-1, :-1], gamma[-1, :-1])[::-1]
    np.testing.assert_allclose([float(a) for a in coefficients], expected, rtol=1e-9)


def test_a_truncation_at_the_edge_is_decided():
    """The cut of a squared exponential is indefinite by less than round-off can show, or by more: both are named."""
    process = GaussianSequence(PowerExponential(8.0, 2.0), torch.eye(1), times=48)
    for lags in (6, 20, 44, 47):
        condition = theory.lemma1(process, 0.1, lags, 3).conditions["truncation"]
        with mpmath.workdps(200):
            row = squared_exponential(8.0)(48)
            cut = [value if k < lags else mpmath.mpf(0) for k, value in enumerate(row)]
            assert condition.status == ("met" if durbin(cut)[0] > 0 else "violated")


# Lemma 1.


def gradient_descent_errors(process, t, num_lags, num_iterations):
    """The operator norm of the error map by running the steps on every unit vector."""
    gamma, sigma = process.temporal_covariance.numpy(), process.spatial_covariance.numpy()
    lag = np.abs(np.subtract.outer(np.arange(len(gamma)), np.arange(len(gamma))))
    cut = np.where(lag < num_lags, gamma, 0.0)
    scale, noise = math.exp(-t), 1 - math.exp(-t)
    full, kept = (scale * np.kron(g, sigma) + noise * np.eye(gamma.shape[0] * len(sigma)) for g in (gamma, cut))
    ends = np.linalg.eigvalsh(kept)
    step, solution = 2 / (ends[0] + ends[-1]), np.zeros_like(full)
    for _ in range(num_iterations):
        solution -= step * (kept @ solution + np.eye(len(full)))
    return np.linalg.norm(solution + np.linalg.inv(full), 2), ends


@pytest.mark.parametrize(("t", "num_lags", "num_iterations"), [(0.1, 3, 1), (0.5, 2, 7), (0.02, 10, 40), (1.0, 1, 3)])
def test_lemma_1_against_dense_gradient_descent(t, num_lags, num_iterations):
    process = on_circle(0.9, 1.3)
    result = theory.lemma1(process, t, num_lags, num_iterations)
    measured, ends = gradient_descent_errors(process, t, num_lags, num_iterations)
    assert result.measured == pytest.approx(measured, rel=1e-9)
    assert result.condition_number == pytest.approx(ends[-1] / ends[0], rel=1e-10)
    noise, gamma = 1 - math.exp(-t), process.temporal_covariance.numpy()
    lag = np.abs(np.subtract.outer(np.arange(10), np.arange(10)))
    rate = (ends[-1] - ends[0]) / (ends[-1] + ends[0])
    assert result.optimisation_error == pytest.approx(rate**num_iterations / noise, rel=1e-9)
    dropped = math.sqrt((gamma[lag >= num_lags] ** 2).sum())
    assert result.truncation_error == pytest.approx(np.linalg.norm(SPATIAL.numpy()) * dropped / noise**2, rel=1e-12)
    assert result.measured <= result.sharper <= result.bound == result.optimisation_error + result.truncation_error


def test_lemma_1_on_100_random_processes():
    cases = lemma1_cases(100, frames=24, features=3)
    assert max(case.measured / case.bound for case, _ in cases) <= 1 + ROUND_OFF
    assert max(case.measured / case.sharper for case, _ in cases) <= 1 + ROUND_OFF
    assert sum(case.truncation_error > case.optimisation_error for case, _ in cases) > 10
    assert max(case.measured / case.bound for case, _ in cases) > 0.95  # the first part of the bound is attained


def test_lemma_1_has_no_bound_where_the_truncation_is_indefinite():
    process = GaussianSequence(PowerExponential(8.0, 1.0), SPATIAL, times=16)
    milder = theory.lemma1(process, 2.0, 6, 10)  # the noise keeps gradient descent stable
    assert milder.bound is None
    assert not milder.applies
    assert milder.conditions["truncation"].value < 0
    assert milder.measured == pytest.approx(gradient_descent_errors(process, 2.0, 6, 10)[0], rel=1e-9)
    assert milder.measured <= milder.sharper
    diverges = theory.lemma1(process, 0.01, 6, 10)
    assert diverges.bound is diverges.sharper is diverges.measured is None
    assert "diverges" in str(diverges)


# Corollary 1.


@pytest.mark.parametrize(("exponent", "lengthscale"), [(1.0, 0.4), (1.0, 0.6), (2.0, 0.5)])
def test_corollary_1_keeps_its_error(exponent, lengthscale):
    process, t, epsilon = on_circle(lengthscale, exponent, frames=24, period=48.0), 0.05, 0.02
    result = theory.corollary1(process, t, epsilon)
    assert result.applies
    noise = 1 - math.exp(-t)
    assert result.bound.value == pytest.approx(2 * epsilon / noise, rel=1e-12)
    allowed = epsilon / noise
    parts = {j: theory.lemma1(process, t, j, 1).truncation_error for j in range(1, 25)}
    assert result.fewest_lags == min(j for j, part in parts.items() if part <= allowed)
    assert parts[int(result.sufficient_lags.value)] <= allowed  # what the decay implies is enough
    count = result.at_fewest.num_iterations
    assert result.at_fewest.epsilon <= epsilon < theory.lemma1(process, t, result.fewest_lags, count - 1).epsilon
    assert result.at_fewest.measured <= result.at_fewest.bound <= result.bound.value
    ell = lengthscale**exponent
    expected = (ell * math.log(24 / (epsilon * math.sqrt(noise)))) ** (1 / exponent)
    assert result.num_lags.value == pytest.approx(expected, rel=1e-9)
    assert (result.num_lags.kind, result.sufficient_lags.kind) == ("up to a constant", "explicit")


def test_conditions_of_the_corollary_fail_one_by_one():
    wide = theory.corollary1(on_circle(0.9, 1.0), 0.1, 0.01)
    assert wide.conditions["dominance"].status == "violated"  # ell = 0.9 is above c = 0.70
    assert wide.conditions["dominance"].value == pytest.approx(0.9, rel=1e-9)
    smooth = theory.corollary1(on_circle(0.6**0.5, 2.0), 0.1, 0.01)
    assert smooth.conditions["dominance"].status == "violated"  # ell = 0.6 is below c = 0.64, above c^2 = 0.41
    coarse = theory.corollary1(on_circle(0.5, 1.0), 0.1, 0.9)
    smallest = float(np.linalg.eigvalsh(on_circle(0.5, 1.0).temporal_covariance.numpy())[0])
    assert coarse.conditions["gap"].value == pytest.approx(smallest, rel=1e-9)
    assert coarse.conditions["gap"].status == "violated"
    edge = theory.corollary1(on_circle(0.69, 1.0, 40, 80.0), 0.1, 0.01).conditions["dominance"]
    assert edge.status == "violated"
    assert "add up to" not in edge.note


def test_the_stated_dominance_does_not_prove_definiteness_near_nu_1():
    """On a line with ell = c = 1 the correlations off the diagonal add up to 2 (e^-1 + e^-2 + ...) = 1.164."""
    condition = theory.corollary1(GaussianSequence(PowerExponential(1.0), torch.eye(1), 64), 0.1, 0.01).conditions
    assert condition["dominance"].met
    assert "1.164" in condition["dominance"].note


def test_smooth_kernels_are_compared_in_more_digits():
    process = GaussianSequence(PowerExponential(8.0, 2.0), torch.eye(1), times=32)
    gap = theory.corollary1(process, 0.1, 1e-5).conditions["gap"]
    assert gap.status == "violated"
    with mpmath.workdps(200):
        smallest = exact_smallest_of(squared_exponential(8.0), 32)
    assert gap.value <= float(smallest) <= 32 * gap.value
    assert "digits" in gap.how


def exact_smallest_of(exact, size):
    """By inverse iteration on the dense matrix in 200 digits."""
    lags = exact(size)
    matrix = mpmath.matrix([[lags[abs(i - j)] for j in range(size)] for i in range(size)])
    vector = mpmath.matrix([(-1) ** i * mpmath.binomial(size - 1, i) for i in range(size)])
    for _ in range(2):
        vector = mpmath.lu_solve(matrix, vector / mpmath.norm(vector))
    return mpmath.norm(vector) ** -1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: theory.lemma1(on_circle(), 0.0, 3, 3), "t must be greater than 0"),
        (lambda: theory.lemma1(on_circle(), 0.1, 0, 3), "num_lags must be at least 1"),
        (lambda: theory.lemma1(on_circle(), 0.1, 3, 0), "num_iterations must be at least 1"),
        (lambda: theory.corollary1(on_circle(), 0.1, 1.0), "tolerance must be greater than 0 and less than 1"),
        (lambda: theory.assumption1(on_circle(), torch.zeros(3, 2)), r"embedding must have shape \(10, d_e\)"),
        (lambda: theory.assumption1(on_circle(), torch.ones(10, 2)), "two different rows"),
        (lambda: theory.assumption1(GaussianSequence(White(), SPATIAL, times=1)), "at least 2 frames"),
        (lambda: theory.corollary1(GaussianSequence(White(), SPATIAL, times=8), 0.1, 0.1), "correlations between"),
        (lambda: theory.lemma1(DenseGaussian(torch.eye(6), 2), 0.1, 3, 3), "separable covariance"),
        (lambda: theory.assumption1(BlockToeplitzSequence(torch.eye(2)[None].repeat(3, 1, 1) * 0.1)), "separable"),
        (lambda: theory.sphere(5, 1.0), "power must be greater than 0 and less than 1"),
        (lambda: theory.circle(5, 0.0), "period must be greater than 0"),
    ],
)
def test_bad_input_is_refused_in_one_line(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_a_law_by_its_matrices_will_do():
    process = on_circle()
    law = SeparableGaussian(process.temporal_covariance, process.spatial_covariance)
    result = theory.assumption1(law, theory.circle(10, 20.0))
    assert result.applies
    assert result.ell == pytest.approx(0.5, rel=1e-9)
    assert theory.lemma1(law, 0.1, 3, 4).bound == theory.lemma1(process, 0.1, 3, 4).bound


def test_records_show_themselves():
    result = theory.corollary1(on_circle(), 0.1, 0.05)
    assert len(repr(result)) <= 400
    assert "applies" in repr(result)
    for shown in (str(result), result._repr_html_()):
        assert "up to a constant" in shown
        assert "|x - alpha mu|" in shown
    assert "<script" not in result._repr_html_()
    assert "ell &lt;= c^nu" in result._repr_html_()
