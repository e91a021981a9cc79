"""Networks: what they are at initialisation, what they are linear in, and that their records tell the truth."""

import math

import pytest
import torch
import torch.nn.functional as F

from kronoscope import InputError
from kronoscope.diffusion import clock, sigma
from kronoscope.nn import DiT, PositionTransformer
from kronoscope.nn.dit import CORRECTION, sinusoidal_positions
from kronoscope.nn.time_features import TimeFeatures

FRAMES, FEATURES, BATCH = 7, 3, 5
NETWORKS = {
    "position": lambda **k: PositionTransformer(FRAMES, FEATURES, width=16, num_blocks=2, num_heads=4, **k),
    **{
        f"dit-{positions}": lambda positions=positions, **k: DiT(
            FRAMES, FEATURES, width=16, num_blocks=2, num_heads=4, positions=positions, **k
        )
        for positions in ("learned", "sinusoidal", "relative")
    },
    "dit-plain": lambda **k: DiT(
        FRAMES, FEATURES, width=16, num_blocks=2, num_heads=4, positions="learned", linear_path=False, **k
    ),
}


def inputs(dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(BATCH, FRAMES, FEATURES, generator=generator, dtype=torch.float64)
    return x.to(dtype), torch.tensor([1e-2, 0.1, 0.7, 3.0, 8.0], dtype=dtype)


def stirred(name, dtype=torch.float64):
    """A network with every weight away from its initial value, so that nothing is hidden by a zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = NETWORKS[name]().to(dtype)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
    return network


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_starts_from_the_answer_for_white_data(name, dtype):
    x, t = inputs(dtype)
    epsilon = NETWORKS[name]().to(dtype)(x, t)
    sigma = torch.tensor([math.sqrt(1 - math.exp(-float(one))) for one in t.double()], dtype=dtype)
    torch.testing.assert_close(epsilon, sigma[:, None, None] * x)
    assert epsilon.dtype == dtype


@pytest.mark.parametrize("name", NETWORKS)
def test_one_step_away_from_the_start_every_weight_has_a_gradient(name):
    x, t = inputs()
    network = stirred(name)
    network(x, t).square().sum().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]
    assert not silent


@pytest.mark.parametrize("name", NETWORKS)
def test_training_from_the_start_moves_every_weight(name):
    """The zeros of the initialisation stop gradients at the first step, and must not stop them at the third."""
    x, t = inputs(torch.float32)
    network = NETWORKS[name]()
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(4):
        optimizer.zero_grad()
        (network(x, t) - x.flip(1)).square().sum().backward()
        optimizer.step()
    assert not [n for n, p in network.named_parameters() if torch.equal(p, before[n])]


@pytest.mark.parametrize("name", NETWORKS)
def test_sequences_of_a_batch_do_not_see_each_other(name):
    x, t = inputs()
    network = stirred(name)
    alone = torch.cat([network(x[i : i + 1], t[i : i + 1]) for i in range(BATCH)])
    torch.testing.assert_close(network(x, t), alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_time_changes_the_answer(name):
    x, _ = inputs()
    network = stirred(name)
    a, b = (network(x, torch.full((BATCH,), t, dtype=x.dtype)) - math.sqrt(1 - math.exp(-t)) * x for t in (0.05, 0.06))
    assert float((a - b).detach().norm() / a.detach().norm()) > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_frames_are_told_apart(name):
    """A network without positions would be equivariant under a permutation of the frames."""
    x, t = inputs()
    network = stirred(name)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    there = network(x, t)[:, order]
    assert float((network(x[:, order], t) - there).detach().norm() / there.detach().norm()) > 0.05


@pytest.mark.parametrize("name", NETWORKS)
def test_record_is_the_forward_pass(name):
    x, t = inputs()
    network = stirred(name)
    record = network.record(x, t)
    assert torch.equal(record.epsilon, network(x, t))
    assert len(record.blocks) == 2
    for block in record.blocks:
        assert block.stream.shape == (BATCH, FRAMES, 16)
        assert block.weights.shape == (1 if name == "position" else BATCH, 4, FRAMES, FRAMES)


def test_position_is_linear_in_x():
    x, t = inputs()
    network = stirred("position")
    y = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
    together = network(0.3 * x - 7.0 * y, t)
    torch.testing.assert_close(together, 0.3 * network(x, t) - 7.0 * network(y, t), rtol=1e-10, atol=1e-10)
    assert torch.count_nonzero(network(torch.zeros_like(x), t)) == 0


def test_dit_is_not_linear_in_x():
    x, t = inputs()
    network = stirred("dit-relative")
    assert float((network(2 * x, t) - 2 * network(x, t)).detach().norm()) > 0.1


def test_position_weights_are_toeplitz_signed_and_free_on_every_lag():
    network = stirred("position")
    for block in network.record(*inputs()).blocks:
        weights = block.weights[0]
        assert block.logits is None
        torch.testing.assert_close(weights[:, 1:, 1:], weights[:, :-1, :-1], rtol=0, atol=0)
        corner = torch.cat([weights[:, 0].flip(1), weights[:, 1:, 0]], dim=1)  # lags -(N-1) ... N-1, each once
        assert all(len(head.unique()) == 2 * FRAMES - 1 for head in corner)
        assert bool((weights < 0).any())


def test_position_block_by_hand():
    """The formula of the block's docstring with dense A_m, V_m, O_m, one head and one sequence at a time."""
    x, t = inputs()
    network = stirred("position")
    block, time = network.blocks[0], network.time(t)
    stream = x @ network.enter.weight.T
    scale, gate, inner_scale, inner_gate = block.modulation(time).chunk(4, dim=-1)
    size = 16 // 4
    for b in range(BATCH):
        mixed = torch.zeros(FRAMES, 16, dtype=x.dtype)
        for m in range(4):
            rows = range(FRAMES)
            a = torch.stack([torch.stack([block.lag_table[m, i - j + FRAMES - 1] for j in rows]) for i in rows])
            part = slice(m * size, (m + 1) * size)
            v, o = block.value.weight[part].T, block.output.weight[:, part].T
            mixed = mixed + a @ (stream[b] * (1 + scale[b])) @ v @ o
        after = stream[b] + gate[b] * mixed
        inner = (after * (1 + inner_scale[b])) @ block.inner.weight.T @ block.outer.weight.T
        torch.testing.assert_close(block(stream, time)[b], after + inner_gate[b] * inner, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "position"])
