"""A training that time cut off early says so: as a warning, in the record, in the output and on the page."""

import warnings

import numpy as np
import pytest
import torch

import kronoscope as ks
from kronoscope import report
from kronoscope.cli import run
from kronoscope.models.sample_size import undertrained
from kronoscope.training import TrainingConfig, TrainingResult

CONFIG = TrainingConfig(max_steps=3000, max_seconds=2.0)


def result(steps, losses, stopped="max_seconds"):
    """A training of so many steps with held-out losses at equal distances, the last at its end."""
    history = [
        {"step": steps * (k + 1) // len(losses), "seconds": 0.0, "held_out_loss": loss} for k, loss in enumerate(losses)
    ]
    return TrainingResult(torch.nn.Identity(), history, steps, steps, 2.0, stopped)


@pytest.mark.parametrize(
    ("steps", "losses", "stopped", "warned"),
    [
        (61, [5.0], "max_seconds", True),
        (0, [9.0], "max_seconds", True),
        (1000, [5.0, 4.0, 3.0, 2.5, 2.4], "max_seconds", True),
        (1400, [5.0, 4.0, 3.0, 3.1, 2.4, 2.9], "max_seconds", True),  # the lowest came late
        (1000, [5.0, 2.0, 3.0, 4.0, 5.0], "max_seconds", False),  # it learns by heart already
        (1000, [5.0, 2.0, 3.0], "max_seconds", True),  # too few to tell
        (1600, [5.0, 4.0, 3.0, 2.5, 2.4], "max_seconds", False),  # more than half of the steps
        (61, [5.0], "patience", False),
        (3000, [5.0], "max_steps", False),
    ],
)
def test_who_is_warned(steps, losses, stopped, warned):
    note = undertrained(result(steps, losses, stopped), CONFIG)
    assert (note is not None) == warned
    if warned:
        assert note.startswith(f"undertrained: the time limit allowed {steps} of 3000 training steps")
        assert "--max-seconds" in note
        assert "\n" not in note


def test_the_time_that_would_do_is_named():
    assert "All steps take about 98 s" in undertrained(result(61, [5.0]), CONFIG)
    assert "All steps" not in undertrained(result(0, [5.0]), CONFIG)


def sequences():
    return np.random.default_rng(0).normal(size=(80, 6, 2)).cumsum(axis=1)


def test_python_warns_and_the_record_says_so(tmp_path):
    with pytest.warns(UserWarning, match="undertrained: the time limit allowed"):
        model = ks.fit(sequences(), "position", max_seconds=0.05)
    assert any(note.startswith("undertrained") for note in model.record["notes"])
    assert ks.load(model.save(tmp_path / "run")).record["notes"] == model.record["notes"]


def test_a_training_that_ends_by_its_steps_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ks.fit(sequences(), "position", max_steps=5, max_seconds=600)
    assert "notes" not in model.record


def test_the_command_line_and_the_page_say_so(tmp_path, capsys):
    np.save(tmp_path / "x.npy", sequences())
    assert run(["fit", str(tmp_path / "x.npy"), "--out", str(tmp_path / "run"), "--max-seconds", "0.05"]) == 0
    assert "WARNING: undertrained: the time limit allowed " in capsys.readouterr().out
    page = report.load_records(tmp_path / "run" / "report.json")
    assert page.sections[0].title == "Warnings"
    assert page.sections[0].blocks[0].text.startswith("Undertrained: the time limit allowed ")
    numbers = page.verdict.numbers
    assert [number.standing for number in numbers if number.explanation.startswith("undertrained: ")] == ["bad"]
