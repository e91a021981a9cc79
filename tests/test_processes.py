"""Laws of sequences against scipy, dense formulas and autograd."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import statsmodels.tsa.vector_ar.var_model
import torch
from tolerances import EXACT, STANDARD_ERRORS, relative_error

from kronoscope import _checks
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
from kronoscope.processes import (
    BlockToeplitzSequence,
    DenseGaussian,
    GaussianSequence,
    KroneckerSum,
    SeparableGaussian,
)

TIGHT = EXACT[torch.float64]
KERNELS = {
    "exponential": PowerExponential(8.0),
    "squared exponential": PowerExponential(4.0, 2.0),
    "stretched": PowerExponential(20.0, 0.5),
    "Matern 1/2": Matern(8.0, 0.5),
    "Matern 3/2": Matern(8.0, 1.5),
    "Matern 5/2": Matern(8.0, 2.5),
    "Matern 0.8": Matern(8.0, 0.8),
    "Cauchy": Cauchy(5.0, 1.0, 0.4),
    "rational quadratic": RationalQuadratic(5.0, 1.0),
    "fractional noise": FractionalGaussianNoise(0.8),
    "Wendland": Wendland(20.0),
    "white": White(),
    "constant": Constant(),
    "cosine": Cosine(17.3),
    "periodic": Periodic(1.0, 13.7),
    "sum and product": 0.5 * PowerExponential(8.0) + Matern(30.0, 1.5) * Cosine(9.0) + 0.1 * White(),
}
SPATIAL = torch.tensor([[2.0, 0.3, -0.1], [0.3, 1.0, 0.2], [-0.1, 0.2, 0.4]], dtype=torch.float64)
TIMES = [1e-3, 0.1, 6.0]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def irregular(frames):
    return torch.rand(frames, generator=seeded(7), dtype=torch.float64).add(0.1).cumsum(0)


def example(mean=True, frames=7):
    mu = torch.randn(frames, 3, generator=seeded(2), dtype=torch.float64) if mean else None
    return GaussianSequence(PowerExponential(4.0), SPATIAL, times=irregular(frames), mean=mu)


def rotating_blocks(frames):
    """C(m) = A^m C(0) of the vector autoregression x_i = A x_{i-1} + e_i, Cov(e) = I, with C(0) = A C(0) A' + I."""
    drive = torch.tensor([[0.6, 0.5, 0.0], [-0.5, 0.6, 0.1], [0.2, 0.0, 0.4]], dtype=torch.float64)
    instant = torch.tensor(scipy.linalg.solve_discrete_lyapunov(drive.numpy(), np.eye(3)))
    return torch.stack([torch.linalg.matrix_power(drive, m) @ (0.5 * (instant + instant.mT)) for m in range(frames)])


TERMS = [(PowerExponential(4.0), SPATIAL), (Cosine(3.1), torch.diag(torch.tensor([1.0, 0.0, 0.5])).double())]
LAWS = ["sequence", "separable", "dense", "block-toeplitz", "kronecker-sum"]


def laws():
    process = example()
    return {
        "sequence": process,
        "separable": SeparableGaussian(process.temporal_covariance, SPATIAL, mean=process.mean),
        "dense": DenseGaussian(process.covariance(), 3, mean=process.mean),
        "block-toeplitz": BlockToeplitzSequence(rotating_blocks(7), mean=process.mean),
        "kronecker-sum": KroneckerSum(TERMS, irregular(7), mean=process.mean),
    }


def noised(covariance, t):
    return math.exp(-t) * covariance - math.expm1(-t) * torch.eye(len(covariance), dtype=torch.float64)


def solved(covariance, y):
    return torch.linalg.solve(covariance, y.flatten(1).mT).mT.reshape(y.shape)


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("grid", ["regular", "irregular"])
@pytest.mark.parametrize("name", KERNELS)
def test_score_is_the_dense_solution_for_every_kernel(name, grid, t):
    frames = 60
    process = GaussianSequence(KERNELS[name], SPATIAL, times=frames if grid == "regular" else irregular(frames))
    x = torch.randn(4, frames, 3, generator=seeded(), dtype=torch.float64)
    assert relative_error(process.score(x, t), -solved(noised(process.covariance(), t), x)) < TIGHT