def test_dit_stream_follows_from_its_recorded_weights(name):
    """The fused attention is the plain one: softmax of the recorded logits, applied to the values, gives the stream."""
    x, t = inputs()
    network = stirred(name)
    record = network.record(x, t)
    time = network.time(t)
    stream = network.enter(x) + network.position_embedding
    for block, told in zip(network.blocks, record.blocks, strict=True):
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = block.modulation(time)[:, None].chunk(6, dim=-1)
        normed = F.layer_norm(stream, (16,)) * (1 + scale) + shift
        query, key, value = (part.unflatten(-1, (4, 4)) for part in block.query_key_value(normed).chunk(3, dim=-1))
        logits = torch.einsum("bimc,bjmc->bmij", query, key) / 2.0
        if block.bias is not None:
            lags = torch.arange(FRAMES)[:, None] - torch.arange(FRAMES) + FRAMES - 1
            logits = logits + block.bias.table[:, lags]
        torch.testing.assert_close(told.logits, logits, rtol=1e-9, atol=1e-10)
        weights = logits.exp() / logits.exp().sum(dim=-1, keepdim=True)
        torch.testing.assert_close(told.weights, weights, rtol=1e-9, atol=1e-10)
        mixed = torch.einsum("bmij,bjmc->bimc", told.weights, value).flatten(2)
        stream = stream + gate * block.output(mixed)
        stream = stream + mlp_gate * block.mlp(F.layer_norm(stream, (16,)) * (1 + mlp_scale) + mlp_shift)
        torch.testing.assert_close(told.stream, stream, rtol=1e-9, atol=1e-10)


