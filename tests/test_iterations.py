"""Tables of iterations against textbook forms of the same methods, against proofs, and against published depths."""

import math

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import torch
from numpy.polynomial import chebyshev as numpy_chebyshev
from tolerances import EXACT, relative_error

from kronoscope._errors import InputError
from kronoscope.iterations import (
    BUILDERS,
    Recurrence,
    chebyshev,
    chebyshev_steps,
    gradient_descent,
    heavy_ball,
    iterations_needed,
    krylov_floor,
    residual_bound,
    residual_factors,
    run,
)
from kronoscope.iterations import relative_error as score_error
from kronoscope.kernels import PowerExponential

TIGHT = EXACT[torch.float64]
INTERVALS = [(0.3, 5.0), (1e-3, 2.0), (2.0, 2.0), (0.5, 4e3)]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrix(low, high, size=30):
    """A dense symmetric matrix whose spectrum has the ends of the interval, and its eigenvalues and vectors."""
    vectors = torch.linalg.qr(normal(size, size)).Q
    values = torch.linspace(low, high, size, dtype=torch.float64)
    return vectors @ (values[:, None] * vectors.mT), values, vectors


# what each builder must be


def test_gradient_descent_is_the_loop_of_the_textbook():
    a, b = matrix(0.3, 5.0)[0], normal(30)
    s = torch.zeros(30, dtype=torch.float64)
    for _ in range(25):
        s = s - 2 / (0.3 + 5.0) * (a @ s - b)
    assert relative_error(run(gradient_descent(0.3, 5.0, 25), lambda v: a @ v, b), s) < 1e-13


def test_heavy_ball_is_the_loop_of_the_textbook():
    """Polyak: s_{k+1} = s_k - step grad + momentum (s_k - s_{k-1}), the same numbers throughout."""
    a, b = matrix(0.3, 5.0)[0], normal(30)
    roots = math.sqrt(0.3), math.sqrt(5.0)
    step, momentum = 4 / sum(roots) ** 2, ((roots[1] - roots[0]) / sum(roots)) ** 2
    s = before = torch.zeros(30, dtype=torch.float64)
    for _ in range(25):
        s, before = s - step * (a @ s - b) + momentum * (s - before), s
    assert relative_error(run(heavy_ball(0.3, 5.0, 25), lambda v: a @ v, b), s) < 1e-13


def residual_of_chebyshev(low, high, count, points):
    """T_K((b + a - 2 lambda) / (b - a)) / T_K((b + a) / (b - a)) by numpy."""
    unit = [0] * count + [1]
    top = numpy_chebyshev.chebval((high + low - 2 * points) / (high - low), unit)
    return top / numpy_chebyshev.chebval((high + low) / (high - low), unit)


@pytest.mark.parametrize(("low", "high"), [pair for pair in INTERVALS if pair[0] < pair[1]])
@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_chebyshev_leaves_the_polynomial_of_numpy(low, high, count):
    points = np.linspace(low, high, 201)
    for build in (chebyshev, chebyshev_steps):
        left = residual_factors(build(low, high, count), torch.tensor(points))[0, -1].numpy()
        reference = residual_of_chebyshev(low, high, count, points)
        np.testing.assert_allclose(left, reference, atol=1e-11 * np.abs(reference).max())


@pytest.mark.parametrize(("low", "high"), INTERVALS)
def test_chebyshev_has_the_coefficients_of_the_textbook_recurrence(low, high):
    """Saad, algorithm 12.1: rho_k = 1 / (2 sigma_1 - rho_{k-1}), step 2 rho_k / delta, momentum rho_k rho_{k-1}."""
    table = chebyshev(low, high, 60)
    theta, delta = (high + low) / 2, (high - low) / 2
    if delta == 0:
        assert table.step.tolist() == [[1 / theta] * 60]
        assert not table.momentum.any()
        return
    sigma, steps, momenta = theta / delta, [1 / theta], [0.0]
    rho = 1 / sigma
    for _ in range(59):
        following = 1 / (2 * sigma - rho)
        steps.append(2 * following / delta)
        momenta.append(following * rho)
        rho = following
    np.testing.assert_allclose(table.step[0].numpy(), steps, rtol=1e-13)
    np.testing.assert_allclose(table.momentum[0].numpy(), momenta, rtol=1e-12)


