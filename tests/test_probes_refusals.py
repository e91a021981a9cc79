"""What a probe would answer with NaN, a torch error or the smallest p-value is refused in one line."""

import math

import pytest
import torch

import kronoscope as ks
from kronoscope import nn, probes
from kronoscope._errors import InputError
from kronoscope.kernels import PowerExponential

FRAMES, FEATURES = 6, 2
SIGMA = torch.tensor([[1.0, 0.4], [0.4, 1.0]])
PROCESS = ks.GaussianSequence(PowerExponential(3.0), SIGMA, times=FRAMES)
GAMMA = PROCESS.temporal_covariance
OTHERS = {
    "frames": ks.GaussianSequence(PowerExponential(3.0), SIGMA, times=FRAMES + 1),
    "features": ks.GaussianSequence(PowerExponential(3.0), torch.eye(3), times=FRAMES),
    "one frame": ks.GaussianSequence(PowerExponential(3.0), SIGMA, times=1),
}
NETWORKS = [nn.DiT, nn.PositionTransformer, nn.UnrolledTransformer]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def probe_of(weights):
    return probes.AttentionProbe(weights, torch.zeros_like(weights), tuple((0, k) for k in range(len(weights))), 0.2)


def random_maps(heads=2, seed=0):
    return torch.rand(heads, FRAMES, FRAMES, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_maps_that_are_not_finite_have_no_p_value(bad):
    maps = random_maps()
    broken = maps.clone()
    broken[1, 2, 3] = bad
    x = torch.randn(4, FRAMES, FEATURES, generator=generator())
    with pytest.raises(InputError, match=r"the attention of block 0 must be finite, but 4 of its 288"):
        probes.attention(torch.nn.Identity(), x, maps=lambda x, t: [broken.expand(4, -1, -1, -1)])
    with pytest.raises(InputError, match="weights must be finite, but 1 of its 72"):
        probe_of(broken).association(GAMMA, permutations=19)
    with pytest.raises(InputError, match="weights must be finite"):
        probe_of(broken).partial_correlation(GAMMA)
    nulls = [probe_of(random_maps(seed=k)) for k in range(1, 20)]
    with pytest.raises(InputError, match="weights must be finite"):
        probe_of(broken).against(nulls, GAMMA)
    with pytest.raises(InputError, match=r"weights of networks\[18\] must be finite"):
        probe_of(maps).against([*nulls[:-1], probe_of(broken)], GAMMA)
    with pytest.raises(InputError, match="covariance must be finite"):
        probe_of(maps).association(torch.where(GAMMA == 1, bad, GAMMA))
    with pytest.raises(InputError, match=r"nulls\[1\] must be finite"):
        probe_of(maps).partial_correlation(GAMMA, [maps[0], broken[1]])


def test_one_head_of_the_lag_among_others_is_refused_by_name():
    """Hardly any relabelling agrees with Gamma as distance does, and yet such a head has learnt nothing."""
    frames = torch.arange(float(FRAMES), dtype=torch.float64)
    maps = random_maps(3)
    maps[2] = -(frames[:, None] - frames[None]).abs()
    with pytest.raises(InputError, match=r"head 2 of block 0 is a function of the lag alone.*against\(networks"):
        probe_of(maps).association(GAMMA)
    assert probe_of(maps).partial_correlation(GAMMA).shape == (3,)


def test_a_constant_head_is_no_evidence_and_no_obstacle():
    maps = random_maps(3)
    maps[1] = 1 / FRAMES
    found = probe_of(maps).association(GAMMA, permutations=99)
    assert float(found.correlation[1]) == 0
    assert float(found.p_value[1]) == float(found.family_p_value[1]) == 1


@pytest.mark.parametrize("t", [-1.0, 0.0, math.nan])
def test_times_without_noise_have_no_attention(t):
    x = torch.randn(4, FRAMES, FEATURES, generator=generator())
    with pytest.raises(InputError, match="t must be"):
        probes.attention(nn.DiT(FRAMES, FEATURES), x, t)


@pytest.mark.parametrize("kind", NETWORKS[:2])
@pytest.mark.parametrize("shape", [(4, FRAMES + 1, FEATURES), (4, FRAMES, FEATURES + 1), (4, 1, FEATURES)])
def test_sequences_of_another_shape_have_no_attention(kind, shape):
    with pytest.raises(InputError, match=r"network must take sequences of the shape of x|must have shape \(4 or 1, he"):
        probes.attention(kind(FRAMES, FEATURES), torch.zeros(shape))


def test_no_sequences_have_no_attention():
    with pytest.raises(InputError, match="x must hold at least one sequence"):
        probes.attention(nn.DiT(FRAMES, FEATURES), torch.zeros(0, FRAMES, FEATURES))


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("other", ["frames", "features"])
def test_networks_of_another_shape_have_no_jacobian(kind, other):
    network = kind(FRAMES, FEATURES).double()

    def score(x, t):
        return -network(x, torch.full((len(x),), t, dtype=x.dtype))

    law = OTHERS[other]
    with pytest.raises(InputError, match=r"score must take sequences of the shape of process, \(40, .*failed on them"):
        probes.jacobian(score, law)
    with pytest.raises(InputError, match="score must take sequences of the shape of x"):
        probes.jacobian(score, x=law.sample(3))


@pytest.mark.parametrize("other", list(OTHERS))
def test_modes_of_another_process(other):
    found = probes.jacobian(PROCESS.score, PROCESS, num_samples=2)
    with pytest.raises(InputError, match="process must have 6 frames and 2 features, got"):
        found.by_mode(OTHERS[other])


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("other", list(OTHERS))
def test_networks_of_another_shape_lose_nothing(kind, other):
    with pytest.raises(InputError, match=r"sequences of the shape of process, \(2, .*failed on them|return the shape"):
        probes.ablate(kind(FRAMES, FEATURES), OTHERS[other], num_samples=2)
