"""Laws that are not Gaussian, against scipy, statsmodels, brute force and Gaussian limits."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression
from tolerances import STANDARD_ERRORS, relative_error

import kronoscope as ks
from kronoscope import InputError
from kronoscope.kernels import Matern, PowerExponential
from kronoscope.processes import (
    BlockToeplitzSequence,
    ChangePoint,
    DenseGaussian,
    GaussianSequence,
    HiddenMarkov,
    MarkovChainSequence,
    Mixture,
    ScaleMixture,
    StochasticVolatility,
    StudentT,
    double_well,
)
from kronoscope.processes.forward_backward import Chain, smooth

CLOSE = 1e-8
SIGMA = torch.tensor([[1.0, 0.3], [0.3, 0.6]], dtype=torch.float64)
TIMES = [0.0, 1e-3, 0.3, 6.0]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussians(frames=5):
    rows = [(1.0, 0.6, 0.0), (5.0, 1.0, 0.5), (20.0, 1.6, -1.0)]
    return [
        GaussianSequence(PowerExponential(length), scale * SIGMA, frames, torch.full((frames, 2), shift))
        for length, scale, shift in rows
    ]


def mixture():
    return Mixture(gaussians(), [0.3, 0.5, 0.2])


def hidden(frames=4):
    covariances = torch.stack([SIGMA, 0.2 * SIGMA.flip(0, 1), torch.diag(torch.tensor([2.0, 0.1]).double())])
    transition = [[0.8, 0.15, 0.05], [0.1, 0.9, 0.0], [0.3, 0.3, 0.4]]
    return HiddenMarkov(transition, [[0.0, 0.0], [2.0, -1.0], [-1.0, 0.5]], covariances, frames)


LAWS = {
    "mixture": mixture,
    "nested mixture": lambda: Mixture([mixture(), StudentT(gaussians()[0], 5.0)], [0.4, 0.6]),
    "scale mixture": lambda: ScaleMixture(gaussians()[1], [0.3, 1.0, 5.0], [0.2, 0.5, 0.3]),
    "student": lambda: StudentT(gaussians()[1], 4.0),
    "change point": lambda: ChangePoint(*gaussians()[:2], [0.1, 0.3, 0.2, 0.1, 0.1, 0.2]),
    "hidden markov": hidden,
    "double well": lambda: double_well(5, num_features=2),
    "volatility": lambda: StochasticVolatility(SIGMA, 5, mean=torch.ones(5, 2)),
}


@pytest.fixture(scope="module")
def laws():
    return {name: make() for name, make in LAWS.items()}


def noised(covariance, t):
    return math.exp(-t) * covariance - math.expm1(-t) * torch.eye(len(covariance), dtype=torch.float64)


def brute_force(components, weights, x, t):
    """log p and score of a Gaussian mixture by scipy's densities and dense solves."""
    logs, scores = [], []
    for (mean, covariance), weight in zip(components, weights, strict=True):
        spread, centre = noised(covariance, t), math.exp(-t / 2) * mean.flatten()
        logs.append(math.log(weight) + scipy.stats.multivariate_normal(centre, spread).logpdf(x.flatten(1)))
        scores.append(-torch.linalg.solve(spread, (x.flatten(1) - centre).mT).mT.reshape(x.shape))
    logs = torch.as_tensor(np.stack(logs)).reshape(len(components), len(x))
    shares = torch.as_tensor(scipy.special.softmax(logs.numpy(), axis=0))
    return torch.as_tensor(scipy.special.logsumexp(logs.numpy(), axis=0)), torch.einsum(
        "kb,kbnd->bnd", shares, torch.stack(scores)
    )


def parts(law):
    return [(p.mean, p.covariance()) for p in law]


