"""The parts of the compiler's bound against brute force: dense matrices, grids of times, tables of coefficients."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from compiler_cases import PROCESSES, mean, separable
from scipy import integrate, stats

import kronoscope as ks
from kronoscope.compiler import amplification as amplification_module
from kronoscope.compiler import bounds, gates, measuring
from kronoscope.compiler.amplification import amplification, largest_amplification
from kronoscope.compiler.certificate import Certificate, canonical
from kronoscope.compiler.lag_heads import rounding
from kronoscope.processes import SquaredError

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
    assert bounds._outside(form, ranges) == pytest.approx(outside, rel=1e-9, abs=0)
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
    assert bounds.round_off(form, "affine", None, torch.float32) == pytest.approx(2**29 * double, rel=1e-12, abs=0)
    without = bounds.round_off(centred, "affine", None, torch.float64)
    twice = bounds.round_off(replace(form, mean=2 * form.mean), "affine", None, torch.float64)
    assert twice - without == pytest.approx(2 * (double - without), rel=1e-9, abs=0)
    gate, grown = bounds._gate_bounds(form)[gates.RIGHT_SIDE], bounds._growth(form).independent
    size = float(form.mean.norm()) / math.sqrt(bounds._least_energy(form))
    assert double - without == pytest.approx(2 * 2**-53 * gate * grown * size, rel=1e-9, abs=0)
    if iteration == "spectral":
        low, high = bounds._noised(form, form.min_time)
        assert without == pytest.approx(4 * 2**-53 * math.sqrt(32) * high / low, rel=1e-12, abs=0)


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


@pytest.mark.parametrize(("affine", "dtype"), [(True, torch.float64), (True, torch.float32), (False, torch.float64)])
def test_an_error_of_a_tenth_is_measured_as_that(affine, dtype, monkeypatch):
    """1.1 times the score is off by a tenth of it at every t; its integral by scipy's quadrature."""
    process = separable(mean=mean(2))
    eigenvalues = torch.linalg.eigvalsh(process.covariance())

    def off(x, t):
        return (1.1 * process.score(x.double(), t)).to(dtype)

    options = {"affine": affine, "dtype": dtype, "num_samples": 300}
    measured = measuring.measure(off, process, eigenvalues, 0.0, 6.0, **options)
    assert (measured.errors[0].time, measured.errors[-1].time) == (measuring.EARLIEST, 6.0)
    assert all(before.time < after.time for before, after in pairwise(measured.errors))
    energy = integrate.quad(
        lambda u: float((1 / noised(eigenvalues, torch.tensor(math.exp(u), dtype=torch.float64))).sum()) * math.exp(u),
        math.log(measuring.EARLIEST),
        math.log(6.0),
        limit=200,
    )[0]
    within = 1e-7 if dtype == torch.float64 else 1e-4
    for error in measured.errors:
        assert abs(error.value - 0.1) <= (within if affine else 5 * error.standard_error)
        assert error.standard_error < (within if affine else 0.01)
    reach = 1e-3 * energy * 0.01 if affine else 5 * measured.score_kl_standard_error
    assert measured.score_kl == pytest.approx(0.5 * 0.01 * energy, abs=reach)
    assert measured.score_kl_standard_error < 0.02 * measured.score_kl
    kinds = {(True, torch.float64): "exact", (True, torch.float32): "affine map in float32"}
    assert measured.kind == kinds.get((affine, dtype), "monte carlo")
    if not affine:
        monkeypatch.setattr(measuring, "BATCH_VALUES", 32 * 7)  # seven sequences at once
        assert measuring.measure(off, process, eigenvalues, 0.0, 6.0, **options).score_kl == pytest.approx(
            measured.score_kl
        )
        # |s|^2 is a weighted sum of chi-squares: its variance is 2 sum of the squared weights
        weights = 0.01 / noised(eigenvalues, torch.tensor(measured.errors[3].time, dtype=torch.float64))
        spread = float((2 * weights.square().sum()).sqrt()) / math.sqrt(300)
        expected = spread / (2 * 0.1 * float(weights.sum()) / 0.01)
        assert measured.errors[3].standard_error == pytest.approx(expected, rel=0.3)


def test_no_error_has_the_root_of_its_standard_error():
    energies = torch.tensor([1.0, 3.0], dtype=torch.float64)
    energy = float((1 / noised(energies, torch.tensor(0.5))).sum())
    at = measuring._relative(0.5, SquaredError(0.0, 1e-6), energies)
    assert (at.time, at.value, at.standard_error) == (0.5, 0.0, pytest.approx(math.sqrt(1e-6 / energy)))
    at = measuring._relative(0.5, SquaredError(0.04 * energy, 1e-3), energies)
    assert at.value == pytest.approx(0.2)
    assert at.standard_error == pytest.approx(1e-3 / (2 * 0.2 * energy))


