"""Heads taken away: against losses computed by hand, and kernels swapped."""

import copy

import pytest
import torch

import kronoscope as ks
from kronoscope import diffusion, metrics, nn, probes
from kronoscope._errors import InputError
from kronoscope.kernels import PowerExponential

PROCESS = ks.GaussianSequence(PowerExponential(3.0), torch.tensor([[1.0, 0.4], [0.4, 1.0]]), times=6)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small(kind, **options):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        network = kind(6, 2, width=8, num_blocks=2, num_heads=2, **options)
        for parameter in network.parameters():  # out of the zero start, where no head says anything
            parameter.data += 0.3 * torch.randn_like(parameter)
    return network.eval()


def error_of(network, samples=40_000):
    def score(x, t):
        with torch.no_grad():
            return diffusion.score_from_epsilon(network(x, torch.as_tensor(t, dtype=x.dtype).expand(len(x))), x, t)

    return metrics.score_kl(score, PROCESS, num_samples=samples)


def test_damage_is_the_rise_of_the_score_error():
    network = small(nn.DiT)
    found = probes.ablate(network, PROCESS, num_samples=4000)
    assert len(found.damages) == 8
    whole = error_of(network)
    assert abs(found.score_kl - whole.value) < 5 * (found.standard_error + whole.standard_error)
    head = next(one for one in found.damages if (one.path, one.block, one.head) == ("softmax", 1, 0))
    without = copy.deepcopy(network)
    without.blocks[1].output.weight.data[:, :4] = 0
    rise = error_of(without)
    assert abs(head.nats - (rise.value - whole.value)) < 5 * (
        head.standard_error + whole.standard_error + rise.standard_error
    )


def test_a_head_that_says_nothing_costs_nothing_and_the_network_stays_as_it_was():
    network = small(nn.PositionTransformer)
    network.blocks[0].output.weight.data[:, 4:] = 0
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = probes.ablate(network, PROCESS, num_samples=8)
    silent = next(one for one in found.damages if (one.block, one.head) == (0, 1))
    assert silent.nats == 0
    assert silent.standard_error == 0
    assert found.worst.nats > 0 or found.median() > 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_does_not_depend_on_the_sequence_survives_the_mean_and_not_the_zero():
    network = small(nn.DiT, linear_path=False)
    block = network.blocks[0]
    width = 8
    block.query_key_value.weight.data[2 * width : 2 * width + 4] = 0  # head 0 says its bias, whatever it sees
    block.query_key_value.bias.data[2 * width : 2 * width + 4] = 1.0
    by = {patch: probes.ablate(network, PROCESS, patch=patch, num_samples=16) for patch in ("zero", "mean")}
    zero, mean = (by[patch].damages[0] for patch in ("zero", "mean"))
    assert abs(mean.nats) < 1e-6
    assert abs(zero.nats) > 1e-4


def test_one_head_is_all_that_a_separable_network_has():
    x = PROCESS.sample(200, generator=generator())
    fitted = ks.fit(x, "unrolled", max_steps=150)
    found = probes.ablate(fitted, PROCESS, num_samples=2000)
    (only,) = found.damages

    def white(x, t):  # the score of nothing but noise: what is left without the head
        return -x / diffusion.sigma_squared(torch.as_tensor(t, dtype=x.dtype))

    left = metrics.score_kl(white, PROCESS, linear=True)
    assert abs(only.nats + found.score_kl - left.value) < 6 * (only.standard_error + found.standard_error)


def test_swapping_kernels_moves_time_and_leaves_space():
    other = ks.GaussianSequence(PowerExponential(1.0), torch.tensor([[2.0, -0.5], [-0.5, 1.0]]), times=6)
    own, donor = (nn.UnrolledTransformer.from_law(law) for law in (PROCESS, other))
    swapped = probes.swap_kernel(own, donor)
    expected = torch.kron(other.temporal_covariance, PROCESS.spatial_covariance)
    found = swapped.heads.covariance().detach()
    scale = float((found * expected).sum() / expected.square().sum())  # Gamma and Sigma share theirs
    assert float((found / scale - expected).norm() / expected.norm()) < 1e-4
    assert not torch.allclose(own.heads.covariance(), found)


def test_bad_input_is_named():
    network = small(nn.DiT)
    with pytest.raises(InputError, match="patch must be one of zero, mean, got 'noise'"):
        probes.ablate(network, PROCESS, patch="noise")
    with pytest.raises(InputError, match="num_samples must be at least 2"):
        probes.ablate(network, PROCESS, num_samples=1)
    with pytest.raises(InputError, match=r"heads can be removed from .* got Linear"):
        probes.ablate(torch.nn.Linear(2, 2), PROCESS)
    unrolled = nn.UnrolledTransformer(6, 2)
    with pytest.raises(InputError, match='UnrolledTransformer has the patch "zero" only'):
        probes.ablate(unrolled, PROCESS, patch="mean", num_samples=4)
    with pytest.raises(InputError, match="donor must be an UnrolledTransformer of one head, got DiT"):
        probes.swap_kernel(unrolled, network)
    with pytest.raises(InputError, match="the same frames, features and positions"):
        probes.swap_kernel(unrolled, nn.UnrolledTransformer(5, 2))