def explicit(law):
    """A law as a Gaussian mixture: pairs of mean and covariance, and weights."""
    if isinstance(law, Mixture):
        return parts(law.components), law.weights.tolist()
    if isinstance(law, ScaleMixture):
        return [(law.mean, w * law.process.covariance()) for w in law.scales], law.weights.tolist()
    if isinstance(law, ChangePoint):
        pairs, frames, features = [], law.num_frames, law.num_features
        for c in range(frames + 1):
            first = (torch.arange(frames) < c).repeat_interleave(features)
            block = torch.where(first[:, None] & first, law.before.covariance(), torch.zeros(()).double())
            block += torch.where(~first[:, None] & ~first, law.after.covariance(), torch.zeros(()).double())
            pairs.append((torch.where(first.reshape(frames, features), law.before.mean, law.after.mean), block))
        return pairs, law.weights.tolist()
    assert isinstance(law, HiddenMarkov)
    pairs, weights = [], []
    for path in itertools.product(range(len(law._means)), repeat=law.num_frames):
        weight = float(law.initial[path[0]])
        for a, b in itertools.pairwise(path):
            weight *= float(law.transition[a, b])
        if weight:
            pairs.append((law._means[list(path)], torch.block_diag(*law._covariances[list(path)])))
            weights.append(weight)
    return pairs, weights


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("name", ["mixture", "scale mixture", "change point", "hidden markov"])
def test_mixtures_are_brute_force(laws, name, t):
    law = laws[name]
    x = torch.cat([law.sample(4), 3 * torch.randn(2, law.num_frames, 2, generator=seeded(), dtype=torch.float64)])
    log_prob, score = brute_force(*explicit(law), x, t)
    assert relative_error(law.log_prob(x, t), log_prob) < CLOSE
    assert relative_error(law.score(x, t), score) < CLOSE


@pytest.mark.parametrize("name", ["mixture", "scale mixture", "change point", "hidden markov"])
def test_mean_and_covariance_are_those_of_the_explicit_mixture(laws, name):
    pairs, weights = explicit(laws[name])
    mean = sum(w * m for w, (m, _) in zip(weights, pairs, strict=True))
    second = sum(
        w * (c + torch.outer((m - mean).flatten(), (m - mean).flatten()))
        for w, (m, c) in zip(weights, pairs, strict=True)
    )
    assert relative_error(laws[name].mean, mean) < CLOSE
    assert relative_error(laws[name].covariance(), second) < CLOSE


@pytest.mark.parametrize("t", TIMES[1:])
@pytest.mark.parametrize("name", LAWS)
def test_score_is_the_slope_of_the_density(laws, name, t):
    """Central differences of log_prob; with the densities checked elsewhere, this checks the score."""
    law = laws[name]
    noise = torch.randn(1, law.num_frames, 2, generator=seeded(4), dtype=torch.float64)
    x = math.exp(-t / 2) * law.sample(1) + math.sqrt(-math.expm1(-t)) * noise
    step = 1e-5
    slope = torch.zeros_like(x)
    for i in range(law.num_frames):
        for j in range(2):
            move = torch.zeros_like(x)
            move[0, i, j] = step
            slope[0, i, j] = (law.log_prob(x + move, t) - law.log_prob(x - move, t))[0] / (2 * step)
    assert relative_error(law.score(x, t), slope) < 1e-6


@pytest.mark.parametrize("name", LAWS)
def test_every_law_keeps_the_contract(laws, name):
    law = laws[name]
    assert torch.equal(law.sample(5)[:3], law.sample(3)), "a draw depends on how many are drawn"
    assert not torch.equal(law.sample(3), law.sample(3, generator=seeded(1)))
    assert law.sample(0).shape == (0, law.num_frames, 2)
    x = law.sample(3)
    times = torch.tensor([0.01, 0.3, 2.0], dtype=torch.float64)
    apart = torch.cat([law.score(x[i : i + 1], float(t)) for i, t in enumerate(times)])
    torch.testing.assert_close(law.score(x, times), apart, rtol=1e-10, atol=1e-10)
    both = law.log_prob_and_score(x, times)
    torch.testing.assert_close(law.log_prob(x, times), both[0])
    torch.testing.assert_close(law.score(x, times), both[1])
    half = law.score(x.float(), times)
    assert half.dtype == torch.float32
    assert torch.equal(law.denoise(x, 0.0), x)
    pulled = (x + -math.expm1(-0.3) * law.score(x, 0.3)) / math.exp(-0.15)
    torch.testing.assert_close(law.denoise(x, 0.3), pulled)
    assert len(repr(law)) < 400
    assert law.exactness.kind == "exact" or 0 <= law.exactness.error < 1e-8
    with pytest.raises(InputError, match="shape"):
        law.score(x[:, :2], 0.3)
    with pytest.raises(InputError, match="finite"):
        law.score(x * math.nan, 0.3)


