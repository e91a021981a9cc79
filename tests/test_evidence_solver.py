"""The studies of solvers, quick: their claims on their own numbers, and brute force behind these."""

import math

import pytest
import torch
from browser import chromium_or_skip, look
from scipy import stats

import kronoscope_evidence as evidence
from kronoscope.iterations import chebyshev, run
from kronoscope.kernels import PowerExponential
from kronoscope.processes import GaussianSequence
from kronoscope_evidence import slopes
from kronoscope_evidence.solver import cases, heads, krylov, noise_depth, width_depth

NAMES = ("depth", "heads", "width-depth", "noise-depth", "krylov")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduced")
    return {name: evidence.reproduce(name, folder / name, quick=True).parent for name in NAMES}


def result(folders, name):
    return evidence.load(folders[name] / "results.json").result


def test_slopes_and_depths_are_those_of_the_theory(folders):
    depths = result(folders, "depth")
    for curve in depths.curves:
        kappas = [kappa for kappa in curve.condition_numbers if kappa >= 30]
        assert math.log10(max(kappas) / min(kappas)) >= 3
        assert curve.slopes["gradient-descent"].value == pytest.approx(1.0, abs=0.05)
        assert curve.slopes["chebyshev"].value == pytest.approx(0.5, abs=0.05)
        assert set(curve.depths["spectral"]) == {2}
        for name in ("gradient-descent", "chebyshev", "spectrum-optimal"):
            assert all(d >= f for d, f in zip(curve.depths[name], curve.depths["floor"], strict=True))
    for row in depths.table:
        assert {name: row.depths[name] for name in row.stated} == row.stated
    assert depths.table[0].depths["gradient-descent"] >= 30 * depths.table[0].depths["chebyshev"]
    assert all(network.error <= network.bound <= 1e-3 for network in depths.networks)


def test_lags_grow_as_the_decay_says(folders):
    lags = result(folders, "heads")
    assert [growth.fitted.value for growth in lags.growth] == pytest.approx(
        [growth.expected for growth in lags.growth], rel=0.05
    )
    for network in lags.networks:
        assert network.error <= network.bound <= network.tolerance
        assert network.needed <= network.kept < lags.frames
        assert network.heads["arc"] == network.kept + 1
        assert network.heads["trapezoid"] == 4 * (2 * network.kept + 1)
        assert network.heads["affine"] <= 2 * network.kept + 3


def test_heads_do_not_replace_depth_and_width_does(folders):
    sizes = result(folders, "width-depth")
    for frontier in sizes.frontiers:
        assert frontier.bound_held
        least = min(point.depth for point in frontier.proven)
        enough = min(point.heads for point in frontier.proven if point.depth <= 1.2 * least)
        assert enough <= 1.5 * frontier.proven[0].heads
    longest = sizes.longest()
    assert longest["spectral block"].depth == 2
    assert longest["spectral block"].width > longest["Chebyshev"].width
    assert all(network.error <= network.bound for network in sizes.networks)


def test_depth_by_noise_level_samples_as_well(folders):
    depths = result(folders, "noise-depth")
    for curve in depths.curves:
        assert list(curve.depths["chebyshev"]) == sorted(curve.depths["chebyshev"], reverse=True)
    assert 3 * depths.staged.blocks < depths.single.blocks
    assert abs(depths.even.blocks - depths.staged.blocks) <= 16
    assert depths.staged.kl < 1e-4 < 1e-2 < depths.even.kl


def test_every_block_lies_between_floor_and_bound(folders):
    krylov_result = result(folders, "krylov")
    courses = {course.iteration: course for course in krylov_result.courses}
    floor = krylov_result.floor
    for name in ("gradient-descent", "chebyshev", "chebyshev-steps"):
        errors = courses[name].errors
        assert all(e >= f * (1 - 1e-6) for e, f in zip(errors, floor, strict=True) if f > 1e-12)
        assert errors[-1] <= courses[name].bound
        assert all(e <= b for e, b in zip(errors, courses[name].bounds, strict=False))
    assert courses["preconditioned-chebyshev"].errors[-1] < 0.01 * floor[5]
    assert krylov_result.anatomy.gamma_gap < 1e-12
    assert krylov_result.anatomy.value_gap < 1e-12


