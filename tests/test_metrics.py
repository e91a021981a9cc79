"""Metrics against the identity of the theory, torch.distributions, POT, scipy and brute force."""

import math

import numpy as np
import ot
import pytest
import scipy.special
import scipy.stats
import torch

from kronoscope import diffusion, metrics
from kronoscope.kernels import PowerExponential
from kronoscope.processes import DenseGaussian, GaussianSequence, affine_squared_error

EYE = torch.eye(2, dtype=torch.float64)


def process(lengthscale=3.0, exponent=1.0, scale=1.0, mean=0.0, frames=6):
    sigma = scale * torch.tensor([[1.0, 0.4], [0.4, 0.7]], dtype=torch.float64)
    return GaussianSequence(
        PowerExponential(lengthscale, exponent), sigma, times=frames, mean=torch.full((frames, 2), mean)
    )


P, Q = process(), process(2.0, 1.6, 1.2, 0.1)


def torch_law(law, t=0.0):
    alpha, var = math.exp(-t / 2), -math.expm1(-t)
    covariance = alpha**2 * law.covariance() + var * torch.eye(len(law.covariance()), dtype=torch.float64)
    return torch.distributions.MultivariateNormal(alpha * law.mean.reshape(-1), covariance)


@pytest.mark.parametrize(("low", "high"), [(1e-2, 6.0), (1e-4, 8.0), (0.5, 0.6), (1e-2, 20.0)])
@pytest.mark.parametrize(("p", "q"), [(P, Q), (Q, P)])
def test_score_error_is_kl(p, q, low, high):
    """docs/theory.md, section 2: KL(p_t0|q_t0) - KL(p_T|q_T) = 1/2 int E||s_p - s_q||^2 dt, by quadrature to 1e-8."""
    got = metrics.score_kl(q.score, p, low, high, linear=True, dtype=torch.float64)
    want = metrics.gaussian_kl(p, q, low) - metrics.gaussian_kl(p, q, high)
    assert got.value == pytest.approx(want, rel=1e-8, abs=1e-12)
    assert (got.standard_error, got.kind) == (0.0, "exact by quadrature")


def test_quadrature_holds_where_eigenvalues_spread_widely():
    rough = DenseGaussian(torch.diag(torch.tensor([1e-6, 1e-3, 1.0, 1e3], dtype=torch.float64)), 1)
    flat = DenseGaussian(torch.eye(4, dtype=torch.float64), 1)
    got = metrics.score_kl(flat.score, rough, 1e-2, 6.0, linear=True, dtype=torch.float64)
    want = metrics.gaussian_kl(rough, flat, 1e-2) - metrics.gaussian_kl(rough, flat, 6.0)
    assert got.value == pytest.approx(want, rel=1e-8)


def test_zero_error_is_zero():
    assert metrics.score_kl(P.score, P, linear=True, dtype=torch.float64).value < 1e-20
    # float32 x goes to both scores, so the truth loses nothing by it; the score's float32 output does
    assert metrics.score_kl(P.score, P, num_samples=64).value < 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_monte_carlo_agrees_with_quadrature(seed):
    """Within 4 standard errors (failure rate 6e-5 a seed), at every node within 5."""
    exact = metrics.score_kl(Q.score, P, linear=True, dtype=torch.float64)
    got = metrics.score_kl(Q.score, P, num_samples=4096, generator=torch.Generator().manual_seed(seed))
    assert got.kind == "monte carlo"
    assert abs(got.value - exact.value) < 4 * got.standard_error < 0.2 * exact.value
    nodes = zip(got.by_time.integrand, exact.by_time.integrand, got.by_time.standard_errors, strict=True)
    assert all(abs(a - b) < 5 * e for a, b, e in nodes)


def test_standard_error_is_honest():
    """120 seeds: sum of ((value - exact)/se)^2 in the 1e-3 window of chi-square, widened 10 % for se's own noise.

    A standard error that is wrong by sqrt 2 leaves the window.
    """
    exact = metrics.score_kl(Q.score, P, 0.1, 2.0, linear=True, dtype=torch.float64).value
    draws = [
        metrics.score_kl(Q.score, P, 0.1, 2.0, num_samples=1024, generator=torch.Generator().manual_seed(seed))
        for seed in range(120)
    ]
    total = sum(((draw.value - exact) / draw.standard_error) ** 2 for draw in draws)
    low, high = scipy.stats.chi2.ppf([5e-4, 1 - 5e-4], 120)
    assert 0.9 * low < total < 1.1 * high


