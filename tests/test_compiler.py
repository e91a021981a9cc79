"""compile_score: the network is its iteration, its error below the proven bound, the bound below the tolerance."""

import hashlib
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from compiler_cases import ITERATIONS, KERNELS, PROCESSES, relative, separable, sigma, spectral_error

import kronoscope as ks
from kronoscope import compiler, sampling
from kronoscope.compiler.amplification import amplification

RELU_ITERATIONS = {"chebyshev", "preconditioned-chebyshev", "spectral"}  # the others by a case of their own: deep


def check(compiled, bound=1e-2):
    """The network equals its iteration to round-off; measured <= proven <= tolerance."""
    x = compiled.process.sample(3, generator=torch.Generator().manual_seed(1))
    if compiled.options.gates == "modulated":
        for t in (compiled.options.min_time, 0.3, compiled.options.max_time):
            reference = compiled.iteration.score(x, t)
            assert relative(compiled.network(x, t).detach(), reference) < 1e-9
            assert relative(compiled.score(x, t), reference) < 1e-9
    certificate = compiled.certificate
    assert certificate.bound <= bound
    for one in certificate.measured:
        assert one.value <= certificate.bound + 3 * one.standard_error
    assert certificate.bound == pytest.approx(math.fsum(certificate.bound_parts.values()))
    return certificate


