"""From frames back to positions: the decoder, and its trial on frames whose positions are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from .. import _checks
from .._errors import InputError
from .balls import BallVideo, disc

BRIGHT = 0.5
MOST_ERROR = 0.1
RESIDUAL = 0.2
_GRID = 0.5
_ROUNDS = 8
_STEP = 1e-3


@dataclass(frozen=True, eq=False)
class Decoded:
    """What the decoder saw.

    Attributes:
        positions: (n, N, 2), row and column of the best-fitting disc, pixels, float64.
        count: (n, N), connected bright regions.
        residual: (n, N), |frame - disc|^2 / |disc|^2 at the best fit.
    """

    positions: Tensor
    count: Tensor
    residual: Tensor

    @property
    def one_ball(self) -> Tensor:
        """(n, N), whether a frame holds exactly one bright region and looks like one disc (residual below 0.2)."""
        return (self.count == 1) & (self.residual < RESIDUAL)


@dataclass(frozen=True)
class Validation:
    """The decoder on true frames.

    Attributes:
        error: Root-mean-square distance of decoded from true positions, pixels, over discs that are inside.
        largest: The largest distance.
        one_ball: Share of frames in which exactly one ball is seen.
        frames: How many frames.
    """

    error: float
    largest: float
    one_ball: float
    frames: int


def decode(frames: Tensor, video: BallVideo) -> Decoded:
    """Position of the disc in every frame by least squares, and how many bright regions there are.

        argmin_c |frame - disc(c)|^2: best of a grid of half pixels, then Gauss-Newton

    Args:
        frames: (n, N, size * size), brightness 0 to 1.
        video: Says the size and the radius.

    Raises:
        InputError: Another shape, or a video of sprites or of several balls, which have no single disc to fit.
    """
    if video.sprite is not None or video.balls != 1:
        raise InputError("the decoder fits one disc; this video has a sprite or several balls")
    _checks.sequences("frames", frames, video.frames, video.size**2)
    flat = frames.detach().reshape(-1, video.size**2).double()
    centre = _best_of_grid(flat, video)
    for _ in range(_ROUNDS):
        centre = _refine(flat, centre, video)
    drawn = disc(centre, video.size, video.radius)
    residual = (flat - drawn).square().sum(1) / drawn.square().sum(1).clamp_min(1e-9)
    bright = (flat > BRIGHT).reshape(-1, video.size, video.size).numpy()
    count = torch.from_numpy(np.array([ndimage.label(one)[1] for one in bright]))
    shape = frames.shape[:2]
    return Decoded(centre.reshape(*shape, 2), count.reshape(shape), residual.reshape(shape))


def validate(
    video: BallVideo, n: int = 200, *, generator: torch.Generator | None = None, most: float = MOST_ERROR
) -> Validation:
    """Decode frames whose positions are known; nothing may be concluded from decoded frames unless this passes.

    Raises:
        InputError: The error exceeds ``most`` pixels.
    """
    frames, paths = video.sample(n, generator=generator)
    found, truth = decode(frames, video), paths[:, 0]
    inside = ((truth >= video.radius) & (truth <= video.size - 1 - video.radius)).all(-1)
    distance = (found.positions - truth).norm(dim=-1)[inside]
    error = float(distance.square().mean().sqrt())
    if not error <= most:
        raise InputError(
            f"the decoder is off by {error:.2g} pixels on true frames (at most {most:g} allowed), so kernels read off "
            "decoded frames would mean nothing; use less noise or background, or a larger radius"
        )
    return Validation(error, float(distance.max()), float(found.one_ball.double().mean()), frames[..., 0].numel())


def _best_of_grid(flat: Tensor, video: BallVideo, chunk: int = 4096) -> Tensor:
    steps = torch.arange(-video.radius / 2, video.size - 1 + video.radius / 2 + _GRID, _GRID, dtype=torch.float64)
    candidates = torch.cartesian_prod(steps, steps)
    templates = disc(candidates, video.size, video.radius)
    norms = templates.square().sum(1)
    best = [(norms - 2 * part @ templates.T).argmin(dim=1) for part in flat.split(chunk)]
    return candidates[torch.cat(best)]


def _refine(flat: Tensor, centre: Tensor, video: BallVideo) -> Tensor:
    """One Gauss-Newton step, no longer than half a pixel."""
    drawn = disc(centre, video.size, video.radius)
    shifts = _STEP * torch.eye(2, dtype=torch.float64)
    slopes = torch.stack(
        [
            (disc(centre + s, video.size, video.radius) - disc(centre - s, video.size, video.radius)) / (2 * _STEP)
            for s in shifts
        ],
        dim=-1,
    )
    normal = slopes.mT @ slopes + 1e-6 * torch.eye(2, dtype=torch.float64)
    step = torch.linalg.solve(normal, (slopes.mT @ (flat - drawn)[..., None]))[..., 0]
    return centre + step.clamp(-0.5, 0.5)