@pytest.mark.parametrize("place", [0.02, 0.3, 0.5, 2.0])
@pytest.mark.parametrize("options", [{}, {"linear": True}, {"linear": True, "dtype": torch.float64}])
def test_a_score_that_jumps_in_t_is_integrated_within_its_error(place, options):
    """The score misses by 1 in each of 12 entries until t = place: 6 (place - 0.01) nats, without sampling error."""
    got = metrics.score_kl(lambda x, t: P.score(x, t) + float(t < place), P, **options)
    want = 6 * (place - 0.01)
    assert abs(got.value - want) <= got.standard_error < 1e-3 * want
    assert got.quadrature_error == pytest.approx(got.standard_error, rel=1e-2)
    assert "exact" not in got.kind


KELVIN = GaussianSequence(PowerExponential(8.0), torch.tensor([[25.0, 10.0], [10.0, 25.0]]), 8, torch.full((8, 2), 280))
FAR = GaussianSequence(PowerExponential(8.0), EYE, 8, torch.full((8, 2), 1e4))
NEARLY_SINGULAR = GaussianSequence(PowerExponential(1e4), torch.tensor([[1189.0]]), 5)


def in_float32(law):
    """Its score as a network of float32 computes it: one matrix and one offset for each t."""

    def score(x, t):
        shrink, noise = math.exp(-t), -math.expm1(-t)
        marginal = shrink * law.covariance() + noise * torch.eye(len(law.covariance()), dtype=torch.float64)
        precision = torch.linalg.inv(marginal)
        offset = math.sqrt(shrink) * precision @ law.mean.reshape(-1)
        return (offset.float() - x.flatten(1) @ precision.float()).view_as(x)

    return score


@pytest.mark.parametrize("law", [KELVIN, FAR, NEARLY_SINGULAR], ids=["kelvin", "far", "nearly-singular"])
def test_round_off_of_float32_is_measured_and_not_called_exact(law):
    """The affine map agrees with 16384 samples within three standard errors, or a tenth for the jagged integrand."""
    score = in_float32(law)
    got = metrics.score_kl(score, law, 1e-3, linear=True)
    drawn = metrics.score_kl(score, law, 1e-3, num_samples=16384)
    assert abs(got.value - drawn.value) < max(
        3 * math.hypot(got.standard_error, drawn.standard_error), 0.1 * drawn.value
    )
    assert got.value < 1e-3
    assert got.kind == "affine map in float32"
    assert 0 < got.standard_error < 0.3 * got.value


def test_affine_squared_errors_have_honest_standard_errors():
    """z of 200 values against a closed form: chi-square window of 1e-4, round-off and a true error being alike."""
    covariance, t = FAR.covariance(), 0.3
    marginal = math.exp(-t) * covariance - math.expm1(-t) * torch.eye(16, dtype=torch.float64)
    generator, level = torch.Generator().manual_seed(1), 1e-3

    def noisy(x, t):  # round-off of known size, and 0.1 % too much
        exact = FAR.score(x.double(), t) * (1 + level)
        return exact + level * torch.randn(exact.shape, dtype=torch.float64, generator=generator)

    want = level**2 * (float(torch.linalg.inv(marginal).trace()) + 16)
    options = {"dtype": torch.float32, "verify": False}
    found = [affine_squared_error(noisy, FAR, covariance, t, seed=seed, **options) for seed in range(200)]
    z = np.array([(one.value - want) / one.standard_error for one in found])
    low, high = scipy.stats.chi2.ppf([5e-5, 1 - 5e-5], len(z))
    assert low < (z**2).sum() < high
    assert max(one.standard_error for one in found) < 0.1 * want


def test_by_time_adds_up_and_is_ordered():
    got = metrics.score_kl(Q.score, P, num_samples=256)
    parts = got.by_time
    assert got.value == pytest.approx(float(np.dot(parts.weights, parts.integrand)), rel=1e-12)
    assert list(parts.times) == sorted(parts.times)
    assert sum(parts.weights) == pytest.approx(float(diffusion.clock(6.0) - diffusion.clock(1e-2)), rel=1e-12)
    assert "nats" in str(got)


