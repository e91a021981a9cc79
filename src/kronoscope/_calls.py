"""Calls of networks and scores with sequences that may not be of their shape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ._errors import InputError, KronoscopeError, first_line
from ._memory import is_exhaustion


@contextmanager
def taking(name: str, called: Any, x: Tensor, where: str) -> Iterator[None]:
    """Inside, an error of torch becomes an ``InputError`` that says what ``called`` was given and where it came from.

    Only the call knows which shapes a network takes, and torch's own message names none of ours.

    Args:
        name: The argument that ``called`` came by.
        called: Network or score.
        x: What it is called with.
        where: What gave ``x`` its shape.
    """
    try:
        yield
    except (KronoscopeError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, ValueError, IndexError) as error:
        if is_exhaustion(error):
            raise
        kind = type(called).__name__ if isinstance(called, nn.Module) else getattr(called, "__qualname__", "it")
        raise InputError(
            f"{name} must take sequences of the shape of {where}, {tuple(x.shape)}, but {kind} failed on them: "
            f"{first_line(error)}"
        ) from error