@pytest.mark.parametrize("name", ["exponential", "squared exponential", "constant", "periodic"])
def test_score_is_the_dense_solution_at_2048_numbers(name):
    process = GaussianSequence(KERNELS[name], SPATIAL[1:, 1:] * 2, times=1024)
    x = process.sample(2, generator=seeded()) + torch.randn(2, 1024, 2, generator=seeded(1), dtype=torch.float64)
    assert relative_error(process.score(x, 1e-3), -solved(noised(process.covariance(), 1e-3), x)) < TIGHT


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("t", [0.0, 1e-3, 0.5, 6.0])
def test_log_prob_is_scipys(name, t):
    law = laws()[name]
    x = law.sample(5, generator=seeded(3))
    reference = scipy.stats.multivariate_normal(
        math.exp(-t / 2) * law.mean.flatten().numpy(), noised(law.covariance(), t).numpy()
    )
    np.testing.assert_allclose(law.log_prob(x, t).numpy(), reference.logpdf(x.flatten(1).numpy()), rtol=1e-11)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("t", [0.0, 0.1, torch.tensor([0.0, 1e-3, 0.4, 6.0], dtype=torch.float64)])
def test_score_is_the_gradient_of_log_prob(name, t):
    law = laws()[name]
    x = law.sample(4, generator=seeded(3)).requires_grad_()
    (gradient,) = torch.autograd.grad(law.log_prob(x, t).sum(), x)
    assert relative_error(gradient, law.score(x, t).detach()) < TIGHT


@pytest.mark.parametrize("name", LAWS)
def test_jacobian_of_the_score_is_minus_the_precision(name):
    law = laws()[name]
    jacobian = torch.autograd.functional.jacobian(lambda x: law.score(x, 0.2), law.sample(1))
    size = law.num_frames * law.num_features
    assert relative_error(jacobian.reshape(size, size), -torch.linalg.inv(noised(law.covariance(), 0.2))) < TIGHT


@pytest.mark.parametrize("name", LAWS)
def test_one_time_for_each_sequence(name):
    law = laws()[name]
    x, t = law.sample(3), torch.tensor([0.0, 0.1, 3.0], dtype=torch.float64)
    for verb in (law.score, law.log_prob, law.denoise):
        one_by_one = torch.cat([verb(x[i : i + 1], float(t[i])) for i in range(3)])
        assert relative_error(verb(x, t), one_by_one) < TIGHT


@pytest.mark.parametrize("t", [1e-3, 0.3, 6.0])
def test_denoise_is_the_conditional_mean_of_the_joint_law(t):
    law = example()
    x, covariance, shrink = law.sample(3), law.covariance(), math.exp(-t / 2)
    pulled = solved(noised(covariance, t), x - shrink * law.mean).flatten(1) @ (shrink * covariance)
    assert relative_error(law.denoise(x, t), law.mean + pulled.reshape(x.shape)) < TIGHT


def test_denoise_at_time_zero_is_the_identity_even_where_the_law_is_singular():
    law = GaussianSequence(Constant(), SPATIAL, times=5)
    x = law.sample(2)
    assert torch.equal(law.denoise(x, 0.0), x)
    assert torch.equal(law.denoise(x, torch.tensor([0.0, 1.0]))[0], x[0])


@pytest.mark.parametrize("t", [1e-3, 0.2])
def test_spectral_bounds_are_the_extreme_eigenvalues(t):
    for law in laws().values():
        values = np.linalg.eigvalsh(noised(law.covariance(), t).numpy())
        assert law.spectral_bounds(t) == pytest.approx((values[0], values[-1]), rel=1e-9)
        assert law.condition_number(t) == pytest.approx(values[-1] / values[0], rel=1e-9)