def test_draws_do_not_depend_on_batches():
    one, other = (metrics.score_kl(Q.score, P, num_samples=512, batch_size=size).value for size in (5, 1024))
    assert one == pytest.approx(other, rel=1e-6)


def test_the_score_is_called_in_its_dtype_without_gradients():
    layer = torch.nn.Linear(2, 2)

    def score(x, t):
        assert x.dtype == torch.float32
        assert not torch.is_grad_enabled()
        return layer(x)

    assert metrics.score_kl(score, P, num_samples=64).value > 0
    float32_exact = metrics.score_kl(score, P, linear=True).value
    double = torch.nn.Linear(2, 2).double()
    double.load_state_dict(layer.state_dict())
    assert float32_exact == pytest.approx(
        metrics.score_kl(lambda x, t: double(x), P, linear=True, dtype=torch.float64).value, rel=1e-5
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_time": 7.0}, "min_time must be less than max_time"),
        ({"min_time": 0.0}, "min_time must be greater than 0"),
        ({"num_samples": 10}, "num_samples must be greater than 3"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"score": lambda x, t: -x.abs(), "linear": True}, "affine in x"),
        ({"score": lambda x, t: x * math.inf}, "NaN or infinite"),
        ({"score": lambda x, t: x[:, 0]}, "shape of x"),
    ],
)
def test_score_kl_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        metrics.score_kl(**({"score": Q.score, "process": P} | options))


@pytest.mark.parametrize("t", [0.0, 0.01, 1.0])
def test_gaussian_kl_is_that_of_torch(t):
    want = torch.distributions.kl_divergence(torch_law(P, t), torch_law(Q, t))
    assert metrics.gaussian_kl(P, Q, t) == pytest.approx(float(want), rel=1e-10)


def test_gaussian_kl_keeps_its_accuracy_for_laws_that_nearly_agree():
    """Variance 1 + d: KL = (d - log(1 + d))/2 = d^2/4 (1 - 2d/3 + ...), 2.5e-11 here."""
    near = DenseGaussian((1 + 1e-5) * EYE[:1, :1], 1)
    assert metrics.gaussian_kl(near, DenseGaussian(EYE[:1, :1], 1)) == pytest.approx(2.5e-11 * (1 - 2e-5 / 3), rel=1e-9)
    assert metrics.gaussian_kl(P, P) == pytest.approx(0.0, abs=1e-14)


def test_bures_wasserstein_is_that_of_pot():
    arrays = [v.numpy() for v in (P.mean.reshape(-1), Q.mean.reshape(-1), P.covariance(), Q.covariance())]
    assert metrics.bures_wasserstein(P, Q) == pytest.approx(
        float(ot.gaussian.bures_wasserstein_distance(*arrays)), rel=1e-9
    )
    assert metrics.bures_wasserstein(P, P) < 1e-12


def test_bures_wasserstein_of_singular_laws():
    """Two lines at right angles: W2^2 = tr P + tr Q; on one line: the difference of standard deviations."""
    first, second = (
        DenseGaussian(torch.diag(torch.tensor([4.0, 0.0])), 1),
        DenseGaussian(torch.diag(torch.tensor([0.0, 9.0])), 1),
    )
    assert metrics.bures_wasserstein(first, second) == pytest.approx(math.sqrt(13))
    third = DenseGaussian(torch.diag(torch.tensor([9.0, 0.0])), 1, mean=torch.tensor([[0.0], [2.0]]))
    assert metrics.bures_wasserstein(first, third) == pytest.approx(math.sqrt(1 + 4))


def test_gaussian_distances_refuse():
    for distance in (metrics.gaussian_kl, metrics.bures_wasserstein):
        with pytest.raises(ValueError, match=r"p and q must have the same .* got \(6, 2\) and \(5, 2\)"):
            distance(P, process(frames=5))
    singular = DenseGaussian(torch.diag(torch.tensor([1.0, 0.0])), 1)
    with pytest.raises(ValueError, match="q has a singular covariance at t = 0"):
        metrics.gaussian_kl(DenseGaussian(EYE, 1), singular)
    with pytest.raises(ValueError, match="t must be 0 or greater"):
        metrics.gaussian_kl(P, Q, -1.0)


