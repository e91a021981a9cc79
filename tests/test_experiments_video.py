"""The video page: its statistics on known paths, and the quick run from film to page."""

import json

import numpy as np
import pytest
import torch

from kronoscope import experiments, video
from kronoscope.experiments import video as experiment
from kronoscope.experiments.video_page import gaps


def decoded(positions):
    ones = torch.ones(positions.shape[:2], dtype=torch.int64)
    return video.Decoded(positions, ones, torch.zeros(positions.shape[:2], dtype=torch.float64))


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


def test_the_page_tells_a_short_training_from_a_good_one(tmp_path, monkeypatch):
    small = experiment.preset(quick=True, large=False)
    monkeypatch.setattr(
        experiment,
        "preset",
        lambda quick, large: experiment.Preset(
            small.ball, 100, 20, {"patch": 8, "width": 16, "num_blocks": 1}, {"max_steps": 10, "batch_size": 8}, 8
        ),
    )
    page = experiments.reproduce("video", tmp_path / "out", quick=True)
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    names = [one["name"] for one in told["paths"]]
    assert names == ["truth, exact", "true videos", "true videos, shuffled", "generated"]
    assert told["decoder"]["error"] < 0.1
    assert told["paths"][1]["one_ball"] == 1.0
    assert told["paths"][3]["one_ball"] < 0.9  # ten steps make no balls, and the page has to say so
    text = page.read_text()
    assert "data:image/gif;base64," in text
    assert "exactly one ball" in text


def test_the_large_preset_is_of_64_frames_of_64_by_64():
    large = experiment.preset(quick=False, large=True)
    assert (large.ball.frames, large.ball.size) == (64, 64)
    network = experiment._network(large, 0.2, 0)
    assert network.grid == (8, 8)


@pytest.mark.parametrize("quick", [True, False])
def test_the_small_preset_is_of_16_frames_of_16_by_16(quick):
    small = experiment.preset(quick=quick, large=False)
    assert (small.ball.frames, small.ball.size) == (16, 16)
