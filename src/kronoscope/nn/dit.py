"""Diffusion transformer (Peebles and Xie 2023) for sequences: softmax attention, adaLN-zero, beside a linear path."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from .. import _checks
from .._errors import InputError
from ..diffusion.schedule import alpha, broadcast, sigma
from .position import LARGEST_WIDTH, PositionTransformer, check_sizes
from .records import BlockRecord, NetworkRecord
from .time_features import TimeFeatures

Positions = Literal["learned", "sinusoidal", "relative"]
Attention = Literal["content", "lags", "gated-lags"]
CORRECTION = 0.05


def sinusoidal_positions(num_frames: int, width: int) -> Tensor:
    """Sines and cosines of the frame number (Vaswani et al. 2017, section 3.5). Shape (frames, width)."""
    frequency = torch.exp(-math.log(10_000.0) * torch.arange(0, width, 2) / width)
    angles = torch.arange(num_frames)[:, None] * frequency
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, weights and mixed values of softmax attention over (..., tokens, width), a learnt bias on the logits.

    Written out: where the bias needs a gradient, torch's fused attention takes its slow path, which on a processor
    is three times slower than this.
    """
    logits = (query / math.sqrt(query.shape[-1])) @ key.mT
    if bias is not None:
        logits = logits + bias.to(logits.dtype)
    weights = logits.softmax(dim=-1)
    return logits, weights, weights @ value


class RelativeBias(nn.Module):
    """A learnt table b_m(i - j) that is added to the logits of head m (as in T5, Raffel et al. 2020, section 2.1).

    It starts as -|i - j| / 2^m: heads of different reach, as in ALiBi (Press et al. 2022).
    """

    lags: Tensor

    def __init__(self, num_frames: int, num_heads: int) -> None:
        super().__init__()
        distance = torch.arange(1 - num_frames, num_frames).abs()
        self.table = nn.Parameter(-distance / 2.0 ** torch.arange(num_heads)[:, None])
        frames = torch.arange(num_frames)
        self.register_buffer("lags", frames[:, None] - frames[None, :] + num_frames - 1, persistent=False)

    def forward(self) -> Tensor:
        """(heads, frames, frames)."""
        return self.table[:, self.lags]