@pytest.mark.parametrize("name", LAWS)
def test_the_score_integrates_to_nothing_under_its_own_law(laws, name):
    """E[score] = 0 and E[score x'] = -I under p_t, by Monte Carlo: 5 standard errors, seed fixed."""
    law, t, n = laws[name], 0.4, 3000
    noise = torch.randn(n, law.num_frames, 2, generator=seeded(5), dtype=torch.float64)
    x = math.exp(-t / 2) * law.sample(n, generator=seeded(6)) + math.sqrt(-math.expm1(-t)) * noise
    score = law.score(x, t).flatten(1)
    assert bool((score.mean(0).abs() < STANDARD_ERRORS * score.std(0) / math.sqrt(n)).all())
    trace = -(score * x.flatten(1)).sum(1)
    assert abs(float(trace.mean()) - score.shape[1]) < STANDARD_ERRORS * float(trace.std()) / math.sqrt(n)


@pytest.mark.parametrize("name", [name for name in LAWS if name != "student"])
def test_draws_have_the_mean_and_the_covariance(laws, name):
    law, n = laws[name], 20000
    x = law.sample(n, generator=seeded(8))
    assert bool(((x.mean(0) - law.mean).abs() < STANDARD_ERRORS * x.std(0) / math.sqrt(n)).all())
    if name in ("double well", "nested mixture"):
        return
    flat = (x - law.mean).flatten(1)
    products = torch.einsum("bi,bj->bij", flat, flat).flatten(1)
    gap = (products.mean(0) - law.covariance().flatten()).abs()
    assert bool((gap < STANDARD_ERRORS * products.std(0) / math.sqrt(n) + 1e-12).all())


def test_student_is_scipys_at_the_data():
    law = StudentT(gaussians()[1], 4.0)
    x = law.sample(6)
    reference = scipy.stats.multivariate_t(law.mean.flatten(), law.process.covariance(), df=4.0).logpdf(x.flatten(1))
    assert relative_error(law.log_prob(x), torch.as_tensor(reference)) < CLOSE
    assert relative_error(law.log_prob(x, 1e-10), law.log_prob(x)) < 1e-7
    assert relative_error(law.covariance(), 2 * law.process.covariance()) < CLOSE


@pytest.mark.parametrize("t", [1e-3, 0.3, 6.0])
@pytest.mark.parametrize("dof", [1.0, 4.0, 60.0])
def test_student_is_the_adaptive_integral(dof, t):
    law = StudentT(gaussians(3)[1], dof)
    x = law.sample(1) + 0.3

    def integrand(log_w):
        density = scipy.stats.multivariate_normal(
            math.exp(-t / 2) * law.mean.flatten(), noised(math.exp(log_w) * law.process.covariance(), t)
        ).pdf(x.flatten(1)[0])
        return density * scipy.stats.gamma.pdf(math.exp(-log_w), dof / 2, scale=2 / dof) * math.exp(-log_w)

    value, _ = scipy.integrate.quad(integrand, -12, 40, points=[-2, 0, 2], limit=400, epsabs=0, epsrel=1e-11)
    assert float(law.log_prob(x, t)[0]) == pytest.approx(math.log(value), abs=1e-7)


def test_student_draws_follow_the_t_distribution():
    x = StudentT(GaussianSequence(PowerExponential(5.0), torch.eye(1), 3), 3.0).sample(4000)[:, 1, 0]
    assert scipy.stats.kstest(x.numpy(), scipy.stats.t(3.0).cdf).pvalue > 1e-3


def test_student_approaches_the_gaussian_and_refuses_what_no_node_explains():
    process = gaussians()[1]
    x = process.sample(3)
    assert relative_error(StudentT(process, 1e7).score(x, 0.1), process.score(x, 0.1)) < 1e-5
    with pytest.raises(InputError, match="too far from the mean"):
        StudentT(process, 60.0).score(x + 1e6, 0.1)
    with pytest.raises(InputError, match="dof = 2"):
        StudentT(process, 2.0).covariance()
    with pytest.raises(InputError, match="dof must be greater than 0"):
        StudentT(process, -1.0)
    with pytest.raises(InputError, match="0 for all sequences or for none"):
        StudentT(process, 4.0).score(x, torch.tensor([0.0, 0.1, 0.1]))


