"""The same function as a ReLU transformer whose attention is constant, computed with few large matrix products.

The stream lies as (width, batch, frames): a coordinate is a contiguous plane, those that nothing reads or writes cost
nothing, and a product between frames is one matrix product for all sequences of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._errors import InputError
from .._typing import DiffusionTime
from .relu_block import ReLUBlock
from .relu_groups import HeadGroup, add_heads
from .relu_transformer import ReLUTransformer

SMALLEST_WINDOW = 32  # frames of output that one product of the window path computes


def merged(network: ReLUTransformer) -> MergedTransformer:
    """A module that computes what ``network`` computes with its weights of this moment, faster.

    Heads are added up in float64, so against a float32 network the difference is that network's own rounding. Where a
    sum of heads vanishes beyond a lag J, up to the rounding of the weights, its 2J + 1 diagonals alone are used, at a
    cost of order N J. The result has no parameters to train; gradients with respect to x pass through it.

    Raises:
        InputError: Queries or keys of a block read a coordinate that the input, a block or the condition writes, so
            its attention is not a constant. There is no faster way then than the network itself.
    """
    static = network.static_coordinates()
    for index, block in enumerate(network.unique_blocks()):
        for reason, bad in (
            ("the network writes", block.read_by_queries() & ~static),
            ("the condition modulates", block.modulated_for_queries()),
        ):
            if bool(bad.any()):
                raise InputError(
                    f"network must have queries and keys that read what nothing changes to be merged, "
                    f"but those of block {index} read stream coordinate {int(bad.nonzero()[0])}, which {reason}"
                )
    with torch.no_grad():
        return MergedTransformer(network)


class MergedTransformer(nn.Module):
    """What :func:`merged` returns.

    Attributes:
        max_lags: For each block and each group of its heads the lag J of its window, None where it is dense.
    """

    def __init__(self, network: ReLUTransformer) -> None:
        super().__init__()
        self.ends = network.without_blocks().requires_grad_(False)  # input, output, condition, checks
        positions = network.position + network.bias
        self.blocks = nn.ModuleList(MergedBlock(block, positions) for block in network.unique_blocks())
        self.max_lags = [[mix.kernel.max_lag for mix in block.mixings] for block in self.blocks]  # type: ignore[union-attr]

    def forward(self, x: Tensor, t: DiffusionTime) -> Tensor:
        """x (batch, frames, features), t a number or (batch,), to a tensor like x."""
        ends = self.ends
        conditions = ends.conditions(x, t)
        stream = (ends.enter @ x.permute(2, 0, 1).flatten(1)).unflatten(1, x.shape[:2])
        stream = stream + (ends.position + ends.bias).T[:, None]
        if conditions is not None:
            conditions = conditions.permute(1, 3, 0, 2).contiguous()  # (depth, size, batch, frames)
            if ends.time is not None:
                stream = stream + _product(ends.time, conditions[0])
        for depth, index in enumerate(ends.order):
            here = None if conditions is None else conditions[depth if len(conditions) > 1 else 0]
            self.blocks[index](stream, here)
        return ends.read_out(stream.permute(1, 2, 0))


class MergedOnChange:
    """The merged form of a network, made again when its weights have changed.

    Changes are seen in u' A v of every tensor A, with fixed random u and v, however the weights were written. The sum
    over a row is rounded like the weights, so a smaller change is not seen. No copy of the weights is kept.

    Args:
        network: Of constant attention (see :func:`merged`).
    """

    def __init__(self, network: ReLUTransformer) -> None:
        self.network = network
        self._directions: dict[int, Tensor] = {}
        self._projections: list[float] = []
        self._merged: MergedTransformer | None = None

    def current(self) -> MergedTransformer:
        """The merged network of the weights of this moment."""
        projections = [self._project(tensor.detach()) for tensor in self.network.state_dict().values()]
        if self._merged is None or projections != self._projections:
            self._merged, self._projections = merged(self.network), projections
        return self._merged

    def _project(self, tensor: Tensor) -> float:
        """u' A v, with the last dimension of the tensor in the columns of A."""
        rows = tensor.reshape(-1, tensor.shape[-1] if tensor.ndim else 1)
        sums = rows @ self._direction(rows.shape[1]).to(rows)
        return float(sums.double() @ self._direction(len(rows)).to(sums.device))

    def _direction(self, size: int) -> Tensor:
        if size not in self._directions:
            generator = torch.Generator().manual_seed(size)
            self._directions[size] = torch.rand(size, dtype=torch.float64, generator=generator) + 0.5
        return self._directions[size]