@pytest.mark.parametrize("shift", [0.01, 0.3, 2.0, 6.0])
def test_total_variation_bound_holds(shift):
    """N(0, 1) against N(shift, 1): TV = erf(shift / sqrt 8), KL = shift^2/2; the better of both bounds is kept."""
    kl = shift**2 / 2
    bound = metrics.total_variation_bound(kl)
    assert scipy.special.erf(shift / math.sqrt(8)) < bound <= 1
    assert bound == pytest.approx(min(math.sqrt(kl / 2), math.sqrt(1 - math.exp(-kl))), rel=1e-12)


def test_total_variation_bound_ends():
    assert metrics.total_variation_bound(0.0) == 0.0
    assert metrics.total_variation_bound(1e3) == 1.0
    with pytest.raises(ValueError, match="kl must be 0 or greater"):
        metrics.total_variation_bound(-0.1)


def brute_energy(x, y):
    def mean(a, b, same):
        total = sum(float((u - v).norm()) for i, u in enumerate(a) for j, v in enumerate(b) if not (same and i == j))
        return total / (len(a) * (len(a) - 1) if same else len(a) * len(b))

    return 2 * mean(x, y, False) - mean(x, x, True) - mean(y, y, True)


def test_energy_distance_by_brute_force(monkeypatch):
    """Value and jackknife from their definitions, in one chunk and in many."""
    x = P.sample(7)
    y = Q.sample(5, generator=torch.Generator().manual_seed(9))
    without = [
        [brute_energy(torch.cat([x[:i], x[i + 1 :]]), y) for i in range(7)],
        [brute_energy(x, torch.cat([y[:i], y[i + 1 :]])) for i in range(5)],
    ]
    variance = sum((len(part) - 1) * np.var(part) for part in without)
    for chunk in (2**22, 8):
        monkeypatch.setattr(metrics.samples, "CHUNK_VALUES", chunk)
        got = metrics.energy_distance(x, y)
        assert got.value == pytest.approx(brute_energy(x, y), rel=1e-12)
        assert got.standard_error == pytest.approx(math.sqrt(variance), rel=1e-10)


def test_energy_distance_is_that_of_scipy_in_one_dimension():
    """scipy gives the square root of the V-statistic; for (n, 1, 1) the pairs with oneself make the difference."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=300), rng.normal(1.0, 2.0, size=200)
    got = metrics.energy_distance(torch.from_numpy(a).reshape(-1, 1, 1), torch.from_numpy(b).reshape(-1, 1, 1)).value
    within = [np.abs(v[:, None] - v[None, :]).sum() / len(v) ** 2 for v in (a, b)]
    corrected = scipy.stats.energy_distance(a, b) ** 2 - sum(
        w / (len(v) - 1) for w, v in zip(within, (a, b), strict=True)
    )
    assert got == pytest.approx(corrected, rel=1e-10)


def test_energy_distance_standard_error_is_honest():
    """80 seeds. Laws that differ: z-scores about the mean in the 1e-3 chi-square window (10 % wider for se's noise).

    Laws that agree: unbiased about 0 (4 standard errors of the mean), and the jackknife overstates, by sqrt 2 at most.
    """
    one = torch.distributions.Normal(torch.zeros(2, 1, dtype=torch.float64), 1.0)
    torch.manual_seed(0)
    apart = [metrics.energy_distance(one.sample((100,)), one.sample((120,)) + 1.0) for _ in range(80)]
    mean = np.mean([r.value for r in apart])
    total = sum(((r.value - mean) / r.standard_error) ** 2 for r in apart)
    low, high = scipy.stats.chi2.ppf([5e-4, 1 - 5e-4], 79)
    assert 0.9 * low < total < 1.1 * high
    same = [metrics.energy_distance(one.sample((100,)), one.sample((120,))) for _ in range(80)]
    values = np.array([r.value for r in same])
    spread = values.std(ddof=1)
    assert abs(values.mean()) < 4 * spread / math.sqrt(80)
    assert 0.8 * spread < math.sqrt(np.mean([r.standard_error**2 for r in same])) < 1.25 * math.sqrt(2) * spread


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.ones(5, 2, 1), torch.ones(5, 3, 1), "y must have shape"),
        (torch.ones(2, 2, 1), torch.ones(5, 2, 1), "x must hold at least 3 sequences, got 2"),
        (torch.ones(5, 2, 1), torch.full((5, 2, 1), math.nan), "y must be finite"),
    ],
)
def test_energy_distance_refuses(x, y, message):
    with pytest.raises(ValueError, match=message):
        metrics.energy_distance(x, y)
