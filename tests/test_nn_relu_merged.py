"""The merged path: it is the plain network, dense and by windows, and refuses attention that is no constant."""

import pytest
import torch
from tolerances import EXACT, relative_error
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from training_cases import seeded

from kronoscope import InputError
from kronoscope.nn import MergedOnChange, ReLUBlock, ReLUTransformer, merged, relu_groups, relu_transformer
from kronoscope.nn.relu_groups import add_heads

FEATURES, BATCH, SIZE, DEPTH = 2, 3, 4, 5
STATE, WRITTEN = slice(0, 2), slice(2, 4)  # coordinates that values read, and that heads write
PLACE, ONE, SPARE, WIDTH = 4, 5, 6, 7
TIMES = torch.tensor([0.05, 0.7, 3.0], dtype=torch.float64)


class Table(nn.Module):
    """A condition of diffusion time, depth and frame, by formula."""

    def __init__(self, depth=1, frames=1):
        super().__init__()
        self.shape = depth, frames, SIZE

    def forward(self, t):
        depth, frames, size = (torch.arange(n, dtype=torch.float64) for n in self.shape)
        return torch.cos(t[:, None, None, None] + 0.3 * depth[:, None, None] + 0.7 * frames[:, None] - size)


def normal(*shape, seed=0, scale=0.3):
    return scale * torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def modulation(seed, static=(PLACE, ONE)):
    """Scale or shift of all coordinates but the static ones."""
    matrix = normal(WIDTH, SIZE, seed=seed)
    matrix[list(static)] = 0.0
    return matrix


def lag_heads(table, spatial=None):
    """Heads on q = (h_i - knot, 1), k = (1, -h_j) that draw the table, {lag: coefficient or (2, 2) matrix}, linearly.

    The second differences of the table are the values of the knots; beyond its ends it is zero.
    """
    first, last = min(table) - 1, max(table) + 1
    zero = torch.zeros(2, 2, dtype=torch.float64)
    spatial = torch.eye(2, dtype=torch.float64) if spatial is None else spatial
    at = {
        lag: torch.as_tensor(table.get(lag, 0.0), dtype=torch.float64) * spatial for lag in range(first - 1, last + 2)
    }
    knots = range(first, last + 1)
    query = torch.zeros(len(knots), 2, WIDTH, dtype=torch.float64)
    key, value = torch.zeros_like(query), torch.zeros_like(query)
    output = torch.zeros(len(knots), WIDTH, 2, dtype=torch.float64)
    query[:, 0, PLACE], query[:, 1, ONE] = 1.0, 1.0
    query[:, 0, ONE] = -torch.tensor(list(knots), dtype=torch.float64)
    key[:, 0, ONE], key[:, 1, PLACE] = 1.0, -1.0
    value[:, :, STATE] = torch.eye(2, dtype=torch.float64)
    for m, knot in enumerate(knots):
        output[m, WRITTEN] = at[knot + 1] - 2 * at[knot] + at.get(knot - 1, zero)
    return {"query": query, "key": key, "value": value, "output": output}


def perceptron(hidden=6, seed=30):
    """Reads everything, writes what is not static."""
    outer = normal(WIDTH, hidden, seed=seed + 2)
    outer[[PLACE, ONE]] = 0.0
    bias = normal(WIDTH, seed=seed + 3)
    bias[[PLACE, ONE]] = 0.0
    inner = normal(hidden, WIDTH, seed=seed) * torch.tensor([1, 1, 1, 1, 0.01, 1, 1])
    return {"inner": inner, "inner_bias": normal(hidden, seed=seed + 1), "outer": outer, "outer_bias": bias}


MODULATION = {
    "attention_scale": modulation(1),
    "attention_shift": modulation(2),
    "ffn_scale": modulation(3),
    "ffn_shift": modulation(4),
}
SPATIAL = torch.tensor([[0.2, 0.05], [0.05, 0.1]], dtype=torch.float64)
ASYMMETRIC = {m: normal(2, 2, seed=50 + m, scale=0.1) for m in range(-3, 4)}


def decaying(reach):
    return {m: 0.8 ** abs(m) for m in range(-reach, reach + 1)}


