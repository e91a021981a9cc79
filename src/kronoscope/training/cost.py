"""Memory and time of a training step, measured on two small batches before a run begins."""

from __future__ import annotations

import time
from dataclasses import astuple, dataclass

import torch
from torch import Tensor, nn

from .. import _memory
from .._errors import InputError
from ..settings import TrainingConfig
from .loss import chunk_of, denoising_loss

SMALL = 2**22  # numbers that a step handles at least: below it nothing is measured, since nothing can be short
_BATCHES = (1, 2)
COPIES_OF_WEIGHTS = 6  # weights, gradient, two moments of the optimiser, the average, the best so far
_COPIES_OF_HELD_OUT = 4  # sequences, noise, their sum, and one more while it is drawn


@dataclass(frozen=True)
class RunCost:
    """An estimate for a training run.

    Attributes:
        memory: Bytes at the peak.
        step: Seconds of one train step.
        evaluation: Seconds of one evaluation of the held-out loss.
        total: Seconds of the whole run, where no limit of time ends it.
    """

    memory: float
    step: float
    evaluation: float
    total: float


@dataclass(frozen=True)
class _Passes:
    """Bytes kept for the backward pass, and seconds forward and backward, of one batch."""

    kept: float
    forward: float
    backward: float


def run_cost(network: nn.Module, x: Tensor, held_out: Tensor, config: TrainingConfig) -> RunCost | None:
    """Measure two small batches and scale them up; None where the network is small, or not on the CPU.

    Neither the network nor a random state is changed.

    Args:
        network: (x, t) to epsilon.
        x, held_out: As for :func:`train`.
        config: Settings.
    """
    frames, features = x.shape[1:]
    if config.batch_size * frames * max(frames, features) < SMALL:
        return None
    if any(p.device.type != "cpu" for p in network.parameters()):
        return None
    single, few = (_passes(network, x, batch) for batch in _BATCHES)
    step, chunk = (_scaled(single, few, size) for size in (config.batch_size, chunk_of(tuple(x.shape))))
    sequence = 4 * frames * features
    copies = max(config.held_out_draws, len(held_out))
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    memory: float = COPIES_OF_WEIGHTS * weights + _COPIES_OF_HELD_OUT * copies * sequence
    memory += max(step.kept + 3 * config.batch_size * sequence, chunk.kept / 4)
    seconds, evaluation = step.forward + step.backward, chunk.forward * copies / chunk_of(tuple(x.shape))
    looks = config.max_steps // config.evaluate_every + 1
    return RunCost(memory, seconds, evaluation, config.max_steps * seconds + looks * evaluation)


def check_cost(cost: RunCost | None, x: Tensor, config: TrainingConfig) -> None:
    """Refuse a run that does not fit into memory, or whose first step outlasts ``max_seconds``.

    Raises:
        InputError: With what to give instead.
    """
    if cost is None:
        return
    frames, features = x.shape[1:]
    shape = f"a run on sequences of {frames} frames with {features} features and a batch of {config.batch_size}"
    _memory.check_bytes(
        cost.memory, shape, "give a smaller batch_size (--batch-size), shorter sequences or a smaller network"
    )
    if config.max_seconds is not None and config.max_steps and cost.step + cost.evaluation > config.max_seconds:
        raise InputError(
            f"{shape} takes about {cost.step + cost.evaluation:.0f} s for its first train step and evaluation: "
            f"max_seconds (--max-seconds) must be greater than that, got {config.max_seconds:g}"
        )


def _passes(network: nn.Module, x: Tensor, batch: int) -> _Passes:
    """One forward and backward pass of ``batch`` sequences of noise, in evaluation mode."""
    owned = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    draws = torch.Generator().manual_seed(0)
    parameters = [p for p in network.parameters() if p.requires_grad]
    sequences = torch.randn(batch, *x.shape[1:], generator=draws)
    mask = torch.ones_like(sequences, dtype=torch.bool) if bool(x.isnan().any()) else None
    was_training = network.training
    network.eval()
    try:
        with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            began = time.monotonic()
            loss = denoising_loss(network, sequences, torch.full((batch,), 0.5), torch.zeros_like(sequences), mask=mask)
            middle = time.monotonic()
        torch.autograd.grad(loss, parameters, allow_unused=True)
        return _Passes(sum(kept.values()), middle - began, time.monotonic() - middle)
    finally:
        network.train(was_training)


def _scaled(single: _Passes, few: _Passes, batch: int) -> _Passes:
    """What ``batch`` sequences take, on the line through the two that were measured."""
    first, second = _BATCHES
    slopes = [max(0.0, (b - a) / (second - first)) for a, b in zip(astuple(single), astuple(few), strict=True)]
    return _Passes(*(a + slope * (batch - first) for a, slope in zip(astuple(single), slopes, strict=True)))
