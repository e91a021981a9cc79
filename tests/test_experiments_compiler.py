"""The experiments on compiled networks, quick: their claims on their own numbers, and brute force behind these."""

import json
import math

import pytest
import torch
from browser import chromium_or_skip, look
from scipy import stats

from kronoscope import experiments, report
from kronoscope.experiments import depth_cases, heads, krylov, noise_depth, width_depth
from kronoscope.iterations import chebyshev, run
from kronoscope.kernels import PowerExponential
from kronoscope.processes import GaussianSequence

NAMES = ("depth", "heads", "width-depth", "noise-depth", "krylov")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduced")
    return {name: experiments.reproduce(name, folder / name, quick=True) for name in NAMES}


def results(pages, name):
    return json.loads((pages[name].parent / "results.json").read_text())


def test_slopes_and_depths_are_those_of_the_theory(pages):
    found = results(pages, "depth")
    for curve in found["curves"]:
        kappas = [kappa for kappa in curve["condition_numbers"] if kappa >= 30]
        assert math.log10(max(kappas) / min(kappas)) >= 3
        assert curve["slopes"]["gradient-descent"][0] == pytest.approx(1.0, abs=0.05)
        assert curve["slopes"]["chebyshev"][0] == pytest.approx(0.5, abs=0.05)
        assert set(curve["depths"]["spectral"]) == {2}
        for name in ("gradient-descent", "chebyshev", "spectrum-optimal"):
            assert all(d >= f for d, f in zip(curve["depths"][name], curve["depths"]["floor"], strict=True))
    for row in found["table"]:
        assert {name: row["depths"][name] for name in row["theory"]} == row["theory"]
    assert found["table"][0]["depths"]["gradient-descent"] >= 30 * found["table"][0]["depths"]["chebyshev"]
    assert all(one["error"] <= one["bound"] <= 1e-3 for one in found["networks"])


def test_lags_grow_as_the_decay_says(pages):
    found = results(pages, "heads")
    for one in found["growth"]:
        fitted = one["asymptotic"] or one["slope"]
        assert fitted["value"] == pytest.approx(one["expected"], rel=0.05)
    for row in found["networks"].values():
        for one in row:
            assert one["error"] <= one["bound"] <= one["tolerance"]
            assert one["needed"] <= one["kept"] < found["frames"]
            assert one["heads"]["arc"] == one["kept"] + 1
            assert one["heads"]["trapezoid"] == 4 * (2 * one["kept"] + 1)
            assert one["heads"]["affine"] <= 2 * one["kept"] + 3


def test_heads_buy_no_depth_and_width_does(pages):
    found = results(pages, "width-depth")
    for one in found["frontiers"]:
        assert one["bound_held"]
        least = min(depth for _, depth in one["proven"])
        enough = min(count for count, depth in one["proven"] if depth <= 1.2 * least)
        assert enough <= 1.5 * one["proven"][0][0]
    last = {one["name"]: one for one in found["networks"]}
    assert last["spectral block"]["depth"] == 2
    assert last["spectral block"]["width"] > last["Chebyshev"]["width"]
    assert all(one["error"] <= one["bound"] for one in found["networks"])


def test_depth_spent_by_noise_level_generates_as_well(pages):
    found = results(pages, "noise-depth")
    for curve in found["curves"]:
        assert curve["depths"]["chebyshev"] == sorted(curve["depths"]["chebyshev"], reverse=True)
    fixed, staged, even = found["generated"]
    assert 3 * staged["blocks"] < fixed["blocks"]
    assert abs(even["blocks"] - staged["blocks"]) <= 16
    assert staged["kl"] < 1e-4 < 1e-2 < even["kl"]


def test_every_block_lies_between_floor_and_bound(pages):
    found = results(pages, "krylov")
    courses = {one["iteration"]: one for one in found["courses"]}
    for name in ("gradient-descent", "chebyshev", "chebyshev-steps"):
        errors = courses[name]["errors"]
        assert all(e >= f * (1 - 1e-6) for e, f in zip(errors, found["floor"], strict=True) if f > 1e-12)
        assert errors[-1] <= courses[name]["bound"]
        assert all(e <= b for e, b in zip(errors, courses[name]["bounds"], strict=False))
    assert courses["preconditioned-chebyshev"]["errors"][-1] < 0.01 * found["floor"][5]
    assert found["gap_of_gamma"] < 1e-12
    assert found["gap_of_sigma"] < 1e-12