@pytest.mark.browser
@pytest.mark.parametrize(("name", "width"), [*((name, 390) for name in NAMES), ("krylov", 1280)])
def test_pages_are_quiet_in_a_browser(folders, name, width):
    chromium_or_skip()
    seen = look(folders[name] / "report.html", width=width)
    assert (seen.complaints, seen.requests, seen.overflow) == ([], [], [])


def small():
    sigma = torch.tensor([[1.0, 0.3], [0.3, 0.6]], dtype=torch.float64)
    return GaussianSequence(PowerExponential(3.0), sigma, times=10)


def test_slopes_have_the_interval_of_the_textbook():
    x, y = [0.0, 1.0, 2.0, 4.0, 5.0], [0.1, 0.9, 2.3, 3.9, 5.2]
    fitted, fit = slopes.slope(x, y), stats.linregress(x, y)
    assert fitted.value == pytest.approx(fit.slope)
    inside = stats.t.cdf((fitted.upper - fit.slope) / fit.stderr, 3) - stats.t.cdf(
        (fitted.lower - fit.slope) / fit.stderr, 3
    )
    assert inside == pytest.approx(0.95)
    assert slopes.power([math.exp(v) for v in x], [2 * math.exp(v) for v in y]).value == pytest.approx(fit.slope)
    assert slopes.slope(x, [4.0] * 5) == slopes.Slope(0.0, 0.0, 0.0)


def test_the_error_of_the_preconditioned_solver_by_brute_force():
    """Weights of the error in another basis, against the dense iteration on all unit vectors."""
    process, t = small(), 0.02
    values, counts = cases.Spectra.of(process).preconditioned(t)
    table = chebyshev(float(values.min()), float(values.max()), 3)
    relative = cases.relative_error(table, values, counts)[0, -1]
    noised = math.exp(-t) * process.covariance() - math.expm1(-t) * torch.eye(20, dtype=torch.float64)
    cosines = cases.cosine_basis(10)
    basis = torch.kron(cosines, torch.linalg.eigh(process.spatial_covariance)[1].contiguous())
    inverse = basis @ torch.diag(1 / (basis.T @ noised @ basis).diagonal()) @ basis.T
    solved = run(table, lambda s: noised @ s, torch.eye(20, dtype=torch.float64), lambda r: inverse @ r)
    exact = torch.linalg.inv(noised)
    gap = solved - exact
    assert float(relative) == pytest.approx(math.sqrt(torch.trace(gap @ noised @ gap.T) / torch.trace(exact)), rel=1e-9)


def test_fewest_steps_of_a_cut_kernel_by_brute_force():
    process, kept = GaussianSequence(PowerExponential(3.0), torch.eye(1), times=16), 10
    count = width_depth.fewest_layers(process, kept)
    t, eye = width_depth.MIN_TIME, torch.eye(16, dtype=torch.float64)
    signal = math.exp(-t) * process.temporal_covariance
    exact = signal - math.expm1(-t) * eye
    cut = torch.triu(torch.tril(signal, kept), -kept) - math.expm1(-t) * eye
    ends = torch.linalg.eigvalsh(cut)
    errors = []
    for steps in (count - 1, count):
        table = chebyshev(float(ends[0]), float(ends[-1]), steps)
        gap = run(table, lambda s: cut @ s, eye) - torch.linalg.inv(exact)
        errors.append(math.sqrt(torch.trace(gap @ exact @ gap.T) / torch.trace(torch.linalg.inv(exact))))
    assert errors[1] <= width_depth.TOLERANCE < errors[0]
    assert heads.fewest_lags(process, width_depth.TOLERANCE) <= kept


def test_networks_are_chosen_by_their_times():
    process = small()
    networks = [noise_depth._compile(process, low, high) for low, high in ((0.01, 0.1), (0.1, 6.0))]
    assert noise_depth.network_at(networks, 0.05) is networks[0]
    assert noise_depth.network_at(networks, 0.1) is networks[1]
    assert noise_depth.network_at(networks, 6.0) is networks[1]
    assert noise_depth.network_of_depth(process, 7).network.depth == 7


def test_the_stream_is_read_by_the_networks_own_output_map():
    process = small()
    for iteration in ("chebyshev", "spectral"):
        compiled = krylov.compiled_network(process, iteration, 0)
        x = process.sample(3)
        with torch.no_grad():
            record = compiled.network.record(x, 0.1)
            last = krylov.read_score(compiled, record, len(record.blocks) - 1)
        torch.testing.assert_close(last, compiled.score(x, 0.1))