def free_heads(heads=3, width=3):
    """Heads whose queries and keys read positions and whose values have nothing in common."""
    query, key = (torch.zeros(heads, 2, WIDTH, dtype=torch.float64) for _ in range(2))
    query[:, :, [PLACE, ONE]], key[:, :, [PLACE, ONE]] = normal(heads, 2, 2, seed=5), normal(heads, 2, 2, seed=6)
    output = normal(heads, WIDTH, width, seed=8, scale=3e-5)
    output[:, [PLACE, ONE]] = 0.0
    return {"query": query, "key": key, "value": normal(heads, width, WIDTH, seed=7), "output": output}


BLOCKS = {  # attention and perceptron, the number of groups, whether a window of few lags is found
    "separable": (lag_heads(decaying(20), SPATIAL) | perceptron() | MODULATION, 1, False),
    "separable window": (lag_heads(decaying(3), SPATIAL) | perceptron() | MODULATION, 1, True),
    "one matrix a lag": (lag_heads(dict.fromkeys(range(-20, 21), 0.0) | ASYMMETRIC | {17: 0.1}) | MODULATION, 2, False),
    "one matrix a lag, window": (lag_heads(ASYMMETRIC) | perceptron() | MODULATION, 2, True),
    "free": (free_heads() | perceptron(), 3, None),
    "free, narrow values": (free_heads(width=1) | MODULATION, 3, None),
    "attention alone": (lag_heads(decaying(3), SPATIAL), 1, True),
    "perceptron alone": (perceptron() | MODULATION, 0, None),
    "perceptron without inputs": (perceptron() | {"inner": torch.zeros(6, WIDTH, dtype=torch.float64)}, 0, None),
    "perceptron without outputs": (perceptron() | {"outer": torch.zeros(WIDTH, 6, dtype=torch.float64)}, 0, None),
    "heads without values": (free_heads() | {"value": torch.zeros(3, 3, WIDTH, dtype=torch.float64)}, 0, None),
    "queries read the modulated stream": (
        lag_heads(decaying(3), SPATIAL) | MODULATION | {"modulate_queries": True},
        1,
        True,
    ),
}


def network(*names, frames=101, order=None, condition=None, **options):
    position = torch.zeros(frames, WIDTH, dtype=torch.float64)
    position[:, PLACE] = torch.arange(frames)
    position[:, SPARE] = normal(frames, seed=11)
    bias = torch.zeros(WIDTH, dtype=torch.float64)
    bias[ONE] = 1.0
    enter, time = torch.zeros(WIDTH, FEATURES, dtype=torch.float64), torch.zeros(WIDTH, SIZE, dtype=torch.float64)
    enter[STATE], time[SPARE] = torch.eye(2, dtype=torch.float64), normal(SIZE, seed=12)
    weights = {"enter": enter, "position": position, "bias": bias, "time": time, "leave": normal(2, WIDTH, seed=13)}
    weights["leave"][:, PLACE] = 0.0
    blocks = [ReLUBlock(**BLOCKS[name][0]) for name in names]
    order = [0] * DEPTH if order is None else order
    condition = Table(DEPTH) if condition is None else condition
    return ReLUTransformer(frames, FEATURES, WIDTH, blocks, order, condition, **(weights | options))