@pytest.mark.parametrize("features", [1, 4])
@pytest.mark.parametrize("iteration", ITERATIONS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_measured_below_proven_below_tolerance(kernel, iteration, features):
    """All kernel classes and iterations, at the ends of the times and between."""
    compiled = ks.compile_score(separable(kernel, features), iteration)
    assert compiled.bound <= 1e-2
    x = compiled.process.sample(2, generator=torch.Generator().manual_seed(1))
    for t in (1e-2, 0.3, 6.0) if compiled.network.depth < 1000 else (1e-2,):
        assert spectral_error(compiled, t) <= compiled.bound
        assert relative(compiled.score(x, t), compiled.iteration.score(x, t)) < 1e-9


@pytest.mark.parametrize("iteration", ITERATIONS)
def test_certificates_of_every_iteration(iteration):
    check(ks.compile_score(separable(features=1), iteration))


@pytest.mark.parametrize("features", [1, 4])
@pytest.mark.parametrize("iteration", sorted(RELU_ITERATIONS))
@pytest.mark.parametrize("kernel", ["exponential", "fractional Gaussian noise"])
def test_products_by_relu_layers_stay_below_their_bound(kernel, iteration, features):
    certificate = check(ks.compile_score(separable(kernel, features), iteration, gates="relu"))
    assert certificate.bound_parts["product"] > 0
    assert certificate.bound_parts["tail"] > 0
    assert certificate.measured_kind == "monte carlo"


FAR = {
    "mean of 280, deviation of 5": ({"spatial_covariance": 25 * torch.eye(1), "mean": torch.full((16, 1), 280.0)}, {}),
    "mean of 1e4": (
        {"spatial_covariance": torch.eye(1), "mean": torch.full((16, 1), 1e4)},
        {"iteration": "spectral", "tolerance": 5e-2},
    ),
    "condition number of 6e4": (
        {"kernel": ks.kernels.PowerExponential(1e4), "spatial_covariance": torch.tensor([[119.0]]), "times": 5},
        {"iteration": "chebyshev", "heads": "table", "min_time": 1e-2},
    ),
}


@pytest.mark.parametrize("case", FAR)
def test_certificates_of_float32_measure_what_samples_measure(case):
    """At the worst time, against 4000 draws of p_t: within 10 % or three standard errors (5e-3 for three cases)."""
    process = ks.GaussianSequence(**{"kernel": ks.kernels.PowerExponential(8.0), "times": 16} | FAR[case][0])
    compiled = ks.compile_score(process, dtype=torch.float32, **{"iteration": "spectral"} | FAR[case][1])
    certificate, worst = compiled.certificate, compiled.certificate.worst
    assert certificate.measured_kind == "affine map in float32"
    assert all(one.value <= certificate.bound for one in certificate.measured)
    drawn = ks.processes.sampled_squared_error(
        compiled.score, process, worst.time, 4000, torch.Generator().manual_seed(1), dtype=torch.float32
    )
    shrink, noise = math.exp(-worst.time), -math.expm1(-worst.time)
    energy = float((1 / (shrink * torch.linalg.eigvalsh(process.covariance()) + noise)).sum())
    value = math.sqrt(drawn.value / energy)
    error = math.hypot(worst.standard_error, drawn.standard_error / (2 * value * energy))
    assert abs(worst.value - value) < max(3 * error, 0.1 * value)
    nats = ks.metrics.score_kl(compiled.score, process, certificate.min_time, num_samples=1024)
    error = math.hypot(nats.standard_error, certificate.score_kl_standard_error)
    assert abs(certificate.score_kl - nats.value) < max(3 * error, 0.1 * nats.value)


def test_certificates_of_float64_are_exact():
    certificate = ks.compile_score(separable(features=1), "chebyshev").certificate
    assert certificate.measured_kind == "exact"
    assert certificate.worst.value > 1e-5
    assert certificate.worst.standard_error < 1e-12
    assert certificate.score_kl_standard_error < 1e-4 * certificate.score_kl


@pytest.mark.parametrize("iteration", ["gradient-descent", "chebyshev-steps"])
def test_relu_layers_with_the_deep_iterations(iteration):
    process = ks.GaussianSequence(ks.kernels.PowerExponential(2.0), sigma(1), times=16)
    check(ks.compile_score(process, iteration, gates="relu"))


@pytest.mark.parametrize("iteration", ["chebyshev", "preconditioned-chebyshev", "spectral"])
@pytest.mark.parametrize("name", PROCESSES)
def test_every_kind_of_process(name, iteration):
    heads = "table" if name in ("separable matrices", "dense") else "affine"
    check(ks.compile_score(PROCESSES[name](), iteration, heads=heads))


@pytest.mark.parametrize("name", ["with a mean", "block-Toeplitz"])
@pytest.mark.parametrize("iteration", ["chebyshev", "spectral"])
def test_means_pass_through_relu_layers(name, iteration):
    check(ks.compile_score(PROCESSES[name](), iteration, gates="relu"))


@pytest.mark.parametrize(
    ("heads", "count"), [("affine", 2 * 15 + 1), ("arc", 16), ("trapezoid", 4 * 31), ("table", 1)], ids=lambda v: str(v)
)
def test_heads_of_every_kind_hold_the_same_kernel(heads, count):
    process = separable()
    compiled = ks.compile_score(process, heads=heads)
    assert check(compiled).num_heads == count
    weights = compiled.network.record(process.sample(1), 0.1).blocks[0].weights[0].detach()
    block = compiled.network.blocks[0]
    layout_values = torch.einsum("mdv,mve->mde", block.output, block.value).detach()
    summed = torch.einsum("mij,mde->ijde", weights, layout_values)
    size = summed.abs().sum((0, 1))
    d, e = (int(v) for v in (size == size.max()).nonzero()[0])
    shown = summed[..., d, e] / summed[0, 0, d, e]
    torch.testing.assert_close(shown, process.temporal_covariance, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("heads", "count"), [("affine", 2 * 5 + 3), ("arc", 5 + 1), ("trapezoid", 4 * (2 * 5 + 1))])
def test_a_cut_kernel_is_exact_up_to_its_lag_and_zero_beyond(heads, count):
    process = ks.GaussianSequence(ks.kernels.Wendland(6.0, 1), sigma(2), times=16)
    compiled = ks.compile_score(process, heads=heads)
    assert compiled.certificate.num_lags == 5  # the kernel itself is 0 from lag 6 on
    assert compiled.certificate.num_heads == count
    assert compiled.certificate.bound_parts["truncation"] == 0
    check(compiled)


def test_fewer_lags_where_the_tolerance_allows():
    process = ks.GaussianSequence(ks.kernels.PowerExponential(1.0), sigma(2), times=32)
    lags = [ks.compile_score(process, tolerance=tolerance).certificate.num_lags for tolerance in (0.3, 0.1, 1e-2)]
    assert lags == sorted(lags)
    assert 0 < lags[0] < lags[-1] < 31
    check(ks.compile_score(process, tolerance=0.1), bound=0.1)


def test_the_measured_error_is_the_error_by_definition():
    compiled = ks.compile_score(PROCESSES["with a mean"]())
    for one in compiled.certificate.measured[::8]:
        assert one.value == pytest.approx(spectral_error(compiled, one.time), rel=1e-6)


def test_score_kl_agrees_with_the_metric():
    compiled = ks.compile_score(separable())
    metric = ks.metrics.score_kl(compiled.score, compiled.process, linear=True, dtype=torch.float64)
    assert compiled.certificate.score_kl == pytest.approx(metric.value, rel=1e-9)


def test_the_bound_is_proven_without_network_and_score(monkeypatch):
    """Plan and bound come out with a network and a score that cannot be called."""

    def forbidden(*args, **kwargs):
        raise AssertionError("called")

    monkeypatch.setattr(ks.nn.ReLUTransformer, "forward", forbidden)
    monkeypatch.setattr(ks.nn.ReLUTransformer, "__init__", forbidden)
    monkeypatch.setattr(ks.nn.MergedTransformer, "forward", forbidden)
    monkeypatch.setattr(ks.processes.GaussianLaw, "score", forbidden)
    monkeypatch.setattr(ks.processes.GaussianLaw, "sample", forbidden)
    for gates in ("modulated", "relu"):
        options = compiler.Options("chebyshev", 1e-2, 1e-2, 6.0, gates, "affine", None, 4096, None, "float64")
        planned, refusals = compiler.plan(compiler.structure_of(separable()), options)
        assert not refusals
        assert 0 < planned.bound <= 1e-2


@pytest.mark.parametrize("gates", ["modulated", "relu"])
@pytest.mark.parametrize("iteration", ["chebyshev", "preconditioned-chebyshev", "spectral"])
def test_a_zeroed_network_has_no_score(iteration, gates):
    """The score is computed by the network and nothing else, whatever was remembered of it."""
    compiled = ks.compile_score(PROCESSES["with a mean"](), iteration, gates=gates)
    x = compiled.process.sample(2)
    before = compiled.score(x, 0.1)
    with torch.no_grad():
        for tensor in [*compiled.network.parameters(), *compiled.network.buffers()]:
            tensor.data.zero_()
    assert not bool(compiled.score(x, 0.1).any())
    assert bool(before.any())


def test_one_changed_weight_changes_the_score():
    compiled = ks.compile_score(separable())
    x = compiled.process.sample(2)
    before = compiled.score(x, 0.1)
    compiled.network.blocks[0].value.data[3] *= 1.5
    assert relative(compiled.score(x, 0.1), before) > 1e-3
    assert relative(compiled.score(x, 0.1), compiled.network(x, 0.1).detach()) < 1e-12


def test_batches_of_times_and_float32():
    compiled = ks.compile_score(separable(), min_time=0.1, dtype=torch.float32)
    x = compiled.process.sample(3)
    t = torch.tensor([0.1, 0.5, 6.0], dtype=torch.float64)
    one_by_one = torch.cat([compiled.score(x[i : i + 1], float(t[i])) for i in range(3)])
    assert relative(compiled.score(x, t), one_by_one) < 1e-5
    assert compiled.score(x, 0.2).dtype == torch.float64
    assert relative(compiled.network(x.float(), t).detach(), compiled.iteration.score(x, t)) < 1e-3
    certificate = compiled.certificate
    assert certificate.worst.value <= certificate.bound <= 1e-2
    assert certificate.bound_parts["round-off"] > 1e-5


def test_long_sequences_in_float32():
    """N = 1024, t >= 0.1, affine: within 1e-3 of the float64 iteration. The arc loses digits there, and is refused."""
    process = ks.GaussianSequence(ks.kernels.PowerExponential(8.0), sigma(1), times=1024)
    compiled = ks.compile_score(process, min_time=0.1, dtype=torch.float32)
    x = process.sample(2)
    error = {}
    for t in (0.1, 1.0, 6.0):
        error[t] = relative(compiled.score(x.float(), t), compiled.iteration.score(x, t))
        assert error[t] < 1e-3
    with pytest.raises(ks.InputError, match="out of reach at float32"):
        ks.compile_score(process, min_time=0.1, dtype=torch.float32, heads="arc")
    arc = ks.compile_score(process, min_time=0.1, heads="arc")
    arc.network.float()
    lost = relative(arc.score(x, 0.1), arc.iteration.score(x, 0.1))
    assert 100 * error[0.1] < lost < 0.05  # measured 2.4e-3 (4 features) against 1e-6


@pytest.mark.parametrize("t", [1e-8, 1e-6, 1e-4, 1e-2])
def test_the_spectral_block_is_exact_at_any_condition_number(t):
    """Two attention layers, relative error at most kappa * 1e-15, up to kappa = 1e8."""
    process = ks.GaussianSequence(ks.kernels.PowerExponential(6.0, 2.0), torch.eye(1), times=16)
    compiled = ks.compile_score(process, "spectral", min_time=t, tolerance=0.5)
    kappa = process.condition_number(t)
    assert t > 1e-8 or kappa > 1e8
    assert compiled.certificate.depth == 2
    assert compiled.certificate.measured[0].value <= kappa * 1e-15


def test_depths_fall_with_better_iterations():
    """kappa about 1770: 30 times fewer layers by Chebyshev, at most 5 iterations by the preconditioner."""
    a = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 4)))
    spatial = a @ a.T / 4 + 0.3 * torch.eye(4, dtype=torch.float64)
    process = ks.GaussianSequence(ks.kernels.PowerExponential(8.0), spatial * 4 / spatial.trace(), times=64)
    assert process.condition_number(1e-3) == pytest.approx(1767, rel=0.01)
    asked = {"tolerance": 1e-3, "min_time": 1e-3, "heads": "table", "max_depth": 10_000}
    depths = {}
    for iteration in ("gradient-descent", "chebyshev", "preconditioned-chebyshev", "spectral"):
        depths[iteration] = ks.compile_score(process, iteration, **asked).iteration.num_iterations
    assert depths["gradient-descent"] >= 30 * depths["chebyshev"]
    assert depths["preconditioned-chebyshev"] <= 5
    assert depths["spectral"] == 1