def test_a_certificate_shows_what_it_holds():
    certificate = ks.compile_score(separable(), "spectral").certificate
    facts = {
        "times": "0.01 to 6",
        "iteration": "spectral",
        "depth": certificate.depth,
        "heads": certificate.num_heads,
        "width": certificate.width,
        "parameters": certificate.parameters,
        "weight_norm": f"{certificate.weight_norm:g}",
        "gates": "modulated",
        "kind_of_heads": "affine",
        "measured_kind": "exact",
        "bound": f"{certificate.bound:.4g}",
        "measured": f"{certificate.worst.value:.4g}",
        "score_kl": f"{certificate.score_kl:.3g}",
    }
    for name, value in facts.items():
        assert f"{name}={value}" in repr(certificate)
    assert repr(certificate).count(" nats") == 1
    assert repr(certificate).count("+-") == 2
    frame = certificate.to_frame()
    assert list(frame.columns) == ["time", "measured error", "standard error", "bound", "condition number"]
    assert frame["time"].tolist() == [at.time for at in certificate.measured]
    assert frame["measured error"].tolist() == [at.value for at in certificate.measured]
    assert frame["standard error"].tolist() == [at.standard_error for at in certificate.measured]
    assert set(frame["bound"]) == {certificate.bound}
    assert frame["condition number"].tolist() == [kappa for _, kappa in certificate.condition_numbers]
    assert certificate.worst.value == frame["measured error"].max()
    assert certificate.plot().axes


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        *((name, 1.5, f"{name} must be a whole number, got 1.5") for name in ("depth", "num_heads", "width")),
        *((name, "1", f"{name} must be a whole number, got '1'") for name in ("num_hidden", "parameters", "num_lags")),
        *(
            (name, True, f"{name} must be a whole number, got True")
            for name in ("num_iterations", "stored_coefficients")
        ),
        *((name, 3, f"{name} must be text, got 3") for name in ("iteration", "gates", "heads", "dtype")),
        *((name, None, f"{name} must be text") for name in ("measured_kind", "weights_sha256", "configuration_sha256")),
        *(
            (name, "0.1", "one of its numbers is missing or not finite")
            for name in ("tolerance", "min_time", "max_time", "weight_norm")
        ),
        *(
            (name, None, "one of its numbers is missing or not finite")
            for name in ("bound", "score_kl", "coefficient_norm")
        ),
        ("score_kl_standard_error", True, "one of its numbers is missing or not finite"),
        ("bound_parts", {"round-off": "0"}, "one of its numbers is missing or not finite"),
        ("bound_parts", {"iteration": 0.1}, "it lacks the measured errors, or the round-off part of its bound"),
        ("measured", [], "it lacks the measured errors"),
        (
            "measured",
            [{"time": 1.0, "value": "x", "standard_error": 0.0}],
            "one of its numbers is missing or not finite",
        ),
        ("condition_numbers", [[1.0, None]], "one of its numbers is missing or not finite"),
        ("unknown", 1, "its fields are not those of a certificate"),
    ],
)
def test_a_certificate_with_a_field_of_another_kind_is_refused(field, value, says):
    certificate = ks.compile_score(separable(), "spectral").certificate
    assert Certificate.from_json(certificate.to_json()) == certificate
    assert canonical({"b": 1, "a": [2]}) == '{\n "a": [\n  2\n ],\n "b": 1\n}\n'
    record = json.loads(certificate.to_json()) | {field: value}
    with pytest.raises(ks.InputError, match=rf"^certificate is damaged: .*{says}"):
        Certificate.from_json(canonical(record))
    with pytest.raises(ks.InputError, match=r"^certificate is damaged: its fields are not"):
        Certificate.from_json("[]")


def test_rounded_tables_are_seen_through_the_inverse():
    """Other heads change the error of the entries alone, which the score sees divided by the noised spectrum."""
    process = separable()
    form = lowered(process)
    arc, affine = (bounds.round_off(form, heads, None, torch.float64) for heads in ("arc", "affine"))
    entries = rounding("arc", form.operator) - rounding("affine", form.operator)
    assert entries > 1  # logits are rounded on the arc, and not where positions are whole numbers
    inverse = torch.linalg.inv(noised_matrix(process.covariance(), form.min_time))
    size = float(torch.linalg.matrix_norm(inverse)) / math.sqrt(32)
    assert arc - affine == pytest.approx(2**-53 * entries * math.sqrt(16) * size, rel=1e-6, abs=0)
