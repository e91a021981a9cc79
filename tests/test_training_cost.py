"""The estimate of what a run costs, before it begins: it changes nothing, and refuses what does not fit."""

import subprocess
import sys
import time

import pytest
import torch
from torch import nn

import kronoscope as ks
from kronoscope import _memory, models
from kronoscope.nn import MLP
from kronoscope.training import RunCost, TrainingConfig, check_cost, cost, run_cost

X = torch.randn(24, 8, 2, generator=torch.Generator().manual_seed(0))
CONFIG = TrainingConfig(max_steps=10, batch_size=16, held_out_draws=64)
LONG_AND_WIDE = torch.randn(12, 2048, 64, generator=torch.Generator().manual_seed(0))


class Squares(nn.Module):
    """A network that keeps exactly one tensor like x for its backward pass."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 2))

    def forward(self, x, t):
        return x.exp() * self.weight  # keeps exp(x) for the weight


def test_a_small_run_is_not_measured():
    assert run_cost(MLP(8, 2), X, X[:4], CONFIG) is None


def test_what_is_kept_is_counted_and_scaled_to_the_batch(monkeypatch):
    """Per sequence: exp(x), the difference to the noise, and the square's input are 8 x 2 floats each."""
    monkeypatch.setattr(cost, "SMALL", 1)
    sizes = {}
    for batch in (16, 1016):
        sizes[batch] = run_cost(Squares(), X, X[:4], TrainingConfig(max_steps=10, batch_size=batch)).memory
    grown = (sizes[1016] - sizes[16]) / 1000 / (4 * 8 * 2)
    assert 4 <= grown <= 8  # one or more kept by the network, two by the loss, three of the batch itself


def test_measuring_changes_neither_weights_nor_randomness(monkeypatch):
    """A fit gives the same numbers with and without it, dropout included."""

    def fitted():
        torch.manual_seed(3)
        network = nn.Sequential()
        network = Dropping()
        model = ks.fit(X, network=network, max_steps=3, batch_size=8)
        return torch.cat([p.flatten() for p in model.network.parameters()])

    before = fitted()
    monkeypatch.setattr(cost, "SMALL", 1)
    assert torch.equal(fitted(), before)


class Dropping(MLP):
    """Draws from torch's global state in training."""

    def __init__(self):
        super().__init__(8, 2, width=8, num_blocks=1)

    def forward(self, x, t):
        return nn.functional.dropout(super().forward(x, t), 0.1, self.training)


def test_a_run_that_does_not_fit_is_refused_with_what_to_change(monkeypatch, tmp_path):
    monkeypatch.setattr(_memory, "total_bytes", lambda: 2**30)
    began = time.monotonic()
    with pytest.raises(ks.InputError, match=r"2048 frames with 64 features .* need .*--batch-size"):
        ks.fit(LONG_AND_WIDE, network="unet")
    with pytest.raises(ks.InputError, match="num_frames \\* num_features must be at most 4096"):
        ks.fit(LONG_AND_WIDE, network="linear")
    with pytest.raises(ks.InputError, match="training the network 'mlp' would need"):
        ks.fit(LONG_AND_WIDE, network="mlp", network_options={"width": 4096})
    assert time.monotonic() - began < 30


def test_a_first_step_that_outlasts_its_time_is_refused():
    slow = RunCost(memory=1.0, step=50.0, evaluation=10.0, total=1e6)
    with pytest.raises(ks.InputError, match=r"takes about 60 s .* max_seconds \(--max-seconds\) must be greater"):
        check_cost(slow, X, TrainingConfig(max_steps=10, max_seconds=30))
    check_cost(slow, X, TrainingConfig(max_steps=10, max_seconds=90))
    check_cost(slow, X, TrainingConfig(max_steps=10))
    check_cost(None, X, TrainingConfig(max_steps=10, max_seconds=1e-3))


def test_a_long_run_says_so_first(monkeypatch):
    """To whoever watches its progress; else as a warning."""
    monkeypatch.setattr("kronoscope.training.run_cost", lambda *_: RunCost(1.0, 2.0, 1.0, 7200.0))
    seen = []
    small = {"network": "position", "network_options": {"width": 8, "num_blocks": 1}, "max_steps": 1}
    ks.fit(X, **small, on_progress=seen.append)
    assert (seen[0].step, seen[0].steps_per_second, seen[0].seconds_left) == (0, 0.5, 7200.0)
    with pytest.warns(UserWarning, match=r"about 2.0 hours \(2.0 s a train step\).*max_seconds"):
        ks.fit(X, **small)


def test_sizes_are_known_before_a_network_is_built():
    for name, options in (("dit", {"width": 65536}), ("position", {"width": 65536}), ("mlp", {"width": 65536})):
        began = time.monotonic()
        with pytest.raises(ks.InputError, match="GB of memory"):
            models.networks.build_network(name, 64, 4, options, torch.Generator().manual_seed(0))
        assert time.monotonic() - began < 10


def test_the_check_of_sizes_loads_nothing_more_of_torch():
    """A network on the device "meta" loads 800 modules of torch, a second of every fit and every sample."""
    lines = [
        "import sys, torch",
        "from kronoscope.models.networks import NETWORKS, build_network",
        "before = len(sys.modules)",
        "for name in NETWORKS: build_network(name, 8, 2, {}, torch.Generator())",
        "assert len(sys.modules) - before < 40, len(sys.modules) - before",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
