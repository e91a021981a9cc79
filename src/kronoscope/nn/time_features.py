"""How diffusion time enters a network: smooth features of the clock, and a modulation computed from them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..diffusion import clock

LOWEST_CLOCK, HIGHEST_CLOCK = -7.0, 9.0  # t from 1e-3 to beyond 8


class TimeFeatures(nn.Module):
    """Fourier features of the clock u = log(expm1(t)), followed by a two-layer perceptron.

    The wavelengths go from twice the range of u downwards, so that the features separate noise levels that a
    score separates and vary slowly enough to be learnt from few sequences.

    Args:
        width: Size of the embedding.
        num_frequencies: Sines and cosines each.
    """

    frequencies: Tensor

    def __init__(self, width: int, num_frequencies: int = 8) -> None:
        super().__init__()
        span = HIGHEST_CLOCK - LOWEST_CLOCK
        self.register_buffer("frequencies", math.pi * torch.arange(1, num_frequencies + 1) / span, persistent=False)
        self.layers = nn.Sequential(
            nn.Linear(2 * num_frequencies, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )

    def forward(self, t: Tensor) -> Tensor:
        """t (batch,) to (batch, width)."""
        dtype = next(self.layers.parameters()).dtype
        angles = (clock(t.double()) - LOWEST_CLOCK)[:, None] * self.frequencies  # (batch, frequencies)
        return self.layers(torch.cat([angles.cos(), angles.sin()], dim=-1).to(dtype))
