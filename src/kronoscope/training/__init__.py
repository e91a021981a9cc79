"""Denoising score matching: loss, loop, moving average, early stopping, checkpoints."""

from ..settings import TrainingConfig, TrainingSettings
from .cost import COPIES_OF_WEIGHTS, RunCost, check_cost, run_cost
from .devices import choose_device
from .loop import Progress, TrainingResult, lr_schedule, train
from .loss import HeldOutLoss, denoising_loss, draw_times
from .processes import Processes
from .state import CHECKPOINT, TrainingState
from .tensors import read_tensors, write_tensors

__all__ = [
    "CHECKPOINT",
    "COPIES_OF_WEIGHTS",
    "HeldOutLoss",
    "Processes",
    "Progress",
    "RunCost",
    "TrainingConfig",
    "TrainingResult",
    "TrainingSettings",
    "TrainingState",
    "check_cost",
    "choose_device",
    "denoising_loss",
    "draw_times",
    "lr_schedule",
    "read_tensors",
    "run_cost",
    "train",
    "write_tensors",
]
