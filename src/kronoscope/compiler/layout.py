"""Named coordinates of the residual stream, and the hidden units and heads that read and write them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


class Layout:
    """Which coordinates of the stream hold what. Nobody writes ``W[3:7, 12]``.

    Args:
        sizes: Number of coordinates by name, in their order; names with 0 are left out.
    """

    def __init__(self, sizes: dict[str, int]) -> None:
        self._slots: dict[str, slice] = {}
        self.width = 0
        for name, size in sizes.items():
            if size:
                self._slots[name] = slice(self.width, self.width + size)
                self.width += size

    def __contains__(self, name: str) -> bool:
        return name in self._slots

    def __getitem__(self, name: str) -> slice:
        return self._slots[name]

    @property
    def slots(self) -> dict[str, slice]:
        """The coordinates of every name."""
        return dict(self._slots)

    def identity(self, name: str) -> Tensor:
        """The identity of a slot's size."""
        return torch.eye(self[name].stop - self[name].start, dtype=torch.float64)

    def reading(self, parts: dict[str, Tensor]) -> Tensor:
        """(..., rows, width) that reads each named slot with its (..., rows, size) matrix."""
        first = next(iter(parts.values()))
        matrix = torch.zeros(*first.shape[:-1], self.width, dtype=torch.float64)
        for name, part in parts.items():
            matrix[..., self[name]] = part
        return matrix

    def writing(self, parts: dict[str, Tensor]) -> Tensor:
        """(..., width, columns) that writes each named slot with its (..., size, columns) matrix."""
        return self.reading({name: part.mT for name, part in parts.items()}).mT


@dataclass(frozen=True, eq=False)
class Hidden:
    """Hidden units of a perceptron: stream += outer ReLU(inner y + bias).

    Attributes:
        inner: (hidden, width).
        outer: (width, hidden).
        bias: (hidden,); None is zero.
    """

    inner: Tensor
    outer: Tensor
    bias: Tensor | None = None

    def __add__(self, other: Hidden) -> Hidden:
        bias = None
        if self.bias is not None or other.bias is not None:
            bias = torch.cat([h.inner.new_zeros(len(h.inner)) if h.bias is None else h.bias for h in (self, other)])
        return Hidden(torch.cat([self.inner, other.inner]), torch.cat([self.outer, other.outer], dim=1), bias)

    @property
    def arguments(self) -> dict[str, Tensor]:
        """As a block takes them."""
        arguments = {"inner": self.inner, "outer": self.outer}
        return arguments if self.bias is None else arguments | {"inner_bias": self.bias}


def linear(layout: Layout, reads: dict[str, Tensor], writes: dict[str, Tensor]) -> Hidden:
    """z = the sum of the slots read, each through its matrix; every slot written += its matrix z.

    Proof: z = ReLU(z) - ReLU(-z).
    """
    inner, outer = layout.reading(reads), layout.writing(writes)
    return Hidden(torch.cat([inner, -inner]), torch.cat([outer, -outer], dim=1))


@dataclass(frozen=True, eq=False)
class Heads:
    """Attention heads: stream_i += sum_m sum_j ReLU(query_m y_i . key_m y_j) output_m value_m y_j.

    Attributes:
        query, key: (heads, key width, width).
        value: (heads, value width, width).
        output: (heads, width, value width).
    """

    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor

    @property
    def arguments(self) -> dict[str, Tensor]:
        """As a block takes them."""
        return {"query": self.query, "key": self.key, "value": self.value, "output": self.output}
