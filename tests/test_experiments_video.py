"""The video pages: their statistics on known paths, and the quick run from film to page."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from kronoscope import models, video
from kronoscope.cli import run
from kronoscope.kernels import Matern, PowerExponential
from kronoscope_evidence import reproductions
from kronoscope_evidence.video import decoded_paths as experiment
from kronoscope_evidence.video import digit as video_digit
from kronoscope_evidence.video import paths as video_paths
from kronoscope_evidence.video.page import gaps


def decoded(positions):
    ones = torch.ones(positions.shape[:2], dtype=torch.int64)
    none = torch.zeros(positions.shape[:2], dtype=torch.float64)
    return video.Decoded(positions, ones, none, none)


def small(ball, **changes):
    """Ten steps of a tiny network, as a preset."""
    told = {"videos": 100, "generated": 20, "calls": 8} | changes
    network = {"patch": 8, "width": 16, "num_blocks": 1}
    return experiment.Preset(ball, network=network, training={"max_steps": 10, "batch_size": 8}, **told)


def test_statistics_of_true_paths_are_those_of_their_law():
    ball = experiment.preset(quick=True, large=False).ball
    positions = ball.path.sample(4000, generator=torch.Generator().manual_seed(0))
    found, truth = experiment.measure("true videos", decoded(positions)), experiment.exact(ball)
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
    correlation, covariance = gaps(found, truth)
    assert correlation < 0.05
    assert covariance < 0.1


def test_shuffled_frames_have_lost_the_dependence():
    ball = experiment.preset(quick=True, large=False).ball
    positions = ball.path.sample(2000, generator=torch.Generator().manual_seed(1))
    shuffled = experiment.measure("shuffled", decoded(experiment._shuffled(positions, 0)))
    spread = np.ptp(shuffled.correlation[1:])
    assert spread < 0.1
    assert gaps(shuffled, experiment.exact(ball))[0] > 0.3


@pytest.mark.parametrize(("lengthscale", "smoothness"), [(5.0, 1.5), (3.0, 0.5), (8.0, 0.8), (2.0, 2.5)])
def test_the_nearest_matern_of_a_matern_is_itself(lengthscale, smoothness):
    kernel = 3.0 * Matern(lengthscale, smoothness)
    found = video_paths.nearest_matern(kernel.at_lag(torch.arange(9.0)).tolist())
    assert found == pytest.approx((lengthscale, smoothness), rel=1e-6)


def test_the_nearest_matern_of_another_kernel_is_its_limit_or_none():
    """exp(-h^2 / (2 l^2)) is the Matern kernel of infinite smoothness: the fit runs to the end of its range."""
    gaussian = PowerExponential(3.0 * 2**0.5, 2.0).at_lag(torch.arange(9.0)).tolist()
    lengthscale, smoothness = video_paths.nearest_matern(gaussian)
    assert lengthscale == pytest.approx(3.0, rel=0.05)
    assert smoothness > 15
    ball = video.BallVideo(PowerExponential(3.0 * 2**0.5, 2.0))
    assert video_paths.exact(ball).smoothness is None


def test_jitter_of_positions_makes_paths_rough():
    """A fifth of a pixel of white noise on every position, as poor frames would give; the bend sees it first."""
    positions = video.BallVideo(Matern(5.0, 1.5)).path.sample(1000, generator=torch.Generator().manual_seed(2))
    noise = 0.2 * torch.randn(positions.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    still, shaken = (experiment.measure("x", decoded(one)) for one in (positions, positions + noise))
    assert shaken.smoothness < still.smoothness
    assert shaken.bend > still.bend + 5 * still.bend_error
    # Second differences of white noise have 1 + 4 + 1 times its variance, in each of two coordinates.
    assert shaken.bend**2 == pytest.approx(still.bend**2 + 2 * 6 * 0.2**2, rel=0.03)


def test_the_page_tells_a_short_training_from_a_good_one(tmp_path, monkeypatch):
    ball = experiment.preset(quick=True, large=False).ball
    monkeypatch.setattr(experiment, "preset", lambda quick, large: small(ball))
    page = reproductions.reproduce("video", tmp_path / "out", quick=True)
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    paths = {one["name"]: one for one in told["paths"]}
    assert list(paths) == ["truth, exact", "true videos", "true videos, shuffled", "generated, early", "generated"]
    assert told["decoder"]["error"] < 0.1
    assert paths["true videos"]["one_ball"] == 1.0
    assert paths["generated"]["one_ball"] < 0.9  # ten steps make no balls, and the page has to say so
    assert paths["generated, early"]["one_ball"] < 0.9
    assert told["early_steps"] == 1
    assert paths["truth, exact"]["smoothness"] == pytest.approx(1.5)
    # Such frames are so noisy that positions read off them are not told.
    assert told["decoder_on_noise"]["error"] > 0.1
    assert "with noise of" in told["refusal"]
    assert paths["generated"]["correlation"] == paths["generated"]["covariance"] == []
    text = page.read_text()
    assert "What was read off generated frames is withheld" in text
    assert "data:image/gif;base64," in text
    assert "exactly one ball" in text


def test_the_page_tells_generated_paths_where_the_decoder_can_be_trusted(tmp_path, monkeypatch):
    """In place of a long training: a sampler that films, with a little noise on every pixel; frames are wide."""
    ball = video.BallVideo(Matern(5.0, 1.5), size=24, height=16)
    noisy = dataclasses.replace(ball, noise=0.03)
    monkeypatch.setattr(experiment, "preset", lambda quick, large: small(ball, generated=60))
    monkeypatch.setattr(experiment, "_generate", lambda model, told, seed: noisy.sample(told.generated)[0])
    page = reproductions.reproduce("video", tmp_path / "out", quick=True)
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    assert told["refusal"] is None
    assert told["decoder_on_noise"]["noise"] == pytest.approx(0.03, rel=0.05)
    assert 0.005 < told["decoder_on_noise"]["error"] < 0.1
    made = told["paths"][-1]
    assert made["name"] == "generated"
    assert made["lengthscale"] == pytest.approx(5.0, abs=5 * made["lengthscale_error"])
    text = page.read_text()
    assert "16 frames of 16 × 24" in text
    assert "withheld:" not in text
    for label in ("step between frames", "second difference", "before training", "What would refute"):
        assert label in text


def test_a_failing_decoder_stops_the_page_before_the_training(tmp_path, monkeypatch, capsys):
    ball = video.BallVideo(Matern(5.0, 1.5), noise=1.0)
    trained = []
    monkeypatch.setattr(experiment, "preset", lambda quick, large: small(ball))
    monkeypatch.setattr(models, "fit", lambda *a, **k: trained.append(a))
    assert run(["reproduce", "video", "--quick", "--out", str(tmp_path / "out")]) == 2
    assert "the decoder is off by" in capsys.readouterr().err
    assert not trained
    assert not list((tmp_path / "out").glob("*"))


def test_a_digit_goes_through_the_same_page(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    ball = video_digit.preset(quick=True, large=False).ball
    assert torch.equal(ball.path.covariance(), experiment.preset(quick=True, large=False).ball.path.covariance())
    monkeypatch.setattr(experiment, "preset", lambda quick, large: small(video.BallVideo(Matern(5.0, 1.5))))
    page = reproductions.reproduce("video-digit", tmp_path / "out", quick=True)
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    assert told["decoder"]["error"] < 1e-6
    assert told["decoder"]["one_ball"] == 1.0
    text = page.read_text()
    assert "learn how the digit moves" in text
    assert "exactly one digit" in text


@pytest.mark.parametrize(
    ("able", "precision", "steps"),
    [({"avx512_bf16": True}, "bfloat16", 3700), ({"avx512_bf16": False}, "float32", 2800), ({}, "float32", 2800)],
)
def test_the_preset_takes_the_precision_that_the_processor_multiplies(monkeypatch, able, precision, steps):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    told = experiment.preset(quick=False, large=False).training
    assert (told["precision"], told["max_steps"]) == (precision, steps)


def test_the_large_preset_is_of_64_frames_of_64_by_64():
    large = experiment.preset(quick=False, large=True)
    assert (large.ball.frames, large.ball.size) == (64, 64)
    network = experiment._network(large, 0.2, 0)
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
    assert experiment._scale(frames) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("quick", [True, False])
def test_the_small_preset_is_of_16_frames_of_16_by_16(quick):
    small = experiment.preset(quick=quick, large=False)
    assert (small.ball.frames, small.ball.size) == (16, 16)