def test_a_singular_law_has_no_bounded_condition_number_at_time_zero():
    law = SeparableGaussian(torch.eye(2), torch.zeros(1, 1))
    assert law.condition_number(0.0) == math.inf
    assert law.condition_number(1.0) == 1.0


@pytest.mark.parametrize("name", ["exponential", "cosine", "constant", "squared exponential"])
def test_samples_have_mean_and_covariance(name):
    """Each of 12 means and 144 covariances within 5 standard errors: fails by chance less than once in 10^4."""
    n, mean = 20000, torch.arange(12.0).reshape(4, 3)
    law = GaussianSequence(KERNELS[name], SPATIAL, times=irregular(4), mean=mean)
    x, truth = law.sample(n, generator=seeded(5)).flatten(1), law.covariance()
    variances = truth.diagonal()
    assert float(((x.mean(0) - mean.flatten()).abs() / (variances / n).sqrt()).max()) < STANDARD_ERRORS
    error = ((truth.square() + torch.outer(variances, variances)) / n).sqrt()
    centred = x - mean.flatten()
    assert float(((centred.mT @ centred / n - truth).abs() / error).max()) < STANDARD_ERRORS


def test_draws_are_reproducible_and_do_not_depend_on_the_number():
    for law in laws().values():
        assert torch.equal(law.sample(5), law.sample(5, generator=seeded(0)))
        assert relative_error(law.sample(2), law.sample(5)[:2]) < 1e-14
        assert law.sample(0).shape == (0, 7, 3)


def test_float32_input_is_solved_in_float64_and_comes_back_as_float32():
    law = example()
    x = law.sample(3).float()
    for verb in (law.score, law.denoise, law.log_prob):
        got = verb(x, 0.1)
        assert got.dtype == torch.float32
        assert torch.equal(got, verb(x.double(), 0.1).float())


def test_singular_laws_sample_but_have_neither_density_nor_score_at_time_zero():
    law = GaussianSequence(PowerExponential(4.0, 2.0), SPATIAL, times=64)
    x = law.sample(2)
    for verb in (law.log_prob, law.score):
        with pytest.raises(_checks.InputError, match="singular to working precision"):
            verb(x, 0.0)
    assert torch.isfinite(law.score(x, 1e-3)).all()


def test_times_zero_to_n_minus_one_are_the_default_grid():
    assert torch.equal(GaussianSequence(White(), SPATIAL, times=4).times, torch.arange(4.0).double())
    assert GaussianSequence(White(), SPATIAL).num_frames == 64
    assert torch.equal(
        GaussianSequence(Matern(3.0, 1.5), SPATIAL, times=np.array([0, 1, 2])).temporal_covariance,
        GaussianSequence(Matern(3.0, 1.5), SPATIAL, times=3).temporal_covariance,
    )


def test_number_of_parameters_is_carried_along():
    assert DenseGaussian(torch.eye(4), 2, num_parameters=10).num_parameters == 10
    assert example().num_parameters is None


def test_a_block_toeplitz_law_has_the_covariances_that_its_blocks_name():
    blocks = rotating_blocks(5)
    law = BlockToeplitzSequence(blocks, num_parameters=3)
    covariance = law.covariance().reshape(5, 3, 5, 3)
    for i in range(5):
        for m in range(i + 1):
            torch.testing.assert_close(covariance[i, :, i - m], blocks[m])
            torch.testing.assert_close(covariance[i - m, :, i], blocks[m].mT)
    assert torch.equal(law.blocks, blocks)
    assert law.num_parameters == 3


def test_a_block_toeplitz_law_is_statsmodels_autoregression():
    drive = np.array([[0.6, 0.5, 0.0], [-0.5, 0.6, 0.1], [0.2, 0.0, 0.4]])
    lagged = statsmodels.tsa.vector_ar.var_model.var_acf(drive[None], np.eye(3), nlags=4)
    np.testing.assert_allclose(rotating_blocks(5).numpy(), lagged, atol=1e-12)
    x = BlockToeplitzSequence(rotating_blocks(5)).sample(3)
    start = scipy.stats.multivariate_normal(cov=lagged[0]).logpdf(x[:, 0].numpy())
    steps = x[:, 1:].numpy() - x[:, :-1].numpy() @ drive.T
    reference = start + scipy.stats.multivariate_normal(cov=np.eye(3)).logpdf(steps).sum(1)
    np.testing.assert_allclose(BlockToeplitzSequence(rotating_blocks(5)).log_prob(x).numpy(), reference, rtol=1e-11)


