"""Diffusion transformer for video: tokens of space-time patches, attention over space and over time in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .. import _checks
from .._display import Displayed
from .._errors import InputError
from ..diffusion.schedule import alpha, broadcast, sigma
from .dit import RelativeBias, attend
from .position import PositionTransformer
from .time_features import TimeFeatures

Pairs = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class TimeAttention:
    """Attention over time of one block, (batch, heads, frames, frames).

    Attributes:
        weights: Mean over the patches; of a joint block, their marginal (:class:`VideoRecord`).
        logits: Mean over the patches; of a joint block, the logarithm of ``weights``, whose softmax they are.
    """

    logits: Tensor
    weights: Tensor


@dataclass(frozen=True, repr=False)
class VideoRecord(Displayed):
    """A forward pass.

    A joint block has weights A[(f, p), (g, q)] from the token of frame f and patch p to that of frame g and patch q.
    The record holds their marginals

        time[f, g] = mean_p sum_q A[(f, p), (g, q)],    space[p, q] = mean_f sum_g A[(f, p), (g, q)],

    whose rows sum to 1 as those of A do. Of a factorised block, A[(f, p), (g, q)] = time_p[f, g] if q = p and 0
    otherwise in one attention, space_f[p, q] if g = f in the other, they are the means over patches and frames.

    Attributes:
        epsilon: What it returned.
        blocks: Attention over time by block, (batch, heads, frames, frames), mean over the patches.
        space: Attention over space by block, (batch, heads, patches, patches), mean over the frames.
    """

    epsilon: Tensor
    blocks: tuple[TimeAttention, ...]
    space: tuple[Tensor, ...]


class Attention(nn.Module):
    """Softmax attention over the second last axis of (..., tokens, width)."""

    def __init__(self, width: int, num_heads: int, bias: RelativeBias | None = None) -> None:
        super().__init__()
        self.num_heads, self.bias = num_heads, bias
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, stream: Tensor, kept: Pairs | None) -> Tensor:
        """(batch, tokens, width); logits and weights are appended to ``kept``, if given."""
        parts = self.query_key_value(stream).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts
        logits, weights, mixed = attend(query, key, value, None if self.bias is None else self.bias())
        if kept is not None:
            kept.append((logits, weights))
        return self.output(mixed.transpose(1, 2).flatten(2))


class JointBias(RelativeBias):
    """The table of the lag for tokens frame by frame: the same for all patches of two frames."""

    def __init__(self, num_frames: int, num_heads: int, patches: int) -> None:
        super().__init__(num_frames, num_heads)
        self.patches = patches

    def forward(self) -> Tensor:
        """(heads, frames * patches, frames * patches)."""
        return super().forward().repeat_interleave(self.patches, 1).repeat_interleave(self.patches, 2)


class VideoBlock(nn.Module):
    """Attention over space, over time, a perceptron; diffusion time scales, shifts and gates each."""

    def __init__(self, num_frames: int, patches: int, width: int, num_heads: int, mlp_ratio: int, joint: bool) -> None:
        super().__init__()
        self.joint = joint
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.space = Attention(width, num_heads, JointBias(num_frames, num_heads, patches) if joint else None)
        self.time = None if joint else Attention(width, num_heads, RelativeBias(num_frames, num_heads))
        self.mlp = nn.Sequential(nn.Linear(width, mlp_ratio * width), nn.GELU(), nn.Linear(mlp_ratio * width, width))
        self.modulation = nn.Linear(width, 9 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, stream: Tensor, time: Tensor, seen: _Seen | None) -> Tensor:
        """stream (batch, frames, patches, width), time features (batch, width)."""
        batch, frames, patches, _ = stream.shape
        over_space: Pairs | None = None if seen is None else []
        over_time: Pairs | None = None if seen is None else []
        shift, scale, gate, *rest = self.modulation(time)[:, None, None].chunk(9, dim=-1)
        normed = self.norm(stream) * (1 + scale) + shift
        if self.joint:
            mixed = self.space(normed.flatten(1, 2), over_space).unflatten(1, (frames, patches))
        else:
            mixed = self.space(normed.flatten(0, 1), over_space).unflatten(0, (batch, frames))
        stream = stream + gate * mixed
        shift, scale, gate, *rest = rest
        if self.time is not None:
            normed = (self.norm(stream) * (1 + scale) + shift).transpose(1, 2)
            mixed = self.time(normed.flatten(0, 1), over_time).unflatten(0, (batch, patches))
            stream = stream + gate * mixed.transpose(1, 2)
        if seen is not None:
            seen.keep(over_space, over_time, batch, frames)
        shift, scale, gate = rest
        return stream + gate * self.mlp(self.norm(stream) * (1 + scale) + shift)


@dataclass(frozen=True)
class _Seen:
    """What a recording collects, block by block."""

    time: list[TimeAttention]
    space: list[Tensor]

    def keep(self, over_space: Pairs | None, over_time: Pairs | None, batch: int, frames: int) -> None:
        """Means, or marginals where there is no attention over time of its own; one pair of logits and weights each."""
        assert over_space is not None
        [(_, space)] = over_space
        if over_time:
            [(logits, weights)] = over_time
            means = (attention.unflatten(0, (batch, -1)).mean(1) for attention in (logits, weights))
            self.time.append(TimeAttention(*means))
            self.space.append(space.unflatten(0, (batch, frames)).mean(1))
            return
        tokens = space.unflatten(-1, (frames, -1)).unflatten(-3, (frames, -1))  # batch, heads, f, p, g, q
        marginal = tokens.sum(-1).mean(-2)
        self.time.append(TimeAttention(marginal.log(), marginal))
        self.space.append(tokens.sum(-2).mean(-3))


class VideoDiT(nn.Module):
    """Video diffusion transformer: frames of H x W pixels cut into patches, one token each.

        epsilon = (x - alpha D)/sigma,    D = skip(t) x + out(t) F(in(t) x, t)

    with the weights of skip, out and in that make the target of F of variance one for pixels of standard deviation
    ``data_scale`` (Karras et al. 2022, section 5, in this schedule). Each block attends over the patches of a frame,
    then over the frames of a patch, or, if ``joint``, over all tokens at once; a learnt table of the lag between the
    frames is added to the logits of both.

    Args:
        num_frames: N.
        num_features: H W, row by row.
        height: H; None for square frames.
        patch: Side of a patch; divides H and W.
        width: Size of the residual stream.
        num_blocks: Number of blocks.
        num_heads: Attention heads; divides ``width``.
        mlp_ratio: Hidden size of the perceptrons over ``width``.
        joint: One attention over space and time instead of one each.
        data_scale: Standard deviation of a pixel.
        linear_path: Whether to add a :class:`PositionTransformer` on whole frames, linear in x: at much noise the score
            of any law is linear in x, and this path learns the dependence in time there (as in :class:`DiT`).
    """

    def __init__(
        self,
        num_frames: int,
        num_features: int,
        height: int | None = None,
        patch: int = 4,
        width: int = 96,
        num_blocks: int = 4,
        num_heads: int = 4,
        mlp_ratio: int = 4,
        joint: bool = False,
        data_scale: float = 0.5,
        linear_path: bool = True,
    ) -> None:
        super().__init__()
        rows = math.isqrt(num_features) if height is None else _checks.count("height", height)
        if num_features % rows or (height is None and rows * rows != num_features):
            raise InputError(f"num_features must be height times width of a frame, got {num_features}")
        columns = num_features // rows
        if rows % _checks.count("patch", patch) or columns % patch:
            raise InputError(f"patch must divide the frames' sides, {rows} and {columns}, got {patch}")
        if width % _checks.count("num_heads", num_heads):
            raise InputError(f"width must be a multiple of num_heads, got {width} and {num_heads}")
        self.grid, self.patch = (rows // patch, columns // patch), patch
        self.data_scale = _checks.positive("data_scale", data_scale)
        self.linear = PositionTransformer(num_frames, num_features) if linear_path else None
        self.enter = nn.Linear(patch * patch, width)
        self.place = nn.Parameter(0.5 * torch.randn(math.prod(self.grid), width))
        self.moment = nn.Parameter(0.1 * torch.randn(num_frames, 1, width))
        self.time = TimeFeatures(width)
        self.blocks = nn.ModuleList(
            VideoBlock(num_frames, math.prod(self.grid), width, num_heads, mlp_ratio, joint) for _ in range(num_blocks)
        )
        self.final_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.final_modulation = nn.Linear(width, 2 * width)
        self.leave = nn.Linear(width, patch * patch)
        for layer in (self.final_modulation, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x (batch, frames, H W), t (batch,) to epsilon like x."""
        return self._run(x, t, None)

    def record(self, x: Tensor, t: Tensor) -> VideoRecord:
        """The forward pass with its attention over time and over space."""
        seen = _Seen([], [])
        epsilon = self._run(x, t, seen)
        return VideoRecord(epsilon, tuple(seen.time), tuple(seen.space))

    def _run(self, x: Tensor, t: Tensor, seen: _Seen | None) -> Tensor:
        a, s = broadcast(alpha(t), x), broadcast(sigma(t), x)
        size = ((a * self.data_scale).square() + s.square()).sqrt()
        time = self.time(t)
        stream = self.enter(self._patches(x / size)) + self.place + self.moment
        for block in self.blocks:
            stream = block(stream, time, seen)
        shift, scale = self.final_modulation(time)[:, None, None].chunk(2, dim=-1)
        epsilon = self._frames(self.leave(self.final_norm(stream) * (1 + scale) + shift))
        # (x - alpha D)/sigma with D = alpha s_d^2/size^2 x + sigma s_d/size F
        left = s / size.square() * x - a * self.data_scale / size * epsilon
        return left if self.linear is None else left + self.linear(x, t) - s * x

    def _patches(self, x: Tensor) -> Tensor:
        rows, columns = self.grid
        cut = x.unflatten(-1, (rows, self.patch, columns, self.patch))
        return cut.transpose(-3, -2).flatten(-4, -3).flatten(-2)

    def _frames(self, tokens: Tensor) -> Tensor:
        rows, columns = self.grid
        cut = tokens.unflatten(-1, (self.patch, self.patch)).unflatten(-3, (rows, columns))
        return cut.transpose(-3, -2).flatten(-4)