def test_a_dit_is_its_linear_path_and_a_small_part_of_a_plain_one():
    network = stirred("dit-learned")
    plain = DiT(FRAMES, FEATURES, width=16, num_blocks=2, num_heads=4, positions="learned", linear_path=False)
    weights = {name: value for name, value in network.state_dict().items() if not name.startswith("linear.")}
    plain.double().load_state_dict(weights)
    x, t = inputs()
    correction = plain(x, t) - sigma(t)[:, None, None] * x
    torch.testing.assert_close(network(x, t), network.linear(x, t) + CORRECTION * correction)


def test_relative_bias_starts_as_heads_of_different_reach():
    bias = DiT(4, 1, width=8, num_blocks=1, num_heads=2).blocks[0].bias()
    distance = torch.tensor([[0.0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 0, 1], [3, 2, 1, 0]])
    torch.testing.assert_close(bias.detach(), torch.stack([-distance, -distance / 2]))


@pytest.mark.parametrize("width", [8, 7, 1])
def test_sinusoidal_positions_against_the_formula(width):
    got = sinusoidal_positions(5, width)
    assert got.shape == (5, width)
    for frame in range(5):
        for k in range(width):
            angle = frame / 10_000 ** ((k - k % 2) / width)
            assert float(got[frame, k]) == pytest.approx(math.cos(angle) if k % 2 else math.sin(angle), abs=1e-6)


def test_time_features_do_not_depend_on_the_dtype_of_t_and_tell_small_times_apart():
    features = TimeFeatures(16).double()
    t = torch.tensor([1e-3, 2e-3, 5.0, 8.0], dtype=torch.float64)
    torch.testing.assert_close(features(t.float()), features(t), rtol=1e-4, atol=1e-5)
    seen = []
    features.layers.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    features(t)
    angle = math.pi * (float(clock(1e-3)) + 7.0) / 16.0
    assert float(seen[0][0, 0]) == pytest.approx(math.cos(angle), abs=1e-6)
    assert float(seen[0][0, 8]) == pytest.approx(math.sin(angle), abs=1e-6)
    assert float(torch.pdist(seen[0]).min()) > 0.1


@pytest.mark.parametrize("build", [PositionTransformer, DiT])
@pytest.mark.parametrize("name", ["num_frames", "num_features", "width", "num_blocks", "num_heads"])
@pytest.mark.parametrize("value", [0, 2.5, "many", math.nan, math.inf, None, True])
def test_a_size_that_cannot_be_is_refused_by_name(build, name, value):
    sizes = {"num_frames": 4, "num_features": 2, "width": 8, "num_blocks": 1, "num_heads": 2, name: value}
    with pytest.raises((InputError, TypeError), match=f"^{name} must be"):
        build(**sizes)


@pytest.mark.parametrize("build", [PositionTransformer, DiT])
def test_heads_divide_the_width(build):
    with pytest.raises(InputError, match="width must be a multiple of num_heads, got 8 and 3"):
        build(4, 2, width=8, num_heads=3)


def test_dit_refuses_unknown_positions_and_ratios():
    with pytest.raises(InputError, match="positions must be one of learned, sinusoidal, relative, got 'rotary'"):
        DiT(4, 2, positions="rotary")
    with pytest.raises(InputError, match="mlp_ratio must be at least 1, got 0"):
        DiT(4, 2, mlp_ratio=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_state_holds_weights_and_no_tables(name):
    """Index tables and sinusoids are rebuilt, so a run folder holds what was learnt and nothing else."""
    network = NETWORKS[name]()
    assert set(network.state_dict()) == {n for n, _ in network.named_parameters()}
