"""The floor and the table that goes with it, against arbitrary precision, and what rounding leaves of them."""

import math

import mpmath
import numpy as np
import pytest
import torch
from test_iterations import DEPTHS, first_below, noised_spectrum, normal

from kronoscope._errors import InputError
from kronoscope.iterations import chebyshev, iterations_needed, krylov_floor, relative_error, run, spectrum_optimal

SPECTRA = [
    ([1.0, 3.0], None),
    ([0.2, 0.5, 1.0, 4.0, 4.5, 9.0, 30.0], None),
    ([0.01, 0.3, 0.35, 1.0, 7.0, 50.0, 51.0, 900.0], [3, 1, 2, 5, 1, 1, 4, 2]),
]


def least_squares(values, counts, degree):
    """min over deg p < degree of sum m lambda (1/lambda - p(lambda))^2 / sum m / lambda by QR in 80 digits."""
    with mpmath.workdps(80):
        lam = [mpmath.mpf(v) for v in values]
        root = [mpmath.sqrt(m) for m in (counts or [1] * len(lam))]
        total = sum(w**2 / v for v, w in zip(lam, root))
        if degree >= len(lam):
            return 0.0
        matrix = mpmath.matrix([[w * mpmath.sqrt(v) * v**k for k in range(degree)] for v, w in zip(lam, root)])
        right = mpmath.matrix([w / mpmath.sqrt(v) for v, w in zip(lam, root)])
        solution = mpmath.lu_solve(matrix.T * matrix, matrix.T * right)
        residual = matrix * solution - right
        return float(sum(r**2 for r in residual) / total)


def conjugate_gradients(values, count):
    """Steps, momenta and squared relative errors of the textbook's conjugate gradients in 400 digits."""
    with mpmath.workdps(400):
        lam = [mpmath.mpf(float(v)) for v in values]
        r, p, s = [mpmath.mpf(1)] * len(lam), [mpmath.mpf(1)] * len(lam), [mpmath.mpf(0)] * len(lam)
        total, size = sum(1 / v for v in lam), mpmath.mpf(len(lam))
        steps, momenta, errors, beta = [], [], [], mpmath.mpf(0)
        for _ in range(count):
            alpha = size / sum(v * q * q for v, q in zip(lam, p))
            momenta.append(alpha * beta / steps[-1] if steps else mpmath.mpf(0))
            steps.append(alpha)
            s = [a + alpha * q for a, q in zip(s, p)]
            r = [a - alpha * v * q for a, v, q in zip(r, lam, p)]
            following = sum(a * a for a in r)
            beta, size = following / size, following
            p = [a + beta * q for a, q in zip(r, p)]
            errors.append(sum(v * (1 / v - a) ** 2 for v, a in zip(lam, s)) / total)
        return ([float(x) for x in column] for column in (steps, momenta, errors))


@pytest.mark.parametrize(("values", "counts"), SPECTRA)
def test_the_floor_is_the_least_squares_of_the_theory(values, counts):
    floor = krylov_floor(torch.tensor(values).double(), 9, None if counts is None else torch.tensor(counts))
    expected = [least_squares([float(v) for v in torch.tensor(values).double()], counts, k) for k in range(1, 10)]
    assert floor.tolist() == pytest.approx(expected, rel=1e-8, abs=1e-300)
    assert bool((floor.diff() <= 0).all())
    assert bool((floor[len(values) - 1 :] == 0).all())


@pytest.mark.parametrize(("values", "counts"), SPECTRA)
def test_without_rounding_the_table_attains_the_floor(values, counts):
    spectrum, weight = torch.tensor(values).double(), None if counts is None else torch.tensor(counts)
    table = spectrum_optimal(spectrum, 9, weight, roundoff=0)
    error = relative_error(table, spectrum, weight)[0]
    floor = krylov_floor(spectrum, 9, weight)
    safe = 9 if spectrum[-1] / spectrum[0] < 1e3 else 6  # beyond, float64 does not carry the polynomial
    assert (error[1:] ** 2)[:safe].tolist() == pytest.approx(floor[:safe].tolist(), rel=1e-6, abs=1e-20)
    assert bool((table.step[0, : len(values)] > 0).all())
    assert not table.step[0, len(values) :].any()  # done, and it stays so


@pytest.mark.parametrize("case", [0, 2])
def test_coefficients_and_floor_are_those_of_conjugate_gradients_in_arbitrary_precision(case):
    spectrum = noised_spectrum(*DEPTHS[case][:3])[::3]
    steps, momenta, errors = conjugate_gradients(spectrum.tolist(), 60)
    table = spectrum_optimal(spectrum, 60, roundoff=0)
    np.testing.assert_allclose(krylov_floor(spectrum, 60).numpy(), errors, rtol=1e-7)
    np.testing.assert_allclose(table.step[0].numpy(), steps, rtol=1e-7)
    np.testing.assert_allclose(table.momentum[0].numpy(), momenta, rtol=1e-7)


