"""Attention against null networks: exact for networks that know the lag, where relabelling frames is not."""

import pytest
import scipy.stats
import torch

import kronoscope as ks
from kronoscope import nn, probes
from kronoscope._errors import InputError
from kronoscope.kernels import PowerExponential

FRAMES, NULLS, RUNS = 8, 19, 200
GAMMA = PowerExponential(3.0).covariance(torch.arange(float(FRAMES)))
INPUTS = torch.randn(8, FRAMES, 2, generator=torch.Generator().manual_seed(3))
FAR = torch.randn(8, 24, 2, generator=torch.Generator().manual_seed(3))


def untrained(kind, seed, frames=FRAMES, **options):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = kind(frames, 2, width=4, num_blocks=1, num_heads=2, **options).eval()
    return probes.attention(network, INPUTS if frames == FRAMES else FAR, 0.5)


def spread(p_values, steps):
    """p-values made continuous within their steps, which makes exact ones uniform."""
    drawn = torch.rand(len(p_values), generator=torch.Generator().manual_seed(5), dtype=torch.float64).tolist()
    return [p - u / steps for p, u in zip(p_values, drawn)]


@pytest.mark.parametrize("kind", [nn.DiT, nn.PositionTransformer])
def test_p_values_are_uniform_on_untrained_networks_that_know_the_lag(kind):
    """Kolmogorov-Smirnov at 1 %, 200 runs, each among 19 null networks of its own."""
    options = {"linear_path": False} if kind is nn.DiT else {}
    single, family = [], []
    for run in range(RUNS):
        seed = 1000 * (run + 1)
        nulls = [untrained(kind, seed + k + 1, **options) for k in range(NULLS)]
        found = untrained(kind, seed, **options).against(nulls, GAMMA)
        single.append(float(found.p_value[0]))
        family.append(float(found.family_p_value.min()))
    assert scipy.stats.kstest(spread(single, NULLS + 1), "uniform").pvalue > 0.01
    assert scipy.stats.kstest(spread(family, NULLS + 1), "uniform").pvalue > 0.01


def test_relabelling_frames_is_uniform_where_positions_are_permuted():
    """The compiled network's position table, its rows shuffled: its heads are Gamma's, of frames in any order."""
    process = ks.GaussianSequence(PowerExponential(3.0), torch.eye(2), times=FRAMES)
    network = ks.compile_score(process, heads="arc").network
    position = network.position.detach().clone()
    p_values = []
    for seed in range(RUNS):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            network.position.copy_(position[torch.randperm(FRAMES, generator=generator)])
        weights = network.record(INPUTS.double(), 0.5).blocks[0].weights.detach()
        probe = probes.attention(network, INPUTS, 0.5, maps=lambda x, t, weights=weights: [weights])
        found = probe.association(GAMMA, permutations=99, generator=generator)
        p_values.append(float(found.family_p_value.min()))
    assert scipy.stats.kstest(spread(p_values, 100), "uniform").pvalue > 0.01


def test_a_planted_head_is_found_among_null_networks():
    """Beyond the tables that training starts from, which agree with Gamma by themselves."""
    frames = 24
    gamma = PowerExponential(6.0).covariance(torch.arange(float(frames)))
    one, *nulls = (untrained(nn.PositionTransformer, k, frames) for k in range(100))
    start = list(torch.stack([null.weights for null in nulls]).mean(dim=0))
    weights = one.weights.clone()
    weights[1] = gamma + 0.01 * torch.randn(frames, frames, generator=torch.Generator().manual_seed(1))
    planted = probes.AttentionProbe(weights, one.standard_error, one.labels, one.t)
    assert float(one.partial_correlation(gamma).max()) > 0.7  # and it was never trained
    found = planted.against(nulls, gamma, start)
    assert torch.equal(found.correlation, planted.partial_correlation(gamma, start))
    assert float(found.correlation[1]) > 0.9
    assert float(found.family_p_value[1]) <= 0.02
    assert float(found.p_value[0]) > 0.02
    assert bool((found.family_p_value >= found.p_value).all())
    assert found.permutations == 99


def test_bad_nulls_are_named():
    one = untrained(nn.PositionTransformer, 0)
    with pytest.raises(InputError, match=r"head 0 of block 0 is a function of the lag alone.*against\(networks"):
        one.association(GAMMA)
    with pytest.raises(InputError, match="networks must be at least 19, got 2"):
        one.against([one, one], GAMMA)
    with pytest.raises(InputError, match="agree to the last digit"):
        one.against([one] * 19, GAMMA)
    others = [untrained(nn.PositionTransformer, k) for k in range(18)]
    wide = probes.AttentionProbe(torch.rand(1, FRAMES, FRAMES), torch.zeros(1), ((0, 0),), 0.2)
    with pytest.raises(InputError, match=r"networks\[18\] must have weights of shape \(2, 8, 8\), got \(1, 8, 8\)"):
        one.against([*others, wide], GAMMA)
    with pytest.raises(InputError, match=r"covariance must have shape \(8, 8\)"):
        one.against([*others, others[0]], torch.eye(3))
