"""Array aliases and the one interface that everything shares: ``score(x, t)``.

Shapes use n sequences, N frames ("frames") and d features ("features"); batch comes first.
"""

from __future__ import annotations

from typing import Protocol

from jaxtyping import Float
from torch import Tensor

Sequences = Float[Tensor, "batch frames features"]
Times = Float[Tensor, "frames"]
Square = Float[Tensor, "rows rows"]
DiffusionTime = float | Tensor  # one time for all sequences, or one for each: shape (batch,)


class ScoreFunction(Protocol):
    """Any callable ``score(x, t)`` that returns grad log p_t(x), a tensor like ``x``.

    Exact, compiled and trained scores, and wrapped external networks, are interchangeable. Samplers, metrics and
    probes use this interface alone.
    """

    def __call__(self, x: Tensor, t: DiffusionTime, /) -> Tensor: ...
