"""In which coordinates a score is: those of the data, or those that a fitted model scales the data to."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class ScaledScore(ABC):
    """What has a method ``score`` in coordinates of its own, such as a fitted model."""

    @property
    @abstractmethod
    def coordinates(self) -> str | None:
        """A name of the coordinates that :class:`GaussianLaw` carries as well; None for those of the data."""


def rounded(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """``matrix`` in the precision in which it was given, by which its smallest eigenvalues are judged."""
    return matrix.to(dtype) if dtype.is_floating_point else matrix