def test_a_sum_of_kronecker_products_is_numpys():
    times = irregular(6)
    law = KroneckerSum(TERMS, times)
    expected = sum(np.kron(kernel.covariance(times).numpy(), matrix.numpy()) for kernel, matrix in TERMS)
    np.testing.assert_allclose(law.covariance().numpy(), expected, atol=1e-14)
    assert torch.equal(law.times, times)
    assert [kernel for kernel, _ in law.terms] == [kernel for kernel, _ in TERMS]
    assert torch.equal(KroneckerSum(TERMS, 6).times, torch.arange(6.0).double())


def test_one_term_is_the_gaussian_sequence():
    process = example(mean=False)
    law, x = KroneckerSum([(process.kernel, SPATIAL)], process.times), process.sample(3)
    assert relative_error(law.score(x, 0.1), process.score(x, 0.1)) < TIGHT
    assert relative_error(law.log_prob(x), process.log_prob(x)) < TIGHT


def test_rank_deficient_float32_definitions_pass_at_their_own_precision():
    ones = torch.full((3, 3), 0.1, dtype=torch.float32)
    rotated = torch.tensor([[0.3, 0.7, 0.1]]).mT @ torch.tensor([[0.3, 0.7, 0.1]])
    assert KroneckerSum([(White(), ones), (White(), rotated)], 4).covariance().dtype == torch.float64
    assert BlockToeplitzSequence(torch.stack([ones + rotated, ones + rotated])).blocks.dtype == torch.float64


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (torch.ones(3, 2), r"blocks must have shape \(frames, features, features\), got \(3, 2\)"),
        (torch.ones(3, 2, 1), r"blocks must have shape .* got \(3, 2, 1\)"),
        (torch.tensor([[[1.0, 0.5], [0.0, 1.0]]]), r"blocks\[0\] must be symmetric, but differs from its transpose by"),
        (torch.tensor([[[1.0]], [[float("nan")]]]), "blocks must be finite"),
        (torch.tensor([[[1.0]], [[2.0]]]), "^the covariance of blocks must be positive semi-def.* eigenvalue is -1 "),
        (torch.zeros(2**14 + 1, 1, 1), r"needs num_frames \* num_features of at most 16384, got 16385"),
    ],
)
def test_blocks_that_make_no_covariance_are_refused(blocks, message):
    with pytest.raises(_checks.InputError, match=message):
        BlockToeplitzSequence(blocks)


@pytest.mark.parametrize(
    ("terms", "times", "error", "message"),
    [
        ([], 4, TypeError, "terms must be a list of at least one pair"),
        ([SPATIAL], 4, TypeError, r"terms\[0\] must be a pair \(kernel, spatial covariance\)"),
        ([(SPATIAL, White())], 4, TypeError, r"terms\[0\] must be a pair"),
        ([(White(), SPATIAL), (White(), torch.eye(2))], 4, _checks.InputError, r"one shape, got \(3, 3\), \(2, 2\)"),
        ([(White(), SPATIAL[:2])], 4, _checks.InputError, r"^terms\[0\]\[1\] must be a square matrix"),
        ([(White(), SPATIAL), (Constant(), -SPATIAL)], 4, _checks.InputError, "^the sum of terms must be positive"),
        ([(White(), SPATIAL)], [0.0, 0.0], _checks.InputError, "strictly increasing"),
        ([(White(), SPATIAL)], 2**13, _checks.InputError, r"KroneckerSum needs .* at most 16384, got 24576"),
    ],
)
def test_terms_that_make_no_covariance_are_refused(terms, times, error, message):
    with pytest.raises(error, match=message):
        KroneckerSum(terms, times)


