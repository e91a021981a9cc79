"""The studies of videos: their statistics on known paths, invented results that turn each check, tiny runs."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from kronoscope import _codec, models, video
from kronoscope.cli import run
from kronoscope.kernels import Matern, PowerExponential
from kronoscope_evidence.stages import quiet
from kronoscope_evidence.study import Run
from kronoscope_evidence.video import decoded_paths, digit, paths
from kronoscope_evidence.video.decoded_paths import Network, Training
from kronoscope_evidence.video.page import GENERATED, Clips, checks, page


def decoded(positions):
    ones = torch.ones(positions.shape[:2], dtype=torch.int64)
    none = torch.zeros(positions.shape[:2], dtype=torch.float64)
    return video.Decoded(positions, ones, none, none)


SMALL = decoded_paths.quick("ball").processor
TINY = replace(
    SMALL,
    videos=100,
    generated=20,
    calls=8,
    network=Network(patch=8, width=16, num_blocks=1),
    training=Training(max_steps=10, batch_size=8, learning_rate=5e-3, precision="float32"),
)
BALL = SMALL.film("ball")


def measured(thing="ball", **changes):
    """The result of ten steps of a tiny network."""
    scale = replace(TINY, **changes)
    return decoded_paths.measure(Run(decoded_paths.Size(thing, scale, scale), 0, quiet))


def test_statistics_of_true_paths_are_those_of_their_law():
    positions = BALL.path.sample(4000, generator=torch.Generator().manual_seed(0))
    found, truth = paths.measure("true videos", decoded(positions)), paths.exact(BALL)
    for name in ("correlation", "covariance"):
        value, error, expected = (
            np.array(one) for one in (getattr(found, name), getattr(found, name + "_error"), getattr(truth, name))
        )
        assert (abs(value - expected) <= 5 * error + 1e-12).all()
    assert abs(found.step - truth.step) < 5 * found.step_error
    assert abs(found.bend - truth.bend) < 5 * found.bend_error
    assert abs(found.lengthscale - 5.0) < 5 * found.lengthscale_error
    assert abs(found.smoothness - 1.5) < 5 * found.smoothness_error < 1.0
    assert found.one_ball == 1.0
    correlation, covariance = paths.gaps(found, truth)
    assert correlation < 0.05
    assert covariance < 0.1


def test_shuffled_frames_have_lost_the_dependence():
    positions = BALL.path.sample(2000, generator=torch.Generator().manual_seed(1))
    shuffled = paths.measure("shuffled", decoded(decoded_paths._shuffled(positions, 0)))
    spread = np.ptp(shuffled.correlation[1:])
    assert spread < 0.1
    assert paths.gaps(shuffled, paths.exact(BALL))[0] > 0.3


@pytest.mark.parametrize(("lengthscale", "smoothness"), [(5.0, 1.5), (3.0, 0.5), (8.0, 0.8), (2.0, 2.5)])
def test_the_nearest_matern_of_a_matern_is_itself(lengthscale, smoothness):
    kernel = 3.0 * Matern(lengthscale, smoothness)
    found = paths.nearest_matern(kernel.at_lag(torch.arange(9.0)).tolist())
    assert found == pytest.approx((lengthscale, smoothness), rel=1e-6)


def test_the_nearest_matern_of_another_kernel_is_its_limit_or_none():
    """exp(-h^2 / (2 l^2)) is the Matern kernel of infinite smoothness: the fit runs to the end of its range."""
    gaussian = PowerExponential(3.0 * 2**0.5, 2.0).at_lag(torch.arange(9.0)).tolist()
    lengthscale, smoothness = paths.nearest_matern(gaussian)
    assert lengthscale == pytest.approx(3.0, rel=0.05)
    assert smoothness > 15
    ball = video.BallVideo(PowerExponential(3.0 * 2**0.5, 2.0))
    assert paths.exact(ball).smoothness is None


def test_jitter_of_positions_makes_paths_rough():
    """A fifth of a pixel of white noise on every position, as poor frames would give; the bend sees it first."""
    positions = video.BallVideo(Matern(5.0, 1.5)).path.sample(1000, generator=torch.Generator().manual_seed(2))
    noise = 0.2 * torch.randn(positions.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    still, shaken = (paths.measure("x", decoded(one)) for one in (positions, positions + noise))
    assert shaken.smoothness < still.smoothness
    assert shaken.bend > still.bend + 5 * still.bend_error
    # Second differences of white noise have 1 + 4 + 1 times its variance, in each of two coordinates.
    assert shaken.bend**2 == pytest.approx(still.bend**2 + 2 * 6 * 0.2**2, rel=0.03)


@pytest.fixture(scope="module")
def short():
    return measured()


def test_positions_in_poor_frames_are_withheld(short):
    named = {each.name: each for each in short.paths}
    assert list(named) == ["truth, exact", "true videos", "true videos, shuffled", "generated, early", "generated"]
    assert short.validation.error < 0.1
    assert named["true videos"].one_ball == 1.0
    assert named["generated"].one_ball < 0.9  # ten steps make no balls
    assert named["generated, early"].one_ball < 0.9
    assert short.early_steps == 1
    assert named["truth, exact"].smoothness == pytest.approx(1.5)
    assert short.on_noise.error > 0.1
    assert "with noise of" in short.refusal
    assert named["generated"].correlation == named["generated"].covariance == ()
    assert checks(short)[0].shown == "withheld"
    assert [check.holds for check in checks(short)] == [False, False]
    assert short.refusal in page(short).sections[1].blocks[0].text
    assert _codec.from_plain(type(short), json.loads(_codec.to_text(_codec.to_plain(short)))) == short


@pytest.fixture(scope="module")
def trusted():
    """In place of a long training: a sampler that films, with a little noise on every pixel; frames are wide."""
    ball = video.BallVideo(Matern(5.0, 1.5), size=24, height=16)
    noisy = replace(ball, noise=0.03)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoded_paths.Scale, "film", lambda scale, thing: ball)
        patch.setattr(decoded_paths, "_generate", lambda model, count, calls, seed: noisy.sample(count)[0])
        return measured(generated=60)


def test_generated_paths_are_shown_where_the_decoder_can_be_trusted(trusted):
    assert trusted.refusal is None
    assert trusted.on_noise.noise == pytest.approx(0.03, rel=0.05)
    assert 0.005 < trusted.on_noise.error < 0.1
    generated = trusted.of("generated")
    assert generated.lengthscale == pytest.approx(5.0, abs=5 * generated.lengthscale_error)
    assert len(checks(trusted)) == 5
    assert dict(page(trusted).facts)["videos"] == "16 frames of 16 × 24, 100 to train on"
    movie = page(trusted).sections[0].blocks[0].movies[0]
    assert np.shape(movie.frames) == (16, 16, 24)


def test_clips_hold_brightness_to_a_hundredth():
    films = torch.rand(2, 3, 8, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.2
    clips = Clips.of("x", films)
    shown = np.array([clips.brightness(number, 4) for number in range(2)])
    assert shown.shape == (2, 3, 2, 4)
    np.testing.assert_allclose(shown.reshape(2, 3, 8), films.clamp(0, 1), atol=0.005 + 1e-6)


def with_generated(result, **changes):
    """The result with other generated paths; they are the law's unless changed."""
    law = replace(result.of("truth, exact"), name=GENERATED, step_error=0.01, bend_error=0.01)
    kept = [each for each in result.paths if each.name != GENERATED]
    return replace(result, paths=(*kept, replace(law, **changes)))


