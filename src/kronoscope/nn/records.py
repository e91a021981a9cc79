"""Records of a forward pass, returned by it: no hooks, no globals."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .._display import Displayed


@dataclass(frozen=True, repr=False)
class BlockRecord(Displayed):
    """One transformer block at work.

    Attributes:
        logits: Attention logits, (batch or 1, heads, frames, frames); None where the attention has none.
        weights: Attention weights, same shape; softmax rows sum to one, position-only weights are signed,
            ReLU weights are 0 or greater.
        stream: The residual stream after the block, (batch, frames, width).
    """

    logits: Tensor | None
    weights: Tensor
    stream: Tensor


@dataclass(frozen=True, repr=False)
class NetworkRecord(Displayed):
    """A forward pass: what it returned and what each block did."""

    epsilon: Tensor
    blocks: tuple[BlockRecord, ...]


@dataclass(frozen=True, repr=False)
class TransformerRecord(Displayed):
    """A forward pass of a network whose output may mean anything, and what each block did."""

    output: Tensor
    blocks: tuple[BlockRecord, ...]
