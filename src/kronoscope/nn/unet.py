"""One-dimensional U-Net over the frames: the network that diffusion models of series are mostly built with."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import _checks
from .._errors import InputError
from ..diffusion.schedule import broadcast, sigma
from .position import LARGEST_WIDTH, check_sizes
from .time_features import TimeFeatures

GROUP = 4  # channels that are normalised together, so that a lone frame still has a spread


MOST_LEVELS = 12  # each halves the frames


class ConvolutionBlock(nn.Module):
    """Two convolutions over three frames with group norm, the second modulated by time, beside a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, time_width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(channels_in // GROUP, channels_in)
        self.first = nn.Conv1d(channels_in, channels_out, 3, padding=1)
        self.modulation = nn.Linear(time_width, 2 * channels_out)
        self.second_norm = nn.GroupNorm(channels_out // GROUP, channels_out, affine=False)
        self.second = nn.Conv1d(channels_out, channels_out, 3, padding=1)
        self.shortcut = nn.Identity() if channels_in == channels_out else nn.Conv1d(channels_in, channels_out, 1)

    def forward(self, y: Tensor, time: Tensor) -> Tensor:
        """y (batch, channels, frames), time features (batch, width)."""
        scale, shift = self.modulation(time)[..., None].chunk(2, dim=1)
        hidden = self.second_norm(self.first(F.silu(self.norm(y)))) * (1 + scale) + shift
        return self.shortcut(y) + self.second(F.silu(hidden))


class FrameAttention(nn.Module):
    """Softmax attention between all frames of the coarsest level, beside a shortcut."""

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.GroupNorm(channels // GROUP, channels)
        self.query_key_value = nn.Conv1d(channels, 3 * channels, 1)
        self.output = nn.Conv1d(channels, channels, 1)

    def forward(self, y: Tensor) -> Tensor:
        """y (batch, channels, frames)."""
        parts = self.query_key_value(self.norm(y)).unflatten(1, (3, self.num_heads, -1))
        query, key, value = parts.transpose(-1, -2).unbind(1)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(-1, -2).flatten(1, 2)
        return y + self.output(mixed)


class Level(nn.Module):
    """Blocks at one resolution; the first may take more channels than it returns."""

    def __init__(self, channels_in: int, channels: int, num_blocks: int, time_width: int) -> None:
        super().__init__()
        sizes = [channels_in] + [channels] * (num_blocks - 1)
        self.blocks = nn.ModuleList(ConvolutionBlock(size, channels, time_width) for size in sizes)

    def forward(self, y: Tensor, time: Tensor) -> Tensor:
        """y (batch, channels_in, frames), time features (batch, time_width)."""
        for block in self.blocks:
            y = block(y, time)
        return y


class UNet(nn.Module):
    """1-D U-Net: epsilon(x, t) = sigma_t x + unet(x, t), the frames as positions and the features as channels.

    Going down, each level holds half the frames (rounded up) of the one above, and ``width`` more channels; going up,
    it is stretched to the frames of the level above, so N need not be a power of two. Convolutions know no frame
    numbers: frames differ by the distance to the ends alone, and a trained network runs on sequences of any length. The
    default sizes have as many weights as the default :class:`DiT`, to within a percent at N = 32 and d = 4.

    Source: Ronneberger, Fischer and Brox 2015; Ho, Jain and Abbeel 2020, appendix B, for diffusion.

    Args:
        num_frames: N.
        num_features: d.
        width: Channels of the finest level, a multiple of 4; each further level has as many more.
        num_levels: Levels; the coarsest holds about N / 2^(num_levels - 1) frames.
        num_blocks: Blocks on each level on the way down, and again on the way up.
        num_heads: Heads of the attention at the bottom; divides its channels.

    Raises:
        InputError: A size that cannot be.
    """

    def __init__(
        self,
        num_frames: int,
        num_features: int,
        width: int = 32,
        num_levels: int = 3,
        num_blocks: int = 1,
        num_heads: int = 4,
    ) -> None:
        super().__init__()
        check_sizes(num_frames, num_features, width, num_blocks, 1)
        if width % GROUP:
            raise InputError(f"width must be a multiple of {GROUP}, got {width}")
        channels = [width * (level + 1) for level in range(_checks.count("num_levels", num_levels, 1, MOST_LEVELS))]
        lowest = channels[-1]
        if lowest % _checks.count("num_heads", num_heads, 1, LARGEST_WIDTH):
            raise InputError(f"num_heads must divide {lowest}, the channels at the bottom, got {num_heads}")
        time_width = 2 * width
        neighbours = list(itertools.pairwise(channels))
        self.time = TimeFeatures(time_width)
        self.enter = nn.Conv1d(num_features, width, 3, padding=1)
        self.down = nn.ModuleList(Level(size, size, num_blocks, time_width) for size in channels)
        self.shrink = nn.ModuleList(nn.Conv1d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in neighbours)
        self.bottom = ConvolutionBlock(lowest, lowest, time_width)
        self.attention = FrameAttention(lowest, num_heads)
        self.up = nn.ModuleList(Level(2 * size, size, num_blocks, time_width) for size in channels)
        self.stretch = nn.ModuleList(nn.Conv1d(coarse, fine, 3, padding=1) for fine, coarse in neighbours)
        self.leave_norm = nn.GroupNorm(width // GROUP, width)
        self.leave = zero_convolution(width, num_features)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x (batch, frames, features), t (batch,) to epsilon like x."""
        time = self.time(t)
        y = self.down[0](self.enter(x.mT), time)
        shortcuts = [y]
        for shrink, level in zip(self.shrink, self.down[1:]):
            y = level(shrink(y), time)
            shortcuts.append(y)
        y = self.attention(self.bottom(y, time))
        y = self.up[-1](torch.cat([y, shortcuts[-1]], dim=1), time)
        for level, stretch, shortcut in reversed(list(zip(self.up, self.stretch, shortcuts))):
            y = stretch(F.interpolate(y, size=shortcut.shape[-1], mode="nearest"))
            y = level(torch.cat([y, shortcut], dim=1), time)
        return broadcast(sigma(t), x) * x + self.leave(F.silu(self.leave_norm(y))).mT


def zero_convolution(channels_in: int, channels_out: int) -> nn.Conv1d:
    """A convolution over three frames that starts from 0."""
    layer = nn.Conv1d(channels_in, channels_out, 3, padding=1)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