def test_the_markov_chain_of_a_linear_drift_is_gaussian():
    """x_{i+1} = 0.9 x_i + 0.4 e_i, with irregular steps of the same scheme, has a closed covariance."""
    times = torch.tensor([0.0, 0.5, 0.7, 1.6, 2.0], dtype=torch.float64)
    law = MarkovChainSequence(lambda x: -0.5 * x, 0.6, times, bounds=(-6.0, 6.0), initial_std=0.7)
    root = torch.zeros(5, 5, dtype=torch.float64)
    root[0, 0] = 0.7
    for i, step in enumerate(times.diff().tolist()):
        root[i + 1] = (1 - 0.5 * step) * root[i]
        root[i + 1, i + 1] = 0.6 * math.sqrt(step)
    gaussian = DenseGaussian(root @ root.mT, 1)
    x = gaussian.sample(4)
    for t in TIMES:
        assert relative_error(law.log_prob(x, t), gaussian.log_prob(x, t)) < CLOSE
        assert relative_error(law.score(x, t), gaussian.score(x, t)) < CLOSE
    torch.testing.assert_close(law.mean, torch.zeros(5, 1).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("t", [1e-3, 0.1, 2.0])
def test_the_double_well_is_a_double_integral(t):
    law, x = double_well(2, noise=0.5, step=0.1), torch.tensor([[[0.4], [0.7]]], dtype=torch.float64)
    noise, shrink = math.sqrt(-math.expm1(-t)), math.exp(-t / 2)
    normal = scipy.stats.norm.pdf
    reach = 9 * noise / shrink
    a, weights_a = nodes_between(max(0.4 / shrink - reach, -4.5), min(0.4 / shrink + reach, 4.5))
    b, weights_b = nodes_between(max(0.7 / shrink - reach, -4.5), min(0.7 / shrink + reach, 4.5))
    moved = normal(b[None], (a + 0.1 * (a - a**3))[:, None], 0.5 * math.sqrt(0.1))
    left = weights_a * normal(a, 0, 0.5) * normal(0.4, shrink * a, noise)
    value = left @ moved @ (weights_b * normal(0.7, shrink * b, noise))
    assert float(law.log_prob(x, t)[0]) == pytest.approx(math.log(value), abs=1e-9)


def nodes_between(low, high, count=600):
    points, weights = np.polynomial.legendre.leggauss(count)
    return (low + high) / 2 + (high - low) / 2 * points, (high - low) / 2 * weights


def test_markov_chains_say_what_is_wrong():
    with pytest.raises(InputError, match="would need"):
        MarkovChainSequence(lambda x: -x, 1e-6, 4, bounds=(-6.0, 6.0))
    with pytest.raises(InputError, match="diffusion must be greater than 0"):
        MarkovChainSequence(lambda x: -x, lambda x: x, 4, bounds=(-1.0, 1.0))
    with pytest.raises(TypeError, match="drift must be a function"):
        MarkovChainSequence(1.0, 1.0, 4)
    law = double_well(3)
    with pytest.raises(InputError, match=r"t must be 0 or at least 0\.001"):
        law.score(law.sample(1), 1e-5)
    with pytest.raises(InputError, match="beyond the nodes"):
        law.score(law.sample(1) + 20, 0.1)
    with pytest.raises(InputError, match=r"step must be at most 0\.5"):
        double_well(3, step=1.0)


@pytest.mark.parametrize("t", [0.0, 0.2, 3.0])
def test_volatility_is_a_double_integral(t):
    law = StochasticVolatility(torch.tensor([[0.7]]), 2, persistence=0.6, volatility=0.5, log_variance=0.3)
    x = torch.tensor([[[0.8], [-1.9]]], dtype=torch.float64)
    normal, spread = scipy.stats.norm.pdf, 0.5 / 0.8

    v, weights = nodes_between(0.3 - 9 * spread, 0.3 + 9 * spread)
    sizes = np.sqrt(math.exp(-t) * np.exp(v) * float(torch.tensor(0.7)) - math.expm1(-t))
    first = weights * normal(v, 0.3, spread) * normal(0.8, 0, sizes)
    steps = normal(v[None], (0.3 + 0.6 * (v - 0.3))[:, None], 0.5)
    value = first @ steps @ (weights * normal(-1.9, 0, sizes))
    assert float(law.log_prob(x, t)[0]) == pytest.approx(math.log(value), abs=1e-9)


def test_the_hidden_chain_is_statsmodels():
    """Log likelihood of a two-state regression with switching variance, from its steady state."""
    law = HiddenMarkov([[0.85, 0.15], [0.25, 0.75]], [[0.0], [1.5]], [[[1.0]], [[0.3]]], 60)
    x = law.sample(1)
    model = MarkovRegression(x[0, :, 0].numpy(), k_regimes=2, trend="c", switching_variance=True)
    reference = model.loglike(np.array([0.85, 0.25, 0.0, 1.5, 1.0, 0.3]))
    assert float(law.log_prob(x)[0]) == pytest.approx(reference, rel=1e-10)


def test_sequences_that_underflow_are_smoothed_with_logarithms():
    chain = Chain(torch.tensor([0.5, 0.5]).double().log(), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]).double().log())
    logs = torch.tensor([[[0.0, -2000.0], [-2010.0, 0.0]], [[0.0, -1.0], [-1.0, 0.0]]], dtype=torch.float64)
    evidence, shares = smooth(chain, logs)
    expected = torch.stack([scipy_sum(row) for row in logs])
    torch.testing.assert_close(evidence, expected)
    torch.testing.assert_close(shares[0, :, 1], torch.full((2,), 1.0).double(), atol=1e-4, rtol=0)