def data(frames=101, dtype=torch.float64):
    return torch.randn(BATCH, frames, FEATURES, generator=seeded(9), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_merged_is_plain(name, dtype):
    net = network(name).to(dtype)
    got, expected = merged(net)(data(dtype=dtype), TIMES), net(data(dtype=dtype), TIMES)
    assert got.dtype == dtype
    exact = network(name)(data(), TIMES).detach()
    own = relative_error(expected.detach().double(), exact)  # hinges far from their knots cancel: plain rounds, too
    assert relative_error(got.detach().double(), exact) < 2 * own + 20 * EXACT[dtype]
    assert 0.1 < float(expected.detach().abs().max()) < 1e4


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_heads_with_proportional_values_are_one_group_and_windows_are_found(name, dtype):
    _, groups, window = BLOCKS[name]
    lags = merged(network(name).to(dtype)).max_lags[0]
    assert len(lags) == groups
    if window is not None:
        assert all(lag == 3 for lag in lags) if window else all(lag is None for lag in lags)


@pytest.mark.parametrize("frames", [64, 65, 96, 97, 130])
@pytest.mark.parametrize("reach", [0, 1, 7, 10])
def test_windows_of_every_shape_are_plain(frames, reach):
    net = network("attention alone", frames=frames)
    with torch.no_grad():
        net.blocks[0] = ReLUBlock(**lag_heads(decaying(reach), SPATIAL))
    fast = merged(net)
    assert fast.max_lags == [[reach if 32 + 2 * reach <= frames // 2 else None]]
    assert relative_error(fast(data(frames), 0.3).detach(), net(data(frames), 0.3).detach()) < 1e-9


def test_a_window_costs_no_more_than_its_diagonals():
    """N J and not N^2: 8 times the frames need 8 times the weights."""

    def stored(frames):
        return sum(buffer.numel() for buffer in merged(network("attention alone", frames=frames)).blocks.buffers())

    assert stored(1024) < 8.5 * stored(128)


@pytest.mark.parametrize(
    ("order", "condition"),
    [
        ([0, 1, 0, 1, 2], Table(5)),
        ([2, 1, 0], Table(1, 101)),
        ([0, 1, 2], Table(3, 101)),
        ([1], Table()),
        ([], Table()),
    ],
)
def test_merged_is_plain_for_any_order_and_condition(order, condition):
    net = network("separable", "one matrix a lag, window", "free", order=order, condition=condition, output_range=0.7)
    fast = merged(net)
    for t in (TIMES, 0.7, TIMES[1]):
        assert relative_error(fast(data(), t).detach(), net(data(), t).detach()) < 1e-9


def test_sums_of_heads_are_the_table_that_they_draw():
    """The merged matrix itself, against the Toeplitz matrix of the table: exact, and zero beyond its last lag."""
    net = network("separable window")
    (group,) = add_heads(net.blocks[0], (net.position + net.bias).detach())
    lag = torch.arange(101)[:, None] - torch.arange(101)
    gamma = torch.where(lag.abs() <= 3, 0.8 ** lag.abs().double(), 0.0)
    total = torch.einsum("rc,ij->irjc", group.left, group.sums[0])
    expected = torch.einsum("rc,ij->irjc", SPATIAL, gamma)
    assert float((total - expected).abs().max()) < 1e-12
    assert group.max_lag == 3


def test_merging_in_chunks_of_heads_changes_nothing(monkeypatch):
    net = network("separable")
    whole = merged(net)(data(), TIMES)
    monkeypatch.setattr(relu_groups, "LARGEST_CHUNK", 3 * 101**2)
    torch.testing.assert_close(merged(net)(data(), TIMES), whole, rtol=1e-12, atol=1e-12)


def test_merged_keeps_the_weights_of_its_moment_and_leaves_the_network_alone():
    net = network("separable window")
    fast = merged(net)
    before = fast(data(), TIMES)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in state.items())
    assert all(p.requires_grad for p in net.parameters())
    assert not [p for p in fast.parameters() if p.requires_grad]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert torch.equal(fast(data(), TIMES), before)
    assert torch.count_nonzero(merged(net)(data(), TIMES)) == 0


@pytest.mark.parametrize("name", ["separable", "one matrix a lag, window", "free"])
def test_derivatives_pass_through(name):
    net = network(name, order=[0, 0], condition=Table(2))
    x, direction = data(), torch.randn(BATCH, 101, FEATURES, generator=seeded(3), dtype=torch.float64)
    fast = merged(net)
    slow_value, slow_change = torch.func.jvp(lambda x: net(x, TIMES), (x,), (direction,))
    value, change = torch.func.jvp(lambda x: fast(x, TIMES), (x,), (direction,))
    torch.testing.assert_close(value, slow_value, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(change, slow_change, rtol=1e-9, atol=1e-9)
    pulled = [torch.func.vjp(lambda x, f=f: f(x, TIMES), x)[1](direction)[0] for f in (net, fast)]
    torch.testing.assert_close(pulled[1], pulled[0], rtol=1e-9, atol=1e-9)


def test_merged_checks_its_arguments_as_the_network_does():
    fast = merged(network("separable window"))
    with pytest.raises(InputError, match="x must have shape \\(batch, 101, 2\\)"):
        fast(data(50), TIMES)
    with pytest.raises(InputError, match="t must be a number or have shape"):
        fast(data(), TIMES[:2])


def changed(net, name, row, *, at=None):
    with torch.no_grad():
        tensor = getattr(net if at is None else net.blocks[at], name)
        (tensor[:, row] if name == "output" else tensor[row]).fill_(0.1)
    return net


TWO = ("separable window", "one matrix a lag, window")
REFUSED = {
    "input": (
        lambda: changed(network(*TWO), "enter", PLACE),
        "block 0 read stream coordinate 4, which the network writes",
    ),
    "time": (lambda: changed(network(*TWO), "time", ONE), "block 0 read stream coordinate 5, which the network writes"),
    "head": (
        lambda: changed(network(*TWO), "output", PLACE, at=1),
        "block 0 read stream coordinate 4, which the network",
    ),
    "perceptron": (
        lambda: changed(network(*TWO), "outer", ONE, at=1),
        "block 0 read stream coordinate 5, which the network",
    ),
    "outer bias": (
        lambda: changed(network(*TWO), "outer_bias", ONE, at=0),
        "block 0 read stream coordinate 5, which the",
    ),
    "modulation": (
        lambda: changed(network("queries read the modulated stream"), "attention_shift", PLACE, at=0),
        "block 0 read stream coordinate 4, which the condition modulates",
    ),
    "trainable": (
        lambda: ReLUTransformer.build(4, 2, 8, 1, 2),
        "must have queries and keys that read what nothing changes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_attention_that_is_no_constant_is_refused(name):
    build, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        merged(build())


def test_modulation_of_static_coordinates_matters_only_where_queries_see_it():
    """Values may be modulated anywhere: then merging still is the plain network."""
    net = changed(network("separable window"), "attention_shift", PLACE, at=0)
    assert relative_error(merged(net)(data(), TIMES).detach(), net(data(), TIMES).detach()) < 1e-9


def test_constant_attention_is_recorded_once_for_all_sequences_and_depths():
    net = network("separable window")
    record = net.record(data(), TIMES)
    assert record.blocks[0].logits.shape == (1, 9, 101, 101)
    assert all(told.weights is record.blocks[0].weights for told in record.blocks)
    assert torch.equal(record.output, net(data(), TIMES))
    trained = relu_transformer.random_block(101, WIDTH, 2, 2, 4, SIZE).double()
    told = ReLUTransformer(101, FEATURES, WIDTH, [trained], None, Table()).record(data(), TIMES).blocks[0]
    assert told.weights.shape == (BATCH, 2, 101, 101)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_merging_on_change_sees_every_single_weight(dtype):
    """Written through ``data``, which no version counter of torch sees; the network is merged again each time."""
    net = network("separable window").to(dtype)
    kept = MergedOnChange(net)
    assert kept.current() is kept.current()
    for tensor in net.parameters():
        flat = tensor.data.view(-1)
        for place in flat.nonzero()[:, 0].tolist()[:20]:
            before = kept.current()
            flat[place] *= 1.001
            assert kept.current() is not before
    before, flat = kept.current(), net.leave.data.view(-1)
    first, last = flat.argmax(), flat.argmin()
    flat[first], flat[last] = flat[last].clone(), flat[first].clone()
    assert kept.current() is not before
    torch.testing.assert_close(kept.current()(data(dtype=dtype), TIMES), merged(net)(data(dtype=dtype), TIMES))


class LargestResult(TorchDispatchMode):
    """The most numbers that any operation writes anew."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        inputs = {a.untyped_storage().data_ptr() for a in args if isinstance(a, torch.Tensor)}
        if isinstance(result, torch.Tensor) and result.untyped_storage().data_ptr() not in inputs:
            self.numbers = max(self.numbers, result.numel())
        return result


def test_looking_for_changes_copies_no_weights():
    net = network("separable window")
    kept = MergedOnChange(net)
    kept.current()
    with LargestResult() as seen:
        kept.current()
    largest = max(tensor.numel() for tensor in net.state_dict().values())
    assert 0 < seen.numbers < largest / 2
    held = [value for value in vars(kept).values() if isinstance(value, dict)]
    assert sum(tensor.numel() for mapping in held for tensor in mapping.values()) < largest
