"""The parts of the compiler's bound against brute force: dense matrices, grids of times, tables of coefficients."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from compiler_cases import PROCESSES, mean, separable
from scipy import stats

import kronoscope as ks
from kronoscope.compiler import amplification as amplification_module
from kronoscope.compiler import bounds, gates
from kronoscope.compiler.amplification import amplification, largest_amplification

DEEP = ("gradient-descent", "heavy-ball", "chebyshev", "chebyshev-steps")
BASED = "preconditioned-chebyshev"
STEPS = {"gradient-descent": 1.0, "heavy-ball": 1.0, "chebyshev": 1.2, "chebyshev-steps": 1.1}  # bound / largest step


def lowered(process=None, iteration="chebyshev", **options):
    return ks.compile_score(process or separable(), iteration, **options).plan.lowered


def grid(form):
    """Times from the first to the last, dense where the coefficients change."""
    inner = torch.logspace(math.log10(form.min_time), math.log10(form.max_time), 200, dtype=torch.float64)
    return torch.cat([torch.tensor([form.min_time], dtype=torch.float64), inner[1:-1], torch.tensor([form.max_time])])


def noised(values, t):
    return torch.exp(-t) * values - torch.expm1(-t)


def noised_matrix(covariance, t):
    return math.exp(-t) * covariance + (1 - math.exp(-t)) * torch.eye(len(covariance), dtype=torch.float64)


@pytest.mark.parametrize("iteration", DEEP)
def test_no_gate_is_beyond_its_bound(iteration):
    form = lowered(iteration=iteration)
    t = grid(form)
    table = form.recurrence(t)
    step, alpha = float(table.step.max()), math.exp(-form.min_time / 2)
    assert step <= bounds._largest_step(form) * (1 + 1e-12)
    assert bounds._largest_step(form) <= STEPS[iteration] * step
    assert float(table.momentum.abs().max()) <= 1
    largest = bounds._largest_step(form)
    expected = {
        gates.MOMENTUM: 1.0,
        gates.RIGHT_SIDE: largest,
        gates.MEAN: largest * alpha,
        gates.SOLUTION: largest * (1 - math.exp(-form.max_time)),
        gates.PRODUCT: largest * alpha**2,
    }
    assert bounds._gate_bounds(form) == pytest.approx(expected, rel=1e-12)
    high = torch.tensor([form.noised_ends(float(u))[1] for u in t], dtype=torch.float64)
    reach = float((table.step.amax(1) * high).max())
    assert reach <= bounds._reach_of_a_step(form) * (1 + 1e-9)
    assert bounds._reach_of_a_step(form) <= STEPS[iteration] * reach


def test_gates_of_a_preconditioned_step_are_divided_by_the_smallest_weight():
    form = lowered(PROCESSES["irregular"](), BASED)
    weights = torch.stack([noised(form.diagonal, t) for t in grid(form)])
    assert bounds._least_weight(form) == pytest.approx(float(weights.min()), rel=1e-12)
    assert bounds._weight_spread(form) == pytest.approx(float(weights.max() / weights.min()), rel=1e-12)
    step = bounds._largest_step(form) / float(weights.min())
    assert bounds._gate_bounds(form)[gates.RIGHT_SIDE] == pytest.approx(step, rel=1e-12)
    assert bounds._gate_bounds(form)[gates.PRODUCT] == pytest.approx(step * math.exp(-form.min_time), rel=1e-12)
    assert bounds._weight_spread(lowered()) == 1
    assert bounds._weight_spread(lowered(iteration="spectral")) == 1


@pytest.mark.parametrize("iteration", ["chebyshev", BASED])
def test_spectra_of_the_bound_are_those_of_dense_matrices(iteration):
    process = PROCESSES["Kronecker sum"]()
    form = lowered(process, iteration)
    eigenvalues = torch.linalg.eigvalsh(process.covariance())
    by_time = torch.stack([noised(eigenvalues, t) for t in grid(form)])
    assert bounds._least_energy(form) == pytest.approx(float((1 / by_time.amax(0)).sum()), rel=1e-9)
    for t in (form.min_time, 0.3):
        marginal = noised_matrix(process.covariance(), t)
        assert bounds.exact_condition(form, t) == pytest.approx(float(torch.linalg.cond(marginal)), rel=1e-7)
        low, high = bounds._noised(form, t)
        assert low == pytest.approx(float(torch.linalg.eigvalsh(marginal)[0]), rel=1e-6)
        assert high == pytest.approx(float(torch.linalg.eigvalsh(marginal)[-1]), rel=1e-6)
    assert bounds._operator_norm(form) == pytest.approx(float(eigenvalues.max()), rel=1e-6)


def test_cut_lags_are_bounded_by_the_distance_of_dense_matrices():
    process = separable("Matern 3/2")
    form = lowered(process, tolerance=0.3, max_lag=14, min_time=0.5)
    identity = torch.eye(32, dtype=torch.float64)
    cut = torch.stack([form.operator.product(e.reshape(1, 16, 2)).flatten() for e in identity])
    exact, used = (noised_matrix(matrix, form.min_time) for matrix in (process.covariance(), cut))
    delta = float(torch.linalg.matrix_norm(exact - used, 2) * torch.linalg.matrix_norm(torch.linalg.inv(used), 2))
    assert 0 < delta <= bounds.operator_error(form) <= 2.001 * delta  # 2 |c| of one lag, twice the norm of what it cuts
    assert bounds.operator_error(replace(form, distance=0.0)) == 0
    assert bounds.condition_number(form) == pytest.approx(float(torch.linalg.cond(used)), rel=1e-6)
    parts = bounds.prove(form, "affine", None, torch.float64)
    assert parts["truncation"] == bounds.operator_error(form)
    assert parts["interpolation"] == parts["product"] == parts["tail"] == 0
    kappa, count = bounds.condition_number(form), form.num_iterations
    left = float(ks.iterations.residual_bound(form.builder, kappa, count))
    assert parts["iteration"] == pytest.approx(left * (1 + parts["truncation"]), rel=1e-12)


@pytest.mark.parametrize("iteration", [*DEEP, BASED])
def test_entries_of_the_exact_iteration_spread_no_more_than_is_proven(iteration):
    """Every iterate is a linear map of x, whose covariance is known: standard deviations without any draw."""
    process = separable("squared exponential", mean=mean(2))
    form = lowered(process, iteration, tolerance=0.2, min_time=0.05)
    spread, known = bounds._deviations(form)
    entries, largest = 32, dict.fromkeys(spread, 0.0)
    identity = torch.eye(entries, dtype=torch.float64)
    basis = (
        identity
        if form.basis is None
        else torch.stack([form.basis.transpose.product(e.reshape(1, 16, 2)).flatten() for e in identity]).T
    )
    operator = torch.stack([form.operator.product(e.reshape(1, 16, 2)).flatten() for e in identity]).T
    covariance = basis @ process.covariance() @ basis.T
    for t in (form.min_time, 0.1, 0.5, form.max_time):
        marginal, applied = (noised_matrix(matrix, t) for matrix in (covariance, operator))
        weights = (
            identity if form.diagonal is None else torch.diag(1 / noised(form.diagonal, torch.tensor(t)).flatten())
        )
        table = form.recurrence(torch.tensor([t], dtype=torch.float64))
        solution = direction = torch.zeros_like(identity)
        for k in range(form.num_iterations):
            direction = table.momentum[0, k] * direction + table.step[0, k] * weights @ (identity - applied @ solution)
            solution = solution + direction
            maps = {gates.SOLUTION: solution, gates.PRODUCT: operator @ solution, gates.RIGHT_SIDE: identity}
            if k + 1 < form.num_iterations:
                maps[gates.MOMENTUM] = direction
            for name, matrix in maps.items():
                deviation = float((matrix @ marginal @ matrix.T).diagonal().max().sqrt())
                largest[name] = max(largest[name], deviation)
    for name, value in largest.items():
        assert value <= spread[name] * (1 + 1e-9), name
    assert spread[gates.MEAN] == 0
    centre = float((basis @ process.mean.flatten()).abs().max())
    assert known == {name: pytest.approx(centre if name in (gates.RIGHT_SIDE, gates.MEAN) else 0.0) for name in spread}
    top = float(torch.linalg.eigvalsh(noised_matrix(process.covariance(), form.min_time))[-1])
    assert spread[gates.RIGHT_SIDE] == pytest.approx(math.sqrt(top), rel=1e-6)
    assert spread[gates.PRODUCT] == pytest.approx(spread[gates.SOLUTION] * bounds._operator_norm(form))


def test_the_tail_of_the_ranges_is_a_union_bound():
    planned = ks.compile_score(separable(mean=mean(2)), "chebyshev", gates="relu", tolerance=0.05).plan
    form, ranges = planned.lowered, planned.ranges
    deviations = bounds.deviations(form, ranges)
    spread, known = bounds._deviations(form)
    assert ranges.output == pytest.approx(bounds.SLACK * deviations * spread[gates.SOLUTION])
    for name, value in zip(form.terms, ranges.values, strict=True):
        assert value == pytest.approx(known[name] + bounds.SLACK * deviations * spread[name])
    variables = 1 + 1 + form.num_iterations * len(set(form.terms) - {gates.RIGHT_SIDE, gates.MEAN})
    outside = 32 * variables * 2 * stats.norm.sf(deviations)
    assert bounds._outside(form, ranges) == pytest.approx(outside, rel=1e-9)
    energy = bounds._least_energy(form)
    product, tail = bounds._products(form, ranges)
    assert tail == pytest.approx(math.sqrt(2 * math.sqrt(3 * outside) + 2 * ranges.output**2 * 32 * outside / energy))
    assert tail <= bounds.TAIL_SHARE * 0.05
    narrower = replace(ranges, output=ranges.output * (1 - 0.25 / deviations))
    assert deviations > 6
    assert bounds._products(form, narrower)[1] > bounds.TAIL_SHARE * 0.05
    step = sum(gate * value for gate, value in zip(ranges.gates, ranges.values, strict=True))
    grown = amplification(form.builder, form.num_iterations, bounds.condition_number(form)).last
    assert product == pytest.approx(math.sqrt(32 / energy) * step * 4.0 ** -(ranges.layers + 1) * grown)
    assert (product, tail) == (planned.parts["product"], planned.parts["tail"])
    fewer = bounds.choose_ranges(form, 0.05, 0.25 * 0.05, ranges.layers - 1)
    assert fewer is None or bounds._products(form, fewer)[0] > 0.25 * 0.05


@pytest.mark.parametrize("iteration", [*DEEP, BASED, "spectral"])
def test_round_off_is_in_proportion_to_the_unit_and_the_mean(iteration):
    form = lowered(separable(mean=mean(2)), iteration)
    centred = replace(form, mean=None)
    double = bounds.round_off(form, "affine", None, torch.float64)
    assert bounds.round_off(form, "affine", None, torch.float32) == pytest.approx(2**29 * double, rel=1e-12)
    without = bounds.round_off(centred, "affine", None, torch.float64)
    twice = bounds.round_off(replace(form, mean=2 * form.mean), "affine", None, torch.float64)
    assert twice - without == pytest.approx(2 * (double - without), rel=1e-9)
    gate, grown = bounds._gate_bounds(form)[gates.RIGHT_SIDE], bounds._growth(form).independent
    size = float(form.mean.norm()) / math.sqrt(bounds._least_energy(form))
    assert double - without == pytest.approx(2 * 2**-53 * gate * grown * size, rel=1e-9)
    if iteration == "spectral":
        low, high = bounds._noised(form, form.min_time)
        assert without == pytest.approx(4 * 2**-53 * math.sqrt(32) * high / low, rel=1e-12)


@pytest.mark.parametrize("iteration", DEEP)
@pytest.mark.parametrize("kappa", [1.5, 40.0])
def test_the_largest_growth_is_that_of_the_worst_count(iteration, kappa):
    """By brute force: an error of one step on a grid of eigenvalues, for every number of iterations up to 12."""
    spectrum = torch.linspace(1.0, kappa, 401, dtype=torch.float64)
    table = ks.iterations.BUILDERS[iteration](1.0, kappa, 12)
    grown = torch.zeros(12, 12, dtype=torch.float64)
    for j in range(12):
        solution, direction = torch.zeros_like(spectrum), torch.zeros_like(spectrum)
        for k in range(12):
            direction = table.momentum[0, k] * direction - table.step[0, k] * spectrum * solution + (k == j)
            solution = solution + direction
            grown[j, k] = solution.abs().max()
    worst = float(grown.sum(0).max())
    proven = largest_amplification(iteration, 12, kappa)
    assert worst <= proven * (1 + 1e-9)
    assert proven <= (2 if iteration == "chebyshev" else 1.5) * worst


@pytest.mark.parametrize("iteration", DEEP)
def test_one_iteration_leaves_its_error_as_it_is(iteration):
    assert amplification(iteration, 1, 9.0).last == pytest.approx(1, abs=0.5)
    assert bounds._growth(replace(lowered(iteration=iteration), num_iterations=1)).last == 1


def test_steps_are_judged_on_chebyshev_points():
    steps = ks.iterations.BUILDERS["chebyshev-steps"](1.0, 9.0, 5).step[0]
    points = 5 + 4 * torch.from_numpy(np.polynomial.chebyshev.chebpts1(11))
    factors = amplification_module._step_factors(5, 9.0)
    torch.testing.assert_close(factors.flip(1), 1 - torch.outer(steps, points), rtol=1e-12, atol=1e-12)
    assert amplification_module._largest(torch.tensor([0.5, -3.0])) == pytest.approx(3 * math.sqrt(2))