def scipy_sum(row):
    return torch.as_tensor(scipy.special.logsumexp(row.sum(0).numpy() + math.log(0.5)))


@pytest.mark.parametrize("name", ["mixture", "hidden markov"])
def test_conditionals_are_those_of_the_explicit_mixture(laws, name):
    law = laws[name]
    mask = torch.rand(law.num_frames, 2, generator=seeded(3)) < 0.4
    values = law.sample(1)[0]
    pairs, weights = explicit(law)
    flat, logs, means, covariances = mask.flatten(), [], [], []
    for (mean, covariance), weight in zip(pairs, weights, strict=True):
        centre, known = mean.flatten(), covariance[flat][:, flat]
        gain = torch.linalg.solve(known, covariance[flat][:, ~flat]).mT
        gap = values.flatten()[flat] - centre[flat]
        logs.append(
            math.log(weight) + scipy.stats.multivariate_normal(centre[flat], known).logpdf(values.flatten()[flat])
        )
        means.append(centre[~flat] + gain @ gap)
        covariances.append(covariance[~flat][:, ~flat] - gain @ covariance[flat][:, ~flat])
    shares = torch.as_tensor(scipy.special.softmax(np.array(logs)))
    mean = torch.einsum("k,ki->i", shares, torch.stack(means))
    spread = torch.stack(means) - mean
    total = torch.einsum("k,kij->ij", shares, torch.stack(covariances)) + torch.einsum(
        "k,ki,kj->ij", shares, spread, spread
    )
    given = law.condition_on(mask, torch.where(mask, values, math.nan))
    torch.testing.assert_close(given.mean[mask], values[mask])
    assert relative_error(given.mean[~mask], mean) < CLOSE
    assert relative_error(given.covariance(), total) < CLOSE
    draws = given.sample(20000)
    assert torch.equal(draws[:3], given.sample(3))
    assert bool((draws[:, mask] == values[mask]).all())
    error = draws[:, ~mask].std(0) / math.sqrt(len(draws))
    assert bool(((draws[:, ~mask].mean(0) - mean).abs() < STANDARD_ERRORS * error).all())
    flat_draws = draws[:, ~mask] - mean
    products = torch.einsum("bi,bj->bij", flat_draws, flat_draws)
    assert bool(((products.mean(0) - total).abs() < STANDARD_ERRORS * products.std(0) / math.sqrt(len(draws))).all())
    assert len(repr(given)) < 400


def test_conditioning_on_nothing_is_the_law(laws):
    law = laws["mixture"]
    given = law.condition_on(torch.zeros(5, 2, dtype=torch.bool), torch.zeros(5, 2))
    torch.testing.assert_close(given.mean, law.mean)
    torch.testing.assert_close(given.covariance(), law.covariance())
    with pytest.raises(TypeError, match="StudentT"):
        laws["nested mixture"].condition_on(torch.ones(5, 2, dtype=torch.bool), torch.zeros(5, 2))


