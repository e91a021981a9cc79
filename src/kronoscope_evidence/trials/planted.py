"""Known distributions, and generators with one planted defect each, on which audits and metrics are tried."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.signal import lfilter
from torch import Tensor

from kronoscope.estimators import Separable
from kronoscope.kernels import PowerExponential
from kronoscope.processes import GaussianSequence

from ..yardstick import spatial_covariance

DEGREES = 5  # of freedom of the heavy-tailed innovations
WARM_UP = 60  # frames: 0.8^60 = 1.5e-6
MODES = 50

Draw = Callable[[int, torch.Generator], Tensor]
Generate = Callable[[Tensor, int, torch.Generator], Tensor]


@dataclass(frozen=True)
class Defect:
    """A generator with one thing wrong.

    Attributes:
        name: What is wrong; "none" where nothing is.
        real: Draws n real sequences, (n, N, d).
        generated: Draws m sequences, given the real ones that it may have seen.
    """

    name: str
    real: Draw
    generated: Generate


@dataclass(frozen=True)
class Autoregression:
    """Series x_i = coefficient x_{i-1} + e_i with correlated innovations, Gaussian or Student-t.

    Args:
        frames, features: Of a sequence.
        heavy: Student-t innovations in place of Gaussian, 5 degrees of freedom, each value by itself before mixing.
        coefficient: Of the frame before.
    """

    frames: int
    features: int
    heavy: bool = False
    coefficient: float = 0.8

    def series(self, n: int, length: int, generator: torch.Generator) -> Tensor:
        """n stationary series of that length, (n, length, features)."""
        size = (n, WARM_UP + length, self.features)
        noise = torch.randn(*size, generator=generator, dtype=torch.float64)
        if self.heavy:
            chi = torch.randn(*size, DEGREES, generator=generator, dtype=torch.float64).square().mean(-1)
            noise = noise / chi.sqrt()
        mixed = noise @ torch.linalg.cholesky(spatial_covariance(self.features)).T
        filtered = lfilter([1.0], [1.0, -self.coefficient], mixed.numpy(), axis=1)
        return torch.from_numpy(filtered)[:, WARM_UP:]

    def independent(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent sequences, (n, frames, features)."""
        return self.series(n, self.frames, generator)

    def consecutive(self, n: int, generator: torch.Generator) -> Tensor:
        """n sequences cut from one series, each the continuation of the one before."""
        return self.series(1, n * self.frames, generator)[0].unflatten(0, (n, self.frames))


def planted(frames: int = 32, features: int = 4) -> tuple[Defect, ...]:
    """No defect first, then every defect; real sequences follow the yardstick wherever the defect allows.

    The yardstick: exponential kernel, lengthscale 8, and ``spatial_covariance``.
    """
    truth = _law(8.0, 1.0, frames, features)

    def real(n: int, g: torch.Generator) -> Tensor:
        return truth.sample(n, generator=g)

    def other(lengthscale: float, exponent: float) -> Generate:
        wrong = _law(lengthscale, exponent, frames, features)
        return lambda x, m, g: wrong.sample(m, generator=g)

    def changed(change: Callable[[Tensor, torch.Generator], Tensor]) -> Generate:
        return lambda x, m, g: change(real(m, g), g)

    deviation = spatial_covariance(features).diagonal().sqrt()
    swap = [1, 0, *range(2, features)]
    return (
        Defect("none", real, lambda x, m, g: real(m, g)),
        Defect("independent frames", real, _independent(frames, features)),
        _without_cross(frames, features),
        Defect("decay exponent 1.1 for 1", real, other(8.0, 1.1)),
        Defect("lengthscale 10 % too long", real, other(8.8, 1.0)),
        Defect("lengthscale 10 % too short", real, other(7.2, 1.0)),
        Defect("variance shrunk by 5 %", real, changed(lambda y, g: math.sqrt(0.95) * y)),
        Defect("tails clamped at 2.5 sd", real, changed(lambda y, g: y.clamp(-2.5 * deviation, 2.5 * deviation))),
        Defect("time shuffled", real, changed(_shuffled)),
        Defect("features swapped", real, changed(lambda y, g: y[..., swap])),
        _separable(frames, features),
        Defect("training data copied", real, lambda x, m, g: _pick(x, m, g) + 0.05 * real(m, g)),
        Defect(
            f"collapsed onto {MODES} modes",
            real,
            lambda x, m, g: math.sqrt(0.98) * _pick(real(MODES, g), m, g) + math.sqrt(0.02) * real(m, g),
        ),
    )


def _law(lengthscale: float, exponent: float, frames: int, features: int) -> GaussianSequence:
    return GaussianSequence(PowerExponential(lengthscale, exponent), spatial_covariance(features), times=frames)


def _pick(x: Tensor, m: int, generator: torch.Generator) -> Tensor:
    return x[torch.randint(len(x), (m,), generator=generator)]


def _shuffled(y: Tensor, generator: torch.Generator) -> Tensor:
    order = torch.rand(y.shape[:2], generator=generator).argsort(dim=1)
    return y.gather(1, order[..., None].expand_as(y))


def _independent(frames: int, features: int) -> Generate:
    root = torch.linalg.cholesky(spatial_covariance(features))

    def draw(x: Tensor, m: int, g: torch.Generator) -> Tensor:
        return torch.randn(m, frames, features, generator=g, dtype=torch.float64) @ root.T

    return draw


def _without_cross(frames: int, features: int) -> Defect:
    """Every feature keeps its own past and the others of the same frame; what links it to others' past is gone."""
    eye, ones = torch.eye(features, dtype=torch.float64), torch.ones(features, features, dtype=torch.float64)
    sigma = eye + 0.3 * (ones - eye)
    whole = GaussianSequence(PowerExponential(1.0, 1.0), sigma, times=frames)
    every = torch.eye(frames, dtype=torch.float64)
    covariance = torch.kron(whole.temporal_covariance, eye) + torch.kron(every, sigma - eye)
    root = torch.linalg.cholesky(covariance)

    def draw(x: Tensor, m: int, g: torch.Generator) -> Tensor:
        z = torch.randn(m, frames * features, generator=g, dtype=torch.float64)
        return (z @ root.T).unflatten(1, (frames, features))

    return Defect("cross-lag dependence removed", lambda n, g: whole.sample(n, generator=g), draw)


def _separable(frames: int, features: int) -> Defect:
    """The nearest separable law to a sum of a fast and a slow part that live in different features."""
    weights = torch.logspace(0, -1, features, dtype=torch.float64)
    fast = GaussianSequence(PowerExponential(2.0, 1.0), torch.diag(weights), times=frames)
    slow = GaussianSequence(PowerExponential(16.0, 1.0), torch.diag(weights.flip(0)), times=frames)

    def woven(n: int, g: torch.Generator) -> Tensor:
        return fast.sample(n, generator=g) + slow.sample(n, generator=g)

    product = Separable().fit(woven(20_000, torch.Generator().manual_seed(1)))
    return Defect("separable for non-separable", woven, lambda x, m, g: product.sample(m, generator=g))
