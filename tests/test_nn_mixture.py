"""The mixture network: its score is that of a mixture law, its gradients are exact, and it learns one."""

import math

import pytest
import torch

import kronoscope as ks
from kronoscope import InputError
from kronoscope.kernels import PowerExponential
from kronoscope.models.mixture_start import mixture_start
from kronoscope.nn import MixtureTransformer
from kronoscope.processes import DenseGaussian, GaussianSequence, Mixture, SeparableGaussian

TIMES = torch.tensor([0.05, 0.3, 1.0, 2.0], dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def network(scales=1, mean="feature", **options):
    net = MixtureTransformer(5, 2, 3, mean=mean, scales=scales, **options).double()
    generator = seeded(7)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, dtype=torch.float64, generator=generator))
    return net


def law_of(net):
    """The law as components of :class:`Mixture`, one for each component and scale."""
    gammas, sigmas = (part.detach() for part in net.covariances())
    parts, weights = [], []
    for k, mean in enumerate(net.means()):
        for m, factor in enumerate(net.factors):
            parts.append(SeparableGaussian(factor * gammas[k], sigmas[k], mean))
            weights.append(float(net.weights[k] * net.log_shares().detach()[k, m].exp()))
    return Mixture(parts, weights)


@pytest.mark.parametrize(
    "options", [{}, {"scales": 5}, {"mean": "zero"}, {"mean": "free"}, {"times": [0, 1, 3, 4, 9.5]}]
)
def test_the_network_computes_the_score_of_a_mixture(options):
    net = network(**options)
    x = torch.randn(4, 5, 2, dtype=torch.float64, generator=seeded())
    expected = -(-torch.expm1(-TIMES)).sqrt()[:, None, None] * law_of(net).score(x, TIMES)
    torch.testing.assert_close(net(x, TIMES).detach(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("scales", [1, 4])
def test_under_a_mask_it_is_the_score_of_the_entries_that_are_there(scales):
    net, generator = network(scales), seeded(1)
    x = torch.randn(4, 5, 2, dtype=torch.float64, generator=generator)
    mask = torch.rand(4, 5, 2, generator=generator) < 0.7
    epsilon = net(x.masked_fill(~mask, 0), TIMES, mask).detach()
    law = law_of(net)
    for b, t in enumerate(TIMES.tolist()):
        there = mask[b].flatten()
        parts = [
            DenseGaussian(part.covariance()[there][:, there], 1, part.mean.flatten()[there][:, None])
            for part in law.components
        ]
        seen = x[b].flatten()[there][None, :, None]
        score = Mixture(parts, law.weights).score(seen, t)
        expected = -math.sqrt(-math.expm1(-t)) * score.flatten()
        torch.testing.assert_close(epsilon[b].flatten()[there], expected, rtol=1e-9, atol=1e-12)
        assert bool((epsilon[b].flatten()[~there] == 0).all())


@pytest.mark.parametrize("scales", [1, 4])
def test_gradients_are_central_differences(scales):
    net = network(scales)
    x = torch.randn(4, 5, 2, dtype=torch.float64, generator=seeded(2)).requires_grad_()
    weight = torch.randn(4, 5, 2, dtype=torch.float64, generator=seeded(3))
    parameters = [x, *net.parameters()]
    gradients = torch.autograd.grad((net(x, TIMES) * weight).sum(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.randn(parameter.shape, dtype=torch.float64, generator=seeded(4))
        with torch.no_grad():
            parameter.add_(1e-6 * direction)
            above = (net(x, TIMES) * weight).sum()
            parameter.sub_(2e-6 * direction)
            below = (net(x, TIMES) * weight).sum()
            parameter.add_(1e-6 * direction)
        assert float((gradient * direction).sum()) == pytest.approx(float((above - below) / 2e-6), rel=1e-6, abs=1e-8)


def three_regimes(frames=12):
    sigma = torch.tensor([[1.0, 0.4], [0.4, 0.8]], dtype=torch.float64)
    rows = [(1.0, 0.6 * sigma), (5.0, sigma.flip(0, 1)), (20.0, 1.6 * torch.diag(torch.tensor([1.5, 0.5]).double()))]
    return Mixture([GaussianSequence(PowerExponential(length), s, frames) for length, s in rows], [0.3, 0.4, 0.3])


def test_the_start_gives_every_component_sequences_of_its_own():
    truth = three_regimes()
    start, _ = mixture_start(truth.sample(800), 3, min_time=1e-2, generator=seeded())
    assert float(start.weights.min()) > 0.1
    kl = ks.metrics.score_kl(start.score, truth, num_samples=3000)
    one, _ = mixture_start(truth.sample(800), 1, min_time=1e-2, generator=seeded())
    worse = ks.metrics.score_kl(one.score, truth, num_samples=3000)
    assert kl.value < 0.15 < 1.0 < worse.value


def test_starting_from_a_mixture_holds_it():
    truth = three_regimes()
    net = MixtureTransformer(12, 2, 3)
    net.start_from(truth.components, truth.weights)
    x = truth.sample(8)
    t = torch.full((8,), 0.05, dtype=torch.float64)
    expected = -math.sqrt(-math.expm1(-0.05)) * truth.score(x, 0.05)
    assert float((net.double()(x, t).detach() - expected).norm() / expected.norm()) < 1e-3
    with pytest.raises(InputError, match="parts must be 3 laws, got 2"):
        net.start_from(truth.components[:2], truth.weights[:2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"components": 0}, "components must be at least 1"),
        ({"components": 99}, "components must be at most 16"),
        ({"mean": "some"}, "mean must be one of zero, feature, free"),
        ({"scales": 99}, "scales must be at most 33"),
        ({"times": [0, 1]}, "times must have shape"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        MixtureTransformer(5, 2, **options)


def test_long_sequences_with_gaps_are_refused():
    net = MixtureTransformer(300, 2)
    with pytest.raises(InputError, match="at most 512"):
        net(torch.zeros(1, 300, 2), torch.tensor([0.1]), torch.ones(1, 300, 2, dtype=torch.bool))


@pytest.fixture(scope="module")
def fitted():
    truth = three_regimes()
    return truth, ks.fit(truth.sample(600).float(), network="mixture", max_steps=300, batch_size=128)


def test_a_fitted_mixture_holds_its_law(fitted):
    truth, model = fitted
    assert not model.is_affine
    assert model.has_law
    gaussian = DenseGaussian(truth.covariance(), 2)
    best_gaussian = ks.metrics.score_kl(gaussian.score, truth, num_samples=3000)
    learnt = ks.metrics.score_kl(model.score, truth, num_samples=3000)
    assert learnt.value < 0.2 < 1.0 < best_gaussian.value
    x = truth.sample(5, generator=seeded(2))
    law = model.law().data
    expected = law.score(x, 0.1)
    assert float((model.score(x, 0.1) - expected).norm() / expected.norm()) < 1e-4
    density = model.log_prob(x, of="data")
    assert density.kind == "exact"
    torch.testing.assert_close(density.values, law.log_prob(x))


def test_conditions_and_intervals_are_those_of_the_mixture(fitted):
    truth, model = fitted
    mask = torch.zeros(12, 2, dtype=torch.bool)
    mask[:6] = True
    given = model.condition_on(mask, truth.sample(1, generator=seeded(3))[0])
    assert given.method == "exact"
    draws = torch.as_tensor(given.sample(20000)).double()
    mean, (low, high) = torch.as_tensor(given.mean).double(), map(torch.as_tensor, given.interval(0.9))
    error = draws.std(0) / math.sqrt(len(draws))
    assert bool(((draws.mean(0) - mean).abs() <= 5 * error + 1e-6).all())
    inside = ((draws >= low) & (draws <= high)).double().mean(0)[~mask]
    assert float((inside - 0.9).abs().max()) < 5 * math.sqrt(0.09 / len(draws))


def test_a_mixture_is_saved_and_loaded(fitted, tmp_path):
    truth, model = fitted
    model.save(tmp_path / "run")
    x = truth.sample(3)
    assert torch.equal(ks.load(tmp_path / "run").score(x, 0.3), model.score(x, 0.3))


def test_too_few_sequences_for_the_components_are_refused():
    with pytest.raises(InputError, match="at least 10 complete sequences for each component, 30 in all, got 18"):
        ks.fit(torch.randn(20, 5, 2), network="mixture", max_steps=1)
