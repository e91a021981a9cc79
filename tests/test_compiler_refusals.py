"""What compile_score refuses: every reason at once, each with what would do."""

import pytest
import torch
from compiler_cases import PROCESSES, TIMES, separable, sigma

import kronoscope as ks


def reasons(process, **asked):
    with pytest.raises(ks.InputError) as caught:
        ks.compile_score(process, **asked)
    return str(caught.value).splitlines()[1:]


def test_conjugate_gradients_depend_on_the_input():
    (reason,) = reasons(separable(), iteration="conjugate-gradients")
    assert "those of conjugate gradients depend on x" in reason
    assert "'chebyshev'" in reason


def test_an_indefinite_truncated_kernel():
    """The squared exponential, lengthscale 4, N = 64, J = 6: smallest eigenvalue -0.079 (docs/theory.md, section 3)."""
    process = ks.GaussianSequence(ks.kernels.PowerExponential(4.0, 2.0), torch.eye(1), times=64)
    (reason,) = reasons(process, max_lag=6)
    assert "max_lag=6 makes the kernel indefinite" in reason
    assert "-0.079" in reason


def test_too_few_lags():
    (reason,) = reasons(separable(), max_lag=12)
    assert "max_lag=12 cuts off too much" in reason


def test_a_tolerance_out_of_reach_in_float32():
    (reason,) = reasons(separable(), tolerance=1e-6, dtype=torch.float32)
    assert "tolerance 1e-06 is out of reach at float32" in reason


def test_a_spectrum_not_bounded_below():
    constant = ks.GaussianSequence(ks.kernels.Constant(), torch.eye(2), times=16)
    for iteration in ("chebyshev", "preconditioned-chebyshev", "spectral"):
        (reason,) = reasons(constant, iteration=iteration, min_time=0.0)
        assert "min_time must be greater than 0: the spectrum is not bounded below" in reason


def test_time_zero_is_fine_where_the_spectrum_is_bounded():
    compiled = ks.compile_score(separable(), min_time=0.0)
    assert compiled.certificate.worst.value <= compiled.certificate.bound <= 1e-2


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ({"iteration": "gradient-descent"}, "iteration='chebyshev' needs"),
        ({"iteration": "gradient-descent", "max_depth": 20}, "iteration='spectral' needs 2"),
        ({"iteration": "chebyshev", "gates": "relu", "max_depth": 100}, "iteration='spectral' needs"),
        ({"iteration": "spectral", "max_depth": 1}, "no supported iteration needs so few"),
    ],
)
def test_too_deep_says_how_deep_and_what_would_do(asked, offered):
    (reason,) = reasons(separable("squared exponential"), min_time=1e-3, **asked)
    assert f"max_depth is {asked.get('max_depth', 4096)}, but {asked['iteration']} needs" in reason
    assert offered in reason


def test_everything_is_listed_at_once():
    """Iteration, lags, depth and precision, in one error."""
    found = reasons(
        separable(), iteration="conjugate_gradients", max_depth=3, tolerance=1e-7, dtype=torch.float32, max_lag=12
    )
    for part in ("conjugate gradients", "cuts off too much", "max_depth is 3", "out of reach at float32"):
        assert any(part in reason for reason in found), part
    found = reasons(
        separable(), iteration="newton", gates="soft", heads="tails", tolerance=2.0, min_time=-1.0, max_lag=-1
    )
    assert len(found) == 6


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("dense", {}, "needs a stationary kernel"),
        ("separable matrices", {"heads": "arc"}, "heads='table' or iteration='spectral'"),
        ("irregular", {"heads": "arc"}, "needs a regular grid"),
        ("irregular", {"max_lag": 3}, "max_lag needs a regular grid"),
        ("block-Toeplitz", {"heads": "arc"}, "not the same forwards and backwards"),
        ("with a mean", {"heads": "table", "max_lag": 3}, "heads='table' keeps every entry"),
        ("with a mean", {"iteration": "spectral", "max_lag": 3}, "max_lag belongs to heads of the lag"),
        ("with a mean", {"product_layers": 3}, "product_layers belongs to gates='relu'"),
        ("with a mean", {"gates": "relu", "product_layers": 1}, "product_layers=1 is too few"),
        ("with a mean", {"max_depth": 2.5}, "max_depth must be a whole number"),
        ("with a mean", {"tolerance": "small"}, "tolerance must be greater than 0"),
        ("with a mean", {"dtype": torch.float16}, "dtype must be one of"),
        ("with a mean", {"min_time": 7.0}, "less than max_time"),
    ],
)
def test_what_does_not_fit(name, asked, message):
    assert any(message in reason for reason in reasons(PROCESSES[name](), **asked))


def test_score_refuses_times_without_a_certificate():
    compiled = ks.compile_score(separable())
    x = compiled.process.sample(1)
    with pytest.raises(ks.InputError, match=r"t must lie between min_time = 0\.01 and max_time = 6"):
        compiled.score(x, 8.0)
    with pytest.raises(ks.InputError, match="t must lie between"):
        compiled.score(x, 1e-3)
    with pytest.raises(ks.InputError, match="shape"):
        compiled.score(x[:, :3], 0.1)


def test_only_laws_are_compiled():
    with pytest.raises(TypeError, match="process must be a Gaussian law"):
        ks.compile_score(lambda x, t: x)


def test_interpolation_is_counted_and_bounded():
    """Irregular times: fewer knots than lags where the tolerance allows, and the bound says what they cost."""
    process = ks.GaussianSequence(ks.kernels.Matern(30.0, 2.5), sigma(1), TIMES)
    compiled = ks.compile_score(process, tolerance=0.5, min_time=0.5)
    assert compiled.certificate.num_lags < 16 * 15 // 2
    assert 0 < compiled.certificate.bound_parts["interpolation"] <= 0.125
    assert compiled.certificate.worst.value <= compiled.certificate.bound
