"""From frames back to positions: the decoder, and its trial on frames whose positions are known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from .. import _checks
from .._display import Displayed
from .._errors import InputError
from .balls import CHUNK_VALUES, BallVideo

MOST_ERROR = 0.1
FEWEST_SEEN = 0.99
RESIDUAL = 0.2
_BRIGHT = (0.5, 0.4, 0.3, 0.2, 0.1)
_MARGIN = 0.1
_GRID = 0.5
_ROUNDS = 12
_STEP = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class Decoded(Displayed):
    """What the decoder saw.

    Attributes:
        positions: (n, N, 2), row and column of the best-fitting disc or sprite, pixels, float64.
        count: (n, N), connected regions that stand out from the background.
        residual: (n, N), |frame - scene|^2 / |scene - background|^2 at the best fit.
        noise: (n, N), root mean square over the pixels of frame - scene.
    """

    positions: Tensor
    count: Tensor
    residual: Tensor
    noise: Tensor

    @property
    def one_ball(self) -> Tensor:
        """(n, N), whether one region stands out and the frame looks like one disc or sprite (residual below 0.2)."""
        return (self.count == 1) & (self.residual < RESIDUAL)


@dataclass(frozen=True)
class Validation:
    """The decoder on true frames.

    Attributes:
        error: Root-mean-square distance of decoded from true positions, pixels, over discs or sprites that are inside.
        largest: The largest distance.
        one_ball: Share of frames in which exactly one is seen.
        frames: How many frames.
        noise: Standard deviation of the white noise that was added to the true frames.
    """

    error: float
    largest: float
    one_ball: float
    frames: int
    noise: float = 0.0

    def refusal(self, most: float = MOST_ERROR, fewest: float = FEWEST_SEEN) -> str | None:
        """Why nothing may be concluded from what this decoder reads, or None where it may."""
        on = "true frames" + (f" with noise of {self.noise:.2g} added" if self.noise else "")
        advice = "so kernels estimated from decoded frames would be wrong"
        if not self.noise:
            advice += "; use less noise or background, or a larger ball"
        if not self.error <= most:
            return f"the decoder is off by {self.error:.2g} pixels on {on} (at most {most:g} allowed), {advice}"
        if not self.one_ball >= fewest:
            return (
                f"the decoder finds exactly one ball in {100 * self.one_ball:.1f} % of {on}, each of which holds "
                f"one (at least {100 * fewest:g} % needed), {advice}"
            )
        return None


def decode(frames: Tensor, video: BallVideo) -> Decoded:
    """Position of the disc or sprite in every frame by least squares, and how many regions stand out.

        argmin_c |frame - scene(c)|^2,    scene(c) = max(disc or sprite at c, background)

    The best of a grid of positions (half a pixel, coarser for large ones), then Gauss-Newton. A region is where
    (frame - background)/(1 - background) exceeds the largest of 0.5, 0.4, ... 0.1 at which the true scene is in one
    piece wherever it stands between pixels; it is 0.5 for a disc.

    Args:
        frames: (n, N, pixels), brightness 0 to 1.
        video: Says the size, the background and what moves.

    Raises:
        InputError: Another shape; several balls, which hide each other; a sprite that is never in one piece.
    """
    if video.balls != 1:
        raise InputError(
            f"the decoder fits one disc or sprite, and this video has balls={video.balls}, which hide each other and "
            "change places where they meet; decode videos of one"
        )
    _checks.sequences("frames", frames, video.frames, video.pixels)
    bright = _brightness_of_one_piece(video)
    candidates = _grid(video)
    scenes = video.scene(candidates)
    parts = [
        _decode(part.double(), video, bright, candidates, scenes)
        for part in frames.detach().reshape(-1, video.pixels).split(max(1, CHUNK_VALUES // video.pixels))
    ]
    centre, count, residual, noise = (torch.cat(columns) for columns in zip(*parts))
    shape = frames.shape[:2]
    return Decoded(centre.reshape(*shape, 2), count.reshape(shape), residual.reshape(shape), noise.reshape(shape))


def trial(
    video: BallVideo, n: int = 200, *, noise: float = 0.0, generator: torch.Generator | None = None
) -> Validation:
    """Decode frames whose positions are known, with white noise of standard deviation ``noise`` added to them.

    With the noise of generated frames (:attr:`Decoded.noise`) it says how far what is read off those can be trusted.
    """
    _checks.non_negative("noise", noise)
    generator = _checks.generator_or_seed_zero(generator)
    frames, paths = video.sample(n, generator=generator)
    if noise:
        frames = frames + noise * torch.randn(frames.shape, generator=generator)
    decoded, truth = decode(frames, video), paths[:, 0]
    reach = torch.tensor(video.reach, dtype=torch.float64)
    inside = ((truth >= reach) & (truth <= 2 * video.middle - reach)).all(-1)
    if not bool(inside.any()):
        raise InputError(f"none of {inside.numel()} frames holds the whole ball; use a smaller spread or a larger size")
    distance = (decoded.positions - truth).norm(dim=-1)[inside]
    error = float(distance.square().mean().sqrt())
    seen = float(decoded.one_ball.double().mean())
    return Validation(error, float(distance.max()), seen, frames[..., 0].numel(), noise)


def validate(
    video: BallVideo,
    n: int = 200,
    *,
    generator: torch.Generator | None = None,
    most: float = MOST_ERROR,
    fewest: float = FEWEST_SEEN,
    noise: float = 0.0,
) -> Validation:
    """:func:`trial`; nothing may be concluded from decoded frames unless this passes.

    Raises:
        InputError: The error exceeds ``most`` pixels, or less than ``fewest`` of the true frames are seen to hold
            exactly one ball.
    """
    result = trial(video, n, noise=noise, generator=generator)
    refusal = result.refusal(most, fewest)
    if refusal is not None:
        raise InputError(refusal)
    return result


def _decode(
    flat: Tensor, video: BallVideo, bright: float, candidates: Tensor, scenes: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    centre = _refine(flat, _best_of_grid(flat, candidates, scenes), video)
    scene, backdrop = video.scene(centre), video.backdrop()
    off = (flat - scene).square()
    residual = off.sum(1) / (scene - backdrop).square().sum(1).clamp_min(1e-9)
    return centre, _regions(flat, video, bright), residual, off.mean(1).sqrt()


def _regions(flat: Tensor, video: BallVideo, bright: float) -> Tensor:
    backdrop = video.backdrop()
    out = ((flat - backdrop) / (1 - backdrop) > bright).reshape(-1, *video.shape).numpy()
    return torch.from_numpy(np.array([ndimage.label(frame)[1] for frame in out]))


def _brightness_of_one_piece(video: BallVideo) -> float:
    shifts = torch.arange(8, dtype=torch.float64) / 8
    scenes = video.scene(video.middle + torch.cartesian_prod(shifts, shifts))
    for bright in _BRIGHT:
        if all(bool((_regions(scenes, video, near) == 1).all()) for near in (bright, bright + _MARGIN)):
            return bright
    raise InputError("the disc or sprite must be one connected region, at least above a tenth of full brightness")


def _grid(video: BallVideo) -> Tensor:
    def steps(side: int, reach: float) -> Tensor:
        # Sprites have kinks at whole or half positions and a minimum on either side: a start in each, none on a kink.
        apart = max(_GRID, reach / 6) if video.sprite is None else _GRID
        return torch.arange(0.25 - math.ceil(reach / 2), side - 1 + reach / 2 + apart, apart, dtype=torch.float64)

    return torch.cartesian_prod(*(steps(side, reach) for side, reach in zip(video.shape, video.reach, strict=True)))


def _best_of_grid(flat: Tensor, candidates: Tensor, scenes: Tensor) -> Tensor:
    norms = scenes.square().sum(1)
    best = [(norms - 2 * part @ scenes.T).argmin(dim=1) for part in flat.split(max(1, CHUNK_VALUES // len(scenes)))]
    return candidates[torch.cat(best)]


def _refine(flat: Tensor, centre: Tensor, video: BallVideo) -> Tensor:
    """Gauss-Newton with steps of at most half a pixel, halved where they do not help.

    A bilinear sprite has kinks where its pixels pass those of the frame, across which full steps would go to and fro.
    """
    shifts = _STEP * torch.eye(2, dtype=torch.float64)
    left = flat - video.scene(centre)
    share = torch.ones(len(flat), 1, dtype=torch.float64)
    for _ in range(_ROUNDS):
        slopes = torch.stack(
            [(video.scene(centre + shift) - video.scene(centre - shift)) / (2 * _STEP) for shift in shifts], dim=-1
        )
        normal = slopes.mT @ slopes + 1e-6 * torch.eye(2, dtype=torch.float64)
        step = torch.linalg.solve(normal, (slopes.mT @ left[..., None]))[..., 0]
        tried = centre + share * step.clamp(-0.5, 0.5)
        then = flat - video.scene(tried)
        better = (then.square().sum(1) <= left.square().sum(1))[:, None]
        centre, left = torch.where(better, tried, centre), torch.where(better, then, left)
        share = torch.where(better, (2 * share).clamp(max=1.0), share / 2)
    return centre
