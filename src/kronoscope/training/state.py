"""Everything that a train step depends on, so that a run can stop at any step and go on as if it had not."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim.swa_utils import AveragedModel

from .._display import Displayed, Uncertain
from .._errors import InputError, first_line
from ..settings import TrainingConfig
from .tensors import read_tensors, write_tensors

CHECKPOINT = "checkpoint.safetensors"
NUMBERS = ("held_out_seed", "step", "seconds", "recent_loss", "best_step", "best_loss", "history")


@runtime_checkable
class Shrinking(Protocol):
    """A module whose parameters are to shrink at rates of their own (decoupled weight decay)."""

    def shrinkage(self) -> dict[Parameter, float]:
        """The weight decay of each parameter that has one of its own."""


def _moving_average(decay: float) -> Any:
    """Multi-tensor update avg <- avg + (1 - b)(w - avg), with b = min(decay, (k + 1)/(k + 10)) at update k.

    The first update (k = 0) copies w. The ramp forgets the weights of the first steps: without it the average of a
    short run would be mostly them.
    """

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], num_averaged: Tensor | int) -> None:
        k = int(num_averaged)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (k + 1) / (k + 10)))

    return update


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay by ``weight_decay``, vectors do not; but for what a module's ``shrinkage()`` says of its own."""
    own: dict[Parameter, float] = {}
    for module in network.modules():
        if isinstance(module, Shrinking):
            own |= module.shrinkage()
    groups: dict[float, list[Parameter]] = {weight_decay: [], 0.0: []}
    for p in network.parameters():
        if p.requires_grad:
            groups.setdefault(own.get(p, weight_decay if p.ndim >= 2 else 0.0), []).append(p)
    return [{"params": params, "weight_decay": decay} for decay, params in groups.items() if params]


@dataclass(repr=False)
class TrainingState(Displayed):
    """Network, average, optimiser, noise, best weights so far, history. Mutated by the loop alone.

    ``recent_loss`` is the exponential average of the train loss (NaN before the first step); ``held_out_seed`` seeds
    the noise of the held-out loss.
    """

    network: nn.Module
    average: AveragedModel
    optimizer: torch.optim.AdamW
    generator: torch.Generator
    held_out_seed: int
    step: int = 0
    seconds: float = 0.0
    recent_loss: float = float("nan")
    best_step: int = 0
    best_loss: float = float("inf")
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    def _facts(self) -> dict[str, object]:
        best = {"best step": self.best_step, "best held-out loss": Uncertain(self.best_loss, unit="nats")}
        return {"network": self.network, "step": self.step, "seconds": self.seconds, **best}

    @classmethod
    def start(cls, network: nn.Module, config: TrainingConfig, generator: torch.Generator) -> TrainingState:
        """Before the first step: the average is a copy of the network, and the best so far."""
        held_out_seed = int(torch.randint(2**62, (), generator=generator))
        average = AveragedModel(network, multi_avg_fn=_moving_average(config.ema_decay))
        optimizer = torch.optim.AdamW(
            _parameter_groups(network, config.weight_decay), lr=config.learning_rate, betas=(0.9, 0.99), fused=True
        )
        state = cls(network, average, optimizer, generator, held_out_seed)
        state.keep_best(float("inf"))
        return state

    def keep_best(self, loss: float) -> None:
        """Remember the averaged weights of this step as the best so far."""
        self.best_step, self.best_loss = self.step, loss
        self.best = {name: value.detach().clone() for name, value in self.average.module.state_dict().items()}

    def best_network(self) -> nn.Module:
        """A copy of the network that holds the best averaged weights, in evaluation mode."""
        network = copy.deepcopy(self.average.module)
        network.load_state_dict(self.best)
        return network.eval().requires_grad_(False)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write one safetensors file (numbers in its header); replaced whole or not at all."""
        tensors: dict[str, Tensor] = {"generator": self.generator.get_state()}
        tensors |= {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": v for k, v in slots.items()}
        write_tensors(Path(folder) / CHECKPOINT, tensors, {name: getattr(self, name) for name in NUMBERS})

    def restore(self, folder: str | os.PathLike[str]) -> None:
        """Continue from what :meth:`save` wrote, for a state started with the same network and configuration.

        Raises:
            InputError: There is no checkpoint, it is damaged, or it is of another network.
        """
        path = Path(folder) / CHECKPOINT
        try:
            tensors, numbers = read_tensors(path)
        except FileNotFoundError:
            raise InputError(f"{path} does not exist: there is nothing to resume") from None
        except InputError as error:
            raise InputError(f"{error}; restore it from a copy, or start again with --force") from None
        try:
            self._restore(tensors, numbers)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{path} belongs to another network: {first_line(error)}") from None

    def _restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        self.average.load_state_dict(part("average."))
        device = next(self.network.parameters()).device
        self.best = {k: v.to(device) for k, v in part("best.").items()}
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in part("optimizer.").items():
            index, key = name.split(".", 1)
            slots.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        self.generator.set_state(tensors["generator"])
        for name in NUMBERS:
            setattr(self, name, numbers[name])
