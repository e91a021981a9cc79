"""Heads of outside networks, named by projection and slice: against weights and means taken by hand."""

import math

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock

import kronoscope as ks
from kronoscope import nn, probes
from kronoscope._errors import InputError
from kronoscope.kernels import PowerExponential

PROCESS = ks.GaussianSequence(PowerExponential(3.0), torch.eye(4), times=5)
BATCH = 6


def build(kind, *sizes, **options):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        network = kind(*sizes, **options)
        for parameter in network.parameters():  # out of the zero start, where no head says anything
            parameter.data += 0.3 * torch.randn_like(parameter)
    return network.eval()


def hooks_of(network):
    return sum(len(one._forward_pre_hooks) + len(one._forward_hooks) for one in network.modules())


def ablate(network, **options):
    return probes.ablate(network, PROCESS, num_samples=BATCH, **options)


class Folded(torch.nn.Module):
    """epsilon = W x with the frames folded into the batch, as attention over the features would have it."""

    def __init__(self):
        super().__init__()
        self.output = torch.nn.Linear(4, 4).double()

    def forward(self, x, t):
        return self.output(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def test_named_heads_of_a_dit_are_those_that_it_knows_itself():
    network = build(nn.DiT, 5, 4, width=8, num_blocks=2, num_heads=2)
    for patch in ("zero", "mean"):
        own = [one for one in ablate(network, patch=patch).damages if one.path == "softmax"]
        heads = [(f"blocks.{block}.output", slice(4 * k, 4 * k + 4)) for block in range(2) for k in range(2)]
        named = ablate(network, patch=patch, heads=heads).damages
        assert [(one.block, one.head, one.nats) for one in named] == [(one.block, one.head, one.nats) for one in own]
        assert [one.path for one in named] == ["blocks.0.output"] * 2 + ["blocks.1.output"] * 2


@pytest.mark.parametrize("axis", ["time", "space"])
def test_heads_of_a_video_transformer(axis):
    """Zero in the weights of the projection is zero in what goes into it."""
    network = build(nn.VideoDiT, 5, 4, patch=1, width=8, num_blocks=1, num_heads=2, linear_path=False)
    layer = getattr(network.blocks[0], axis).output
    found = ablate(network, heads=[(layer, slice(0, 4)), (layer, slice(4, 8))])
    layer.weight.data[:, 4:] = 0
    without = ablate(network, heads=[(layer, slice(0, 4))])
    assert found.damages[1].nats == pytest.approx(without.score_kl - found.score_kl, rel=1e-4)
    assert abs(found.damages[1].nats) > 1e-3
    mean = ablate(network, heads=[(layer, slice(0, 4)), (layer, slice(4, 8))], patch="mean")
    assert abs(mean.damages[1].nats) < 1e-6  # its weights are zero by now
    assert mean.damages[0].nats != without.damages[0].nats
    assert hooks_of(network) == 0


def test_the_mean_is_over_sequences_and_keeps_the_frames_apart():
    network, seen = Folded(), []

    def score(x, t):
        seen.append((x, network(x, t)))
        return seen[-1][1]

    (only,) = ablate(score, heads=[(network.output, slice(1, 3))], patch="mean").damages
    assert (only.path, only.block, only.head) == ("", 0, 0)
    half = len(seen) // 2
    for x, epsilon in seen[half:]:
        by_hand = torch.cat([x[..., :1], x[..., 1:3].mean(0, keepdim=True).expand(BATCH, -1, -1), x[..., 3:]], dim=-1)
        torch.testing.assert_close(epsilon, network(by_hand, 0.2))
    assert all(torch.equal(one[0], other[0]) for one, other in zip(seen[:half], seen[half:], strict=True))


def test_a_block_of_diffusers_behind_a_score():
    block = build(BasicTransformerBlock, dim=4, num_attention_heads=2, attention_head_dim=2).double()
    score = ks.score_from(lambda x, t: block(x))
    layer = block.attn1.to_out[0]
    heads = [(layer, slice(0, 2)), (layer, slice(2, 4))]
    found = {patch: ablate(score, heads=heads, patch=patch) for patch in ("zero", "mean")}
    assert hooks_of(block) == 0
    layer.weight.data[:, 2:] = 0
    without = ablate(score, heads=heads)
    assert found["zero"].damages[1].nats == pytest.approx(without.score_kl - found["zero"].score_kl)
    assert abs(found["zero"].damages[1].nats) > 1e-6
    assert found["mean"].damages[1].nats != found["zero"].damages[1].nats
    assert found["mean"].score_kl == found["zero"].score_kl


def test_hooks_do_not_outlive_an_error():
    network, calls = Folded(), []

    def breaks(x, t):
        calls.append(hooks_of(network))
        if calls[-1]:
            raise KeyError("within")
        return network(x, t)

    with pytest.raises(KeyError):
        ablate(breaks, heads=[(network.output, slice(0, 2))])
    assert calls[-1] == 1
    assert hooks_of(network) == 0


def test_heads_that_cannot_be_taken_are_refused():
    network = Folded()
    for heads, message in [
        ([], "heads must name at least one head"),
        ([("nowhere", slice(0, 2))], r"heads\[0\] must name a torch.nn.Linear .* got 'nowhere'"),
        ([(torch.nn.ReLU(), slice(0, 2))], "got ReLU"),
        ([(network.output, slice(0, 2)), (network.output, slice(2, 5))], r"heads\[1\] .* the 4 features going in"),
        ([(network.output, slice(2, 2))], "must have a slice within"),
        ([(network.output, slice(0, 4, 2))], "must have a slice within"),
        ([(network.output, 2)], "must have a slice of the features going in, got 2"),
        ([(torch.nn.Linear(4, 4), slice(0, 2))], "heads must lie in the network, but it never ran Linear"),
    ]:
        with pytest.raises(InputError, match=message):
            ablate(network, heads=heads)
    single = torch.nn.Linear(4, 4).double()
    with pytest.raises(InputError, match="has 5 rows for 6 sequences"):
        ablate(lambda x, t: x + single(x.mean(0)), heads=[(single, slice(0, 2))], patch="mean")
    with pytest.raises(InputError, match=r"network must return the shape of x, \(6, 5, 4\), got \(6, 5, 2\)"):
        ablate(lambda x, t: network(x, t)[..., :2], heads=[(network.output, slice(0, 2))])


class Jumping(torch.nn.Module):
    """The exact epsilon, and 1 more in every entry after t = 0.5: every sequence has the same loss."""

    def __init__(self, process):
        super().__init__()
        self.process, self.layer = process, torch.nn.Linear(2, 2, bias=False).double()

    def forward(self, x, t):
        time = float(t[0])
        exact = -math.sqrt(-math.expm1(-time)) * self.process.score(x, time)
        return exact + float(time > 0.5) + 0.0 * self.layer(x)


def test_the_error_of_the_quadrature_is_part_of_the_standard_error():
    process = ks.GaussianSequence(ks.kernels.PowerExponential(3.0), torch.eye(2), times=6)
    network = Jumping(process)
    result = probes.ablate(network, process, heads=[(network.layer, slice(0, 1))], num_samples=4)
    clock = [float(ks.diffusion.clock(torch.tensor(t))) for t in (0.5, 6.0)]
    exact = 0.5 * 12 * (clock[1] - clock[0])
    assert 1e-3 * exact < abs(result.score_kl - exact) < result.standard_error < 0.2 * exact