def test_generation_has_an_exact_law():
    """A compiled score is a score: the law that a sampler makes with it, in closed form, is that of the exact score."""
    process = separable()
    table = sampling.dpm_solver(32, max_time=6.0)
    compiled = ks.compile_score(process, tolerance=1e-3)
    got = sampling.law(table, compiled.score, process.num_frames, process.num_features)
    want = sampling.law(table, process.score, process.num_frames, process.num_features)
    assert ks.metrics.gaussian_kl(got, want) < 1e-5
    drawn = sampling.sample(compiled.score, (4, 16, 2), table, dtype=torch.float64)
    exact = sampling.sample(process.score, (4, 16, 2), table, dtype=torch.float64)
    assert relative(drawn, exact) < 2e-3


def test_stream_converges_to_the_exact_score():
    """Block by block the solution in the stream comes nearer to the score."""
    process = separable()
    compiled = ks.compile_score(process)
    x, t = process.sample(16), 0.05
    target = process.score(x, t)
    place = compiled.network.leave.detach()
    distance = [relative(b.stream.detach() @ place.T, target) for b in compiled.network.record(x, t).blocks]
    assert distance[-1] < 1e-2 < distance[0]
    assert all(later < earlier * 1.05 for earlier, later in pairwise(distance))


@pytest.mark.parametrize(("iteration", "depths"), [("heavy-ball", 1), ("gradient-descent", 1), ("chebyshev", 2)])
def test_gates_know_the_depth_only_where_the_iteration_does(iteration, depths):
    """The heavy ball is one block in a loop: neither its weights nor its gates depend on the depth."""
    network = ks.compile_score(separable(), iteration).network
    gates = network.condition(torch.tensor([0.1], dtype=torch.float64))
    assert len(network.blocks) == 1
    assert gates.shape[1] == (1 if depths == 1 else network.depth)


