"""Checkpoints: a run that was stopped anywhere and resumed is the run that was not, and damage is refused."""

import copy
import math
import resource
from dataclasses import replace

import pytest
import torch
from torch import nn
from training_cases import QUICK, assert_same, quick, seeded, sequences, small_network

from kronoscope import InputError
from kronoscope.nn import PositionTransformer
from kronoscope.training import CHECKPOINT, loop, read_tensors, train, write_tensors
from kronoscope.training.loss import HeldOutLoss
from kronoscope.training.state import TrainingState


@pytest.mark.parametrize("step", [1, 10, 17, 29])
def test_resume_between_steps_is_exact(tmp_path, step):
    def stop(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(checkpoint=tmp_path, on_progress=stop)
    assert read_tensors(tmp_path / CHECKPOINT)[1]["step"] == step
    steps = []
    resumed = train(  # another generator and other initial weights: all that counts is in the checkpoint
        small_network(9),
        *sequences(),
        QUICK,
        generator=seeded(99),
        checkpoint=tmp_path,
        resume=True,
        on_progress=lambda progress: steps.append(progress.step),
    )
    assert steps == list(range(step + 1, 31))
    assert_same(quick(), resumed)


class Interrupted(nn.Module):
    """As the network inside, but interrupted in the middle of its k-th call."""

    def __init__(self, inner, call):
        super().__init__()
        self.inner, self.call, self.calls = inner, call, [0]

    def forward(self, x, t):
        self.calls[0] += 1
        if self.calls[0] == self.call:
            raise KeyboardInterrupt
        return self.inner(x, t)

    def __deepcopy__(self, memo):
        twin = Interrupted(copy.deepcopy(self.inner, memo), self.call)
        twin.calls = self.calls  # the average's evaluations count too
        return twin


@pytest.mark.parametrize("call", [1, 8, 11, 12, 25])
def test_resume_after_an_interruption_inside_a_step_or_an_evaluation_is_exact(tmp_path, monkeypatch, call):
    """Calls 11 and 22 are evaluations. With a checkpoint after every third step, 8 to 25 resume in the middle."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        quick(network=Interrupted(small_network(), call), checkpoint=tmp_path)
    saved = read_tensors(tmp_path / CHECKPOINT)[1]
    assert saved["step"] == {1: 0, 8: 7, 11: 9, 12: 10, 25: 22}[call]
    assert [row["step"] for row in saved["history"]] == [k for k in (10, 20) if k <= saved["step"]]
    resumed = quick(network=Interrupted(small_network(), -1), checkpoint=tmp_path, resume=True)
    assert_same(quick(network=Interrupted(small_network(), -1)), resumed)


def test_resume_of_a_run_that_had_ended_adds_nothing(tmp_path):
    config = replace(QUICK, max_steps=25)
    whole = quick(config, checkpoint=tmp_path)
    assert_same(whole, quick(config, checkpoint=tmp_path, resume=True))


def test_resume_after_patience_ran_out_does_not_go_on(tmp_path):
    config = replace(QUICK, learning_rate=1e-9, patience=1, max_steps=100, ema_decay=0.0, weight_decay=0.0)
    whole = quick(config, checkpoint=tmp_path)
    assert_same(whole, quick(config, checkpoint=tmp_path, resume=True))


@pytest.mark.parametrize("step", [11, 19, 20, 25])
def test_a_resumed_run_does_not_forget_the_best_loss(tmp_path, monkeypatch, step):
    """The held-out loss rises after step 10: those parameters are kept, wherever in between the run was stopped."""
    losses = {10: 1.0, 20: 2.0, 30: 1.5}
    looked = []

    def rising(self, network):
        looked.append(10 * (len(looked) + 1))
        return losses[looked[-1]]

    def stop(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(HeldOutLoss, "__call__", rising)
    whole = quick()
    assert whole.best_step == 10
    looked.clear()
    with pytest.raises(KeyboardInterrupt):
        quick(checkpoint=tmp_path, on_progress=stop)
    numbers = read_tensors(tmp_path / CHECKPOINT)[1]
    assert (numbers["best_step"], numbers["best_loss"]) == (10, 1.0)
    assert_same(whole, quick(checkpoint=tmp_path, resume=True))


@pytest.fixture
def interrupted(tmp_path):
    def stop(progress):
        if progress.step == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(checkpoint=tmp_path, on_progress=stop)
    return tmp_path


def refuses(folder, words, network=None):
    with pytest.raises(InputError, match=words) as error:
        quick(network=network, checkpoint=folder, resume=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("place", [0, 9, 0.2, 0.5, 0.9, -1])
def test_one_changed_byte_in_a_checkpoint_is_refused(interrupted, place):
    path = interrupted / CHECKPOINT
    content = bytearray(path.read_bytes())
    content[int(place * len(content)) if isinstance(place, float) else place] ^= 0x10
    path.write_bytes(content)
    refuses(interrupted, "checkpoint.safetensors is damaged.* start again with --force")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_checkpoint_is_refused(interrupted, keep):
    path = interrupted / CHECKPOINT
    path.write_bytes(path.read_bytes()[:keep])
    refuses(interrupted, "checkpoint.safetensors is damaged")


def test_a_missing_or_foreign_checkpoint_is_refused(interrupted):
    other = PositionTransformer(4, 2, width=16, num_blocks=1, num_heads=2)
    refuses(interrupted, "belongs to another network: .*(size mismatch|missing|unexpected)", other)
    write_tensors(interrupted / CHECKPOINT, {"a": torch.ones(2)})
    refuses(interrupted, "belongs to another network")
    (interrupted / CHECKPOINT).unlink()
    refuses(interrupted, "does not exist: there is nothing to resume")


def test_tensor_files_round_trip(tmp_path):
    shared = torch.arange(6.0)
    tensors = {
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 2),
        "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "flag": torch.tensor([True, False]),
        "view": shared.view(2, 3).T,
        "shared": shared,
    }
    numbers = {"loss": math.inf, "rows": [{"a": 0.1}], "nothing": math.nan}
    write_tensors(tmp_path / "file.safetensors", tensors, numbers)
    got, told = read_tensors(tmp_path / "file.safetensors")
    assert set(got) == set(tensors)
    for name, value in tensors.items():
        assert torch.equal(got[name], value)
        assert got[name].dtype == value.dtype
    assert told["loss"] == math.inf
    assert told["rows"] == [{"a": 0.1}]
    assert math.isnan(told["nothing"])


def test_a_full_disk_leaves_the_old_file_and_no_part(tmp_path):
    path = tmp_path / "file.safetensors"
    write_tensors(path, {"a": torch.ones(2)})
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot be written") as error:
            write_tensors(path, {"a": torch.ones(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_results_and_states_show_what_they_hold():
    result = quick()
    for part in (
        "network=PositionTransformer",
        "steps=30",
        f"best_step={result.best_step}",
        "seconds=",
        "stopped=max_steps",
    ):
        assert part in repr(result)
    assert f"evaluations={len(result.history)}" in repr(result)
    state = TrainingState.start(small_network(1), QUICK, seeded(0))
    state.step, state.seconds, state.best_step, state.best_loss = 7, 1.5, 3, 0.25
    assert repr(state) == (
        "TrainingState(network=PositionTransformer, step=7, seconds=1.5, best_step=3, best_held_out_loss=0.25 nats)"
    )
