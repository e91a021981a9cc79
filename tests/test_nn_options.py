"""Options of the generic transformers: what each makes of the network, by formula."""

import pytest
import torch

from kronoscope import InputError
from kronoscope.diffusion import alpha, sigma
from kronoscope.nn import DiT, PositionTransformer

FRAMES, FEATURES, HEADS = 5, 2, 2
SIZES = {"width": 8, "num_blocks": 3, "num_heads": HEADS}
T = torch.tensor([0.02, 0.4, 5.0], dtype=torch.float64)


def inputs(seed=0):
    return torch.randn(3, FRAMES, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def stirred(build, **options):
    """Every weight away from its initial value, so that nothing is hidden by a zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(FRAMES, FEATURES, **SIZES, **options).double()
        for parameter in network.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return network.requires_grad_(False)


def lag_softmax(block):
    table = block.bias.table.double()
    logits = torch.stack([table[:, i - torch.arange(FRAMES) + FRAMES - 1] for i in range(FRAMES)], dim=1)
    return torch.softmax(logits, dim=-1)


def test_attention_by_lags_is_the_softmax_of_the_table_for_every_sequence():
    network = stirred(DiT, attention="lags")
    for seed in (0, 1):
        for block, record in zip(network.blocks, network.record(inputs(seed), T).blocks, strict=True):
            torch.testing.assert_close(record.weights[0], lag_softmax(block))
    assert not any("query_key_value" in name for name in network.state_dict())


def test_gates_weigh_the_frames_that_are_heard_and_start_from_one():
    gated, free = stirred(DiT, attention="gated-lags"), stirred(DiT, attention="lags")
    missing = free.load_state_dict(gated.state_dict(), strict=False)
    assert {name.split(".")[2] for name in missing.unexpected_keys} == {"gate"}
    x = inputs()
    assert (gated(x, T) - free(x, T)).abs().max() > 1e-4
    block = gated.blocks[0]
    stream = gated.enter(x) + gated.position_embedding
    shift, scale = block.modulation(gated.time(T))[:, None].chunk(6, dim=-1)[:2]
    heard = 2 * torch.sigmoid(block.gate(torch.nn.functional.layer_norm(stream, (8,)) * (1 + scale) + shift))
    expected = torch.einsum("mij,bjm->bmij", lag_softmax(block), heard)
    torch.testing.assert_close(gated.record(x, T).blocks[0].weights, expected)
    for block in gated.blocks:
        block.gate.weight.zero_()
        block.gate.bias.zero_()
    torch.testing.assert_close(gated(x, T), free(x, T))


@pytest.mark.parametrize("build", [DiT, PositionTransformer])
def test_a_tied_network_is_the_one_whose_blocks_are_all_the_same(build):
    tied, free = stirred(build, tied=True), stirred(build)
    state = {}
    for name in free.state_dict():
        parts = name.split(".")
        if "blocks" in parts:
            parts[parts.index("blocks") + 1] = "0"
        state[name] = tied.state_dict()[".".join(parts)]
    free.load_state_dict(state)
    torch.testing.assert_close(tied(inputs(), T), free(inputs(), T))
    assert len(tied.record(inputs(), T).blocks) == 3
    assert sum(p.numel() for p in tied.parameters()) < sum(p.numel() for p in free.parameters())


def test_the_preconditioned_network_starts_from_the_score_of_white_data_of_its_scale():
    network = DiT(FRAMES, FEATURES, **SIZES, linear_path=False, data_scale=1.7).double().requires_grad_(False)
    x, a, s = inputs(), alpha(T)[:, None, None], sigma(T)[:, None, None]
    variance = (1.7 * a) ** 2 + s**2
    torch.testing.assert_close(network(x, T), s * x / variance)
    network.leave.bias[:] = torch.tensor([0.5, -1.0])
    expected = s * x / variance - 1.7 * a / variance.sqrt() * network.leave.bias
    torch.testing.assert_close(network(x, T), expected)


def test_the_preconditioned_network_sees_data_of_unit_size():
    network = stirred(DiT, linear_path=False, data_scale=1.7)
    plain = stirred(DiT, linear_path=False)
    x, a, s = inputs(), alpha(T)[:, None, None], sigma(T)[:, None, None]
    size = ((1.7 * a) ** 2 + s**2).sqrt()
    of_unit_size = plain(x / size, T) - s * x / size
    torch.testing.assert_close(network(x, T), s * x / size**2 - 1.7 * a / size * of_unit_size)


def test_the_correction_is_the_weight_of_the_softmax_path():
    small, large = stirred(DiT, correction=0.1), stirred(DiT, correction=0.4)
    x = inputs()
    torch.testing.assert_close(4 * (small(x, T) - small.linear(x, T)), large(x, T) - large.linear(x, T))


def test_bad_options_are_named():
    with pytest.raises(InputError, match="attention must be one of content, lags, gated-lags, got 'none'"):
        DiT(4, 2, attention="none")
    with pytest.raises(InputError, match="attention='lags' needs positions=\"relative\", got 'learned'"):
        DiT(4, 2, attention="lags", positions="learned")
    with pytest.raises(InputError, match="correction must be"):
        DiT(4, 2, correction=0.0)
    with pytest.raises(InputError, match="data_scale takes the place of the linear path"):
        DiT(4, 2, data_scale=1.0)
    with pytest.raises(InputError, match="data_scale must be"):
        DiT(4, 2, data_scale=-1.0, linear_path=False)
