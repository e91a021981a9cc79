"""Toeplitz, circulant and Kronecker algebra against scipy, numpy and linear_operator."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_operator.operators import KroneckerProductLinearOperator, ToeplitzLinearOperator
from tolerances import EXACT, ITERATIVE, STANDARD_ERRORS, relative_error

from kronoscope._errors import ConvergenceError, InputError
from kronoscope.kernels import (
    Cauchy,
    Constant,
    Cosine,
    FractionalGaussianNoise,
    Matern,
    Periodic,
    PowerExponential,
    RationalQuadratic,
    Wendland,
    White,
)
from kronoscope.linalg import (
    DenseCovariance,
    KroneckerCovariance,
    Toeplitz,
    ToeplitzKroneckerCovariance,
    eigendecomposition,
    stationary,
    toeplitz_log_det,
)
from kronoscope.linalg.conditioning import condition
from kronoscope.linalg.conjugate_gradients import conjugate_gradients
from kronoscope.linalg.draws import standard_normal
from kronoscope.linalg.schur import prediction_variances

TIGHT = EXACT[torch.float64]
KERNELS = {
    "exponential": PowerExponential(8.0),
    "squared exponential": PowerExponential(4.0, 2.0),
    "long exponential": PowerExponential(64.0, 0.7),
    "Matern 3/2": Matern(8.0, 1.5),
    "Cauchy, long memory": Cauchy(5.0, 1.0, 0.4),
    "rational quadratic": RationalQuadratic(5.0, 1.0),
    "fractional noise": FractionalGaussianNoise(0.8),
    "Wendland": Wendland(20.0),
    "white": White(),
    "constant": Constant(),
    "cosine": Cosine(17.3),
    "periodic": Periodic(1.0, 13.7),
}
SPATIAL = torch.tensor([[2.0, 0.3, -0.1], [0.3, 1.0, 0.2], [-0.1, 0.2, 0.4]], dtype=torch.float64)


def lags(kernel):
    return lambda count: kernel.at_lag(torch.arange(count, dtype=torch.float64))


def white(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def structured(kernel, frames, tolerance=1e-10):
    return ToeplitzKroneckerCovariance(Toeplitz(frames, lags(kernel)), eigendecomposition("Sigma", SPATIAL), tolerance)


def decomposed(kernel, frames):
    temporal = kernel.covariance(torch.arange(frames, dtype=torch.float64))
    return KroneckerCovariance(eigendecomposition("Gamma", temporal), eigendecomposition("Sigma", SPATIAL))


@pytest.mark.parametrize("frames", [1, 2, 3, 64, 97, 500])
def test_toeplitz_product_is_scipys(frames):
    toeplitz = Toeplitz(frames, lags(Matern(9.0, 2.5)))
    y = white(2, frames)
    reference = scipy.linalg.matmul_toeplitz(toeplitz.column.numpy(), y.numpy().T).T
    assert relative_error(toeplitz.product(y), torch.tensor(reference)) < 1e-13


def test_toeplitz_product_is_linear_operators():
    toeplitz, y = Toeplitz(300, lags(Cauchy(5.0))), white(300, 4)
    assert relative_error(toeplitz.product(y.mT).mT, ToeplitzLinearOperator(toeplitz.column) @ y) < 1e-13


@pytest.mark.parametrize("frames", [5, 8])
def test_circulant_neighbour_minimises_the_frobenius_distance(frames):
    """T. Chan's circulant is the projection: it has the means of the wrapped diagonals of Gamma."""
    toeplitz = Toeplitz(frames, lags(PowerExponential(3.0)))
    dense = scipy.linalg.toeplitz(toeplitz.column.numpy())
    index = (np.subtract.outer(np.arange(frames), np.arange(frames))) % frames
    first = np.array([dense[index == k].mean() for k in range(frames)])
    reference = np.fft.fft(first).real[: frames // 2 + 1]
    np.testing.assert_allclose(toeplitz.circulant_values.numpy(), reference, atol=1e-13)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("frames", [1, 2, 40, 333])
def test_eigenvalue_bounds_hold(name, frames):
    low, high = structured(KERNELS[name], frames).eigenvalue_bounds()
    values = np.kron(
        np.linalg.eigvalsh(scipy.linalg.toeplitz(lags(KERNELS[name])(frames).numpy())), np.linalg.eigvalsh(SPATIAL)
    )
    assert low <= values.min() + 1e-12 * frames
    assert values.max() <= high
    assert high <= 4 * values.max()


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("noise", [1e-2, 1.0])
def test_structured_solve_is_the_decomposed_one(name, noise):
    frames = 150
    y, scale, noise = white(4, frames, 3), number(0.9), number(noise)
    got = structured(KERNELS[name], frames).solve(y, scale, noise)
    assert relative_error(got, decomposed(KERNELS[name], frames).solve(y, scale, noise)) < ITERATIVE


def test_structured_solve_is_scipys_levinson():
    frames, kernel = 700, PowerExponential(32.0)
    spatial = eigendecomposition("Sigma", torch.ones(1, 1))
    y = white(2, frames, 1)
    covariance = ToeplitzKroneckerCovariance(Toeplitz(frames, lags(kernel)), spatial, 1e-12)
    got = covariance.solve(y, number(0.5), number(0.1))
    column = 0.5 * lags(kernel)(frames).numpy()
    column[0] += 0.1
    reference = scipy.linalg.solve_toeplitz(column, y[..., 0].numpy().T).T
    assert relative_error(got[..., 0], torch.tensor(reference)) < 1e-11


def test_each_sequence_has_its_own_scale_and_noise():
    covariance, reference = structured(Matern(6.0, 1.5), 80), decomposed(Matern(6.0, 1.5), 80)
    y, noise = white(4, 80, 3), torch.tensor([0.1, 0.5, 0.1, 0.9], dtype=torch.float64)
    assert relative_error(covariance.solve(y, 1 - noise, noise), reference.solve(y, 1 - noise, noise)) < ITERATIVE
    assert relative_error(covariance.log_det(1 - noise, noise), reference.log_det(1 - noise, noise)) < 1e-11


@pytest.mark.parametrize("name", KERNELS)
def test_structured_product_is_the_decomposed_one(name):
    y = white(2, 90, 3)
    assert relative_error(structured(KERNELS[name], 90).product(y), decomposed(KERNELS[name], 90).product(y)) < 1e-12


def test_kronecker_is_linear_operators():
    gamma = KERNELS["exponential"].covariance(torch.arange(20.0))
    operator = KroneckerProductLinearOperator(ToeplitzLinearOperator(gamma[0]), SPATIAL).to_dense()
    operator = operator + 0.3 * torch.eye(60, dtype=torch.float64)
    y, one, noise = white(3, 20, 3), number(1.0), number(0.3)
    reference = torch.linalg.solve(operator, y.flatten(1).mT).mT.reshape(y.shape)
    dense = DenseCovariance(eigendecomposition("K", torch.kron(gamma, SPATIAL)), 3)
    for covariance in (dense, decomposed(KERNELS["exponential"], 20)):
        assert relative_error(covariance.solve(y, one, noise), reference) < 1e-12
        assert abs(float(covariance.log_det(one, noise)) - float(torch.logdet(operator))) < 1e-11


@settings(max_examples=25, deadline=None)
@given(
    frames=st.integers(1, 300),
    lengthscale=st.floats(0.1, 50.0),
    exponent=st.floats(0.3, 2.0),
    noise=st.floats(1e-3, 10.0),
)
def test_schur_determinant_is_numpys(frames, lengthscale, exponent, noise):
    column = lags(PowerExponential(lengthscale, exponent))(frames).numpy()
    column[0] += noise
    sign, reference = np.linalg.slogdet(scipy.linalg.toeplitz(column))
    assert sign == 1
    assert toeplitz_log_det(column[None])[0] == pytest.approx(reference, abs=1e-9, rel=1e-11)


def test_schur_variances_are_those_of_the_cholesky_factor():
    column = lags(Matern(5.0, 1.5))(321).numpy()
    column[0] += 0.01
    reference = np.linalg.cholesky(scipy.linalg.toeplitz(column)).diagonal() ** 2
    np.testing.assert_allclose(
        prediction_variances(np.stack([column, 2 * column])), [reference, 2 * reference], rtol=1e-9
    )


def test_schur_determinant_of_an_autoregression_is_known_at_any_length():
    """exp(-h/l) has Var(x_k | past) = 1 - exp(-2/l), so log det = (N - 1) log(1 - exp(-2/l))."""
    frames = 2**15
    column = np.exp(-np.arange(frames) / 32.0)[None]
    assert toeplitz_log_det(column)[0] == pytest.approx((frames - 1) * np.log(-np.expm1(-2 / 32.0)), rel=1e-12)


@pytest.mark.parametrize("name", ["constant", "cosine", "squared exponential"])
def test_singular_toeplitz_matrices_have_no_determinant_and_no_solution(name):
    covariance, zero = structured(KERNELS[name], 200), number(0.0)
    with pytest.raises(InputError, match="singular to working precision"):
        covariance.log_det(zero + 1.0, zero)
    with pytest.raises((InputError, ConvergenceError), match=r"singular|ill-conditioned"):
        covariance.solve(white(1, 200, 3), zero + 1.0, zero)


def test_an_unreached_tolerance_beyond_the_decomposition_is_an_error_not_an_answer(monkeypatch):
    monkeypatch.setattr(stationary, "_DENSE_FRAMES", 99)
    with pytest.raises(ConvergenceError, match="relative residual"):
        structured(KERNELS["exponential"], 100, tolerance=1e-19).solve(white(1, 100, 3), number(1.0), number(0.1))


def test_a_recursion_that_breaks_down_is_an_error_not_an_answer():
    """A zero matrix makes 0/0 steps; the NaN that follows must not pass for a solution."""
    with pytest.raises(ConvergenceError, match="relative residual"):
        conjugate_gradients(lambda v, _: 0 * v, lambda v, _: v.clone(), white(2, 5), 1e-10, 50)


@pytest.mark.parametrize("name", ["exponential", "squared exponential", "cosine"])
def test_preconditioners_are_symmetric_and_positive_definite(name):
    covariances = [structured(KERNELS[name], 20), decomposed(KERNELS[name], 20)]
    gamma = KERNELS[name].covariance(torch.arange(20.0))
    covariances.append(DenseCovariance(eigendecomposition("K", torch.kron(gamma, SPATIAL)), 3))
    for covariance in covariances:
        matrix = covariance.precondition(torch.eye(60, dtype=torch.float64).reshape(60, 20, 3)).flatten(1)
        assert relative_error(matrix, matrix.mT) < 1e-6
        assert float(torch.linalg.eigvalsh(0.5 * (matrix + matrix.mT))[0]) > 0
    inverse = torch.linalg.inv(torch.kron(KERNELS["exponential"].covariance(torch.arange(20.0)), SPATIAL))
    assert name != "exponential" or relative_error(matrix, inverse) < 1e-6


@pytest.mark.parametrize("name", ["cosine", "periodic"])
@pytest.mark.parametrize("noise", [1e-4, 1e-5])
def test_where_the_iteration_fails_the_decomposition_answers(name, noise):
    """Residual recomputed with scipy's product. Round-off times the condition number, ~1e3 / noise, bounds it."""
    frames, y, noise = 900, white(2, 900, 3), number(noise)
    covariance = structured(KERNELS[name], frames)
    got = covariance.solve(y, 1 - noise, noise)
    assert covariance._missed > 0
    column = lags(KERNELS[name])(frames).numpy()
    image = np.stack([scipy.linalg.matmul_toeplitz(column, row.numpy()) for row in got]) @ SPATIAL.numpy()
    image = float(1 - noise) * image + float(noise) * got.numpy()
    assert relative_error(torch.tensor(image), y) < 1e-12 / float(noise)
    assert relative_error(got, decomposed(KERNELS[name], frames).solve(y, 1 - noise, noise)) < 1e-9
    easy = covariance.solve(y, number(0.5), number(0.5))
    assert relative_error(easy, decomposed(KERNELS[name], frames).solve(y, number(0.5), number(0.5))) < ITERATIVE


@pytest.mark.parametrize("name", KERNELS)
def test_circulant_draws_have_the_covariance(name):
    """Every entry of the empirical covariance, 12 frames, within 5 of its standard errors (under 1e-4 a kernel)."""
    frames, n = 12, 20000
    covariance = structured(KERNELS[name], frames)
    x = covariance.sample(n, torch.Generator().manual_seed(3)).flatten(1)
    truth = torch.kron(KERNELS[name].covariance(torch.arange(float(frames))), SPATIAL)
    error = ((truth.square() + torch.outer(truth.diagonal(), truth.diagonal())) / n).sqrt()
    assert float(((x.mT @ x / n - truth).abs() / error).max()) < STANDARD_ERRORS


def test_an_embedding_that_is_not_positive_is_never_clipped():
    assert Toeplitz(300, lags(Cosine(17.3))).sample(1, 1, torch.Generator()) is None
    assert Toeplitz(30, lags(PowerExponential(12.0, 2.0))).sample(1, 1, torch.Generator()) is not None
    with pytest.raises(InputError, match="32768 frames"):
        structured(Cosine(17.3), 2**15).sample(1, torch.Generator())


def test_draws_do_not_depend_on_how_many():
    for shape in ((1, 1), (3, 5), (8, 4), (101, 3)):
        many = standard_normal(7, shape, torch.Generator().manual_seed(1), torch.device("cpu"))
        few = standard_normal(2, shape, torch.Generator().manual_seed(1), torch.device("cpu"))
        assert torch.equal(many[:2], few)
        assert many.flatten(1).unique().numel() == many.numel()


def test_conditioning_is_the_textbook_formula():
    root = white(9, 9)
    covariance, observed = root @ root.mT, torch.arange(9) % 3 == 0
    y = white(3, 2)
    mean, rest = condition(covariance, observed, y)
    o, u = observed.nonzero()[:, 0], (~observed).nonzero()[:, 0]
    gain = covariance[u][:, o] @ torch.linalg.inv(covariance[o][:, o])
    assert relative_error(mean, gain @ y) < TIGHT
    assert relative_error(rest, covariance[u][:, u] - gain @ covariance[o][:, u]) < TIGHT


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.ones(2, 3), r"must be a square matrix, got shape \(2, 3\)"),
        (torch.tensor([[1.0, 0.5], [0.4, 1.0]]), "must be symmetric, but differs from its transpose by up to 0.1"),
        (torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "must be positive.*smallest eigenvalue is -1 "),
        (torch.tensor([[-1.0]]), "must be positive.*smallest eigenvalue is -1 "),
        (torch.tensor([[1.0, float("nan")], [float("nan"), 1.0]]), "must be finite"),
    ],
)
def test_what_is_no_covariance_is_refused(matrix, message):
    with pytest.raises(InputError, match="^Sigma " + message):
        eigendecomposition("Sigma", matrix)
