"""The device that training runs on."""

from __future__ import annotations

import torch

from .. import _checks
from .._errors import InputError


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device asked for; without one, CUDA where it is there and the CPU otherwise.

    Raises:
        InputError: There is no such device, or this machine does not have it.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
        torch.zeros(1, device=where).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError):
        there = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
        raise InputError(
            f"device must be one that this machine has ({', '.join(there)}), got {_checks.described(device)}; "
            "leave it out (--device) to take the best one"
        ) from None
    return where
