"""Several processes that train one network under torchrun."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .._errors import InputError


@dataclass(frozen=True)
class Processes:
    """How many processes train together, and which one this is.

    Attributes:
        rank: From 0; the first alone writes files.
        size: 1 outside torchrun.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls) -> Processes:
        """Those that ``torchrun`` started (gloo on processors, nccl on GPUs); one by itself otherwise."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def device(self) -> torch.device:
        """The GPU of this process where there are any, otherwise the CPU."""
        if torch.cuda.is_available():
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("cpu")

    def share(self, batch_size: int) -> slice:
        """Which sequences of every batch are this process's.

        Raises:
            InputError: The batch cannot be divided evenly, so that means over shares would not be the batch's mean.
        """
        if batch_size % self.size:
            raise InputError(f"batch_size must be a multiple of the {self.size} processes, got {batch_size}")
        each = batch_size // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def together(self, network: nn.Module) -> nn.Module:
        """The network whose gradients are means over the processes; each of its parameters must take part."""
        return network if self.size == 1 else nn.parallel.DistributedDataParallel(network)

    def mean(self, value: Tensor) -> Tensor:
        """Mean over the processes."""
        if self.size > 1:
            dist.all_reduce(value)
            value /= self.size
        return value

    def largest(self, value: float) -> float:
        """Largest over the processes, so that all take the same decision about the clock."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device())
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return float(shared)

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()