class MergedBlock(nn.Module):
    """One block on a stream (width, batch, frames), which it changes in place."""

    bias: Tensor | None

    def __init__(self, block: ReLUBlock, positions: Tensor) -> None:
        super().__init__()
        self.mixings = nn.ModuleList(Mixing(group, block) for group in add_heads(block, positions))
        self.perceptron: Perceptron | None = None
        bias = positions.new_zeros(block.width) if block.outer_bias is None else block.outer_bias.detach().clone()
        if block.inner is not None and block.outer is not None:
            inner_bias = positions.new_zeros(block.num_hidden) if block.inner_bias is None else block.inner_bias
            if bool(block.inner.any()) and bool(block.outer.any()):
                self.perceptron = Perceptron(block, inner_bias)
            else:
                bias += block.outer @ inner_bias.relu()
        self.register_buffer("bias", bias[:, None, None] if bool(bias.any()) else None)

    def forward(self, stream: Tensor, condition: Tensor | None) -> None:
        """Attention, then perceptron; condition (size, batch or 1, frames or 1)."""
        changes = [mixing(stream, condition) for mixing in self.mixings]  # each reads the stream as it was
        for mixing, change in zip(self.mixings, changes):
            mixing.rows.add_product(stream, mixing.left, change)  # type: ignore[union-attr, operator]
        if self.perceptron is not None:
            self.perceptron(stream, condition)
        if self.bias is not None:
            stream += self.bias


class Mixing(nn.Module):
    """A group of heads: what it reads, its sum of attention weights, and what it writes."""

    left: Tensor | None
    right: Tensor | None

    def __init__(self, group: HeadGroup, block: ReLUBlock) -> None:
        super().__init__()
        dtype = next(block.parameters()).dtype
        self.read = ModulatedInput(group.columns, block.attention_scale, block.attention_shift)
        self.rows = Selection(group.rows)
        self.kernel = FrameKernel(group.sums.to(dtype), group.max_lag)
        self.register_buffer("left", None if group.left is None else group.left.to(dtype))
        self.register_buffer("right", None if group.right is None else group.right.to(dtype))

    def forward(self, stream: Tensor, condition: Tensor | None) -> Tensor:
        """(planes, batch times frames), to be multiplied by ``left`` and added to ``rows``."""
        planes = self.read(stream, condition)
        if self.right is not None:
            planes = (self.right @ planes.flatten(1)).unflatten(1, planes.shape[1:])
        return self.kernel(planes)