def test_chebyshev_steps_are_the_roots_of_the_polynomial():
    roots = np.sort(1 / chebyshev_steps(1.0, 9.0, 20).step[0].numpy())
    np.testing.assert_allclose(roots, np.sort(5 + 4 * numpy_chebyshev.chebpts1(20)), rtol=1e-13)


@pytest.mark.parametrize("condition_number", [10.0, 1e3, 1e5])
def test_the_order_of_the_steps_is_stable_at_512(condition_number):
    low, high = 1 / condition_number, 1.0
    points = torch.linspace(low, high, 4001, dtype=torch.float64)
    ordered = chebyshev_steps(low, high, 512)
    factors = residual_factors(ordered, points)[0]
    bound = float(residual_bound("chebyshev-steps", condition_number, 512))
    assert float(factors.abs().max()) < 0.5 * condition_number  # on the way
    assert float(factors[-1].abs().max()) <= bound * (1 + 1e-9) + 1e-12  # at the end
    a, b = matrix(low, high)[0], normal(30)
    error = relative_error(run(ordered, lambda s: a @ s, b), torch.linalg.solve(a, b))
    assert error <= bound + 1e-11 * condition_number


@pytest.mark.parametrize("descending", [False, True])
def test_other_orders_of_the_steps_are_not_stable(descending):
    step = chebyshev_steps(1e-3, 1.0, 512).step.sort(descending=descending).values
    careless = Recurrence("careless", step, torch.zeros_like(step))
    a, b = matrix(1e-3, 1.0)[0], normal(30)
    assert relative_error(run(careless, lambda s: a @ s, b), torch.linalg.solve(a, b)) > 1e10


@pytest.mark.parametrize("name", BUILDERS)
def test_a_table_has_a_row_for_every_time_and_is_differentiable(name):
    low = torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    table = BUILDERS[name](low, 5.0, 9)
    assert table.name == name
    assert (table.num_times, table.num_iterations) == (3, 9)
    for row, end in enumerate(low.tolist()):
        alone = BUILDERS[name](end, 5.0, 9)
        torch.testing.assert_close(table.step[row], alone.step[0], rtol=1e-15, atol=0)
        torch.testing.assert_close(table.momentum[row], alone.momentum[0], rtol=1e-14, atol=0)
    assert torch.autograd.gradcheck(lambda end: BUILDERS[name](end, 5.0, 4).step, (low,))


# the runner against the scalar recurrence


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("dense", [False, True], ids=["diagonal", "dense"])
def test_run_leaves_the_residual_factors(name, dense):
    a, values, vectors = matrix(0.3, 5.0)
    if not dense:
        a, vectors = torch.diag(values), torch.eye(30, dtype=torch.float64)
    table, b = BUILDERS[name](0.3, 5.0, 12), normal(30)
    iterates = run(table, lambda s: a @ s, b, record=True)
    factors = residual_factors(table, values)[0]
    assert iterates.shape == (13, 30)
    for k in range(13):
        expected = vectors @ (factors[k] * (vectors.mT @ b))
        assert float((b - a @ iterates[k] - expected).norm() / b.norm()) < 1e-12
    torch.testing.assert_close(run(table, lambda s: a @ s, b), iterates[-1], rtol=0, atol=0)


def test_run_with_a_preconditioner_leaves_the_factors_of_the_generalised_eigenvalues():
    a, m = matrix(0.3, 5.0)[0], torch.linspace(0.5, 2.0, 30, dtype=torch.float64)
    values, vectors = scipy.linalg.eigh(a.numpy(), np.diag(m.numpy()))  # a v = lambda m v
    table, b = chebyshev(float(values[0]), float(values[-1]), 8), normal(30)
    error = torch.linalg.solve(a, b) - run(table, lambda s: a @ s, b, precondition=lambda r: r / m)
    factors, basis = residual_factors(table, torch.tensor(values))[0, -1], torch.tensor(vectors)
    expected = basis @ (factors * torch.linalg.solve(basis, torch.linalg.solve(a, b)))
    assert float((error - expected).norm() / expected.norm()) < 1e-11


