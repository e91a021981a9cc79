"""Samplers: exact laws against theory, the runner against the exact laws, refusals."""

import math
from dataclasses import FrozenInstanceError, replace
from itertools import pairwise

import pytest
import scipy.stats
import torch

from kronoscope import compiler, diffusion, metrics, sampling
from kronoscope.kernels import PowerExponential
from kronoscope.processes import DenseGaussian, GaussianSequence

DETERMINISTIC = ("ddim", "heun", "dpm-solver")
EYE = torch.eye(6, dtype=torch.float64)
STOCHASTIC = ("euler-maruyama", "exponential-sde", "dpm-solver-sde")
ORDERS = {"euler-maruyama": 1, "exponential-sde": 1, "ddim": 1, "heun": 2, "dpm-solver": 2, "dpm-solver-sde": 2}


def yardstick():
    """The process of docs/theory.md, section 5."""
    a = torch.randn(4, 4, generator=torch.Generator().manual_seed(0)).double()
    sigma = a @ a.T / 4 + 0.3 * torch.eye(4, dtype=torch.float64)
    return GaussianSequence(PowerExponential(8.0), sigma * 4 / sigma.trace(), times=32)


def small(mean=0.7):
    sigma = torch.tensor([[1.0, 0.3], [0.3, 0.6]], dtype=torch.float64)
    return GaussianSequence(PowerExponential(2.0), sigma, times=3, mean=torch.full((3, 2), mean))


def scalar(variance):
    return DenseGaussian(torch.tensor([[variance]], dtype=torch.float64), 1)


def generated_variance(name, calls, variance, **times):
    table = sampling.SAMPLERS[name](calls, **times)
    return float(sampling.law(table, scalar(variance).score, 1, 1).covariance())


def continuous_variance(name, variance, low, high):
    """What the exact reverse SDE or ODE makes of N(0, 1) at ``high``, for one Gaussian of that variance.

    With c_t = 1 + (variance - 1) exp(-t): the ODE scales x by sqrt(c_low / c_high); the SDE's excess variance decays by
    the square of Phi = exp int (1/2 - 1/c) dt = exp((high - low)/2) (e^low + variance - 1)/(e^high + variance - 1).
    """
    c_low, c_high = (1 + (variance - 1) * math.exp(-t) for t in (low, high))
    if name in DETERMINISTIC:
        return c_low / c_high
    phi = math.exp((high - low) / 2) * (math.exp(low) + variance - 1) / (math.exp(high) + variance - 1)
    return c_low + phi**2 * (1 - c_high)


@pytest.mark.parametrize(("name", "order"), [(name, ORDERS[name]) for name in sampling.SAMPLERS])
@pytest.mark.parametrize("variance", [0.05, 3.0])
def test_order_of_convergence(name, order, variance):
    low, high = 0.05, 3.0
    target = continuous_variance(name, variance, low, high)
    errors = [
        abs(generated_variance(name, k, variance, min_time=low, max_time=high) - target) for k in (256, 512, 1024)
    ]
    measured = [math.log2(a / b) for a, b in pairwise(errors)]
    assert measured == pytest.approx([order, order], abs=0.08)


def test_kl_figures_of_the_theory():
    """docs/theory.md, section 6: 3.4e-3, 2.4e-4 and 3.6e-5 nats at 16, 32 and 64 calls."""
    process = yardstick()
    got = [sampling.law_error(sampling.dpm_solver(calls), process) for calls in (16, 32, 64)]
    assert got == pytest.approx([3.39e-3, 2.45e-4, 3.63e-5], rel=0.01)
    assert got[1] <= 1e-3
    assert got[2] <= 1e-4


