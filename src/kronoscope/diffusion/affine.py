"""The affine map of a score that is affine in x, read where the sequences are, with the round-off of the reading."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks
from .._display import Displayed
from .._errors import InputError
from .._typing import ScoreFunction
from .scores import dense_size, evaluate

CHECKS = 4  # random sequences on which the map is verified
JITTER = 64.0  # units in the last place by which their copies are moved: enough to draw their round-off anew
BEYOND_ROUND_OFF = 30.0  # how far, squared, a map read with round-off may miss: the reading itself carries some
FLOAT32_LIKE = 1e-3  # relative: a miss that a score which computes in float32 could have
BATCH = 1024


@dataclass(frozen=True, eq=False, repr=False)
class AffineMap(Displayed):
    """s(x, t) = value + matrix (x - center), with x flattened frame-major.

    Attributes:
        matrix: A, (N d, N d), float64.
        center: Where the map was read, (N d,), float64, as rounded to the dtype of the calls.
        value: s(center), (N d,), float64.
        round_off: Root-mean-square length of the round-off of one score call, in the units of the score: half the
            squared difference of calls whose inputs differ by some units in the last place.
        residual: Root-mean-square distance of the score from the map on fresh random sequences.
    """

    matrix: Tensor
    center: Tensor
    value: Tensor
    round_off: float
    residual: float

    @property
    def offset(self) -> Tensor:
        """c with s(x) = A x + c. Where the center is far from zero, ``value`` and ``center`` say it more precisely."""
        return self.value - self.matrix @ self.center


def affine_map(
    score: ScoreFunction,
    t: float,
    num_frames: int,
    num_features: int,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    center: Tensor | None = None,
    spread: Tensor | float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Matrix A and offset c of a score that is affine in x, s(x, t) = A x + c: :func:`read_affine_map` in short.

    Args:
        score, t, num_frames, num_features, dtype, device, center, spread: As for :func:`read_affine_map`.

    Returns:
        A (N d, N d) and c (N d,), float64, on the CPU.

    Raises:
        InputError: The score is not affine, or N d is above 4096.
    """
    read = read_affine_map(score, t, num_frames, num_features, dtype=dtype, device=device, center=center, spread=spread)
    return read.matrix, read.offset


def read_affine_map(
    score: ScoreFunction,
    t: float,
    num_frames: int,
    num_features: int,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    center: Tensor | None = None,
    spread: Tensor | float = 1.0,
    verify: bool = True,
) -> AffineMap:
    """Read A and s(center) off N d + 1 sequences around ``center``, and verify them on fresh random ones.

    The sequences are center + sqrt(N d) S q_j with S the spread and q_j orthonormal directions that mix all entries:
    with S S' the covariance of the data each of them is as large as a typical sequence, so the round-off of a score
    call does not grow in the reading. Sequences are rounded to ``dtype``, and the map is solved for from what the score
    saw. Give the mean of the data as ``center`` and their standard deviations (or a root of their covariance) as
    ``spread`` wherever they are known: read around zero in float32, a score of data with mean 280 is lost in round-off.

    Args:
        score: A score, affine in x.
        t: Diffusion time.
        num_frames: N.
        num_features: d.
        dtype: What the score is called with.
        device: Where the score is called.
        center: (N, d) or (N d,); None is zero.
        spread: S: one number, standard deviations (N, d) or (N d,), or a matrix (N d, N d).
        verify: Refuse a score that is not affine; if False, ``residual`` alone says how far it is from its map.

    Raises:
        InputError: The score is not affine, N d is above 4096, or center or spread have another shape.
    """
    size = dense_size(num_frames, num_features)
    middle, root = _center(center, size), _spread(spread, size)
    points = torch.cat([middle[None], middle + math.sqrt(size) * times_root(directions(size), root)]).to(dtype)
    fresh = checks(middle, root, CHECKS, dtype, seed=size)
    values = call_flat(score, torch.cat([points, *fresh]), t, num_frames, num_features, device)
    moved = points.to(torch.float64)
    matrix = torch.linalg.solve(moved[1:] - moved[0], values[1 : size + 1] - values[0]).T
    noise, miss, shared = _misses(values, fresh, matrix, moved[0])
    if verify:
        _refuse_bent(values, matrix, root, dtype, t, noise, shared)
    return AffineMap(matrix, moved[0], values[0], math.sqrt(noise), math.sqrt(miss))