def test_run_takes_rows_and_keeps_dtype_and_counts_products():
    table, calls = chebyshev(torch.tensor([0.3, 1.0]), 5.0, 6), []

    def product(s):
        calls.append(s.shape)
        return 2.0 * s

    b = normal(2, 3, 4).float()
    both = run(table, product, b)
    assert both.dtype == torch.float32
    assert calls == [(2, 3, 4)] * 5
    for row in (0, 1):
        alone = run(table, product, b, row=row)
        assert torch.equal(alone[row], both[row])
        assert torch.equal(run(table, product, b, row=torch.tensor([row, 1 - row]))[0], alone[0])
    assert float((both - b / 2).abs().max()) < 0.2


# rates


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("condition_number", [1.0, 1.5, 30.0, 2e3])
def test_the_measured_rate_is_the_proven_one(name, condition_number):
    points = torch.cat([torch.linspace(1.0, condition_number, 3001), torch.tensor([1.0, condition_number])]).double()
    for count in (1, 2, 10, 40):
        measured = residual_factors(BUILDERS[name](1.0, condition_number, count), points)[0, -1].abs().max()
        bound = residual_bound(name, condition_number, count)
        assert float(measured) == pytest.approx(float(bound), rel=1e-8, abs=1e-13)  # attained at the ends


@pytest.mark.parametrize("name", BUILDERS)
def test_iterations_needed_is_the_inverse_of_the_bound(name):
    kappa = torch.tensor([1.0, 1 + 1e-12, 1.3, 10.0, 271.0, 1e4, 1e8, 1e12], dtype=torch.float64)[:, None]
    tolerance = torch.tensor([0.9, 1e-2, 1e-7, 1e-15], dtype=torch.float64)
    count = iterations_needed(name, kappa, tolerance)
    assert count.shape == (8, 4)
    assert count.dtype == torch.int64
    assert bool((residual_bound(name, kappa, count) <= tolerance).all())
    assert bool(((residual_bound(name, kappa, count - 1) > tolerance) | (count == 1)).all())


def test_the_bound_keeps_its_digits():
    mpmath = pytest.importorskip("mpmath")
    for kappa in (1 + 1e-9, 2.0, 1e6, 1e14):
        for count in (0, 1, 5, 10**6):
            with mpmath.workdps(50):
                k = mpmath.mpf(kappa)
                polynomial = mpmath.cosh(count * mpmath.acosh((k + 1) / (k - 1)))
                expected = float(1 / polynomial), float(((k - 1) / (k + 1)) ** count)
            got = [float(residual_bound(name, kappa, count)) for name in ("chebyshev", "gradient-descent")]
            assert got == pytest.approx(expected, rel=1e-7 if count > 5 else 1e-12, abs=1e-300), (kappa, count)


def slope(name):
    """Of log iterations against log kappa over three decades, measured on the tables and not on the bound."""
    kappas = np.logspace(1, 4, 4) if name == "gradient-descent" else np.logspace(2, 5, 7)
    counts = []
    for kappa in kappas:
        longest = int(1.2 * iterations_needed(name, kappa, 1e-3))
        left = residual_factors(BUILDERS[name](1.0, kappa, longest), torch.tensor([1.0, kappa]).double())
        counts.append(int((left[0].abs().amax(-1) <= 1e-3).nonzero()[0]))
    return np.polyfit(np.log(kappas), np.log(counts), 1)[0]


def test_gradient_descent_takes_kappa_iterations_and_chebyshev_its_root():
    assert slope("gradient-descent") == pytest.approx(1.0, abs=0.05)
    assert slope("chebyshev") == pytest.approx(0.5, abs=0.05)


# the depths of docs/theory.md, section 4