class DiTBlock(nn.Module):
    """Attention between frames, then a perceptron inside each frame; diffusion time scales, shifts and gates both.

        weights_m = softmax(q_i . k_j / sqrt(c) + b_m(i - j))      attention="content"
        weights_m = softmax(b_m(i - j))                            "lags"
        weights_m = softmax(b_m(i - j)) 2 sigmoid(g_m(h_j))        "gated-lags": a frame says how much it is heard

    There is a table b_m if ``relative``. The gates g_m start from zero, so that "gated-lags" starts as "lags".
    """

    def __init__(
        self,
        num_frames: int,
        width: int,
        num_heads: int,
        mlp_ratio: int,
        relative: bool,
        attention: Attention = "content",
    ) -> None:
        super().__init__()
        self.num_heads, self.attention = num_heads, attention
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        if attention == "content":
            self.query_key_value = nn.Linear(width, 3 * width)
        else:
            self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, mlp_ratio * width), nn.GELU(), nn.Linear(mlp_ratio * width, width))
        self.modulation = nn.Linear(width, 6 * width)
        self.bias = RelativeBias(num_frames, num_heads) if relative else None
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        if attention == "gated-lags":
            self.gate = nn.Linear(width, num_heads)
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)

    def forward(self, stream: Tensor, time: Tensor, blocks: list[BlockRecord] | None = None) -> Tensor:
        """stream (batch, frames, width), time features (batch, width); appends its record to ``blocks``, if given."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulation(time)[:, None].chunk(6, dim=-1)
        normed = self.norm(stream) * (1 + scale) + shift
        logits, weights, mixed = self._attend(normed)
        stream = stream + gate * self.output(mixed.transpose(1, 2).flatten(2))
        stream = stream + mlp_gate * self.mlp(self.norm(stream) * (1 + mlp_scale) + mlp_shift)
        if blocks is not None:
            blocks.append(BlockRecord(logits, weights, stream))
        return stream

    def _attend(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        bias = None if self.bias is None else self.bias()
        if self.attention == "content":
            parts = self.query_key_value(normed).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
            query, key, value = parts
            return attend(query, key, value, bias)
        assert bias is not None
        value = self.value(normed).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        logits = bias.to(normed.dtype)[None]
        weights = logits.softmax(dim=-1)
        if self.attention == "gated-lags":
            weights = weights * (2 * self.gate(normed).sigmoid()).mT[:, :, None]
        return logits, weights, weights @ value


class DiT(nn.Module):
    """Diffusion transformer: one token a frame, epsilon(x, t) = linear(x, t) + c transformer(x, t).

    The linear path is a :class:`PositionTransformer` (sigma_t x + L_t x), c a small constant; the transformer, which
    is not linear in x, starts from zero. For Gaussian sequences the score is linear, and softmax and layer norm, which
    do not keep scale, need far more sequences to imitate that; so the linear path learns the covariance, and the
    transformer, slowed down by c, learns what is left over (docs/theory.md, section 5). Without the linear path
    epsilon = sigma_t x + transformer(x, t), the diffusion transformer as it is used for images; with ``data_scale`` s
    it is preconditioned, epsilon = sigma/v x - (alpha s/sqrt v) transformer(x/sqrt v, t), v = alpha^2 s^2 + sigma^2.

    What each option buys is measured by ``kronoscope reproduce improvements`` (docs/learning.md).

    Args:
        num_frames: N.
        num_features: d.
        width: Size of the residual stream.
        num_blocks: Number of blocks.
        num_heads: Attention heads; divides ``width``.
        mlp_ratio: Hidden size of the perceptrons over ``width``.
        positions: "learned" or "sinusoidal" embeddings that are added to the tokens, or "relative": learnt embeddings
            and, besides, a learnt table of the lag added to every head's logits.
        linear_path: Whether to have the linear path.
        correction: c, how much the transformer counts beside the linear path.
        attention: "content": logits from queries and keys. "lags": from the table of the lag alone. "gated-lags": from
            that, each frame weighted by what it holds. The latter two need ``positions="relative"``.
        tied: Whether one block is used ``num_blocks`` times, in either path.
        data_scale: Standard deviation of the data for the preconditioning, which takes the place of the linear path;
            None for none.

    Raises:
        InputError: A size that cannot be, an unknown name, or options that exclude each other.

    Source: for the preconditioning, Karras et al. 2022, arXiv:2206.00364, section 5, in this schedule.
    """

    position_embedding: Tensor

    def __init__(
        self,
        num_frames: int,
        num_features: int,
        width: int = 64,
        num_blocks: int = 4,
        num_heads: int = 4,
        mlp_ratio: int = 4,
        positions: Positions = "relative",
        linear_path: bool = True,
        correction: float = CORRECTION,
        attention: Attention = "content",
        tied: bool = False,
        data_scale: float | None = None,
    ) -> None:
        super().__init__()
        check_sizes(num_frames, num_features, width, num_blocks, num_heads)
        _checks.count("mlp_ratio", mlp_ratio, 1, LARGEST_WIDTH)
        _check_options(positions, attention, linear_path, data_scale)
        self.correction = _checks.positive("correction", correction)
        self.data_scale, self.num_blocks = data_scale, num_blocks
        self.linear = (
            PositionTransformer(num_frames, num_features, width, num_blocks, num_heads, tied) if linear_path else None
        )
        self.enter = nn.Linear(num_features, width)
        if positions == "sinusoidal":
            self.register_buffer("position_embedding", sinusoidal_positions(num_frames, width), persistent=False)
        else:
            self.position_embedding = nn.Parameter(0.5 * torch.randn(num_frames, width))
        self.time = TimeFeatures(width)
        relative = positions == "relative"
        self.blocks = nn.ModuleList(
            DiTBlock(num_frames, width, num_heads, mlp_ratio, relative, attention)
            for _ in range(1 if tied else num_blocks)
        )
        self.final_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.final_modulation = nn.Linear(width, 2 * width)
        self.leave = nn.Linear(width, num_features)
        for layer in (self.final_modulation, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x (batch, frames, features), t (batch,) to epsilon like x."""
        return self._run(x, t, None)

    def record(self, x: Tensor, t: Tensor) -> NetworkRecord:
        """The forward pass with the attention logits and weights and the stream after every softmax block.

        The linear path has a record of its own: ``network.linear.record(x, t)``.
        """
        blocks: list[BlockRecord] = []
        return NetworkRecord(self._run(x, t, blocks), tuple(blocks))

    def _run(self, x: Tensor, t: Tensor, blocks: list[BlockRecord] | None) -> Tensor:
        if self.linear is not None:
            return self.linear(x, t) + self.correction * self._transform(x, t, blocks)
        if self.data_scale is None:
            return broadcast(sigma(t), x) * x + self._transform(x, t, blocks)
        a, s = broadcast(alpha(t), x) * self.data_scale, broadcast(sigma(t), x)
        size = (a.square() + s.square()).sqrt()
        return s / size.square() * x - a / size * self._transform(x / size, t, blocks)

    def _transform(self, x: Tensor, t: Tensor, blocks: list[BlockRecord] | None) -> Tensor:
        time = self.time(t)
        stream = self.enter(x) + self.position_embedding
        for number in range(self.num_blocks):
            stream = self.blocks[number % len(self.blocks)](stream, time, blocks)
        shift, scale = self.final_modulation(time)[:, None].chunk(2, dim=-1)
        return self.leave(self.final_norm(stream) * (1 + scale) + shift)


def _check_options(positions: str, attention: str, linear_path: bool, data_scale: float | None) -> None:
    if positions not in get_args(Positions):
        raise InputError(f"positions must be one of {', '.join(get_args(Positions))}, got {positions!r}")
    if attention not in get_args(Attention):
        raise InputError(f"attention must be one of {', '.join(get_args(Attention))}, got {attention!r}")
    if attention != "content" and positions != "relative":
        raise InputError(f'attention={attention!r} needs positions="relative", got {positions!r}')
    if data_scale is not None:
        _checks.positive("data_scale", data_scale)
        if linear_path:
            raise InputError("data_scale takes the place of the linear path; give linear_path=False with it")