class FrameKernel(nn.Module):
    """Fixed matrices (q, N, N) between frames: dense, or by windows where they vanish beyond a lag.

    The window path cuts the frames into pieces of S and multiplies each by the S + 2J frames around it, so that its
    cost is of order N (S + 2J), S = max(J, 32), and the work still consists of matrix products.
    """

    weights: Tensor

    def __init__(self, sums: Tensor, max_lag: int) -> None:
        super().__init__()
        num_outputs, num_frames, _ = sums.shape
        self.num_outputs, self.num_frames = num_outputs, num_frames
        piece = max(max_lag, SMALLEST_WINDOW)
        self.max_lag = max_lag if piece + 2 * max_lag <= num_frames // 2 else None
        self.piece = piece
        if self.max_lag is None:
            self.register_buffer("weights", sums.permute(2, 0, 1).flatten(1).contiguous())  # (from, outputs to)
            return
        self.num_pieces = -(-num_frames // piece)
        margin = self.num_pieces * piece - num_frames + max_lag
        windows = []
        wide = torch.nn.functional.pad(sums, (max_lag, margin, 0, margin - max_lag))
        for start in range(0, self.num_pieces * piece, piece):
            window = wide[:, start : start + piece, start : start + piece + 2 * max_lag]
            windows.append(self._banded(window, max_lag).permute(2, 0, 1).flatten(1))
        self.register_buffer("weights", torch.stack(windows))  # (pieces, piece + 2J, outputs piece)

    @staticmethod
    def _banded(window: Tensor, max_lag: int) -> Tensor:
        """Only |i - j| <= J: what a window holds beyond that is rounding."""
        row, column = torch.arange(window.shape[1])[:, None], torch.arange(window.shape[2])[None]
        inside = (column - max_lag - row).abs() <= max_lag
        return torch.where(inside.to(window.device), window, 0.0)

    def forward(self, planes: Tensor) -> Tensor:
        """planes (k, batch, frames) to (k outputs, batch times frames)."""
        k, batch, num_frames = planes.shape
        flat = planes.reshape(k * batch, num_frames)
        mixed = flat @ self.weights if self.max_lag is None else self._by_windows(flat, self.max_lag)
        if self.num_outputs == 1:
            return mixed.reshape(k, batch * num_frames)
        return mixed.view(k, batch, self.num_outputs, num_frames).transpose(1, 2).reshape(k * self.num_outputs, -1)

    def _by_windows(self, flat: Tensor, max_lag: int) -> Tensor:
        """(planes, frames) to (planes, outputs times frames)."""
        missing = self.num_pieces * self.piece - self.num_frames
        padded = torch.nn.functional.pad(flat, (max_lag, max_lag + missing))
        windows = padded.unfold(1, self.piece + 2 * max_lag, self.piece).transpose(0, 1)
        mixed = torch.bmm(windows, self.weights).unflatten(2, (self.num_outputs, self.piece))
        return mixed.permute(1, 2, 0, 3).flatten(2)[..., : self.num_frames].flatten(1)


class Perceptron(nn.Module):
    """W_2 ReLU(W_1 y + b_1) of the coordinates that W_1 reads, added to those that W_2 writes."""

    inner: Tensor
    inner_bias: Tensor
    outer: Tensor

    def __init__(self, block: ReLUBlock, inner_bias: Tensor) -> None:
        super().__init__()
        assert block.inner is not None
        assert block.outer is not None
        reads, writes = (block.inner != 0).any(dim=0), (block.outer != 0).any(dim=1)
        self.read = ModulatedInput(reads, block.ffn_scale, block.ffn_shift)
        self.rows = Selection(writes)
        self.register_buffer("inner", block.inner.detach()[:, reads])
        self.register_buffer("inner_bias", inner_bias.detach()[:, None].clone())
        self.register_buffer("outer", block.outer.detach()[writes])

    def forward(self, stream: Tensor, condition: Tensor | None) -> None:
        """Adds to the stream (width, batch, frames) in place."""
        hidden = torch.addmm(self.inner_bias, self.inner, self.read(stream, condition).flatten(1)).relu_()
        self.rows.add_product(stream, self.outer, hidden)


class ModulatedInput(nn.Module):
    """(1 + c S') stream + c H' at some coordinates; a term that is zero there is left out."""

    scale: Tensor | None
    shift: Tensor | None

    def __init__(self, wanted: Tensor, scale: Tensor | None, shift: Tensor | None) -> None:
        super().__init__()
        self.selection = Selection(wanted)
        for name, matrix in (("scale", scale), ("shift", shift)):
            here = None if matrix is None else matrix.detach()[wanted]
            self.register_buffer(name, here if here is not None and bool(here.any()) else None)

    def forward(self, stream: Tensor, condition: Tensor | None) -> Tensor:
        """(coordinates, batch, frames)."""
        read = self.selection.take(stream)
        scale = None if self.scale is None or condition is None else 1 + _product(self.scale, condition)
        shift = None if self.shift is None or condition is None else _product(self.shift, condition)
        if scale is not None:
            return read * scale if shift is None else torch.addcmul(shift, read, scale)
        return read if shift is None else read + shift


class Selection(nn.Module):
    """Some coordinates of the stream; neighbours are a slice, so that reading them copies nothing."""

    index: Tensor

    def __init__(self, wanted: Tensor) -> None:
        super().__init__()
        index = wanted.nonzero()[:, 0]
        self.register_buffer("index", index, persistent=False)
        self.count, self.first = len(index), int(index[0])
        self.neighbours = int(index[-1]) - self.first + 1 == self.count

    def take(self, stream: Tensor) -> Tensor:
        """(width, batch, frames) to (count, batch, frames)."""
        if self.neighbours:
            return stream[self.first : self.first + self.count]
        return stream.index_select(0, self.index)

    def add_product(self, stream: Tensor, weight: Tensor | None, planes: Tensor) -> None:
        """stream[these] += weight @ planes, in place; weight (count, k) or None for 1, planes (k, batch frames)."""
        if not self.neighbours:
            product = planes if weight is None else weight @ planes
            stream.index_add_(0, self.index, product.view(self.count, *stream.shape[1:]))
            return
        part = self.take(stream).view(self.count, -1)
        if weight is None:
            part.add_(planes)
        else:
            part.addmm_(weight, planes)


def _product(matrix: Tensor, condition: Tensor) -> Tensor:
    """(coordinates, size) and (size, batch, frames) to (coordinates, batch, frames)."""
    return (matrix @ condition.flatten(1)).unflatten(1, condition.shape[1:])