DEPTHS = [
    (PowerExponential(8.0), 64, 1e-3, 1767, 5264, 152, 4, 2.0),
    (PowerExponential(8.0), 64, 1e-1, 271, 821, 60, 4, 2.0),
    (PowerExponential(4.0, 2.0), 64, 1e-3, 15988, 54442, 475, 18, 22.8),
    (PowerExponential(32.0), 256, 1e-2, 9137, 27379, 347, 4, 2.1),
]


def spatial_eigenvalues():
    a = np.random.default_rng(0).standard_normal((4, 4))
    sigma = a @ a.T / 4 + 0.3 * np.eye(4)
    return np.linalg.eigvalsh(sigma * 4 / np.trace(sigma))


def noised_spectrum(kernel, frames, t):
    temporal = torch.linalg.eigvalsh(kernel.covariance(torch.arange(frames)))
    joint = torch.outer(temporal, torch.tensor(spatial_eigenvalues())).flatten().sort().values
    return math.exp(-t) * joint - math.expm1(-t)


def first_below(error, tolerance=1e-3):
    return int((error <= tolerance).nonzero()[0])


@pytest.mark.parametrize(("kernel", "frames", "t", "kappa", "descent", "semi", "preconditioned", "left"), DEPTHS)
def test_the_depths_of_the_theory(kernel, frames, t, kappa, descent, semi, preconditioned, left):
    spectrum = noised_spectrum(kernel, frames, t)
    low, high = spectrum[0], spectrum[-1]
    assert float(high / low) == pytest.approx(kappa, abs=0.51)
    assert first_below(score_error(chebyshev(low, high, 2 * semi), spectrum)[0]) == semi
    step, weight = float(gradient_descent(low, high, 1).step), 1 / spectrum
    for count, reached in ((descent, True), (descent - 1, False)):  # in closed form: the table would be long
        square = ((1 - step * spectrum) ** (2 * count) * weight).sum() / weight.sum()
        assert (float(square.sqrt()) <= 1e-3) == reached
    if descent < 6000:
        assert first_below(score_error(gradient_descent(low, high, descent + 9), spectrum)[0]) == descent


@pytest.mark.parametrize(("kernel", "frames", "t", "kappa", "descent", "semi", "preconditioned", "left"), DEPTHS)
def test_the_preconditioned_depths_of_the_theory(kernel, frames, t, kappa, descent, semi, preconditioned, left):
    gamma, cosines = (
        kernel.covariance(torch.arange(frames)).numpy(),
        scipy.fft.dct(np.eye(frames), norm="ortho", axis=0),
    )
    spectra, weights = [], []
    for sigma in spatial_eigenvalues():
        c = math.exp(-t) * sigma * (cosines @ gamma @ cosines.T) - math.expm1(-t) * np.eye(frames)
        values, vectors = scipy.linalg.eigh(c, np.diag(np.diag(c)))  # vectors' diag(c) vectors = I
        spectra.append(torch.tensor(values))
        weights.append(torch.tensor(vectors.T @ vectors))
    low, high = min(float(s.min()) for s in spectra), max(float(s.max()) for s in spectra)
    assert high / low == pytest.approx(left, abs=0.06)
    table, square, total = chebyshev(low, high, 30), torch.zeros(31, dtype=torch.float64), 0.0
    for spectrum, weight in zip(spectra, weights):  # E |r_K(M^-1 C) s*|^2 with s* ~ N(0, C^-1)
        factors = residual_factors(table, spectrum)[0]
        square += (factors**2 / spectrum * weight.diagonal()).sum(-1)
        total += float((weight.diagonal() / spectrum).sum())
    assert first_below((square / total).sqrt()) == preconditioned


def test_score_error_is_what_sampling_measures():
    a, values, vectors = matrix(0.3, 5.0)
    table = chebyshev(0.3, 5.0, 3)
    b = vectors @ (values.sqrt()[:, None] * normal(30, 4000, seed=4))  # b ~ N(0, A)
    left = ((run(table, lambda s: a @ s, b) - torch.linalg.solve(a, b)) ** 2).sum(0)
    exact = float(score_error(table, values)[0, -1]) ** 2 * float((1 / values).sum())
    assert float(left.mean()) == pytest.approx(exact, abs=5 * float(left.std()) / math.sqrt(4000))


