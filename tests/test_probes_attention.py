"""Attention and circuits: exact on compiled networks, honest p-values on networks that learnt nothing."""

import pytest
import scipy.stats
import torch

import kronoscope as ks
from kronoscope import diffusion, nn, probes, training
from kronoscope._errors import InputError
from kronoscope.kernels import PowerExponential

SIGMA = torch.tensor([[1.0, 0.5, 0.2], [0.5, 2.0, -0.3], [0.2, -0.3, 0.7]], dtype=torch.float64)
PROCESS = ks.GaussianSequence(PowerExponential(3.0), SIGMA, times=10)
RUNS = 200


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def build(kind, seed, *sizes, **options):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return kind(*sizes, **options)


@pytest.mark.parametrize("heads", ["affine", "arc", "trapezoid", "table"])
def test_a_compiled_network_gives_back_gamma_and_sigma(heads):
    found = probes.circuits(ks.compile_score(PROCESS, heads=heads).network)
    gamma, sigma, share = found.nearest_kronecker()
    assert float((gamma - PROCESS.temporal_covariance).abs().max()) < 1e-6
    assert float((sigma / sigma.trace() - SIGMA / SIGMA.trace()).abs().max()) < 1e-6
    assert share == pytest.approx(1.0)
    every = [probes.alignment(value, SIGMA, rotations=99) for value in found.values if float(value.norm()) > 1e-9]
    assert all(abs(one.cosine) > 1 - 1e-9 for one in every)


def small_maps(seed):
    """Maps of an untrained DiT with learnt positions; its frames are alike, and so are those of white sequences."""
    network = build(nn.DiT, seed, 8, 2, width=8, num_blocks=1, num_heads=2, positions="learned", linear_path=False)
    x = torch.randn(16, 8, 2, generator=generator(1000 + seed))
    return probes.attention(network.eval(), x, 0.5)


def uniform(p_values, permutations):
    """Kolmogorov-Smirnov at 1 % against the uniform law, made continuous within the steps of the permutations."""
    drawn = torch.rand(len(p_values), generator=generator(5), dtype=torch.float64).numpy()
    spread = [p - u / (permutations + 1) for p, u in zip(p_values, drawn)]
    return scipy.stats.kstest(spread, "uniform").pvalue > 0.01


def test_p_values_are_uniform_on_untrained_networks():
    gamma = PowerExponential(3.0).covariance(torch.arange(8.0))
    single, family = [], []
    for seed in range(RUNS):
        found = small_maps(seed).association(gamma, permutations=99, generator=generator(seed))
        single.append(float(found.p_value[0]))
        family.append(float(found.family_p_value.min()))
    assert uniform(single, 99)
    assert uniform(family, 99)


def test_p_values_are_uniform_on_networks_trained_on_shuffled_frames():
    process = ks.GaussianSequence(PowerExponential(3.0), torch.eye(2), times=8)
    config = training.TrainingConfig(max_steps=8, batch_size=32, learning_rate=3e-2, warmup_steps=1, held_out_draws=8)
    p_values = []
    for seed in range(RUNS):
        g = generator(seed)
        x = process.sample(64, generator=g).float()
        x = torch.stack([one[torch.randperm(8, generator=g)] for one in x])
        network = build(nn.DiT, seed, 8, 2, width=8, num_blocks=1, num_heads=2, positions="learned", linear_path=False)
        trained = training.train(network, x, x[:8], config, generator=g).network
        probe = probes.attention(trained, diffusion.noise(x, torch.tensor(0.2), torch.randn(x.shape, generator=g)), 0.2)
        found = probe.association(process.temporal_covariance, permutations=99, generator=g)
        p_values.append(float(found.family_p_value.min()))
    assert uniform(p_values, 99)


def test_what_holds_gamma_is_found_beyond_the_distance():
    frames = torch.arange(10.0)
    distance = (frames[:, None] - frames[None]).abs()
    weights = PROCESS.temporal_covariance + 0.01 * torch.randn(10, 10, generator=generator(), dtype=torch.float64)
    noise = torch.randn(10, 10, generator=generator(1), dtype=torch.float64)
    probe = probes.AttentionProbe(torch.stack([weights, noise]), torch.zeros(2, 10, 10), ((0, 0), (0, 1)), 0.2)
    found = probe.association(PROCESS.temporal_covariance, [distance], permutations=499)
    assert float(found.correlation[0]) > 0.9
    assert float(found.family_p_value[0]) < 0.01
    assert float(found.p_value[1]) > 0.01
    assert bool((found.family_p_value >= found.p_value).all())


