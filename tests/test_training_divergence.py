"""A training that diverges names where, and the last checkpoint, which holds finite weights."""

import copy
import math
import re
from dataclasses import replace

import pytest
import torch
from torch import nn
from training_cases import QUICK, quick, small_network

from kronoscope import DivergenceError
from kronoscope.training import CHECKPOINT, loop, read_tensors

WILD = replace(QUICK, learning_rate=1e6, max_steps=300)


class LostWhenLookedAt(nn.Module):
    """As the network inside, but its ``call``-th held-out loss, of the averaged weights, is not a number."""

    def __init__(self, call):
        super().__init__()
        self.inner, self.call, self.calls = small_network(), call, [0]

    def forward(self, x, t):
        self.calls[0] += not self.training
        lost = not self.training and self.calls[0] == self.call
        return self.inner(x, t) * (math.nan if lost else 1.0)

    def __deepcopy__(self, memo):
        twin = LostWhenLookedAt(self.call)
        twin.inner, twin.calls = copy.deepcopy(self.inner, memo), self.calls
        return twin


def diverges(config=QUICK, **told):
    with pytest.raises(DivergenceError) as error:
        quick(config, **told)
    assert "\n" not in str(error.value)
    return str(error.value)


def kept(folder):
    tensors, numbers = read_tensors(folder / CHECKPOINT)
    assert all(bool(value.isfinite().all()) for name, value in tensors.items() if name.startswith("network."))
    return numbers["step"]


def test_the_train_loss_names_its_step_and_the_last_checkpoint(tmp_path, monkeypatch):
    assert "; no checkpoint was written; try" in diverges(
        WILD, checkpoint=tmp_path
    )  # of step 0 nothing is worth keeping
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    words = diverges(WILD, checkpoint=tmp_path)
    step = int(re.search(r"diverged at step (\d+): the loss is", words).group(1))
    assert kept(tmp_path) == step > 0
    assert f"those of step 0; the last checkpoint, of step {step}, is {tmp_path / CHECKPOINT}; try" in words


def test_the_held_out_loss_names_them_too(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    words = diverges(network=LostWhenLookedAt(2), checkpoint=tmp_path)
    assert words == (
        "training diverged by step 20: the held-out loss is nan. The best parameters so far are those of step 10; the "
        f"last checkpoint, of step 19, is {tmp_path / CHECKPOINT}; try a learning_rate below 0.002"
    )
    assert kept(tmp_path) == 19


@pytest.mark.parametrize("told", [{"config": WILD}, {"network": LostWhenLookedAt(1)}])
def test_without_a_folder_there_is_none(told):
    assert "; no checkpoint was written; try a learning_rate below" in diverges(**told)


def test_a_resumed_one_names_the_checkpoint_that_it_came_from(tmp_path):
    def stop(progress):
        if progress.step == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(network=LostWhenLookedAt(2), checkpoint=tmp_path, on_progress=stop)
    words = diverges(network=LostWhenLookedAt(1), checkpoint=tmp_path, resume=True)
    assert "by step 20" in words
    assert f"the last checkpoint, of step 12, is {tmp_path / CHECKPOINT}" in words


def test_weights_that_are_not_finite_replace_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    network = small_network()

    def spoil(progress):
        if progress.step == 5:
            network.enter.weight.data[0, 0] = torch.inf

    words = diverges(network=network, checkpoint=tmp_path, on_progress=spoil)
    assert "diverged at step 5: the loss is" in words
    assert "the last checkpoint, of step 4," in words
    assert kept(tmp_path) == 4
