"""Normal draws that do not depend on how many are drawn together."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from .. import _memory


def standard_normal(n: int, shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """``n`` independent float64 standard normal arrays of ``shape``; the i-th is the same for every n > i.

    torch transforms its uniforms in blocks of 16, so each array takes whole blocks of the generator's stream.
    """
    size = prod(shape)
    blocks = -(-size // 16) * 16
    _memory.check_bytes(2 * 8 * n * blocks, f"drawing n={n:.4g} arrays of shape {tuple(shape)}", "draw fewer at once")
    flat = torch.randn(n, blocks, generator=generator, dtype=torch.float64, device=generator.device)
    return flat[:, :size].reshape(n, *shape).to(device)
