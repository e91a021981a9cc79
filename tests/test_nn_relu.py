"""The ReLU transformer: its formula in slow loops, its records and sizes, what it refuses, and that it trains."""

import copy
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tolerances import EXACT, relative_error
from torch import nn
from training_cases import PROCESS, seeded

import kronoscope as ks
from kronoscope import InputError
from kronoscope.nn import ReLUBlock, ReLUTransformer, relu_block

FRAMES, FEATURES, WIDTH, BATCH, SIZE, DEPTH = 5, 2, 6, 3, 4, 3
TIMES = torch.tensor([0.05, 0.7, 3.0], dtype=torch.float64)


class Table(nn.Module):
    """A condition of diffusion time, depth and frame, by formula."""

    def __init__(self, depth, frames, size=SIZE):
        super().__init__()
        self.shape = depth, frames, size

    def forward(self, t):
        depth, frames, size = (torch.arange(n, dtype=t.dtype, device=t.device) for n in self.shape)
        return torch.cos(t[:, None, None, None] + 0.3 * depth[:, None, None] + 0.7 * frames[:, None] - size)


def normal(*shape, seed=0):
    return 0.25 * torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def block(seed=0, heads=3, hidden=7, **options):
    shapes = {
        "query": (heads, 2, WIDTH),
        "key": (heads, 2, WIDTH),
        "value": (heads, 3, WIDTH),
        "output": (heads, WIDTH, 3),
        "inner": (hidden, WIDTH),
        "inner_bias": (hidden,),
        "outer": (WIDTH, hidden),
        "outer_bias": (WIDTH,),
        "attention_scale": (WIDTH, SIZE),
        "attention_shift": (WIDTH, SIZE),
        "ffn_scale": (WIDTH, SIZE),
        "ffn_shift": (WIDTH, SIZE),
    }
    tensors = {name: normal(*shape, seed=100 * seed + i) for i, (name, shape) in enumerate(shapes.items())}
    return ReLUBlock(**(tensors | options))


def network(blocks=None, order=(0, 1, 0), condition=None, **options):
    weights = {
        "enter": normal(WIDTH, FEATURES, seed=1),
        "position": normal(FRAMES, WIDTH, seed=2),
        "bias": normal(WIDTH, seed=3),
        "time": normal(WIDTH, SIZE, seed=4),
        "leave": normal(FEATURES, WIDTH, seed=5),
        "leave_bias": normal(FEATURES, seed=6),
    }
    blocks = [block(1), block(2, modulate_queries=True)] if blocks is None else copy.deepcopy(blocks)
    condition = Table(DEPTH, FRAMES) if condition is None else condition
    return ReLUTransformer(FRAMES, FEATURES, WIDTH, blocks, order, condition, **(weights | options))


def data(dtype=torch.float64, batch=BATCH):
    return torch.randn(batch, FRAMES, FEATURES, generator=seeded(9), dtype=torch.float64).to(dtype)


def relu(z):
    return np.maximum(z, 0.0)


def get(module, name):
    tensor = getattr(module, name)
    return None if tensor is None else tensor.detach().double().numpy()


def slow(net, x, t):
    """The formulas of the docstrings, one sequence, frame and head at a time."""
    conditions = net.condition(t).expand(len(x), net.depth, FRAMES, -1).numpy()
    outs = []
    for sample, c in zip(x.double().numpy(), conditions):
        stream = np.zeros((FRAMES, WIDTH))
        for i in range(FRAMES):
            stream[i] = get(net, "enter") @ sample[i] + get(net, "position")[i] + get(net, "bias")
            stream[i] += 0 if net.time is None else get(net, "time") @ c[0, i]
        for depth, index in enumerate(net.order):
            one = net.blocks[index]
            w = {name: get(one, name) for name in relu_block.SHAPES}

            def changed(stream, kind, c=c, depth=depth, w=w):
                y = stream.copy()
                for i in range(FRAMES):
                    if w[f"{kind}_scale"] is not None:
                        y[i] *= 1 + w[f"{kind}_scale"] @ c[depth, i]
                    if w[f"{kind}_shift"] is not None:
                        y[i] += w[f"{kind}_shift"] @ c[depth, i]
                return y

            y = changed(stream, "attention")
            read = y if one.modulate_queries else stream
            after = stream.copy()
            for m in range(one.num_heads):
                for i in range(FRAMES):
                    for j in range(FRAMES):
                        a = relu((w["query"][m] @ read[i]) @ (w["key"][m] @ read[j]))
                        after[i] += a * w["output"][m] @ w["value"][m] @ y[j]
            y = changed(after, "ffn")
            stream = after.copy()
            for i in range(FRAMES):
                if w["inner"] is not None:
                    stream[i] += w["outer"] @ relu(
                        w["inner"] @ y[i] + (0 if w["inner_bias"] is None else w["inner_bias"])
                    )
                if w["outer_bias"] is not None:
                    stream[i] += w["outer_bias"]
        out = stream @ get(net, "leave").T + get(net, "leave_bias")
        r = net.output_range
        outs.append(out if r is None else out + relu(-r - out) - relu(out - r))
    return torch.from_numpy(np.stack(outs))


