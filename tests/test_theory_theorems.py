"""Theorems 1 and 2 of Fu et al. (2025), and total variation, against closed forms and networks."""

import math

import numpy as np
import pytest
import torch
from benchmarks.theory import CASES, MIN_TIME, TOLERANCE, paper_process
from scipy.stats import norm

from kronoscope import compile_score, metrics, theory
from kronoscope.estimators import score_kl_floor
from kronoscope.kernels import PowerExponential
from kronoscope.processes import DenseGaussian, GaussianSequence
from kronoscope.theory.approximation import frobenius, relative_tolerance

SPATIAL = torch.tensor([[1.5, 0.6], [0.6, 0.5]], dtype=torch.float64)


@pytest.mark.parametrize(("nu", "ell"), CASES)
def test_a_compiled_network_meets_theorem_1(nu, ell):
    process = paper_process(nu, ell, frames=12)
    result = theory.theorem1(process, TOLERANCE, MIN_TIME, gates="modulated")
    assert result.applies
    assert result.compiled.kind == "exact"
    assert result.error.measured == result.compiled.error <= TOLERANCE == result.error.value
    relu = theory.theorem1(process, TOLERANCE, MIN_TIME).compiled
    assert relu.kind == "monte carlo"
    assert relu.error + 4 * relu.standard_error <= TOLERANCE
    assert result.width.value == 2 + 2


def test_the_measured_error_of_theorem_1_is_that_of_the_networks_matrix():
    process = GaussianSequence(PowerExponential(2.0), SPATIAL, times=6)
    result = theory.theorem1(process, 0.05, 0.2, 3.0, gates="modulated")
    compiled = compile_score(
        process, "gradient-descent", relative_tolerance(process, 0.05, 3.0), 0.2, heads="trapezoid", max_time=3.0
    )
    errors = []
    for t in [at.time for at in compiled.certificate.measured]:
        basis = torch.eye(12, dtype=torch.float64).reshape(12, 6, 2)
        matrix = compiled.score(basis, t).reshape(12, 12).T.numpy()
        marginal = math.exp(-t) * process.covariance().numpy() + (1 - math.exp(-t)) * np.eye(12)
        gap = matrix + np.linalg.inv(marginal)
        errors.append((1 - math.exp(-t)) * np.trace(gap @ marginal @ gap.T))
    assert result.compiled.error == pytest.approx(max(errors), rel=1e-6)
    assert result.compiled.depth == compiled.certificate.depth
    weights = [p.detach() for p in compiled.network.parameters()]
    largest = max(float(p.norm()) for p in weights if p.ndim == 2)
    heads = max(float(head.norm()) for p in weights if p.ndim == 3 for head in p)
    assert frobenius(compiled.network) == pytest.approx(max(largest, heads), rel=1e-12)


def test_the_sizes_of_theorem_1_are_the_formulas():
    process = GaussianSequence(PowerExponential(3.0, 2.0), SPATIAL, times=10)
    epsilon, t = 0.03, 0.4
    result = theory.theorem1(process, epsilon, t, measure=False)
    sigma = math.sqrt(1 - math.exp(-t))
    spectrum = np.linalg.eigvalsh(math.exp(-t) * process.covariance().numpy()) + sigma**2
    kappa = spectrum[-1] / spectrum[0]
    logarithm = math.log(20 / (epsilon * sigma))
    assert result.condition_number == pytest.approx(kappa, rel=1e-10)
    assert result.width.value == 2 + 1
    assert result.depth.value == pytest.approx(kappa * logarithm**2, rel=1e-10)
    reach = 9.0 * math.log(20 * np.linalg.norm(SPATIAL.numpy()) / (epsilon * sigma))
    assert result.heads.value == pytest.approx(math.sqrt(reach), rel=1e-9)
    assert result.weight_norm.value == pytest.approx(logarithm / sigma**2 * 20 * (9.0**2 + 1.5), rel=1e-10)
    assert result.output_range.value == pytest.approx(logarithm * math.sqrt(20) / sigma, rel=1e-10)
    assert not result.applies
    assert set(result.conditions) == {"dominance", "truncation", "gap"}
    assert "are not bounds here" in str(result)


def test_a_network_that_is_too_deep_is_left_out_with_the_reason():
    process = GaussianSequence(PowerExponential(16.0, 2.0), SPATIAL, times=32)
    result = theory.theorem1(process, 0.01, 1e-3)
    assert result.compiled is None
    assert result.depth.measured is None
    assert "max_depth" in result.not_compiled
    assert result.not_compiled in str(result)


# Theorem 2.