def test_no_method_is_below_the_floor():
    for kernel, frames, t in [row[:3] for row in DEPTHS[:3]]:
        spectrum = noised_spectrum(kernel, frames, t)
        floor = krylov_floor(spectrum, 60)
        for build in BUILDERS.values():
            for count in (1, 2, 5, 20, 60):
                square = score_error(build(spectrum[0], spectrum[-1], count), spectrum)[0, 1:] ** 2
                assert bool((floor[:count] <= square * (1 + 1e-9)).all())


# refusals


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (0.0, 1.0, "low must be greater than 0, got 0"),
        (-1.0, 1.0, "low must be greater than 0, got -1"),
        (2.0, 1.0, "high must be at least low, got high 1 and low 2"),
        (math.nan, 1.0, "low must be finite"),
        (1.0, math.inf, "high must be finite"),
        (torch.ones(2, 2), 1.0, "low must be a number or have shape"),
        (torch.ones(2), torch.ones(3), "low and high must have one shape"),
    ],
)
@pytest.mark.parametrize("name", BUILDERS)
def test_bad_intervals_are_refused(name, low, high, message):
    with pytest.raises(InputError, match=message):
        BUILDERS[name](low, high, 3)


@pytest.mark.parametrize("name", BUILDERS)
def test_bad_counts_are_refused(name):
    with pytest.raises(InputError, match="iterations must be at least 1, got 0"):
        BUILDERS[name](1.0, 2.0, 0)
    with pytest.raises(TypeError, match="iterations must be a whole number"):
        BUILDERS[name](1.0, 2.0, 1.5)


ONE = torch.ones(1, 2, dtype=torch.float64)


@pytest.mark.parametrize(
    ("step", "momentum", "message"),
    [
        (ONE, ONE, "momentum must start with 0"),
        (ONE, 0 * ONE[:, :1], "momentum must have step's shape"),
        (ONE[:, :0], ONE[:, :0], "step must have shape"),
        (ONE / 0, 0 * ONE, "step must be finite"),
        (ONE.float(), 0 * ONE, "step must be a float64 tensor, got torch.float32"),
        ([1.0], 0 * ONE, "step must be a float64 tensor, got list"),
    ],
)
def test_bad_tables_are_refused(step, momentum, message):
    with pytest.raises((InputError, TypeError), match=message):
        Recurrence("bad", step, momentum)


def test_bad_rows_spectra_and_rates_are_refused():
    table, b = chebyshev(torch.tensor([1.0, 2.0]), 3.0, 2), normal(3, 4)
    for row, message in (
        (2, "row must lie in 0..1, got 2"),
        (-1, "row must lie in 0..1, got -1"),
        (None, "one for each right side, got .2,. rows"),
        (torch.zeros(3), "row must hold whole numbers"),
    ):
        with pytest.raises((InputError, TypeError), match=message):
            run(table, lambda s: s, b, row=row)
    with pytest.raises(InputError, match="eigenvalues must have shape"):
        residual_factors(table, torch.ones(3, 4))
    with pytest.raises(InputError, match="eigenvalues must be finite"):
        residual_factors(table, torch.tensor([math.nan]))
    with pytest.raises(InputError, match="eigenvalues must be greater than 0, got 0"):
        score_error(table, torch.tensor([0.0, 1.0]))
    with pytest.raises(
        InputError, match="name must be one of gradient-descent, heavy-ball, chebyshev, chebyshev-steps, got 'cg'"
    ):
        residual_bound("cg", 2.0, 3)
    with pytest.raises(InputError, match=r"condition_number must be at least 1, got 0\.5"):
        residual_bound("chebyshev", 0.5, 3)
    with pytest.raises(InputError, match="iterations must be 0 or greater, got -1"):
        residual_bound("chebyshev", 2.0, -1)
    with pytest.raises(TypeError, match="iterations must hold whole numbers"):
        residual_bound("chebyshev", 2.0, 1.5)
    for tolerance in (0.0, 1.0, -1.0):
        with pytest.raises(InputError, match="tolerance must be greater than 0 and less than 1"):
            iterations_needed("chebyshev", 2.0, tolerance)