def directions(size: int) -> Tensor:
    """Orthonormal rows (size, size) that mix all entries: a Hartley transform with random, always equal signs."""
    order = torch.arange(size)
    angle = (2 * math.pi / size) * torch.outer(order, order).remainder(size).to(torch.float64)
    signs = 1.0 - 2.0 * torch.randint(2, (size,), generator=torch.Generator().manual_seed(size))
    return (angle.cos() + angle.sin()) / math.sqrt(size) * signs


def times_root(rows: Tensor, root: Tensor) -> Tensor:
    """S z for every row z: S is a number, a vector of standard deviations or a matrix."""
    return rows @ root.T if root.ndim == 2 else rows * root


def checks(center: Tensor, root: Tensor, num: int, dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor]:
    """``num`` random sequences center + S z in ``dtype``, and copies that differ by some units in the last place."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(num, len(center), dtype=torch.float64, generator=generator)
    x = (center + times_root(z, root)).to(dtype)
    shift = JITTER * torch.finfo(dtype).eps * (2 * torch.rand(x.shape, dtype=torch.float64, generator=generator) - 1)
    return x, (x.to(torch.float64) * (1 + shift)).to(dtype)


def call_flat(
    score: ScoreFunction, x: Tensor, t: float, num_frames: int, num_features: int, device: torch.device | str
) -> Tensor:
    """Scores of flattened sequences (batch, N d), in batches; float64, on the CPU."""
    parts = []
    with torch.no_grad():
        for part in x.split(BATCH):
            value = evaluate(score, part.to(device).reshape(-1, num_frames, num_features), t)
            parts.append(value.detach().reshape(len(part), -1).to(device="cpu", dtype=torch.float64))
    return torch.cat(parts)


def _misses(values: Tensor, fresh: tuple[Tensor, Tensor], matrix: Tensor, center: Tensor) -> tuple[float, float, float]:
    """Mean squares on fresh sequences: round-off, distance from the map, and what nearly equal sequences share of it.

    What two sequences that differ by round-off share of their distances is not round-off: <r, r'> estimates its square.
    """
    x, copy = (part.to(torch.float64) for part in fresh)
    at_x, at_copy = values[-2 * len(x) :].chunk(2)
    miss, miss_copy = (s - values[0] - (y - center) @ matrix.T for s, y in ((at_x, x), (at_copy, copy)))
    noise = float((miss - miss_copy).square().sum(dim=1).mean()) / 2
    shared = max(float((miss * miss_copy).sum(dim=1).mean()), 0.0)
    return noise, float(miss.square().sum(dim=1).mean()), shared


def _refuse_bent(
    values: Tensor, matrix: Tensor, root: Tensor, dtype: torch.dtype, t: float, noise: float, shared: float
) -> None:
    """Refuse a score that misses its map by more than the square root of the precision, unless round-off does it."""
    scaled = matrix @ root if root.ndim == 2 else matrix * root
    size = float(values[-2 * CHECKS : -CHECKS].norm(dim=1).mean() + values[0].norm() + scaled.norm())
    eps = torch.finfo(dtype).eps
    bent = shared > eps * size**2 and shared > BEYOND_ROUND_OFF * noise
    if bent or noise > eps**0.5 * size**2:
        error = math.sqrt(max(shared, noise)) / size
        coarse = dtype == torch.float64 and error < FLOAT32_LIKE
        raise InputError(
            f"score must be affine in x, but at t = {t:.4g} it misses its own affine map by a relative {error:.1e} on "
            "random sequences" + ("; if it computes in float32, give dtype=torch.float32" if coarse else "")
        )


def _center(center: Tensor | None, size: int) -> Tensor:
    if center is None:
        return torch.zeros(size, dtype=torch.float64)
    flat = _checks.tensor("center", center, torch.float64, "cpu").detach().reshape(-1)
    if len(flat) != size:
        raise InputError(f"center must have {size} entries, one for each frame and feature, got {len(flat)}")
    return _checks.finite("center", flat)


def _spread(spread: Tensor | float, size: int) -> Tensor:
    root = _checks.tensor("spread", spread, torch.float64, "cpu").detach()
    if root.ndim == 2 and root.shape == (size, size):
        return _checks.finite("spread", root)
    if root.ndim == 0:
        _checks.positive("spread", float(root))
        return root
    flat = root.reshape(-1)
    if len(flat) != size:
        raise InputError(
            f"spread must be a number, {size} standard deviations or a matrix ({size}, {size}), "
            f"got shape {tuple(root.shape)}"
        )
    if bool((flat <= 0).any()):
        raise InputError(f"spread must be greater than 0, got {float(flat.min()):g}")
    return _checks.finite("spread", flat)