@pytest.mark.parametrize("iteration", ["gradient-descent", "heavy-ball", "chebyshev", "chebyshev-steps"])
@pytest.mark.parametrize("kappa", [1.5, 40.0, 900.0])
def test_errors_of_steps_grow_no_more_than_is_proven(iteration, kappa):
    """An error in the direction of step j, by brute force: the difference of two runs on a grid of eigenvalues."""
    count = 24
    grid = torch.linspace(1.0, kappa, 801, dtype=torch.float64)
    table = ks.iterations.BUILDERS[iteration](1.0, kappa, count)
    grown = []
    for j in range(count):
        solution, direction = torch.zeros_like(grid), torch.zeros_like(grid)
        for k in range(count):
            direction = table.momentum[0, k] * direction - table.step[0, k] * grid * solution + (k == j)
            solution = solution + direction
        grown.append(float(solution.abs().max()))
    residual = float(ks.iterations.residual_factors(table, grid).abs().max())
    proven = amplification(iteration, count, kappa)
    slack = 1.5 if iteration == "chebyshev-steps" else 1.001  # read off a grid there, with a factor of sqrt 2
    for got, bound in (
        (sum(grown), proven.last),
        (math.hypot(*grown), proven.independent),
        (residual, proven.residual),
    ):
        assert got <= bound * (1 + 1e-9)
        assert bound <= max(slack, 2.0 if iteration == "chebyshev" else slack) * max(got, 1.0)


