"""Keywords of sampling from a fitted model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict


class SampleOptions(TypedDict, total=False):
    """Keywords of :meth:`kronoscope.Model.sample` besides ``generator``."""

    sampler: str
    num_calls: int
    grid: str
    denoise: bool
    batch_size: int
    progress: Callable[[int, int], None] | None
