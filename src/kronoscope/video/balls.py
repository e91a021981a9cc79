"""Videos whose only dependence is that of a Gaussian process: a ball, or a sprite, that moves along its path."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import _checks
from .._display import Displayed
from .._errors import InputError
from ..kernels import Kernel
from ..processes import GaussianSequence

CHUNK_VALUES = 2**22


@dataclass(frozen=True, eq=False, repr=False)
class BallVideo(Displayed):
    """A disc of brightness 1 whose centre is a Gaussian process with d = 2, on a background of brightness 0.

        centre(h) = middle + spread z(h),    Cov(z_a(h), z_b(h')) = k(h, h') R_ab,    R = [[1, rho], [rho, 1]]

    A pixel is as bright as the share of it that the disc covers, to a linear ramp of one pixel across the edge.

    Args:
        kernel: k, of variance 1 at every frame: how far the ball goes is ``spread``'s to say.
        size: Width in pixels, and height unless that is given.
        frames: N.
        radius: Of the disc, pixels.
        spread: Standard deviation of each coordinate, pixels. None takes a third and a bit of what keeps the disc or
            sprite inside, so that a coordinate leaves it once in 700 frames or so.
        correlation: rho between the row and the column.
        balls: How many discs, on independent paths; where they meet the brighter counts.
        sprite: (h, w) brightness in [0, 1] that moves instead of the disc, by bilinear interpolation.
        background: Brightness, below 1, of a fixed slope from the left (0) to the right edge; the brighter counts.
        noise: Standard deviation of white noise on every pixel.
        height: In pixels; None for square frames.

    Raises:
        InputError: An argument out of its range, or a kernel of another variance, such as ``4.0 * k``.
    """

    kernel: Kernel
    size: int = 16
    frames: int = 16
    radius: float = 2.5
    spread: float | None = None
    correlation: float = 0.5
    balls: int = 1
    sprite: Tensor | None = None
    background: float = 0.0
    noise: float = 0.0
    height: int | None = None

    def __post_init__(self) -> None:
        _checks.count("size", self.size, 4)
        if self.height is not None:
            _checks.count("height", self.height, 4)
        _checks.count("frames", self.frames)
        _checks.count("balls", self.balls)
        _checks.positive("radius", self.radius)
        for name in ("background", "noise"):
            _checks.non_negative(name, getattr(self, name))
        if self.background >= 1:
            raise InputError(f"background must be less than 1, the brightness of the ball, got {self.background:g}")
        if not -1 < _checks.real("correlation", self.correlation) < 1:
            raise InputError(f"correlation must be greater than -1 and less than 1, got {self.correlation:g}")
        _check_sprite(self.sprite)
        room, side, reach = min(((n - 1) / 2 - r, n, r) for n, r in zip(self.shape, self.reach, strict=True))
        if self.spread is None and room <= 0:
            what = "radius" if self.sprite is None else "sprite"
            raise InputError(f"{what} must leave room in {side} pixels, got {reach:g} to each side of its centre")
        spread = room / 3.2 if self.spread is None else self.spread
        object.__setattr__(self, "spread", _checks.positive("spread", spread))
        _check_variance(self.kernel, self.frames)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self.size if self.height is None else self.height, self.size

    @property
    def pixels(self) -> int:
        """Of a frame."""
        return math.prod(self.shape)

    @property
    def middle(self) -> Tensor:
        """(2,): of a frame, pixels."""
        return (torch.tensor(self.shape, dtype=torch.float64) - 1) / 2

    @property
    def reach(self) -> tuple[float, float]:
        """From the centre to the outermost pixels that belong to the disc or sprite, down and across, pixels."""
        if self.sprite is None:
            return self.radius, self.radius
        height, width = self.sprite.shape
        return (height - 1) / 2, (width - 1) / 2

    @property
    def path(self) -> GaussianSequence:
        """Law of a centre, (N, 2): row and column in pixels, 0 at the middle of the first pixel."""
        assert self.spread is not None
        covariance = torch.tensor([[1.0, self.correlation], [self.correlation, 1.0]], dtype=torch.float64)
        mean = self.middle.expand(self.frames, 2)
        return GaussianSequence(self.kernel, self.spread**2 * covariance, times=self.frames, mean=mean)

    def sample(
        self, n: int, *, generator: torch.Generator | None = None, chunk: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Videos (n, N, pixels), row by row, float32, and the paths (n, balls, N, 2) behind them, float64.

        Args:
            n: How many.
            generator: None means seed 0. A draw does not depend on ``chunk``.
            chunk: Videos drawn at a time; None means as many as hold 2^22 pixels. Beyond the result, memory is that of
                a chunk.
        """
        generator = _checks.generator_or_seed_zero(generator)
        path = self.path
        paths = torch.stack([path.sample(n, generator=generator) for _ in range(self.balls)], dim=1)
        chunk = max(1, CHUNK_VALUES // (self.frames * self.pixels)) if chunk is None else _checks.count("chunk", chunk)
        frames = torch.empty(n, self.frames, self.pixels)
        for start in range(0, n, chunk):
            part = paths[start : start + chunk]
            frames[start : start + chunk] = torch.stack([self.scene(part[:, k]) for k in range(self.balls)]).amax(dim=0)
        if self.noise:
            for film in frames:  # each in a call of its own, so that the stream knows of no chunks
                film += self.noise * torch.randn(film.shape, generator=generator)
        return frames, paths

    def backdrop(self) -> Tensor:
        """(pixels,), float64: the background alone."""
        slope = self.background * torch.linspace(0, 1, self.size, dtype=torch.float64)
        return slope.expand(self.shape[0], -1).flatten()

    def scene(self, centres: Tensor) -> Tensor:
        """Frames (..., pixels), float64, without noise: the disc or sprite at ``centres`` on the background."""
        return torch.maximum(self._object(centres), self.backdrop())

    def draw(self, centres: Tensor) -> Tensor:
        """Frames (..., pixels), float32, with the disc or sprite alone at ``centres`` (..., 2)."""
        return self._object(centres).float()

    def _object(self, centres: Tensor) -> Tensor:
        if self.sprite is None:
            return disc(centres, self.shape, self.radius)
        height, width = self.sprite.shape
        flat = centres.reshape(-1, 2).double()
        down, across = (torch.arange(n, dtype=torch.float64) for n in self.shape)
        # Where each pixel lies on the sprite, in grid_sample's coordinates: -1 and 1 are its outer edges.
        rows = (down[None] - flat[:, :1]) * 2 / height
        columns = (across[None] - flat[:, 1:]) * 2 / width
        grid = torch.stack(
            [columns[:, None].expand(-1, len(down), -1), rows[:, :, None].expand(-1, -1, len(across))], dim=-1
        )
        image = self.sprite.double().expand(len(flat), 1, -1, -1)
        drawn = torch.nn.functional.grid_sample(image, grid, align_corners=False)
        return drawn.flatten(1).reshape(*centres.shape[:-1], -1)


def _check_sprite(sprite: Tensor | None) -> None:
    if sprite is None:
        return
    if sprite.ndim != 2:
        raise InputError(f"sprite must have shape (height, width), got {tuple(sprite.shape)}")
    low, high = float(sprite.min()), float(sprite.max())
    if not (0 <= low <= high <= 1 and high > 0):
        raise InputError(f"sprite must have brightness 0 to 1, not all of it 0, got {low:g} to {high:g}")


def _check_variance(kernel: Kernel, frames: int) -> None:
    times = torch.arange(frames, dtype=torch.float64)
    variance = kernel(times, times)
    worst = float(variance[(variance - 1).abs().argmax()])
    if not abs(worst - 1) <= 1e-9:
        raise InputError(
            f"kernel must have variance 1 at every frame, got {worst:g}; spread says how far the ball goes"
        )


def disc(centres: Tensor, shape: tuple[int, int], radius: float) -> Tensor:
    """(..., rows * columns), float64: a disc with a linear ramp of one pixel about its edge."""
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in shape)
    down = (rows - centres[..., :1].double())[..., :, None]
    across = (columns - centres[..., 1:].double())[..., None, :]
    distance = (down.square() + across.square()).sqrt()
    return (radius + 0.5 - distance).clamp(0, 1).flatten(-2)


def digit(which: int) -> Tensor:
    """The first 8 x 8 image of that digit in scikit-learn's data set, in [0, 1]: a harder sprite.

    Raises:
        InputError: scikit-learn is not installed, or no such digit.
    """
    if not 0 <= _checks.count("which", which, 0) <= 9:
        raise InputError(f"which must be a digit, 0 to 9, got {which}")
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        raise InputError("the digits are scikit-learn's; install it: pip install scikit-learn") from None
    data: Any = load_digits()
    return torch.from_numpy(data.images[int((data.target == which).nonzero()[0][0])]) / 16