@pytest.mark.parametrize("name", sampling.SAMPLERS)
def test_law_error_is_the_gaussian_kl_and_falls_with_calls(name):
    process = small()
    errors = []
    for calls in (8, 32, 128):
        table = sampling.SAMPLERS[name](calls)
        generated = sampling.law(table, process.score, 3, 2)
        t = table.end_time
        exact = float(diffusion.alpha(t) ** 2) * process.covariance() + float(diffusion.sigma_squared(t)) * torch.eye(
            6, dtype=torch.float64
        )
        truth = DenseGaussian(exact, 2, mean=float(diffusion.alpha(t)) * process.mean)
        errors.append(sampling.law_error(table, process))
        assert errors[-1] == pytest.approx(metrics.gaussian_kl(generated, truth), rel=1e-9, abs=1e-12)
    assert errors[0] > errors[1] > errors[2] > 0


@pytest.mark.parametrize("name", sampling.SAMPLERS)
@pytest.mark.parametrize("denoise", [False, True])
def test_law_is_what_the_written_out_recursion_gives(name, denoise):
    """The same table by brute force: x as a matrix acting on (start, all noises), rows one at a time."""
    process, calls = small(), 6
    table = sampling.SAMPLERS[name](calls)
    steps = table.with_denoising() if denoise else table
    state = torch.zeros(6, 6 * (steps.num_calls + 1), dtype=torch.float64)
    state[:, :6] = EYE
    mean, before, mean_before = (
        torch.zeros_like(EYE[0]),
        torch.zeros_like(state),
        torch.zeros_like(EYE[0]),
    )
    for k, t in enumerate(steps.times):
        alpha, var = math.exp(-t / 2), -math.expm1(-t)
        inverse = torch.linalg.inv(alpha**2 * process.covariance() + var * EYE)
        centre = process.mean.reshape(-1)
        denoised = (state - var * inverse @ state) / alpha
        mean_denoised = (mean - var * inverse @ (mean - alpha * centre)) / alpha
        a, b, c = steps.from_state[k], steps.from_denoised[k], steps.from_previous[k]
        state, mean = a * state + b * denoised + c * before, a * mean + b * mean_denoised + c * mean_before
        state[:, 6 * (k + 1) : 6 * (k + 2)] += steps.noise[k] * EYE
        before, mean_before = denoised, mean_denoised
    got = sampling.law(table, process.score, 3, 2, denoise=denoise)
    torch.testing.assert_close(got.covariance(), state @ state.T, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(got.mean.reshape(-1), mean, rtol=1e-10, atol=1e-12)


def test_the_last_denoising_keeps_the_variance():
    """x <- D(x + sigma z): variance v of the data becomes v (1 - (sigma^2 / (alpha^2 v + sigma^2))^2), by direction."""
    process, t, variance = small(), 0.05, -math.expm1(-0.05)
    values, vectors = torch.linalg.eigh(process.covariance())
    want = values * (1 - variance**2 / (math.exp(-t) * values + variance) ** 2)
    law = sampling.law(sampling.dpm_solver(64, t).with_denoising(), process.score, 3, 2)
    torch.testing.assert_close((vectors.T @ law.covariance() @ vectors).diagonal(), want, rtol=5e-3, atol=0)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_runner_agrees_with_the_law_exactly(name):
    """A deterministic sampler is an affine map of its start: x = mean + M z, so regression on z recovers the law."""
    process, table = small(), sampling.SAMPLERS[name](8)
    options = {"dtype": torch.float64, "generator": torch.Generator().manual_seed(1)}
    got = sampling.sample(process.score, (7, 3, 2), table, **options).flatten(1)
    identity = replace(table, from_state=(1.0,) * 8, from_denoised=(0.0,) * 8, from_previous=(0.0,) * 8)
    options["generator"] = torch.Generator().manual_seed(1)
    start = sampling.sample(process.score, (7, 3, 2), identity, **options).flatten(1)
    fit = torch.linalg.solve(torch.cat([start, torch.ones(7, 1)], dim=1).double(), got)
    law = sampling.law(table, process.score, 3, 2)
    torch.testing.assert_close(fit[:6].T @ fit[:6], law.covariance(), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(fit[6], law.mean.reshape(-1), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_runner_agrees_with_the_law_statistically(name):
    """Whitened by the law, 4000 sequences are standard normal: chi-square and mean tests, failure rate 1e-3 each."""
    process, table, num = small(), sampling.SAMPLERS[name](8), 4000
    law = sampling.law(table, process.score, 3, 2)
    x = sampling.sample(process.score, (num, 3, 2), table, dtype=torch.float64) - law.mean
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(law.covariance()), x.flatten(1).T, upper=False).T
    low, high = scipy.stats.chi2.ppf([5e-4, 1 - 5e-4], 6 * num)
    assert low < float(white.square().sum()) < high
    off_diagonal = (white.T @ white / math.sqrt(num))[torch.triu_indices(6, 6, 1).unbind()]
    assert float(off_diagonal.square().sum()) < scipy.stats.chi2.ppf(1 - 1e-3, 15)
    assert float(white.sum(0).square().sum() / num) < scipy.stats.chi2.ppf(1 - 1e-3, 6)


@pytest.mark.parametrize("name", sampling.SAMPLERS)
def test_data_at_a_point(name):
    """All but Euler-Maruyama are exact for data at a point mu: a alpha + b + c = alpha', so the mean is kept."""
    table = sampling.SAMPLERS[name](8)
    path = [*table.times, table.end_time]
    # a row of heun's predictor ends at the time of the next call, as does a row of every other sampler
    ends = path[1:]
    defect = [
        a * math.exp(-t / 2) + b + c - math.exp(-end / 2)
        for t, end, a, b, c in zip(
            table.times, ends, table.from_state, table.from_denoised, table.from_previous, strict=True
        )
    ]
    if name == "euler-maruyama":
        assert max(map(abs, defect)) > 1e-3
    else:
        assert max(map(abs, defect)) < 1e-14


@pytest.mark.parametrize("name", sampling.SAMPLERS)
def test_draws_do_not_depend_on_batches(name):
    process, table = small(), sampling.SAMPLERS[name](4)
    ten = sampling.sample(process.score, (10, 3, 2), table, dtype=torch.float64)
    assert ten.shape == (10, 3, 2)
    for options in ({}, {"batch_size": 3}, {"batch_size": 1}):
        five = sampling.sample(process.score, (5, 3, 2), table, dtype=torch.float64, **options)
        torch.testing.assert_close(five, ten[:5], rtol=1e-12, atol=1e-12)
    other = sampling.sample(
        process.score, (5, 3, 2), table, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    assert not torch.allclose(other, five)
    assert len({float(value) for value in ten.flatten()}) == 60


def test_precision_changes_only_the_round_off():
    process, table = small(), sampling.exponential_sde(8)
    single = sampling.sample(process.score, (5, 3, 2), table)
    double = sampling.sample(process.score, (5, 3, 2), table, dtype=torch.float64)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-5)


def test_denoising_is_tweedies_formula_after_fresh_noise():
    process, table = small(), sampling.dpm_solver(8)
    options = {"dtype": torch.float64}
    table = replace(table, noise=(*table.noise[:-1], math.sqrt(-math.expm1(-1e-2))))
    raw = sampling.sample(process.score, (4, 3, 2), table, **options)
    clean = sampling.sample(process.score, (4, 3, 2), sampling.dpm_solver(8), denoise=True, **options)
    torch.testing.assert_close(clean, process.denoise(raw, 1e-2), rtol=1e-10, atol=1e-10)


def test_progress_counts_every_call():
    seen = []
    sampling.sample(small().score, (5, 3, 2), sampling.heun(4), batch_size=2, progress=lambda *p: seen.append(p))
    assert seen == [(k, 12) for k in range(1, 13)]


def test_nothing_may_be_asked_for():
    assert sampling.sample(small().score, (0, 3, 2), sampling.ddim(4)).shape == (0, 3, 2)


def test_law_of_a_float32_network():
    """A float32 linear network is accepted in its own dtype and gives the float64 law to float32 accuracy."""
    process, table = small(), sampling.dpm_solver(16)
    network = lambda x, t: process.score(x.double(), t).float()  # noqa: E731
    got = sampling.law(table, network, 3, 2, dtype=torch.float32)
    want = sampling.law(table, process.score, 3, 2)
    torch.testing.assert_close(got.covariance(), want.covariance(), rtol=0, atol=1e-5)


def test_law_of_a_float32_network_far_from_zero():
    """Data of 280 +- 5: the mean to 1e-7 of itself (read around zero it was off by 2e-6), the law to 1e-10 nats."""
    sigma = torch.tensor([[25.0, 10.0], [10.0, 25.0]])
    process = GaussianSequence(PowerExponential(8.0), sigma, 8, torch.full((8, 2), 280.0))
    compiled = compiler.compile_score(process, "spectral", dtype=torch.float32)
    table = sampling.dpm_solver(32, 1e-2, 6.0)
    got = sampling.law(table, compiled.score, 8, 2, dtype=torch.float32)
    want = sampling.law(table, process.score, 8, 2)
    torch.testing.assert_close(got.mean, want.mean, rtol=1e-7, atol=0)
    assert metrics.gaussian_kl(got, want) < 1e-10


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sampling.heun(7), ValueError, "num_calls must be even for heun"),
        (lambda: sampling.heun(0), ValueError, "num_calls must be at least 2"),
        (lambda: sampling.dpm_solver(1), ValueError, "num_calls must be at least 2"),
        (lambda: sampling.ddim(0), ValueError, "num_calls must be at least 1"),
        (lambda: sampling.euler_maruyama(-3), ValueError, "num_calls must be at least 1"),
        (lambda: sampling.exponential_sde(2.5), TypeError, "num_calls must be a whole number"),
        (lambda: sampling.ddim(4, min_time=9.0), ValueError, "min_time must be less than max_time"),
        (lambda: sampling.ddim(4, min_time=0.0), ValueError, "min_time must be greater than 0"),
        (lambda: sampling.sample(small().score, (4, 3), sampling.ddim(4)), ValueError, "shape must be"),
        (lambda: sampling.sample(small().score, (-1, 3, 2), sampling.ddim(4)), ValueError, "num must be at least 0"),
        (
            lambda: sampling.sample(small().score, (4, 3, 2), sampling.ddim(4), batch_size=0),
            ValueError,
            "batch_size must be at least 1, got 0",
        ),
        (lambda: sampling.law(sampling.ddim(4), lambda x, t: -x.abs(), 3, 2), ValueError, "affine in x"),
        (lambda: sampling.law(sampling.ddim(4), small().score, 100, 100), ValueError, "at most 4096"),
        (lambda: sampling.law_error(sampling.ddim(1).with_denoising(), scalar(0.0)), ValueError, "singular"),
        (lambda: sampling.ddim(4).with_denoising().with_denoising(), ValueError, "ends at diffusion time 0 already"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (lambda x, t: -x if t > 1 else x * math.nan, r"NaN or infinite at t = 0\.\d+ \(score call 7 of 10 of ddim\)"),
        (lambda x, t: -x[..., :1], r"shape of x, \(4, 3, 2\), got \(4, 3, 1\) at t = 8 \(score call 1 of 10"),
    ],
)
def test_a_score_that_misbehaves_is_named_with_its_step(score, message):
    with pytest.raises(ValueError, match=message):
        sampling.sample(score, (4, 3, 2), sampling.ddim(10))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": (1.0, 2.0)}, "times must never increase"),
        ({"times": (2.0, 0.0), "end_time": 0.0}, "times must be greater than 0"),
        ({"times": ()}, "at least one score call"),
        ({"end_time": 1.5}, "times must never increase"),
        ({"noise": (0.0, -1.0)}, "noise must be 0 or greater"),
        ({"noise": (0.0,)}, "noise must have 2 entries"),
        ({"from_state": (math.nan, 1.0)}, "from_state must be finite"),
        ({"from_previous": (1.0, 0.0)}, "from_previous must start with 0"),
    ],
)
def test_tables_check_themselves(change, message):
    table = sampling.SamplerTable("mine", (2.0, 1.0), (1.0, 1.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), 0.5)
    with pytest.raises(ValueError, match=message):
        replace(table, **change)
    with pytest.raises(FrozenInstanceError):
        table.name = "another"


