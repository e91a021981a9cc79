"""attention_maps on diffusers' own transformers: by hand, by diffusers' own softmax, and nothing left behind."""

import pytest
import torch
from diffusers import DDPMScheduler, DiTTransformer2DModel, WanTransformer3DModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import AttnProcessor
from tolerances import EXACT

import kronoscope as ks
from kronoscope import probes
from kronoscope._errors import InputError
from kronoscope.kernels import PowerExponential

TOLERANCE = EXACT[torch.float32]


def build(kind, **options):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return kind(**options).eval()


def block(**options):
    return build(BasicTransformerBlock, dim=8, num_attention_heads=2, attention_head_dim=4, **options)


def dit():
    """16 frames of 2 features, as 4 x 4 pixels; with it (x (batch, frames, features), step) -> epsilon."""
    network = build(
        DiTTransformer2DModel,
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=2,
        out_channels=2,
        num_layers=2,
        sample_size=4,
        patch_size=1,
    )

    def net(x, step):
        label = torch.zeros(len(x), dtype=torch.long)
        image = x.mT.reshape(-1, 2, 4, 4)
        return network(image, timestep=step, class_labels=label).sample.flatten(2).mT

    return network, net


def draws(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def hooks_of(network):
    return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]


def test_weights_by_hand():
    network, x = block(attention_bias=True), draws(5, 6, 8)
    layer, inside = network.attn1, network.norm1(draws(5, 6, 8))
    query, key = (f(inside).reshape(5, 6, 2, 4).transpose(1, 2) for f in (layer.to_q, layer.to_k))
    by_hand = torch.softmax(query @ key.mT / 2, dim=-1)
    returned = []
    maps = probes.attention_maps(network, lambda x, t: returned.append(network(x)))
    (weights,) = maps(x, torch.zeros(5))
    torch.testing.assert_close(weights, by_hand, rtol=TOLERANCE, atol=TOLERANCE)
    torch.testing.assert_close(weights.sum(-1), torch.ones(5, 2, 6), rtol=TOLERANCE, atol=TOLERANCE)
    assert torch.equal(returned[0], network(x))
    assert probes.attention(network, x, maps=maps).labels == ((0, 0), (0, 1))


def test_masks_and_double_self_attention():
    network, x = block(double_self_attention=True), draws(3, 6, 8)
    mask = torch.where(torch.arange(6) < 4, 0.0, -1e4).expand(3, 1, 6)
    first, second = probes.attention_maps(network, lambda x, t: network(x, attention_mask=mask))(x, torch.zeros(3))
    assert float(first[..., 4:].abs().max()) == 0
    assert float(second[..., 4:].min()) > 0


def test_a_dit_behind_score_from():
    """One adapter for both: the score is the call. diffusers' own softmax has the same weights."""
    network, net = dit()
    levels = DDPMScheduler().alphas_cumprod
    score = ks.score_from(net, "epsilon", (levels.sqrt(), (1 - levels).sqrt()), steps="nearest")
    process = ks.GaussianSequence(PowerExponential(3.0), torch.eye(2), times=16)
    x, t = draws(6, 16, 2), torch.full((6,), 0.2)
    maps = probes.attention_maps(network, score)
    before = score(x, t)
    processors, hooks = [one.attn1.processor for one in network.transformer_blocks], hooks_of(network)
    recorded = maps(x, t)
    assert torch.equal(before, score(x, t))
    assert [one.attn1.processor for one in network.transformer_blocks] == processors
    assert hooks_of(network) == hooks
    probe = probes.attention(network, x, 0.2, maps=maps, batch_size=4)
    assert probe.labels == ((0, 0), (0, 1), (1, 0), (1, 1))
    assert probe.association(process.temporal_covariance, permutations=19).correlation.shape == (4,)

    theirs = []
    for one in network.transformer_blocks:
        one.attn1.set_processor(AttnProcessor())
        original = one.attn1.get_attention_scores
        one.attn1.get_attention_scores = lambda *a, f=original: theirs.append(f(*a)) or theirs[-1]
    score(x, t)
    for mine, diffusers in zip(recorded, theirs, strict=True):
        torch.testing.assert_close(mine, diffusers.reshape(mine.shape), rtol=TOLERANCE, atol=TOLERANCE)


def test_a_video_transformer():
    """Rotary embeddings, normed queries and a text beside the frames, through diffusers' newer attention."""
    network = build(
        WanTransformer3DModel,
        patch_size=(1, 1, 1),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=8,
        freq_dim=8,
        ffn_dim=16,
        num_layers=2,
    )

    def call(x, t):
        video, text = x.mT[..., None, None], torch.ones(1, 3, 8).expand(len(x), -1, -1)
        return network(video, timestep=t, encoder_hidden_states=text).sample

    x, t = draws(5, 6, 4), torch.full((5,), 300.0)
    returned = []
    maps = probes.attention_maps(network, lambda x, t: returned.append(call(x, t)))
    probe = probes.attention(network, x, 300.0, maps=maps)
    assert torch.equal(returned[0], call(x, t))
    assert probe.labels == ((0, 0), (0, 1), (1, 0), (1, 1))
    assert float((probe.weights.sum(-1) - 1).abs().max()) < TOLERANCE


def test_cross_attention_is_left_out():
    network, other = block(cross_attention_dim=8), draws(3, 6, 8)
    maps = probes.attention_maps(network, lambda x, t: network(x, encoder_hidden_states=other))
    assert len(maps(draws(3, 6, 8), torch.zeros(3))) == 1
    alone = block(cross_attention_dim=8, only_cross_attention=True)
    maps = probes.attention_maps(alone, lambda x, t: alone(x, encoder_hidden_states=other))
    with pytest.raises(InputError, match="none of its 2 attention layers attended to its own input"):
        maps(draws(3, 6, 8), torch.zeros(3))


def test_nothing_stays_behind_an_error():
    network = block()
    hooks = hooks_of(network)
    maps = probes.attention_maps(network, lambda x, t: network(x[..., :5]))
    with pytest.raises(RuntimeError):
        maps(draws(3, 6, 8), torch.zeros(3))
    assert hooks_of(network) == hooks


def test_what_cannot_be_recorded_is_refused():
    with pytest.raises(InputError, match=r"must hold attention layers with a processor, .* got Linear"):
        probes.attention_maps(torch.nn.Linear(2, 2), lambda x, t: x)
    network = block()
    network.attn1.set_processor(AttnProcessor())
    maps = probes.attention_maps(network, lambda x, t: network(x))
    with pytest.raises(
        InputError, match=r"'attn1' must call torch's scaled_dot_product_attention.* AttnProcessor does"
    ):
        maps(draws(3, 6, 8), torch.zeros(3))