NO_HEADS = dict.fromkeys(relu_block.ATTENTION)
NO_HIDDEN = dict.fromkeys(("inner", "inner_bias", "outer"))
CASES = {
    "two blocks, three depths": {},
    "untied": {"order": None, "condition": Table(2, FRAMES)},
    "condition of time alone": {"condition": Table(1, 1)},
    "condition of time and depth": {"condition": Table(DEPTH, 1)},
    "condition of time and frame": {"condition": Table(1, FRAMES)},
    "unmodulated": {
        "blocks": [block(1, **{f"{k}_{c}": None for k in ("attention", "ffn") for c in ("scale", "shift")})],
        "order": [0] * 3,
    },
    "scale alone": {"blocks": [block(1, attention_shift=None, ffn_shift=None)], "order": [0] * 3},
    "no heads": {"blocks": [block(1, **NO_HEADS)], "order": [0] * 3},
    "no hidden units": {"blocks": [block(1, **NO_HIDDEN)], "order": [0] * 3},
    "zero heads": {"blocks": [block(1, heads=0)], "order": [0] * 3},
    "zero hidden units": {"blocks": [block(1, hidden=0)], "order": [0] * 3},
    "a bias alone": {"blocks": [block(1, **NO_HEADS, **NO_HIDDEN)], "order": [0] * 3},
    "no depth": {"blocks": [], "order": [], "condition": Table(1, 1), "time": None},
    "range": {"output_range": 0.3},
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_is_the_formula(name, dtype):
    net, x = network(**CASES[name]), data(dtype)
    expected = slow(net, x, TIMES)
    got = net.to(dtype)(x, TIMES)
    assert got.dtype == dtype
    assert relative_error(got.detach(), expected) < EXACT[dtype]
    assert 0.1 < float(expected.abs().max()) < 100
    if net.output_range:
        assert 0.1 < float((expected.abs() == net.output_range).double().mean()) < 0.8


def test_heads_in_chunks_change_nothing(monkeypatch):
    net, x = network(), data()
    whole = net(x, TIMES)
    monkeypatch.setattr(relu_block, "LARGEST_CHUNK", 2 * BATCH * FRAMES**2)
    torch.testing.assert_close(net(x, TIMES), whole, rtol=1e-12, atol=1e-12)


def test_many_heads_do_not_need_the_memory_of_all_their_weights(monkeypatch):
    """No tensor of the forward pass is larger than a chunk or than the projections of one chunk."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        entries = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.entries = max(self.entries, out.numel())
            return out

    frames, heads, batch = 32, 200, 4
    monkeypatch.setattr(relu_block, "LARGEST_CHUNK", 5 * batch * frames**2)
    net = ReLUTransformer(frames, FEATURES, WIDTH, [block(1, heads=heads)], None, Table(1, 1))
    with torch.no_grad(), Largest() as largest:
        net(torch.ones(batch, frames, FEATURES, dtype=torch.float64), TIMES.repeat(2)[:batch])
    assert largest.entries <= 5 * batch * frames**2 < heads * batch * frames**2


@pytest.mark.parametrize("t", [0.75, torch.tensor(0.75), torch.tensor([0.75])])
def test_one_time_for_all_sequences(t):
    net, x = network(), data()
    torch.testing.assert_close(net(x, t), net(x, torch.full((BATCH,), 0.75)), rtol=1e-12, atol=1e-12)


def test_without_a_condition_time_plays_no_part():
    bare = block(1, attention_scale=None, attention_shift=None, ffn_scale=None, ffn_shift=None)
    net = ReLUTransformer(FRAMES, FEATURES, WIDTH, [bare], leave=normal(FEATURES, WIDTH))
    assert torch.equal(net(data(), 0.1), net(data(), 5.0))


def test_a_zeroed_network_returns_zero():
    net = network(output_range=2.0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert torch.count_nonzero(net(data(), TIMES)) == 0


def test_sizes_count_tied_weights_once():
    net = network()
    sizes = net.sizes()
    assert (sizes.depth, sizes.num_heads, sizes.width, sizes.num_hidden) == (3, 3, WIDTH, 7)
    of_block = 2 * 3 * 2 * WIDTH + 2 * 3 * 3 * WIDTH + 2 * 7 * WIDTH + 7 + WIDTH + 4 * WIDTH * SIZE
    of_ends = 2 * WIDTH * FEATURES + FRAMES * WIDTH + WIDTH + WIDTH * SIZE + FEATURES
    assert sizes.parameters == 2 * of_block + of_ends
    with torch.no_grad():
        net.blocks[1].key[2, 1, 3] = -17.0
    assert net.sizes().weight_norm == 17.0


@pytest.mark.parametrize("name", CASES)
def test_record_is_the_forward_pass(name):
    net, x = network(**CASES[name]), data()
    record = net.record(x, TIMES)
    assert torch.equal(record.output, net(x, TIMES))
    assert len(record.blocks) == net.depth
    last = record.blocks[-1].stream if net.depth else None
    if last is not None:
        torch.testing.assert_close(net.read_out(last), record.output)
    for index, told in zip(net.order, record.blocks):
        heads = net.blocks[index].num_heads
        assert told.stream.shape == (BATCH, FRAMES, WIDTH)
        assert told.weights.shape == told.logits.shape
        assert told.weights.shape[1:] == (heads, FRAMES, FRAMES)
        assert torch.equal(told.weights, told.logits.clamp(min=0))


def test_streams_follow_from_recorded_weights():
    net, x = network(), data()
    record = net.record(x, TIMES)
    c = net.condition(TIMES)
    stream = x @ net.enter.T + net.position + net.bias + c[:, 0] @ net.time.T
    for depth, told in enumerate(record.blocks):
        one = net.blocks[net.order[depth]]
        y = (1 + c[:, depth] @ one.attention_scale.T) * stream + c[:, depth] @ one.attention_shift.T
        after = stream + torch.einsum("bmij,mdv,mve,bje->bid", told.weights, one.output, one.value, y)
        y = (1 + c[:, depth] @ one.ffn_scale.T) * after + c[:, depth] @ one.ffn_shift.T
        stream = after + (y @ one.inner.T + one.inner_bias).relu() @ one.outer.T + one.outer_bias
        torch.testing.assert_close(told.stream, stream, rtol=1e-10, atol=1e-10)
        stream = told.stream


def test_state_goes_through_safetensors(tmp_path):
    net, other = network(), network(blocks=[block(3), block(4, modulate_queries=True)])
    save_file(net.state_dict(), tmp_path / "weights.safetensors")
    assert not torch.equal(other(data(), TIMES), net(data(), TIMES))
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other(data(), TIMES), net(data(), TIMES))


def test_a_block_owns_its_weights():
    query = normal(3, 2, WIDTH)
    one = block(1, query=query)
    query.zero_()
    assert bool(one.query.any())


BUILT = {
    "untied": {},
    "tied": {"tied": True},
    "no heads": {"num_heads": 0},
    "no hidden units": {"num_hidden": 0},
    "range": {"output_range": 5.0},
}


def built(frames=4, features=2, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ReLUTransformer.build(frames, features, **({"width": 16, "num_blocks": 2, "num_heads": 2} | options))


@pytest.mark.parametrize("name", BUILT)
def test_a_built_network_starts_at_zero_and_every_weight_trains(name):
    net = built(**BUILT[name])
    x, t = torch.randn(8, 4, 2, generator=seeded(1)), torch.linspace(0.01, 6.0, 8)
    assert torch.count_nonzero(net(x, t)) == 0
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(4):
        optimizer.zero_grad()
        (net(x, t) - x.flip(1)).square().sum().backward()
        optimizer.step()
    assert not [n for n, p in net.named_parameters() if torch.equal(p, before[n])]
    assert len(net.blocks) == (1 if name == "tied" else 2)
    assert net.depth == 2


def test_built_sizes_are_those_asked_for():
    net = built(width=20, num_blocks=3, num_heads=3, head_width=5, num_hidden=11, condition_size=8)
    sizes = net.sizes()
    assert (sizes.depth, sizes.num_heads, sizes.width, sizes.num_hidden) == (3, 3, 20, 11)
    assert net.blocks[0].query.shape == (3, 5, 20)
    assert net.blocks[0].attention_scale.shape == (20, 8)


def test_it_learns_a_score_by_denoising_score_matching():
    """Gaussian sequences of 4 frames: 400 steps learn 85 % of what separates them from white noise."""
    x = PROCESS.sample(600, generator=seeded(3)).float()
    net = built(width=32, num_heads=4)
    model = ks.fit(x, net, max_steps=400, batch_size=64, learning_rate=5e-3, evaluate_every=100, generator=seeded(0))
    losses = [row["held_out_loss"] for row in model.record["training"]["history"]]
    span = math.log(math.expm1(8.0)) - math.log(math.expm1(1e-2))
    assert losses[-1] < losses[0] < 0.5 * 0.5 * span * 8  # half the loss of predicting zero, E|epsilon|^2 = N d
    kl = ks.metrics.score_kl(model.score, PROCESS, min_time=1e-2, max_time=6.0, num_samples=4000, generator=seeded(1))
    white = ks.metrics.score_kl(
        lambda x, t: -x, PROCESS, min_time=1e-2, max_time=6.0, num_samples=4000, generator=seeded(1)
    )
    assert kl.value < 0.15 * white.value


REFUSED = {
    "query must have shape \\(heads, key_width, width\\), got \\(2, 6\\)": lambda: block(query=normal(2, 6)),
    "key must have shape \\(heads = 3, key_width = 2, width = 6\\), got \\(4, 2, 6\\)": lambda: block(
        key=normal(4, 2, 6)
    ),
    "outer must have shape": lambda: block(outer=normal(WIDTH, 8)),
    "ffn_shift must have shape \\(width = 6, condition = 4\\)": lambda: block(ffn_shift=normal(WIDTH, 5)),
    "value, output must be given, because another": lambda: block(value=None, output=None),
    "outer must be given, because another of inner, outer is": lambda: block(outer=None),
    "must have attention, a perceptron or an outer_bias": lambda: ReLUBlock(attention_scale=normal(6, 4)),
    "enter must have shape \\(6, 2\\), got \\(6, 3\\)": lambda: network(enter=normal(6, 3)),
    "blocks must have width 7, got 6 at index 0": lambda: ReLUTransformer(
        FRAMES, FEATURES, 7, [block()], None, Table(1, 1)
    ),
    "order must name blocks 0 to 1, got 2": lambda: network(order=[0, 2]),
    "order must be at least 0, got -1": lambda: network(order=[-1]),
    "condition must be given, because block 0 reads it": lambda: ReLUTransformer(FRAMES, FEATURES, WIDTH, [block()]),
    "condition must have one size, but time reads 3 and block 0 reads 4": lambda: network(time=normal(WIDTH, 3)),
    "output_range must be greater than 0, got -1": lambda: network(output_range=-1.0),
    "blocks must have one dtype, got torch.float32, torch.float64": lambda: network(blocks=[block(), block().float()]),
    "condition must return \\(3, 3, 5, 4\\), or 1 for any of the first three, got \\(3, 2, 5, 4\\)": lambda: network(
        condition=Table(2, FRAMES)
    )(data(), TIMES),
    "condition must return .* got \\(3, 3, 5, 5\\)": lambda: network(condition=Table(3, 5, 5))(data(), TIMES),
    "x must have shape \\(batch, 5, 2\\), got \\(3, 5, 3\\)": lambda: network()(torch.zeros(3, 5, 3), TIMES),
    "x must have the dtype of the weights, torch.float64, got torch.float32": lambda: network()(data().float(), TIMES),
    "t must be a number or have shape \\(3,\\), got \\(2,\\)": lambda: network()(data(), TIMES[:2]),
    "t must be 0 or greater, got -1": lambda: network()(data(), -1.0),
    "t must be greater than 0: these features take its logarithm": lambda: built()(torch.zeros(1, 4, 2), 0.0),
    "num_heads and num_hidden must not both be 0": lambda: built(num_heads=0, num_hidden=0),
    "num_blocks must be at least 1, got 0": lambda: built(num_blocks=0),
    "width must be at least 1, got 0": lambda: built(width=0),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(message):
    with pytest.raises(InputError, match=message):
        REFUSED[message]()


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match="query must be a torch tensor or None, got list"):
        ReLUBlock(query=[1.0])
    with pytest.raises(TypeError, match="blocks must be ReLUBlock modules, got Linear at index 0"):
        ReLUTransformer(FRAMES, FEATURES, WIDTH, [nn.Linear(2, 2)])