def test_pages_are_made_of_records(pages):
    for name, page in pages.items():
        assert "a smaller version" in page.read_text(), name
    page = pages["krylov"]
    assert report.render(report.load_records(page.parent / "report.json")) == page.read_text()


@pytest.mark.browser
@pytest.mark.parametrize(("name", "width"), [*((name, 390) for name in NAMES), ("krylov", 1280)])
def test_pages_are_quiet_in_a_browser(pages, name, width):
    chromium_or_skip()
    seen = look(pages[name], width=width)
    assert (seen.complaints, seen.requests, seen.overflow) == ([], [], [])


def small():
    sigma = torch.tensor([[1.0, 0.3], [0.3, 0.6]], dtype=torch.float64)
    return GaussianSequence(PowerExponential(3.0), sigma, times=10)


def test_slopes_have_the_interval_of_the_textbook():
    x, y = [0.0, 1.0, 2.0, 4.0, 5.0], [0.1, 0.9, 2.3, 3.9, 5.2]
    found, fit = depth_cases.slope(x, y), stats.linregress(x, y)
    assert found.value == pytest.approx(fit.slope)
    inside = stats.t.cdf((found.upper - fit.slope) / fit.stderr, 3) - stats.t.cdf(
        (found.lower - fit.slope) / fit.stderr, 3
    )
    assert inside == pytest.approx(0.95)
    assert depth_cases.slope(x, [4.0] * 5) == depth_cases.Slope(0.0, 0.0, 0.0)


def test_the_error_of_the_preconditioned_solver_by_brute_force():
    """Weights of the error in another basis, against the dense iteration on all unit vectors."""
    process, t = small(), 0.02
    values, counts = depth_cases.Spectra.of(process).preconditioned(t)
    table = chebyshev(float(values.min()), float(values.max()), 3)
    told = depth_cases.relative_error(table, values, counts)[0, -1]
    noised = math.exp(-t) * process.covariance() - math.expm1(-t) * torch.eye(20, dtype=torch.float64)
    cosines = depth_cases.cosine_basis(10)
    basis = torch.kron(cosines, torch.linalg.eigh(process.spatial_covariance)[1].contiguous())
    inverse = basis @ torch.diag(1 / (basis.T @ noised @ basis).diagonal()) @ basis.T
    solved = run(table, lambda s: noised @ s, torch.eye(20, dtype=torch.float64), lambda r: inverse @ r)
    exact = torch.linalg.inv(noised)
    gap = solved - exact
    assert float(told) == pytest.approx(math.sqrt(torch.trace(gap @ noised @ gap.T) / torch.trace(exact)), rel=1e-9)


def test_fewest_steps_of_a_cut_kernel_by_brute_force():
    process, kept = GaussianSequence(PowerExponential(3.0), torch.eye(1), times=16), 10
    count = width_depth._possible(process, kept)
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
    assert heads._needed(process, width_depth.TOLERANCE) <= kept


def test_networks_are_chosen_by_their_times():
    process = small()
    networks = [noise_depth._compile(process, low, high) for low, high in ((0.01, 0.1), (0.1, 6.0))]
    assert noise_depth._at(networks, 0.05) is networks[0]
    assert noise_depth._at(networks, 0.1) is networks[1]
    assert noise_depth._at(networks, 6.0) is networks[1]
    assert noise_depth._of_depth(process, 7).network.depth == 7


def test_the_record_is_read_by_the_networks_own_way_out():
    process = small()
    for iteration in ("chebyshev", "spectral"):
        compiled = krylov._compiled(process, iteration, 0)
        x = process.sample(3)
        with torch.no_grad():
            record = compiled.network.record(x, 0.1)
            last = krylov._read(compiled, record, len(record.blocks) - 1)
        torch.testing.assert_close(last, compiled.score(x, 0.1))