def test_each_check_turns_with_its_own_number(trusted):
    law = trusted.of("truth, exact")
    assert [check.holds for check in checks(with_generated(trusted))] == [True, True, True, None, None]
    early_lag = (1.0, law.correlation[1] - 0.08, *law.correlation[2:])
    assert [check.holds for check in checks(with_generated(trusted, correlation=early_lag))][:3] == [False, True, True]
    wider = (law.covariance[0] * 1.11, *law.covariance[1:])
    assert [check.holds for check in checks(with_generated(trusted, covariance=wider))][:3] == [True, False, True]
    assert [check.holds for check in checks(with_generated(trusted, one_ball=0.98))][:3] == [True, True, False]
    step, bend = checks(with_generated(trusted, step=law.step * 1.3, bend=law.bend * 0.5))[3:]
    assert (step.shown, bend.shown) == ("+30 %", "-50 %")
    assert step.value == pytest.approx(0.3)


def test_a_failing_decoder_stops_the_study_before_the_training(tmp_path, monkeypatch, capsys):
    noisy = video.BallVideo(Matern(5.0, 1.5), noise=1.0)
    trained = []
    monkeypatch.setattr(decoded_paths.Scale, "film", lambda scale, thing: noisy)
    monkeypatch.setattr(models, "fit", lambda *a, **k: trained.append(a))
    assert run(["reproduce", "video", "--quick", "--out", str(tmp_path / "out")]) == 2
    assert "the decoder is off by" in capsys.readouterr().err
    assert not trained
    assert not list((tmp_path / "out").glob("*"))


