"""One block of the transformer class T(D, L, M, B, R): ReLU attention without normalisation, then a ReLU perceptron."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .._errors import InputError

LARGEST_CHUNK = 2**23  # attention weights that are held at once where no gradient needs them all

SHAPES = {
    "query": "heads key_width width",
    "key": "heads key_width width",
    "value": "heads value_width width",
    "output": "heads width value_width",
    "inner": "hidden width",
    "inner_bias": "hidden",
    "outer": "width hidden",
    "outer_bias": "width",
    "attention_scale": "width condition",
    "attention_shift": "width condition",
    "ffn_scale": "width condition",
    "ffn_shift": "width condition",
}
ATTENTION = ("query", "key", "value", "output")
PERCEPTRON = ("inner", "outer")


class ReLUBlock(nn.Module):
    """Attention between frames, then a perceptron inside each frame, both with ReLU and both added to the stream.

        y = (1 + c S_a') stream + c H_a';  stream <- stream + sum_m sum_j ReLU(Q_m y_i . K_m y_j) O_m V_m y_j
        y = (1 + c S_f') stream + c H_f';  stream <- stream + W_2 ReLU(W_1 y + b_1) + b_2

    for frame i, with the condition c (an embedding of diffusion time, and of depth and position if wanted). Every
    argument is a tensor that becomes a parameter, or None, which leaves that term out: a block may be attention alone
    or perceptron alone. Tensors with no head or no hidden unit count as None (docs/theory.md, section 3).

    Args:
        query, key: Q and K, (heads, key width, width).
        value, output: V (heads, value width, width) and O (heads, width, value width).
        inner, inner_bias, outer, outer_bias: W_1 (hidden, width), b_1, W_2 (width, hidden), b_2.
        attention_scale, attention_shift, ffn_scale, ffn_shift: S and H, (width, size of the condition).
        modulate_queries: Whether queries and keys read the modulated stream y, as values do, or the plain stream.

    Raises:
        InputError: Shapes that do not belong together, by the name of the argument; a part of the attention or the
            perceptron without the rest; no tensor at all.
    """

    query: Tensor | None
    key: Tensor | None
    value: Tensor | None
    output: Tensor | None
    inner: Tensor | None
    inner_bias: Tensor | None
    outer: Tensor | None
    outer_bias: Tensor | None
    attention_scale: Tensor | None
    attention_shift: Tensor | None
    ffn_scale: Tensor | None
    ffn_shift: Tensor | None

    def __init__(
        self,
        *,
        query: Tensor | None = None,
        key: Tensor | None = None,
        value: Tensor | None = None,
        output: Tensor | None = None,
        inner: Tensor | None = None,
        inner_bias: Tensor | None = None,
        outer: Tensor | None = None,
        outer_bias: Tensor | None = None,
        attention_scale: Tensor | None = None,
        attention_shift: Tensor | None = None,
        ffn_scale: Tensor | None = None,
        ffn_shift: Tensor | None = None,
        modulate_queries: bool = False,
    ) -> None:
        super().__init__()
        given = {name: value for name, value in locals().items() if name in SHAPES}
        sizes = _check(given)
        self.modulate_queries = modulate_queries
        self.num_heads, self.num_hidden = sizes.get("heads", 0), sizes.get("hidden", 0)
        self.width, self.condition_size = sizes["width"], sizes.get("condition")
        for name, tensor in given.items():
            empty = tensor is None or tensor.numel() == 0
            self.register_parameter(name, None if empty else nn.Parameter(tensor.detach().clone()))

    def forward(self, stream: Tensor, condition: Tensor | None = None) -> Tensor:
        """stream (batch, frames, width), condition (batch or 1, frames or 1, its size) to the next stream."""
        if self.query is not None:
            stream = self._attend(stream, condition)
        if self.inner is not None and self.outer is not None:
            read = modulate(stream, condition, self.ffn_scale, self.ffn_shift)
            hidden = nn.functional.linear(read, self.inner, self.inner_bias).relu()
            stream = stream + hidden @ self.outer.T
        return stream if self.outer_bias is None else stream + self.outer_bias

    def logits(self, stream: Tensor, condition: Tensor | None = None) -> Tensor:
        """Q_m y_i . K_m y_j of every head, (batch, heads, frames, frames); the attention weights are their ReLU."""
        if self.query is None or self.key is None:
            return stream.new_zeros(len(stream), 0, stream.shape[1], stream.shape[1])
        read = self._query_input(stream, condition)
        return _logits(read, self.query, self.key)

    def written(self) -> Tensor:
        """Which stream coordinates the block can change, decided from its weights: (width,), boolean."""
        touched = next(self.parameters()).new_zeros(self.width, dtype=torch.bool)
        if self.output is not None:
            touched = touched | (self.output != 0).any(dim=2).any(dim=0)
        if self.outer is not None:
            touched = touched | (self.outer != 0).any(dim=1)
        return touched if self.outer_bias is None else touched | (self.outer_bias != 0)

    def read_by_queries(self) -> Tensor:
        """Which stream coordinates queries or keys read, decided from their weights: (width,), boolean."""
        if self.query is None or self.key is None:
            return next(self.parameters()).new_zeros(self.width, dtype=torch.bool)
        return ((self.query != 0) | (self.key != 0)).any(dim=1).any(dim=0)

    def attention_is_constant(self, static: Tensor) -> bool:
        """Whether attention weights are the same for every x and t, where ``static`` coordinates are."""
        return not bool((self.read_by_queries() & ~static).any() or self.modulated_for_queries().any())

    def modulated_for_queries(self) -> Tensor:
        """Which of the coordinates that queries or keys read the condition changes first: (width,), boolean."""
        changed = torch.zeros_like(self.read_by_queries())
        for modulation in (self.attention_scale, self.attention_shift):
            if self.modulate_queries and modulation is not None:
                changed = changed | (modulation != 0).any(dim=1)
        return changed & self.read_by_queries()

    def _query_input(self, stream: Tensor, condition: Tensor | None) -> Tensor:
        if not self.modulate_queries:
            return stream
        return modulate(stream, condition, self.attention_scale, self.attention_shift)

    def _attend(self, stream: Tensor, condition: Tensor | None) -> Tensor:
        """Heads in chunks, so that memory does not grow with their number."""
        values = modulate(stream, condition, self.attention_scale, self.attention_shift)
        read = values if self.modulate_queries else stream
        for query, key, value, output in self._chunks_of_heads(len(stream) * stream.shape[1] ** 2):
            mixed = _logits(read, query, key).relu() @ torch.einsum("mvd,bnd->bmnv", value, values)
            stream = stream + torch.einsum("bmnv,mdv->bnd", mixed, output)
        return stream

    def _chunks_of_heads(self, entries_of_one: int) -> Iterator[tuple[Tensor, ...]]:
        heads = max(1, LARGEST_CHUNK // max(1, entries_of_one))
        parts = (getattr(self, name).split(heads) for name in ATTENTION)
        return zip(*parts, strict=True)


def modulate(stream: Tensor, condition: Tensor | None, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    """(1 + c S') stream + c H', without the terms whose matrix is None."""
    if condition is not None and scale is not None:
        stream = stream * (1 + condition @ scale.T)
    if condition is not None and shift is not None:
        stream = stream + condition @ shift.T
    return stream


def _logits(read: Tensor, query: Tensor, key: Tensor) -> Tensor:
    return torch.einsum("mkd,bnd->bmnk", query, read) @ torch.einsum("mkd,bnd->bmkn", key, read)


def _check(given: dict[str, Tensor | None]) -> dict[str, int]:
    """Sizes by name, from shapes that agree."""
    sizes: dict[str, int] = {}
    for name, tensor in given.items():
        if tensor is None:
            continue
        axes = SHAPES[name].split()
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a torch tensor or None, got {type(tensor).__name__}")
        known = ", ".join(f"{axis} = {sizes[axis]}" if axis in sizes else axis for axis in axes)
        if tensor.ndim != len(axes) or any(sizes.get(axis, n) != n for axis, n in zip(axes, tensor.shape)):
            raise InputError(f"{name} must have shape ({known}), got {tuple(tensor.shape)}")
        sizes |= dict(zip(axes, tensor.shape))
    for part in (ATTENTION, PERCEPTRON):
        missing = [name for name in part if given[name] is None]
        if 0 < len(missing) < len(part):
            raise InputError(f"{', '.join(missing)} must be given, because another of {', '.join(part)} is")
    if all(given[name] is None for name in (*ATTENTION, *PERCEPTRON, "outer_bias")):
        raise InputError("a block must have attention, a perceptron or an outer_bias, got none of them")
    return sizes