def test_the_factors_of_theorem_2_are_those_worked_out_by_hand():
    """nu = 2, ell = 1, Sigma = I, N = 128, d = 8, n = 1e5, t0 = 1/n: 4.8 times a logarithmic factor of 1.35e4."""
    process = GaussianSequence(PowerExponential(1.0, 2.0), torch.eye(8, dtype=torch.float64), times=128)
    result = theory.theorem2(process, 100_000, 1e-5, measure=False)
    factors = {name: factor.value for name, factor in result.factors.items()}
    assert factors["logarithm"] == pytest.approx(1.35e4, rel=5e-3)
    assert result.tv.value / factors["logarithm"] == pytest.approx(4.8, rel=1e-2)
    assert result.tv.value == pytest.approx(math.prod(factors.values()), rel=1e-12)
    assert result.explicit == ("lengthscale", "conditioning", "sizes", "logarithm")
    assert result.floor.pinsker == pytest.approx(0.020, rel=0.02)  # sqrt(p / (4 n)) with p = 163
    assert result.floor.local == pytest.approx(result.floor.pinsker * math.sqrt(2 / math.pi), rel=1e-12)
    assert [name for name, c in result.all_conditions.items() if not c.met] == ["norm"]


def test_the_exponents_of_theorem_2():
    n, t, nu, ell = 3000, 0.01, 1.5, 0.4
    process = GaussianSequence(PowerExponential(ell ** (1 / nu), nu), SPATIAL, times=9)
    result = theory.theorem2(process, n, t, measure=False)
    kappa = process.condition_number(t)
    power = (5 * nu + 1) / (2 * nu)
    rate = math.sqrt(ell ** (1 / nu) * kappa**2 * 9 * 2**3 / n)
    assert result.tv.value == pytest.approx(rate * math.log(kappa * n * 2 * 9 / t) ** power, rel=1e-9)
    assert result.w2.value == pytest.approx(ell * math.sqrt(t * 18), rel=1e-9)
    assert result.max_time == math.log(n)
    assert result.floor.kl == score_kl_floor(process, "stationary-separable", n, t, math.log(n))


def test_the_distance_between_data_and_noised_data_is_exact():
    mean = torch.arange(12.0, dtype=torch.float64).reshape(6, 2)
    process = GaussianSequence(PowerExponential(2.0), SPATIAL, times=6, mean=mean)
    t = 0.3
    noised = math.exp(-t) * process.covariance() + (1 - math.exp(-t)) * torch.eye(12, dtype=torch.float64)
    law = DenseGaussian(noised, 2, mean=math.exp(-t / 2) * mean)
    result = theory.theorem2(process, 100, t, measure=False)
    assert result.w2.measured == pytest.approx(metrics.bures_wasserstein(process, law), rel=1e-9)


def test_the_constant_of_theorem_2_covers_spectrum_and_mean():
    process = GaussianSequence(PowerExponential(0.5), SPATIAL, times=6)
    values = np.linalg.eigvalsh(SPATIAL.numpy())
    result = theory.theorem2(process, 100, 0.1, measure=False)
    assert result.constant == pytest.approx(max(values[-1], 1 / values[0]), rel=1e-10)
    tight = theory.theorem2(process, 100, 0.1, constant=2.0, measure=False).conditions["spectrum"]
    assert tight.status == "violated"
    assert tight.value == pytest.approx(result.constant, rel=1e-12)
    far = GaussianSequence(PowerExponential(0.5), SPATIAL, times=6, mean=torch.full((6, 2), -50.0))
    assert theory.theorem2(far, 100, 0.1, measure=False).constant == 50.0
    singular = GaussianSequence(PowerExponential(0.5), torch.ones(2, 2), times=6)
    assert theory.theorem2(singular, 100, 0.1, measure=False).conditions["spectrum"].status == "violated"


def test_one_estimator_lies_near_the_information_floor():
    """2 n KL of one fit is about chi-square with 2 n floor degrees of freedom: below a tenth or above four times it in
    fewer than 1e-4 of all draws."""
    process = paper_process(1.0, 0.4, frames=16)
    result = theory.theorem2(process, 2000, 0.05)
    expected = 2 * 2000 * result.floor.kl
    assert 8 < expected < 19
    assert 0.1 * expected < 2 * 2000 * result.estimator.kl < 4 * expected
    fit = result.estimator
    assert abs(fit.value - fit.local) < 0.15 * fit.local + 4 * fit.standard_error
    assert fit.value < fit.pinsker
    assert result.tv.measured == fit.value