def test_a_digit_moves_by_the_law_of_the_ball():
    pytest.importorskip("sklearn")
    assert (digit.STUDY.full.thing, digit.STUDY.quick.thing) == ("digit", "digit")
    assert digit.STUDY.quick.processor == SMALL
    film = SMALL.film("digit")
    assert torch.equal(film.path.covariance(), BALL.path.covariance())
    assert film.sprite.shape == (8, 8)
    result = measured("digit")
    assert result.validation.error < 1e-6
    assert result.validation.one_ball == 1.0
    assert "learn how the digit moves" in page(result).title
    assert "of frames hold exactly one digit" in [check.label for check in checks(result)]


@pytest.mark.parametrize(
    ("able", "precision", "steps"),
    [({"avx512_bf16": True}, "bfloat16", 3700), ({"avx512_bf16": False}, "float32", 2800), ({}, "float32", 2800)],
)
def test_the_full_size_uses_the_precision_that_the_processor_multiplies(monkeypatch, able, precision, steps):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    training = decoded_paths.full("ball").processor.training
    assert (training.precision, training.max_steps) == (precision, steps)


@pytest.mark.parametrize("gpu", [True, False])
def test_the_scale_follows_the_machine(monkeypatch, gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    full, quick = decoded_paths.full("ball").scale, decoded_paths.quick("ball").scale
    assert (full.frames, full.pixels) == ((64, 64) if gpu else (16, 16))
    assert (quick.frames, quick.pixels) == (16, 16)


def test_the_large_scale_fits_into_memory():
    large = decoded_paths.full("ball").gpu
    network = decoded_paths._network(large.network, large.film("ball"), 0.2, 0)
    assert network.grid == (8, 8)
    assert large.videos * 64 * 64**2 * 8 * 5.3 + 4 * large.generated * 64 * 64**2 * 4 < 40e9


def test_a_fit_holds_no_more_copies_than_the_large_preset_counts_on():
    code = (
        "import resource, torch; from kronoscope import models, nn\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "network = nn.VideoDiT(16, 256, patch=8, width=8, num_blocks=1, num_heads=1, linear_path=False)\n"
        "settings = dict(mean='feature', validation=0.05, max_steps=1, batch_size=4, held_out_draws=4, keep='last')\n"
        "models.fit(torch.rand(100, 16, 256), network, **settings); before = peak()\n"
        "x = torch.rand(3000, 16, 256); models.fit(x, network, **settings)\n"
        "print((peak() - before) / (8 * x.numel()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 5.5


def test_the_scale_of_the_pixels_is_their_standard_deviation():
    frames = torch.rand(30, 4, 9, generator=torch.Generator().manual_seed(0)) * torch.arange(9)
    expected = (frames - frames.mean(dim=(0, 1))).std(correction=0)
    assert decoded_paths._brightness_scale(frames) == pytest.approx(float(expected), rel=1e-5)
