"""The transformer class T(D, L, M, B, R) of Fu et al. (2025), as a network like any other."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from .. import _checks
from .._errors import InputError
from .._typing import DiffusionTime
from .records import BlockRecord, TransformerRecord
from .relu_block import ReLUBlock
from .time_features import TimeFeatures


@dataclass(frozen=True)
class Sizes:
    """How large a network is: L, M, D, hidden units of the widest block, weights (tied ones once), B."""

    depth: int
    num_heads: int
    width: int
    num_hidden: int
    parameters: int
    weight_norm: float


class TimeCondition(nn.Module):
    """The condition for training: learnt features of diffusion time, the same for all depths and frames.

    Args:
        size: Size of the embedding.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.features = TimeFeatures(size)

    def forward(self, t: Tensor) -> Tensor:
        """t (batch,), greater than 0, to (batch, 1, 1, size)."""
        if bool((t <= 0).any()):
            raise InputError("t must be greater than 0: these features take its logarithm")
        return self.features(t)[:, None, None]


class ReLUTransformer(nn.Module):
    """Attention with ReLU in place of softmax, no normalisation anywhere, a residual stream of width D.

        stream_0 = W_in x + position + bias + W_time c_0(t)
        stream_l = block(stream_{l-1}, c_l(t));   out = W_out stream_L + b_out

    frame by frame, clipped to [-R, R] where an ``output_range`` R is set (clip(z) = z + ReLU(-R - z) - ReLU(z - R): a
    residual ReLU layer). What the output means is the caller's affair. With the weights of a compiler it unrolls a
    solver (docs/theory.md, section 3); with those of :meth:`build` it is a network to train. It cannot tell.

    Args:
        num_frames: N.
        num_features: d.
        width: D.
        blocks: The blocks, each once.
        order: The index in ``blocks`` of the block at each depth, for tied blocks; None is each once, in order.
        condition: A module from t (batch,), float64, to c(t) of shape (batch, depth or 1, N or 1, size); block l sees
            row l, and c_0 is row 0. None is a network without time.
        output_range: R, or None.
        enter, position, bias, time: W_in (D, d), a table (N, D), (D,), W_time (D, size of the condition). None is zero,
            and a ``time`` of None stays out.
        leave, leave_bias: W_out (d, D), b_out (d,). None is zero.

    Raises:
        InputError: Shapes, block numbers or a missing condition, by the name of the argument.
    """

    time: Tensor | None

    def __init__(
        self,
        num_frames: int,
        num_features: int,
        width: int,
        blocks: Sequence[ReLUBlock],
        order: Sequence[int] | None = None,
        condition: nn.Module | None = None,
        output_range: float | None = None,
        *,
        enter: Tensor | None = None,
        position: Tensor | None = None,
        bias: Tensor | None = None,
        time: Tensor | None = None,
        leave: Tensor | None = None,
        leave_bias: Tensor | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("num_frames", num_frames), ("num_features", num_features), ("width", width)):
            _checks.count(name, size)
        self.num_frames, self.num_features, self.width = num_frames, num_features, width
        self.output_range = None if output_range is None else _checks.positive("output_range", output_range)
        self.order = _checked_order(order, len(blocks))
        self.condition_size = _condition_size(blocks, width, condition, time)
        given = [tensor for tensor in (enter, position, bias, time, leave, leave_bias) if tensor is not None]
        dtypes = {p.dtype for block in blocks for p in block.parameters()} or {tensor.dtype for tensor in given}
        if len(dtypes) > 1:
            raise InputError(f"blocks must have one dtype, got {', '.join(sorted(map(str, dtypes)))}")
        dtype = next(iter(dtypes), torch.get_default_dtype())

        def weight(name: str, given: Tensor | None, *shape: int) -> nn.Parameter:
            if given is not None and tuple(given.shape) != shape:
                raise InputError(f"{name} must have shape {shape}, got {tuple(given.shape)}")
            return nn.Parameter(torch.zeros(shape, dtype=dtype) if given is None else given.detach().to(dtype).clone())

        self.enter = weight("enter", enter, width, num_features)
        self.position = weight("position", position, num_frames, width)
        self.bias = weight("bias", bias, width)
        self.leave = weight("leave", leave, num_features, width)
        self.leave_bias = weight("leave_bias", leave_bias, num_features)
        self.register_parameter("time", None if time is None else weight("time", time, width, time.shape[-1]))
        self.condition = condition
        self.blocks = nn.ModuleList(blocks)

    @classmethod
    def build(
        cls,
        num_frames: int,
        num_features: int,
        width: int = 64,
        num_blocks: int = 4,
        num_heads: int = 4,
        *,
        head_width: int | None = None,
        num_hidden: int | None = None,
        condition_size: int = 64,
        tied: bool = False,
        output_range: float | None = None,
    ) -> ReLUTransformer:
        """A random network to train, from torch's global random state; its output starts at zero.

        Args:
            num_frames, num_features, width, output_range: As for the class.
            num_blocks: Depth; with ``tied`` one block stands at every depth.
            num_heads: Heads in a block; 0 is perceptrons alone.
            head_width: Size of queries, keys and values; None is width over num_heads, rounded up.
            num_hidden: Hidden units in a block; None is four times the width, 0 is attention alone.
            condition_size: Size of the embedding of diffusion time, which modulates every block.
            tied: Whether all depths share their weights.
        """
        for name, size in (("num_frames", num_frames), ("num_features", num_features), ("width", width)):
            _checks.count(name, size)
        _checks.count("num_blocks", num_blocks)
        _checks.count("num_heads", num_heads, 0)
        _checks.count("condition_size", condition_size)
        head_width = -(-width // max(1, num_heads)) if head_width is None else _checks.count("head_width", head_width)
        num_hidden = 4 * width if num_hidden is None else _checks.count("num_hidden", num_hidden, 0)
        if num_heads == num_hidden == 0:
            raise InputError("num_heads and num_hidden must not both be 0")
        sizes = (num_frames, width, num_heads, head_width, num_hidden, condition_size)
        return cls(
            num_frames,
            num_features,
            width,
            [random_block(*sizes) for _ in range(1 if tied else num_blocks)],
            [0] * num_blocks if tied else None,
            TimeCondition(condition_size),
            output_range,
            enter=torch.randn(width, num_features) / num_features**0.5,
            position=0.5 * torch.randn(num_frames, width),
            time=0.02 * torch.randn(width, condition_size),
        )

    @property
    def depth(self) -> int:
        """L, the number of blocks that a forward pass goes through."""
        return len(self.order)

    def unique_blocks(self) -> list[ReLUBlock]:
        """Every block once, by its number."""
        return [block for block in self.blocks if isinstance(block, ReLUBlock)]

    def without_blocks(self) -> ReLUTransformer:
        """A copy of all but the blocks, in evaluation mode: input, output and condition for another way through."""
        copies: dict[int, object] = {id(self.blocks): nn.ModuleList()}
        return copy.deepcopy(self, copies).eval()

    def forward(self, x: Tensor, t: DiffusionTime) -> Tensor:
        """x (batch, frames, features), t a number or (batch,), to a tensor like x."""
        return self._run(x, t, None)

    def record(self, x: Tensor, t: DiffusionTime) -> TransformerRecord:
        """The forward pass with attention logits and weights and the stream after every block.

        Where queries and keys read only what no input and no block ever writes, the attention is the same for every
        sequence: it is recorded once, with batch 1, and tied blocks share it.
        """
        blocks: list[BlockRecord] = []
        return TransformerRecord(self._run(x, t, blocks), tuple(blocks))

    def sizes(self) -> Sizes:
        """L, M, D, parameters, and B, the largest absolute weight."""
        blocks = self.unique_blocks()
        return Sizes(
            depth=self.depth,
            num_heads=max((block.num_heads for block in blocks), default=0),
            width=self.width,
            num_hidden=max((block.num_hidden for block in blocks), default=0),
            parameters=sum(p.numel() for p in self.parameters()),
            weight_norm=max(float(p.detach().abs().max()) for p in self.parameters() if p.numel()),
        )

    def conditions(self, x: Tensor, t: DiffusionTime) -> Tensor | None:
        """c(t) in the dtype of the weights, (batch or 1, depth or 1, frames or 1, size); checks x and t."""
        _checks.sequences("x", x, self.num_frames, self.num_features)
        time = _checks.diffusion_time(t, len(x), x).reshape(-1)
        if x.dtype != self.enter.dtype and not torch.is_autocast_enabled(x.device.type):
            raise InputError(f"x must have the dtype of the weights, {self.enter.dtype}, got {x.dtype}")
        if self.condition is None:
            return None
        c = self.condition(time)
        want = (len(time), self.depth, self.num_frames, self.condition_size or c.shape[-1])
        if c.ndim != 4 or any(n not in (1, size) for n, size in zip(c.shape[:3], want)) or c.shape[3] != want[3]:
            raise InputError(f"condition must return {want}, or 1 for any of the first three, got {tuple(c.shape)}")
        return c.to(self.enter.dtype)

    def _run(self, x: Tensor, t: DiffusionTime, blocks: list[BlockRecord] | None) -> Tensor:
        conditions = self.conditions(x, t)
        stream = nn.functional.linear(x, self.enter) + (self.position + self.bias)
        if conditions is not None and self.time is not None:
            stream = stream + conditions[:, 0] @ self.time.T
        unique = self.unique_blocks()
        static = None if blocks is None else self.static_coordinates()
        seen: dict[int, tuple[Tensor, Tensor]] = {}
        for depth, index in enumerate(self.order):
            block = unique[index]
            here = None if conditions is None else conditions[:, depth if conditions.shape[1] > 1 else 0]
            if blocks is None or static is None:
                stream = block(stream, here)
                continue
            attention = seen.get(index)
            if attention is None:
                constant = block.attention_is_constant(static)
                sequences = slice(1) if constant else slice(None)
                logits = block.logits(stream[sequences], None if here is None else here[sequences])
                attention = logits, logits.relu()
                if constant:
                    seen[index] = attention
            stream = block(stream, here)
            blocks.append(BlockRecord(*attention, stream))
        return self.read_out(stream)

    def static_coordinates(self) -> Tensor:
        """Which stream coordinates hold position + bias for ever, whatever x and t are: (width,), boolean.

        Decided from the weights alone: those that no row of W_in, W_time and no block's O_m, W_2 and b_2 touches.
        """
        written = (self.enter != 0).any(dim=1)
        if self.time is not None:
            written = written | (self.time != 0).any(dim=1)
        for block in self.unique_blocks():
            written = written | block.written()
        return ~written

    def read_out(self, stream: Tensor) -> Tensor:
        """The output that belongs to a last stream (batch, frames, width)."""
        out = nn.functional.linear(stream, self.leave, self.leave_bias)
        return out if self.output_range is None else out.clamp(-self.output_range, self.output_range)


def random_block(
    num_frames: int, width: int, num_heads: int, head_width: int, num_hidden: int, condition_size: int
) -> ReLUBlock:
    """Random weights under which logits are of order one and a block changes the stream a little.

    The sum over N frames is not normalised by the attention, so half of its 1/N goes into the keys, where the ReLU
    passes it on, and half into the outputs.
    """
    attention = {
        "query": torch.randn(num_heads, head_width, width) / width**0.5,
        "key": torch.randn(num_heads, head_width, width) / (width * head_width * num_frames) ** 0.5,
        "value": torch.randn(num_heads, head_width, width) / width**0.5,
        "output": torch.randn(num_heads, width, head_width) / (max(1, num_heads) * head_width * num_frames) ** 0.5,
    }
    perceptron = {
        "inner": torch.randn(num_hidden, width) / width**0.5,
        "inner_bias": torch.zeros(num_hidden),
        "outer": 0.1 * torch.randn(width, num_hidden) / max(1, num_hidden) ** 0.5,
        "outer_bias": torch.zeros(width),
    }
    weights = (attention if num_heads else {}) | (perceptron if num_hidden else {})
    for part, there in (("attention", num_heads), ("ffn", num_hidden)):
        for change in ("scale", "shift") if there else ():
            weights[f"{part}_{change}"] = 0.02 * torch.randn(width, condition_size)
    return ReLUBlock(modulate_queries=False, **weights)


def _checked_order(order: Sequence[int] | None, num_blocks: int) -> tuple[int, ...]:
    if order is None:
        return tuple(range(num_blocks))
    wrong = [index for index in order if not 0 <= _checks.count("order", index, 0) < num_blocks]
    if wrong:
        raise InputError(f"order must name blocks 0 to {num_blocks - 1}, got {wrong[0]}")
    return tuple(int(index) for index in order)


def _condition_size(
    blocks: Sequence[ReLUBlock], width: int, condition: nn.Module | None, time: Tensor | None
) -> int | None:
    """The one size of the condition that all weights agree on; None where nothing reads it."""
    sizes = [] if time is None else [("time", time.shape[-1])]
    for index, block in enumerate(blocks):
        if not isinstance(block, ReLUBlock):
            raise TypeError(f"blocks must be ReLUBlock modules, got {type(block).__name__} at index {index}")
        if block.width != width:
            raise InputError(f"blocks must have width {width}, got {block.width} at index {index}")
        if block.condition_size is not None:
            sizes.append((f"block {index}", block.condition_size))
    for (name, size), (other, another) in pairwise(sizes):
        if size != another:
            raise InputError(f"condition must have one size, but {name} reads {size} and {other} reads {another}")
    if sizes and condition is None:
        raise InputError(f"condition must be given, because {sizes[0][0]} reads it")
    return sizes[0][1] if sizes else None