def test_a_change_between_laws_that_are_not_separable():
    rotation = torch.tensor([[0.5, 0.4], [-0.4, 0.5]], dtype=torch.float64)
    blocks = torch.stack([torch.linalg.matrix_power(rotation, m) for m in range(4)])
    law = ChangePoint(BlockToeplitzSequence(blocks), gaussians(4)[2], [0.25] * 4)
    x = law.sample(3)
    log_prob, score = brute_force(*without_impossible(*explicit(law)), x, 0.2)
    assert relative_error(law.log_prob(x, 0.2), log_prob) < CLOSE
    assert relative_error(law.score(x, 0.2), score) < CLOSE
    assert float(law.change_posterior(x, 0.2)[:, -1].max()) == 0.0


def without_impossible(pairs, weights):
    kept = [k for k, weight in enumerate(weights) if weight > 0]
    return [pairs[k] for k in kept], [weights[k] for k in kept]


def test_score_kl_takes_any_law():
    law = mixture()
    exact = ks.metrics.score_kl(law.score, law, num_samples=600, dtype=torch.float64)
    assert exact.value == pytest.approx(0.0, abs=1e-20)
    gaussian = DenseGaussian(law.covariance(), 2, mean=law.mean)
    gap = ks.metrics.score_kl(gaussian.score, law, num_samples=4000)
    # KL(p | Gaussian of the same moments), by Monte Carlo on the densities at both ends of the clock
    x = law.sample(20000, generator=seeded(9))
    noise = torch.randn(x.shape, generator=seeded(10), dtype=torch.float64)
    ends = []
    for t in (1e-2, 6.0):
        y = math.exp(-t / 2) * x + math.sqrt(-math.expm1(-t)) * noise
        ends.append(law.log_prob(y, t) - gaussian.log_prob(y, t))
    ratio = ends[0] - ends[1]
    error = math.hypot(gap.standard_error, float(ratio.std()) / math.sqrt(len(x)))
    assert abs(gap.value - float(ratio.mean())) < STANDARD_ERRORS * error
    with pytest.raises(TypeError, match="linear=True needs a Gaussian process"):
        ks.metrics.score_kl(law.score, law, linear=True)
    with pytest.raises(TypeError, match="must be a Gaussian law"):
        ks.compile_score(law)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixture(gaussians(), [0.5, 0.5, 0.5]), "add up to 1, got 1.5"),
        (lambda: Mixture(gaussians(), [1.5, -0.5, 0.0]), "must not be negative"),
        (lambda: Mixture(gaussians(), [1.0]), "weights must be 3 probabilities"),
        (lambda: Mixture([gaussians(4)[0], gaussians(5)[0]], [0.5, 0.5]), "same .frames, features."),
        (lambda: ScaleMixture(gaussians()[0], [-1.0], [1.0]), "scales must be greater than 0"),
        (lambda: ScaleMixture(GaussianSequence(Matern(9.0, 1.5), SIGMA, 4096), [1.0], [1.0]), "at most 2048 frames"),
        (lambda: ChangePoint(gaussians(4)[0], gaussians(5)[0], [0.25] * 4), "same .frames, features."),
        (lambda: ChangePoint(*gaussians()[:2], [0.5, 0.5]), "weights must be 5 probabilities"),
        (lambda: HiddenMarkov([[0.5, 0.6], [0.5, 0.5]], [[0.0], [1.0]], torch.ones(2, 1, 1), 3), "transition.0. must"),
        (lambda: HiddenMarkov(torch.eye(2), [[0.0], [1.0]], torch.ones(2, 1, 1), 3), "give initial="),
        (lambda: HiddenMarkov(torch.eye(2), [[0.0]], torch.ones(2, 1, 1), 3), "means must have shape .2, features."),
        (lambda: HiddenMarkov(torch.eye(1), [[0.0]], torch.ones(2, 1, 1), 3), "covariances must have shape"),
        (lambda: HiddenMarkov(torch.eye(1), [[0.0]], -torch.ones(1, 1, 1), 3), "positive semi-definite"),
        (lambda: StochasticVolatility(SIGMA, 3, persistence=1.0), "persistence must be below 1"),
        (lambda: StochasticVolatility(SIGMA, 3, persistence=0.9999999), "would need"),
        (lambda: StochasticVolatility(SIGMA, 3, mean=torch.zeros(2, 2)), "mean must have shape"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_mixtures_of_no_law_are_refused():
    with pytest.raises(TypeError, match="components must be a list of laws"):
        Mixture([], [])
    with pytest.raises(TypeError, match=r"components\[0\] must be a law"):
        Mixture([torch.eye(2)], [1.0])