def test_a_term_may_take_away_what_another_gives():
    law = KroneckerSum([(White(), SPATIAL), (Constant(), -0.1 * SPATIAL)], 4)
    assert law.spectral_bounds(0.0)[0] == pytest.approx(0.6 * float(torch.linalg.eigvalsh(SPATIAL)[0]), rel=1e-12)


GOOD = {"kernel": White(), "spatial_covariance": SPATIAL, "times": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spatial_covariance": torch.tensor([[1.0, 2.0], [2.0, 1.0]])}, "^spatial_covariance .* smallest eigenvalue"),
        ({"spatial_covariance": torch.ones(2, 3)}, "^spatial_covariance must be a square matrix"),
        ({"spatial_covariance": torch.tensor([[1.0, 0.2], [0.1, 1.0]])}, "^spatial_covariance must be symmetric"),
        ({"times": [0.0, 2.0, 1.0]}, r"times must be strictly increasing, but times\[1\] = 2 is followed by 1"),
        ({"times": [0.0, 1.0, 1.0]}, "strictly increasing"),
        ({"times": [0.0, float("nan")]}, "times must be finite"),
        ({"times": [[0.0, 1.0]]}, r"1-D array, got shape \(1, 2\)"),
        ({"times": 0}, "times must be at least 1, got 0"),
        ({"mean": torch.zeros(4, 2)}, r"mean must have shape \(4, 3\)"),
        ({"mean": torch.full((4, 3), float("inf"))}, "mean must be finite"),
        ({"tolerance": 0.0}, "tolerance must be greater than 0"),
    ],
)
def test_bad_definitions_are_refused(change, message):
    with pytest.raises(_checks.InputError, match=message):
        GaussianSequence(**{**GOOD, **change})


@pytest.mark.parametrize("change", [{"kernel": len}, {"times": "often"}])
def test_bad_types_are_refused(change):
    with pytest.raises(TypeError, match=next(iter(change))):
        GaussianSequence(**{**GOOD, **change})


def test_matrices_that_are_no_covariance_are_refused_by_name():
    bad = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(_checks.InputError, match=r"^temporal_covariance"):
        SeparableGaussian(bad, SPATIAL)
    with pytest.raises(_checks.InputError, match=r"^covariance"):
        DenseGaussian(bad, 1)
    with pytest.raises(_checks.InputError, match="not a multiple of num_features = 3"):
        DenseGaussian(torch.eye(4), 3)


@pytest.mark.parametrize(
    ("x", "t", "message"),
    [
        (torch.zeros(2, 4, 2), 0.1, r"x must have shape \(batch, 4, 3\), got \(2, 4, 2\)"),
        (torch.full((2, 4, 3), float("nan")), 0.1, "x must be finite"),
        (torch.zeros(2, 4, 3), -0.1, "t must be 0 or greater, got -0.1"),
        (torch.zeros(2, 4, 3), float("nan"), "t must be finite"),
        (torch.zeros(2, 4, 3), torch.zeros(3), "t must be a number or have shape"),
    ],
)
def test_bad_arguments_are_refused(x, t, message):
    law = GaussianSequence(**GOOD)
    for verb in (law.score, law.log_prob, law.denoise):
        with pytest.raises(_checks.InputError, match=message):
            verb(x, t)


def test_sizes_that_do_not_fit_are_refused_with_the_limit():
    law = GaussianSequence(PowerExponential(8.0), SPATIAL, times=2**14 + 1)
    with pytest.raises(_checks.InputError, match="num_frames of at most 16384, got 16385"):
        _ = law.temporal_covariance
    with pytest.raises(_checks.InputError, match="num_frames \\* num_features of at most 16384, got 49155"):
        law.covariance()
    uneven = GaussianSequence(PowerExponential(8.0), SPATIAL, times=irregular(2**14 + 1))
    with pytest.raises(_checks.InputError, match="num_frames of at most 16384"):
        uneven.score(torch.zeros(1, 2**14 + 1, 3), 0.1)
