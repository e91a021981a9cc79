"""The networks to compare with: what they start from, what they are linear in, against loops, and at any N."""

import math

import pytest
import torch
import torch.nn.functional as F

import kronoscope as ks
from kronoscope import InputError
from kronoscope.diffusion import clock, sigma
from kronoscope.models import NETWORKS as PRESETS
from kronoscope.nn import MLP, DiT, LinearScore, UNet
from kronoscope.training import TrainingConfig, TrainingState

FRAMES, FEATURES, BATCH = 7, 3, 5
NETWORKS = {
    "unet": lambda frames=FRAMES: UNet(frames, FEATURES, width=8, num_levels=3, num_heads=2),
    "unet, two blocks": lambda frames=FRAMES: UNet(frames, FEATURES, width=8, num_levels=2, num_blocks=2),
    "linear": lambda frames=FRAMES: LinearScore(frames, FEATURES, num_nodes=6),
    "mlp": lambda frames=FRAMES: MLP(frames, FEATURES, width=16),
}


def inputs(dtype=torch.float64, frames=FRAMES):
    x = torch.randn(BATCH, frames, FEATURES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x.to(dtype), torch.tensor([1e-2, 0.1, 0.7, 3.0, 8.0], dtype=dtype)


def stirred(name, dtype=torch.float64, frames=FRAMES):
    """A network with every weight away from its initial value."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = NETWORKS[name](frames).to(dtype)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
    return network


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_starts_from_the_answer_for_white_data(name, dtype):
    x, t = inputs(dtype)
    epsilon = NETWORKS[name]().to(dtype)(x, t)
    torch.testing.assert_close(epsilon, sigma(t).to(dtype)[:, None, None] * x)
    assert epsilon.dtype == dtype


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_has_a_gradient_and_training_from_the_start_moves_it(name):
    x, t = inputs(torch.float32)
    network = NETWORKS[name]()
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(4):
        optimizer.zero_grad()
        (network(x, t) - x.flip(1)).square().sum().backward()
        optimizer.step()
    assert not [n for n, p in network.named_parameters() if torch.equal(p, before[n])]
    network = stirred(name)
    network(*inputs()).square().sum().backward()
    assert not [n for n, p in network.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("frames", [1, 2, 3, 5, 8, 13])
def test_any_number_of_frames(name, frames):
    x, t = inputs(frames=frames)
    network = stirred(name, frames=frames)
    epsilon = network(x, t)
    assert epsilon.shape == x.shape
    alone = torch.cat([network(x[i : i + 1], t[i : i + 1]) for i in range(BATCH)])
    torch.testing.assert_close(epsilon, alone, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", NETWORKS)
def test_time_and_order_of_the_frames_change_the_answer(name):
    x, t = inputs()
    network = stirred(name)
    near, far = (network(x, torch.full_like(t, time)) - math.sqrt(1 - math.exp(-time)) * x for time in (0.05, 0.06))
    assert float((near - far).detach().norm() / near.detach().norm()) > 1e-4
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    there = network(x, t)[:, order]
    assert float((network(x[:, order], t) - there).detach().norm() / there.detach().norm()) > 0.05


@pytest.mark.parametrize("name", NETWORKS)
def test_linear_in_x_or_not(name):
    x, t = inputs()
    network = stirred(name)
    off = float((network(2 * x, t) - 2 * network(x, t)).detach().norm() / network(2 * x, t).detach().norm())
    assert off < 1e-13 if name == "linear" else off > 1e-3


def test_linear_score_by_hand():
    """sigma_t x + W(t) x with W between its two neighbours, one sequence at a time; constant beyond the nodes."""
    network = stirred("linear")
    x, _ = inputs()
    nodes = torch.linspace(math.log(math.expm1(1e-2)), math.log(math.expm1(8.0)), 6, dtype=torch.float64)
    for one, time in zip(x, (1e-3, 0.02, 0.5, 2.0, 9.0), strict=True):
        u = min(max(math.log(math.expm1(time)), float(nodes[0])), float(nodes[-1]))
        place = (u - float(nodes[0])) / float(nodes[1] - nodes[0])
        low = min(int(place), 4)
        matrix = (low + 1 - place) * network.matrices[low] + (place - low) * network.matrices[low + 1]
        flat = one.reshape(-1)
        expected = math.sqrt(1 - math.exp(-time)) * flat + matrix @ flat
        got = network(one[None], torch.tensor([time], dtype=torch.float64))[0].reshape(-1)
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
    assert float(clock(torch.tensor(1e-2))) == pytest.approx(float(network.nodes()[0]))


def test_linear_score_can_be_any_gaussian_score():
    """With W at the nodes set from the exact precision, epsilon is exact there and close between them."""
    root = torch.randn(6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    covariance = root @ root.mT / 6
    network = LinearScore(3, 2, num_nodes=64).double()
    for index, u in enumerate(network.nodes()):
        t = torch.log1p(u.exp())
        noised = torch.exp(-t) * covariance + (1 - torch.exp(-t)) * torch.eye(6, dtype=torch.float64)
        network.matrices.data[index] = sigma(t) * (torch.linalg.inv(noised) - torch.eye(6, dtype=torch.float64))
    x = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for time in (0.013, 0.3, 5.0):
        noised = math.exp(-time) * covariance + (1 - math.exp(-time)) * torch.eye(6, dtype=torch.float64)
        expected = math.sqrt(1 - math.exp(-time)) * torch.linalg.solve(noised, x.reshape(4, 6).mT).mT
        got = network(x, torch.full((4,), time, dtype=torch.float64)).detach().reshape(4, 6)
        assert float((got - expected).norm() / expected.norm()) < 5e-3


def test_unet_convolution_block_by_hand():
    """Group norm and convolution as sums over their definition."""
    network = stirred("unet")
    x, t = inputs()
    time, y = network.time(t), network.enter(x.mT)
    block = network.down[0].blocks[0]

    def normed(z):  # 8 channels in 2 groups: 4 channels together, over the frames
        parts = z.reshape(BATCH, 2, 4 * FRAMES)
        spread = (parts.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        return ((parts - parts.mean(-1, keepdim=True)) / spread).reshape(z.shape)

    def convolved(layer, z):
        padded = torch.cat([torch.zeros_like(z[..., :1]), z, torch.zeros_like(z[..., :1])], dim=-1)
        taps = [torch.einsum("oc,bcf->bof", layer.weight[..., k], padded[..., k : k + z.shape[-1]]) for k in range(3)]
        return sum(taps) + layer.bias[:, None]

    first = normed(y) * block.norm.weight[:, None] + block.norm.bias[:, None]
    hidden = normed(convolved(block.first, first * first.sigmoid()))
    scale, shift = (time @ block.modulation.weight.T + block.modulation.bias)[..., None].chunk(2, dim=1)
    hidden = hidden * (1 + scale) + shift
    expected = y + convolved(block.second, hidden * hidden.sigmoid())
    torch.testing.assert_close(block(y, time), expected, rtol=1e-9, atol=1e-10)


def test_unet_sees_far_and_runs_on_longer_sequences():
    network = stirred("unet")
    x, t = inputs(frames=40)
    x = x.requires_grad_()
    network(x, t)[:, 0].sum().backward()
    assert bool((x.grad[:, -1].abs() > 0).all())


def test_unet_has_as_many_weights_as_the_dit():
    dit, unet = (sum(p.numel() for p in network(32, 4).parameters()) for network in (DiT, UNet))
    assert abs(unet / dit - 1) < 0.01


@pytest.mark.parametrize("name", ["unet", "linear", "mlp"])
def test_fits_saves_and_loads_by_name(name, tmp_path):
    x = torch.randn(20, 5, 2, generator=torch.Generator().manual_seed(4))
    model = ks.fit(x, name, max_steps=3, batch_size=4, held_out_draws=32, evaluate_every=2)
    model.save(tmp_path / "run")
    loaded = ks.load(tmp_path / "run")
    y = x.double()
    assert torch.equal(loaded.score(y, 0.3), model.score(y, 0.3))
    assert PRESETS[name].training.patience is None


@pytest.mark.parametrize("name", NETWORKS)
def test_a_checkpoint_holds_all_of_it(name, tmp_path):
    """What a state saves is what another network of the shape continues from, bit for bit."""
    first, second = (stirred(name, torch.float32), NETWORKS[name]())
    state = TrainingState.start(first, TrainingConfig(), torch.Generator().manual_seed(0))
    state.save(tmp_path)
    TrainingState.start(second, TrainingConfig(), torch.Generator().manual_seed(1)).restore(tmp_path)
    x, t = inputs(torch.float32)
    assert torch.equal(first(x, t), second(x, t))
    assert set(first.state_dict()) == {n for n, _ in first.named_parameters()}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: UNet(8, 2, width=10), "width must be a multiple of 4, got 10"),
        (lambda: UNet(8, 2, num_heads=5), "num_heads must divide 96, the channels at the bottom, got 5"),
        (lambda: UNet(8, 2, num_levels=0), "num_levels must be at least 1, got 0"),
        (lambda: LinearScore(8, 2, num_nodes=1), "num_nodes must be at least 2, got 1"),
        (lambda: LinearScore(4096, 2), r"num_frames \* num_features must be at most 4096, got 8192"),
        (lambda: MLP(0, 2), "num_frames must be at least 1, got 0"),
    ],
)
def test_sizes_that_cannot_be_are_refused_by_name(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_interpolation_to_the_level_above_keeps_the_frames_in_order():
    """Nearest stretching of ceil(N/2) frames to N: frame i takes from i * ceil(N/2) // N, for odd N too."""
    y = torch.arange(4.0)[None, None]
    assert F.interpolate(y, size=7, mode="nearest").flatten().tolist() == [i * 4 // 7 for i in range(7)]
