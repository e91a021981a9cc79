"""Videos on Gaussian process paths: their law, their drawing, the decoder, and the network for them."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from kronoscope import nn, probes, video
from kronoscope._errors import InputError
from kronoscope.kernels import Matern, PowerExponential
from kronoscope.video import BallVideo

KERNEL = Matern(5.0, 1.5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_disc_has_its_area_and_its_centre():
    ball = BallVideo(KERNEL)
    centres = torch.tensor([[7.0, 8.0], [6.3, 9.41]], dtype=torch.float64)
    frames = ball.draw(centres).reshape(2, 16, 16).double()
    steps = torch.arange(16, dtype=torch.float64)
    for frame, centre in zip(frames, centres):
        # A ramp of one pixel about r adds pi/12 to the area of the disc; sampling it costs a few per cent.
        assert float(frame.sum()) == pytest.approx(np.pi * (2.5**2 + 1 / 12), rel=0.05)
        mass = frame / frame.sum()
        assert float((mass.sum(1) * steps).sum()) == pytest.approx(float(centre[0]), abs=0.05)
        assert float((mass.sum(0) * steps).sum()) == pytest.approx(float(centre[1]), abs=0.05)


def test_paths_have_the_covariance_that_was_asked_for():
    ball = BallVideo(KERNEL, frames=6, spread=2.0, correlation=-0.3)
    _, paths = ball.sample(20_000, generator=generator())
    centred = paths[:, 0] - 7.5
    covariance = torch.einsum("nia,njb->iajb", centred, centred).reshape(12, 12) / len(centred)
    expected = ball.path.covariance()
    assert float((covariance - expected).abs().max()) < 5 * 4.0 / 20_000**0.5 * 1.5


def test_a_sprite_moves_by_parts_of_a_pixel():
    sprite = torch.rand(5, 5, generator=generator())
    ball = BallVideo(KERNEL, sprite=sprite)
    still = ball.draw(torch.tensor([[7.0, 8.0]])).reshape(16, 16)
    assert torch.allclose(still[5:10, 6:11], sprite, atol=1e-6)
    assert float(still.sum()) == pytest.approx(float(sprite.sum()), rel=1e-5)
    half = ball.draw(torch.tensor([[7.5, 8.0]])).reshape(16, 16)
    assert torch.allclose(half[6:10, 6:11], (sprite[1:] + sprite[:-1]) / 2, atol=1e-6)


@pytest.mark.parametrize("sprite", [None, torch.ones(4, 6)])
def test_frames_need_not_be_square(sprite):
    wide = BallVideo(KERNEL, size=24, height=16, background=0.2, sprite=sprite)
    assert (wide.shape, wide.pixels) == ((16, 24), 384)
    still = wide.draw(torch.tensor([[5.0, 17.0]])).reshape(16, 24)
    down, across = still.sum(1), still.sum(0)
    assert float(down @ torch.arange(16.0) / down.sum()) == pytest.approx(5.0, abs=1e-4)
    assert float(across @ torch.arange(24.0) / across.sum()) == pytest.approx(17.0, abs=1e-4)
    assert torch.allclose(wide.path.mean[0], torch.tensor([7.5, 11.5], dtype=torch.float64))
    assert wide.spread == pytest.approx((7.5 - wide.reach[0]) / 3.2)
    found = video.validate(wide, generator=generator())
    assert found.error < 0.01
    assert found.one_ball > 0.99
    tall = BallVideo(KERNEL, size=16, height=24, sprite=None if sprite is None else sprite.T)
    assert float((tall.draw(torch.tensor([[17.0, 5.0]])).reshape(24, 16) - still.T).abs().max()) < 1e-6


def test_several_balls_background_and_noise_are_drawn():
    g = generator()
    frames, paths = BallVideo(KERNEL, balls=2, background=0.3, noise=0.05).sample(3, generator=g)
    assert frames.shape == (3, 16, 256)
    assert paths.shape == (3, 2, 16, 2)
    assert not torch.equal(paths[:, 0], paths[:, 1])
    again, _ = BallVideo(KERNEL, balls=2, background=0.3, noise=0.05).sample(3, generator=generator())
    assert torch.equal(frames, again)


def test_what_is_drawn_in_chunks_is_what_is_drawn_at_once():
    ball = BallVideo(KERNEL, background=0.3, noise=0.05, size=11, frames=5)
    whole, paths = ball.sample(7, generator=generator(), chunk=7)
    for chunk in (1, 2, 3, None):
        frames, again = ball.sample(7, generator=generator(), chunk=chunk)
        assert torch.equal(frames, whole)
        assert torch.equal(again, paths)


def test_memory_of_drawing_is_that_of_the_videos_and_a_chunk():
    """Measured from outside: the largest resident size of a process that draws few, and of one that draws many."""
    code = (
        "import resource, sys, torch; from kronoscope.video import BallVideo; from kronoscope.kernels import Matern\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "ball = BallVideo(Matern(5.0, 1.5), size=32, frames=8, noise=0.1)\n"
        "ball.sample(64, chunk=64); before = peak(); frames, _ = ball.sample(int(sys.argv[1]), chunk=64)\n"
        "print((peak() - before) / (4 * frames.numel()))"
    )
    done = subprocess.run([sys.executable, "-c", code, "2560"], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.1  # 84 MB of float32; float64 copies of all would make it at least 3


@pytest.mark.parametrize(
    "video_of",
    [
        lambda: BallVideo(KERNEL),
        lambda: BallVideo(KERNEL, background=0.3),
        lambda: BallVideo(KERNEL, background=0.7),
        lambda: BallVideo(KERNEL, size=40, radius=6.0),
        lambda: BallVideo(KERNEL, sprite=torch.ones(4, 6)),
        lambda: BallVideo(KERNEL, sprite=torch.ones(3, 3), background=0.3),
    ],
)
def test_the_decoder_finds_true_positions_and_passes_its_trial(video_of):
    found = video.validate(video_of(), 50, generator=generator())
    assert found.error < 1e-6
    assert found.one_ball == 1.0
    assert found.frames == 800


@pytest.mark.parametrize("which", range(10))
def test_every_digit_can_be_decoded(which):
    pytest.importorskip("sklearn")
    found = video.validate(BallVideo(KERNEL, sprite=video.digit(which)), 40, generator=generator())
    assert found.error < 0.02  # kinks of the bilinear image leave a minimum on either side, hardly apart
    assert found.one_ball == 1.0


def test_noise_is_as_large_to_the_decoder_as_it_is():
    ball = BallVideo(KERNEL, background=0.2)
    noisy = video.validate(BallVideo(KERNEL, background=0.2, noise=0.05), 100, generator=generator())
    assert 0.01 < noisy.error < 0.1
    added = video.validate(ball, 100, noise=0.05, generator=generator())
    assert added.noise == 0.05
    assert added.error == pytest.approx(noisy.error, rel=0.1)
    frames, _ = ball.sample(100, generator=generator())
    found = video.decode(frames + 0.05 * torch.randn(frames.shape, generator=generator(1)), ball)
    # Two of 256 dimensions go into the position.
    assert float(found.noise.square().mean().sqrt()) == pytest.approx(0.05 * (1 - 2 / 256) ** 0.5, rel=0.01)


def test_the_decoder_refuses_to_be_trusted_where_it_fails():
    with pytest.raises(InputError, match=r"off by .* pixels on true frames"):
        video.validate(BallVideo(KERNEL, noise=1.0), 50, generator=generator())
    with pytest.raises(InputError, match=r"off by .* pixels on true frames with noise of 0.8 added"):
        video.validate(BallVideo(KERNEL), 50, noise=0.8, generator=generator())


def test_the_decoder_refuses_to_be_trusted_where_it_does_not_see_the_ball():
    """Positions are right to a tenth of a pixel, but the noise is more than a fifth of what the ball is, squared."""
    ball = BallVideo(KERNEL, noise=0.17)
    assert video.trial(ball, 50, generator=generator()).error < 0.1
    with pytest.raises(InputError, match=r"exactly one ball in .* % of true frames, .*at least 99 % needed"):
        video.validate(ball, 50, generator=generator())


def test_one_ball_is_told_from_none_and_from_two():
    ball = BallVideo(KERNEL, frames=3)
    one, _ = ball.sample(1, generator=generator())
    two = torch.maximum(
        ball.draw(torch.tensor([[3.0, 3.0]]).expand(1, 3, 2)), ball.draw(torch.tensor([[11.0, 11.0]]).expand(1, 3, 2))
    )
    none = torch.zeros(1, 3, 256)
    square = torch.zeros(1, 3, 16, 16)
    square[..., 2:14, 2:14] = 1
    seen = [video.decode(frames, ball).one_ball.tolist() for frames in (one, two, none, square.flatten(2))]
    assert seen == [[[True] * 3], [[False] * 3], [[False] * 3], [[False] * 3]]


@pytest.mark.parametrize("joint", [False, True])
def test_the_network_starts_at_white_pixels_of_its_scale(joint):
    network = nn.VideoDiT(3, 64, patch=4, width=8, num_blocks=2, num_heads=2, joint=joint, data_scale=0.4)
    x, t = torch.randn(5, 3, 64, generator=generator()), torch.rand(5, generator=generator()) + 0.1
    alpha, variance = torch.exp(-t / 2)[:, None, None], -torch.expm1(-t)[:, None, None]
    expected = variance.sqrt() * x / (alpha**2 * 0.16 + variance)  # epsilon of N(0, 0.16) pixels
    assert torch.allclose(network(x, t), expected, atol=1e-6)


def test_patches_come_back_where_they_were():
    network = nn.VideoDiT(2, 8 * 12, height=8, patch=4, width=8, num_heads=2)
    x = torch.randn(3, 2, 96, generator=generator())
    assert torch.equal(network._frames(network._patches(x)), x)
    image = x.reshape(3, 2, 8, 12)
    assert torch.equal(network._patches(x)[0, 0, 4], image[0, 0, 4:8, 4:8].flatten())


def test_a_record_is_the_forward_pass_with_attention_over_time_and_space():
    network = nn.VideoDiT(3, 64, patch=4, width=8, num_blocks=2, num_heads=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator(1)))
    x, t = torch.randn(5, 3, 64, generator=generator()), torch.full((5,), 0.3)
    found = network.record(x, t)
    assert torch.allclose(found.epsilon, network(x, t), atol=1e-5)
    assert [block.weights.shape for block in found.blocks] == [(5, 2, 3, 3)] * 2
    assert [weights.shape for weights in found.space] == [(5, 2, 4, 4)] * 2
    for weights in (*(block.weights for block in found.blocks), *found.space):
        assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)
    other = network(x.flip(1), t)
    assert not torch.allclose(other.flip(1), found.epsilon, atol=1e-3)  # it knows the order of the frames


def test_joint_attention_is_recorded_as_its_marginals():
    network = nn.VideoDiT(3, 64, patch=4, width=8, num_blocks=2, num_heads=2, joint=True)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator(1)))
    x, t = torch.randn(5, 3, 64, generator=generator()), torch.full((5,), 0.3)
    whole = []
    handle = network.blocks[0].space.query_key_value.register_forward_hook(lambda *of: whole.append(of[2]))
    found = network.record(x, t)
    handle.remove()
    assert torch.allclose(found.epsilon, network(x, t), atol=1e-5)
    query, key, _ = whole[0].reshape(5, 12, 3, 2, 4).unbind(2)  # batch, tokens, heads, width of a head
    logits = torch.einsum("bimc,bjmc->bmij", query, key) / 2
    table = network.blocks[0].space.bias.table  # by head and lag, from -2 to 2
    for i in range(12):
        for j in range(12):
            logits[:, :, i, j] += table[:, i // 4 - j // 4 + 2]
    weights = logits.softmax(-1)
    over_time, over_space = torch.zeros(5, 2, 3, 3), torch.zeros(5, 2, 4, 4)
    for i in range(12):
        for j in range(12):  # token i is patch i % 4 of frame i // 4
            over_time[:, :, i // 4, j // 4] += weights[:, :, i, j] / 4
            over_space[:, :, i % 4, j % 4] += weights[:, :, i, j] / 3
    assert torch.allclose(found.blocks[0].weights, over_time, atol=1e-5)
    assert torch.allclose(found.space[0], over_space, atol=1e-5)
    for block, space in zip(found.blocks, found.space, strict=True):
        assert torch.allclose(block.weights.sum(-1), torch.ones(()), atol=1e-5)
        assert torch.allclose(space.sum(-1), torch.ones(()), atol=1e-5)
        assert torch.allclose(block.logits.softmax(-1), block.weights, atol=1e-5)
    assert float(over_time.detach().std()) > 0.01  # not all alike


@pytest.mark.parametrize("joint", [False, True])
def test_the_attention_probe_reads_video_networks(joint):
    network = nn.VideoDiT(3, 64, patch=4, width=8, num_blocks=2, num_heads=2, joint=joint)
    found = probes.attention(network, torch.randn(5, 3, 64, generator=generator()), t=0.3)
    assert found.weights.shape == (4, 3, 3)
    assert torch.allclose(found.weights.sum(-1), torch.ones((), dtype=torch.float64), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: BallVideo(KERNEL, size=3), "size must be at least 4"),
        (lambda: BallVideo(KERNEL, radius=9.0), "radius must leave room in 16 pixels"),
        (lambda: BallVideo(KERNEL, size=32, height=8, radius=5.0), "radius must leave room in 8 pixels, got 5 to each"),
        (lambda: BallVideo(KERNEL, height=3), "height must be at least 4, got 3"),
        (lambda: BallVideo(KERNEL, correlation=1.0), "correlation must be greater than -1 and less than 1"),
        (lambda: BallVideo(KERNEL, sprite=torch.zeros(3)), "sprite must have shape"),
        (lambda: BallVideo(KERNEL, sprite=torch.full((3, 3), 2.0)), "sprite must have brightness 0 to 1"),
        (lambda: BallVideo(KERNEL, sprite=torch.ones(16, 3)), "sprite must leave room in 16 pixels"),
        (lambda: BallVideo(KERNEL, noise=-1.0), "noise must be"),
        (lambda: BallVideo(KERNEL, background=1.0), "background must be less than 1"),
        (lambda: BallVideo(4.0 * KERNEL), "kernel must have variance 1 at every frame, got 4"),
        (lambda: BallVideo(KERNEL, frames=0), "frames must be at least 1"),
        (lambda: BallVideo(KERNEL).sample(2, chunk=0), "chunk must be at least 1"),
        (lambda: video.trial(BallVideo(KERNEL), noise=-1.0), "noise must be 0 or greater"),
        (lambda: video.decode(torch.zeros(1, 16, 256), BallVideo(KERNEL, sprite=torch.eye(2))), "one connected region"),
        (lambda: video.decode(torch.zeros(1, 16, 100), BallVideo(KERNEL)), "frames must have"),
        (lambda: video.decode(torch.zeros(1, 16, 256), BallVideo(KERNEL, balls=2)), "balls=2, which hide each other"),
        (lambda: video.digit(10), "which must be a digit"),
        (lambda: nn.VideoDiT(4, 60), "height times width"),
        (lambda: nn.VideoDiT(4, 64, patch=3), "patch must divide"),
        (lambda: nn.VideoDiT(4, 64, width=10), "width must be a multiple of num_heads"),
    ],
)
def test_bad_input_is_named(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_digits_of_scikit_learn_are_sprites():
    pytest.importorskip("sklearn")
    sprite = video.digit(3)
    assert sprite.shape == (8, 8)
    assert 0.9 < float(sprite.max()) <= 1.0
    frames, _ = BallVideo(KERNEL, sprite=sprite).sample(2, generator=generator())
    assert frames.shape == (2, 16, 256)


def test_rough_paths_are_possible():
    assert BallVideo(PowerExponential(4.0)).path.num_features == 2