@pytest.mark.parametrize("name", sampling.SAMPLERS)
def test_every_sampler_has_the_same_ends_and_limits(name):
    table = sampling.SAMPLERS[name](4)
    assert (table.name, table.num_calls, table.end_time) == (name, 4, 0.01)
    assert table.times[0] == pytest.approx(8.0, rel=1e-12)
    assert table.is_deterministic == (name in DETERMINISTIC)
    other = sampling.SAMPLERS[name](4, 0.05, 5.0)
    assert (other.times[0], other.end_time) == (pytest.approx(5.0, rel=1e-12), pytest.approx(0.05, rel=1e-12))
    with pytest.raises(ValueError, match="num_calls must be at most 10000, got 10002"):
        sampling.SAMPLERS[name](10_002)
    assert sampling.SAMPLERS[name](10_000).num_calls == 10_000


def test_a_table_shows_its_columns_and_facts():
    table = sampling.exponential_sde(3)
    frame = table.to_frame()
    columns = (table.times, table.from_state, table.from_denoised, table.from_previous, table.noise)
    assert list(frame.columns) == ["time", "from state", "from denoised", "from previous", "noise"]
    assert [tuple(frame[name]) for name in frame.columns] == list(columns)
    for part in ("exponential-sde", "3", "8 to 0.01", "True"):
        assert part in repr(table)
    assert "False" in repr(sampling.ddim(3))
    assert sampling.ddim(3).with_denoising().name == "ddim+denoise"
    corrected = sampling.ddim(3).with_corrected_start()
    assert (corrected.name, corrected.num_calls, corrected.is_deterministic) == ("ddim+start", 4, True)
    x = torch.randn(2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    score = small().score(x, 8.0)
    denoised = diffusion.denoised_from_score(score, x, 8.0)
    moved = corrected.from_state[0] * x + corrected.from_denoised[0] * denoised
    torch.testing.assert_close(moved, x + (x + score) / 2, rtol=1e-9, atol=1e-9)


def test_the_law_starts_where_it_is_said_to():
    """Started from the exact marginal, many steps of the ODE keep it exact up to their own error."""
    process, table = small(), sampling.dpm_solver(256, 0.05, 1.0)
    noised = [math.exp(-t) * process.covariance() - math.expm1(-t) * EYE for t in (1.0, 0.05)]
    start = DenseGaussian(noised[0], 2, mean=math.exp(-0.5) * process.mean)
    got = sampling.law(table, process.score, 3, 2, start=start)
    torch.testing.assert_close(got.covariance(), noised[1], rtol=0, atol=1e-4)
    torch.testing.assert_close(got.mean, math.exp(-0.025) * process.mean, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match=r"start must be a law of \(3, 1\) \(frames, features\), got \(3, 2\)"):
        sampling.law(table, process.score, 3, 1, start=start)
    with pytest.raises(TypeError, match=r"^start must be a"):
        sampling.law(table, process.score, 3, 2, start=3)
    with pytest.raises(TypeError, match=r"^process must be a"):
        sampling.law_error(table, 3)


def test_a_corrected_start_removes_what_the_start_from_white_noise_costs():
    """At T = 8 the ODE samplers cannot beat KL(p_T | N(0, I)); one more call at T brings them below a tenth of it."""
    process = yardstick()
    table = sampling.dpm_solver(256)
    plain = sampling.law_error(table, process)
    assert plain == pytest.approx(float(gaussian_kl_to_white(process, 8.0)), rel=0.1)
    assert sampling.law_error(table.with_corrected_start(), process) < 0.1 * plain


def gaussian_kl_to_white(process, t):
    """KL(N(0, I) | p_T) in closed form from the eigenvalues of C_T."""
    lam = torch.linalg.eigvalsh(process.covariance()) * math.exp(-t) - math.expm1(-t)
    return 0.5 * (1 / lam - 1 + lam.log()).sum()