def test_the_distance_alone_says_nothing_beyond_the_distance():
    frames = torch.arange(10.0, dtype=torch.float64)
    distance = (frames[:, None] - frames[None]).abs()
    weights = -distance + 0.1 * torch.randn(10, 10, generator=generator(3), dtype=torch.float64)
    probe = probes.AttentionProbe(weights[None], torch.zeros(1, 10, 10), ((0, 0),), 0.2)
    alone = probe.association(PROCESS.temporal_covariance, permutations=199)
    beyond = probe.association(PROCESS.temporal_covariance, [distance], permutations=199)
    assert abs(float(alone.correlation)) > 0.8
    assert abs(float(beyond.correlation)) < 0.5


def test_outside_attention_is_read_through_maps():
    layer = build(torch.nn.MultiheadAttention, 0, 4, 2, batch_first=True).eval()
    x = torch.randn(70, 6, 4, generator=generator())
    probe = probes.attention(layer, x, maps=lambda x, t: [layer(x, x, x, average_attn_weights=False)[1]])
    expected = layer(x, x, x, average_attn_weights=False)[1].double()
    assert torch.allclose(probe.weights, expected.mean(0), atol=1e-6)
    assert torch.allclose(probe.standard_error, expected.std(0) / 70**0.5, atol=1e-6)
    assert probe.labels == ((0, 0), (0, 1))
    assert torch.allclose(probe.weights.sum(-1), torch.ones(2, 6, dtype=torch.float64), atol=1e-6)
    profile = probe.lag_profile()
    assert profile.shape == (2, 11)
    assert float(profile[0, 5]) == pytest.approx(float(probe.weights[0].diagonal().mean()))
    assert float(profile[0, 6]) == pytest.approx(float(probe.weights[0].diagonal(-1).mean()))


def test_every_network_with_attention_can_be_probed():
    x = torch.randn(5, 6, 2, generator=generator())
    for kind in (nn.DiT, nn.PositionTransformer):
        network = build(kind, 0, 6, 2, width=8, num_blocks=2, num_heads=2)
        assert probes.attention(network, x).weights.shape == (4, 6, 6)
    relu = ks.compile_score(ks.GaussianSequence(PowerExponential(2.0), torch.eye(2), times=6), heads="table").network
    assert probes.attention(relu, x).weights.shape[1:] == (6, 6)


def test_bad_input_is_named():
    x = torch.randn(4, 6, 2, generator=generator())
    with pytest.raises(InputError, match=r"Linear exposes no attention: .* give maps="):
        probes.attention(torch.nn.Linear(2, 2), x)
    with pytest.raises(InputError, match=r"the attention of block 0 must have shape \(4 or 1, heads, 6, 6\)"):
        probes.attention(torch.nn.Linear(2, 2), x, maps=lambda x, t: [torch.zeros(4, 2, 5, 5)])
    with pytest.raises(InputError, match="it has no blocks"):
        probes.attention(torch.nn.Linear(2, 2), x, maps=lambda x, t: [])
    probe = probes.AttentionProbe(torch.rand(1, 6, 6), torch.zeros(1, 6, 6), ((0, 0),), 0.2)
    with pytest.raises(InputError, match=r"covariance must have shape \(6, 6\), got \(5, 5\)"):
        probe.association(torch.eye(5))
    with pytest.raises(InputError, match="the null maps explain covariance completely"):
        probe.association(torch.ones(6, 6))
    with pytest.raises(InputError, match="permutations must be at least 19"):
        probe.association(torch.rand(6, 6), permutations=5)
    with pytest.raises(InputError, match="DiT is none of"):
        probes.circuits(build(nn.DiT, 0, 6, 2, width=8, num_heads=2))
    with pytest.raises(InputError, match="block must be less than 2"):
        probes.circuits(build(nn.PositionTransformer, 0, 6, 2, width=8, num_blocks=2, num_heads=2), 2)
    with pytest.raises(InputError, match="a multiple of the identity"):
        probes.alignment(torch.eye(3), SIGMA)


def test_unrolled_circuits_are_its_covariance():
    network = nn.UnrolledTransformer.from_law(PROCESS)
    gamma, sigma, _ = probes.circuits(network).nearest_kronecker()
    found = torch.kron(gamma, sigma)
    assert float((found - network.heads.covariance().detach()).abs().max()) < 1e-9
    assert float((gamma - PROCESS.temporal_covariance).abs().max()) < 1e-3