def test_a_singular_information_gives_the_limit_p_over_2n():
    process = GaussianSequence(PowerExponential(8.0, 2.0), SPATIAL, times=20)
    floor = theory.theorem2(process, 500, 0.01, measure=False).floor
    assert floor.kl == pytest.approx((20 + 3 - 1) / 1000, rel=1e-12)
    assert "upper limit" in floor.how


def test_large_samples_are_not_measured_and_say_so():
    process = paper_process(1.0, 0.4)
    result = theory.theorem2(process, 10**7, 1e-4)
    assert result.estimator is None
    assert "4194304" in str(result)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda p: theory.theorem1(p, 0.0, 0.1), "tolerance must be greater than 0 and less than 1"),
        (lambda p: theory.theorem1(p, 0.1, 7.0), "min_time must be less than max_time"),
        (lambda p: theory.theorem1(p, 0.1, 0.1, gates="soft"), "gates must be 'relu' or 'modulated'"),
        (lambda p: theory.theorem2(p, 1, 0.1), "n must be at least 2"),
        (lambda p: theory.theorem2(p, 100, 5.0), "min_time must be less than log n"),
        (lambda p: theory.theorem2(p, 100, 0.1, constant=0.0), "constant must be greater than 0"),
    ],
)
def test_bad_input_is_refused_by_name(call, says):
    with pytest.raises(ValueError, match=says):
        call(paper_process(1.0, 0.4))


# Total variation.


def one_dimensional(variance, mean):
    matrix, shift = (torch.tensor([[value]], dtype=torch.float64) for value in (variance, mean))
    return DenseGaussian(matrix, 1, mean=shift)


@pytest.mark.parametrize(
    ("variance", "mean", "t"), [(1.0, 0.3, 0.0), (1.0, 2.0, 0.4), (1.7, 0.0, 0.0), (0.6, 0.0, 0.2)]
)
def test_total_variation_in_one_dimension_is_the_closed_form(variance, mean, t):
    scale, noise = math.exp(-t), 1 - math.exp(-t)
    after, shift = scale * variance + noise, math.sqrt(scale) * mean
    if mean:  # equal variances: the densities cross once, half way
        expected = 2 * norm.cdf(shift / 2) - 1
    else:  # equal means: they cross at +- x
        x = math.sqrt(math.log(after) * after / (after - 1))
        expected = abs(2 * (norm.cdf(x) - norm.cdf(x / math.sqrt(after))))
    result = metrics.total_variation(one_dimensional(1.0, 0.0), one_dimensional(variance, mean), t, 100_000)
    assert abs(result.value - expected) < 4 * result.standard_error
    assert result.standard_error < 2e-3
    assert expected <= result.pinsker
    assert result.kl == pytest.approx(0.5 * ((1 + shift**2) / after - 1 + math.log(after)), rel=1e-10)


def test_the_local_formula_is_that_of_nearby_laws_in_many_dimensions():
    process = GaussianSequence(PowerExponential(2.0), SPATIAL, times=24)
    near = GaussianSequence(PowerExponential(2.04), SPATIAL, times=24)
    result = metrics.total_variation(process, near, 0.01, 40_000)
    assert result.value == pytest.approx(result.local, rel=0.05)
    assert result.local == pytest.approx(math.sqrt(result.kl / math.pi), rel=1e-12)


def test_the_standard_error_is_the_spread_of_repeated_estimates():
    """The standard deviation of 200 estimates is known within 5 %: four of its own standard errors are 20 %."""
    laws = one_dimensional(1.0, 0.0), one_dimensional(1.7, 0.3)
    results = [metrics.total_variation(*laws, 0.1, 200, torch.Generator().manual_seed(seed)) for seed in range(200)]
    spread = float(np.std([result.value for result in results], ddof=1))
    assert np.mean([result.standard_error for result in results]) == pytest.approx(spread, rel=0.2)


def test_total_variation_has_its_ends():
    same = metrics.total_variation(one_dimensional(1.0, 0.0), one_dimensional(1.0, 0.0))
    assert same.value == same.standard_error == 0
    far = metrics.total_variation(one_dimensional(1.0, 0.0), one_dimensional(1.0, 60.0))
    assert far.value == pytest.approx(1.0, abs=1e-12)
    again = metrics.total_variation(one_dimensional(1.0, 0.0), one_dimensional(1.0, 1.0))
    assert again == metrics.total_variation(one_dimensional(1.0, 0.0), one_dimensional(1.0, 1.0))
    with pytest.raises(ValueError, match="num_samples must be at least 4"):
        metrics.total_variation(one_dimensional(1.0, 0.0), one_dimensional(1.0, 1.0), num_samples=1)