def test_equal_input_gives_equal_weights():
    one, other = (ks.compile_score(separable()).weights() for _ in range(2))
    assert hashlib.sha256(one).digest() == hashlib.sha256(other).digest()


def test_each_product_layer_takes_a_quarter_of_the_error():
    """gates="relu" against the same iteration run exactly, until round-off."""
    process = separable(features=1)
    x = process.sample(8)
    errors = {}
    for layers in (8, 14, 20, 26):
        compiled = ks.compile_score(process, "chebyshev", gates="relu", product_layers=layers, tolerance=0.5)
        errors[layers] = relative(compiled.score(x, 0.05), compiled.iteration.score(x, 0.05))
    assert 0.9 < math.log(errors[8] / errors[20]) / (12 * math.log(4)) < 1.1
    assert errors[26] < 1e-9


@pytest.mark.parametrize("iteration", ["heavy-ball", "chebyshev", "preconditioned-chebyshev", "spectral"])
def test_what_float32_loses_stays_below_its_part_of_the_bound(iteration):
    """Plain and merged, where the condition number is in the thousands."""
    process = ks.GaussianSequence(ks.kernels.PowerExponential(32.0), sigma(2), times=32)
    compiled = ks.compile_score(process, iteration, tolerance=5e-2, dtype=torch.float32)
    assert process.condition_number(1e-2) > 1000
    x = process.sample(4, generator=torch.Generator().manual_seed(1))
    own = compiled.iteration.score(x, 1e-2)
    allowed = compiled.plan.parts["round-off"]
    for got in (compiled.score(x.float(), 1e-2), compiled.network(x.float(), 1e-2).detach()):
        assert 1e-9 < relative(got, own) < allowed