def test_equal_eigenvalues_are_one_with_a_multiplicity_and_times_are_rows():
    distinct, counts = torch.tensor([0.1, 1.0, 5.0, 20.0]).double(), torch.tensor([2, 1, 3, 2])
    repeated = distinct.repeat_interleave(counts)
    torch.testing.assert_close(krylov_floor(repeated, 3), krylov_floor(distinct, 3, counts), rtol=1e-10, atol=0)
    for roundoff in (0.0, 1e-14):
        one, other = spectrum_optimal(repeated, 3, None, roundoff), spectrum_optimal(distinct, 3, counts, roundoff)
        torch.testing.assert_close(one.step, other.step, rtol=1e-10, atol=0)
        rows = spectrum_optimal(torch.stack([distinct, 2 * distinct]), 3, counts, roundoff)
        torch.testing.assert_close(rows.step, torch.cat([other.step, other.step / 2]), rtol=1e-9, atol=0)
        torch.testing.assert_close(rows.momentum, other.momentum.expand(2, -1), rtol=1e-9, atol=0)
    floors = krylov_floor(torch.stack([distinct, 2 * distinct]), 3, counts)
    torch.testing.assert_close(floors, krylov_floor(distinct, 3, counts).expand(2, -1), rtol=1e-10, atol=0)


# what rounding leaves: iterations to 1e-3 by the exact floor, and by the table as it is run

ROUNDED = [(0, 54, 76), (1, 30, 33), (2, 107, 231), (3, 83, 156)]


@pytest.mark.parametrize(("case", "exact", "rounded"), ROUNDED)
def test_the_default_table_keeps_its_promise_when_it_is_run(case, exact, rounded):
    spectrum = noised_spectrum(*DEPTHS[case][:3])
    count = int(iterations_needed("chebyshev", spectrum[-1] / spectrum[0], 1e-3))
    assert first_below(krylov_floor(spectrum, count), 1e-6) + 1 == exact
    error = relative_error(spectrum_optimal(spectrum, count), spectrum)[0]
    assert first_below(error) == pytest.approx(rounded, rel=0.03)  # another random stream moves it by one or two
    assert float((error[1:] / error[:-1]).max()) < 1.05
    assert bool((error[1:] ** 2 >= krylov_floor(spectrum, count) * (1 - 1e-6)).all())
    interval_only = relative_error(chebyshev(spectrum[0], spectrum[-1], count), spectrum)[0]
    assert first_below(error) < 0.6 * first_below(interval_only)


def test_no_polynomial_that_survives_rounding_is_much_better():
    """Greenbaum 1989: finite precision sees clusters, so the exact floor of clusters bounds what can be run."""
    cluster = torch.cos(math.pi * (torch.arange(7, dtype=torch.float64) + 0.5) / 7)
    for case, count in ((0, 90), (1, 45)):
        spectrum = noised_spectrum(*DEPTHS[case][:3])
        clusters = (spectrum[:, None] * (1 + 1e-14 * cluster)).flatten()
        limit = first_below(krylov_floor(clusters, count), 1e-6) + 1
        assert first_below(relative_error(spectrum_optimal(spectrum, count), spectrum)[0]) <= 1.05 * limit
        assert limit > first_below(krylov_floor(spectrum, count), 1e-6) + 1


@pytest.mark.parametrize(("dtype", "roundoff"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_a_dense_system_in_its_own_rounding_follows_the_scalar_recurrence(dtype, roundoff):
    spectrum = noised_spectrum(*DEPTHS[0][:3])
    size = len(spectrum)
    vectors = torch.linalg.qr(normal(size, size)).Q
    a = vectors @ (spectrum[:, None] * vectors.mT)
    solution = vectors @ (normal(size, 20, seed=1) / spectrum.sqrt()[:, None])  # A^-1 b with b ~ N(0, A)
    table = spectrum_optimal(spectrum, 160, roundoff=roundoff)
    iterates = run(table, lambda s: a.to(dtype) @ s, (a @ solution).to(dtype), record=True).double()
    measured = (iterates - solution).square().sum((1, 2)).div(solution.square().sum()).sqrt()
    expected = relative_error(table, spectrum)[0]
    assert abs(first_below(measured) - first_below(expected)) <= 2
    assert float((measured / expected)[: first_below(expected)].log().abs().max()) < 0.3  # sampling of b
    careless = run(spectrum_optimal(spectrum, 60, roundoff=0), lambda s: a @ s, a @ solution)
    assert float((careless - solution).norm() / solution.norm()) > 1e10  # why 0 is not the default


def test_iterations_beyond_the_solution_keep_it():
    for values in ([2.0], [1.0, 2.0, 3.0, 4.0], [1e-6, 1.0, 1e4]):
        spectrum = torch.tensor(values).double()
        error = relative_error(spectrum_optimal(spectrum, 300), spectrum)[0]
        assert float(error[-1]) < 1e-10
        assert bool(torch.isfinite(error).all())


@pytest.mark.parametrize("build", [spectrum_optimal, krylov_floor])
def test_bad_spectra_are_refused(build):
    for values, message in (
        ([0.0, 1.0], "eigenvalues must be greater than 0, got 0"),
        ([-1.0, 1.0], "eigenvalues must be greater than 0, got -1"),
        ([math.nan, 1.0], "eigenvalues must be finite"),
        ([], "eigenvalues must have shape"),
    ):
        with pytest.raises(InputError, match=message):
            build(torch.tensor(values), 3)
    for counts, message in (([1, 0], "multiplicities must be greater than 0"), ([1], "multiplicities must have shape")):
        with pytest.raises(InputError, match=message):
            build(torch.tensor([1.0, 2.0]), 3, torch.tensor(counts))
    with pytest.raises(InputError, match="iterations must be at least 1"):
        build(torch.tensor([1.0, 2.0]), 0)


def test_bad_roundoff_is_refused():
    for roundoff in (-1e-9, 1.0):
        with pytest.raises(InputError, match="roundoff must be"):
            spectrum_optimal(torch.tensor([1.0, 2.0]), 3, roundoff=roundoff)
