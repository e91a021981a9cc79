"""Denoising score matching: loss, loop, moving average, early stopping, checkpoints."""

from .config import TrainingConfig, choose_device
from .loop import Progress, TrainingResult, lr_schedule, train
from .loss import HeldOutLoss, denoising_loss, draw_times
from .processes import Processes
from .state import CHECKPOINT, TrainingState
from .tensors import first_line, read_tensors, write_tensors

__all__ = [
    "CHECKPOINT",
    "HeldOutLoss",
    "Processes",
    "Progress",
    "TrainingConfig",
    "TrainingResult",
    "TrainingState",
    "choose_device",
    "denoising_loss",
    "draw_times",
    "first_line",
    "lr_schedule",
    "read_tensors",
    "train",
    "write_tensors",
]
