"""What the heads of an unrolled transformer learn: K = sum_m A_m kron V_m, positive semi-definite by construction.

A_m is the attention weights of head m, a function of positions alone, and V_m its value matrix. Everything is
computed in float64 from weights of any dtype. Each module starts from K = I, up to a little noise where
several heads must be told apart.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from itertools import repeat

import torch
from torch import Tensor, nn

from .. import _checks
from .._errors import InputError

# Powers below it are linear-quadratic in their weight, powers above it exponential: it is the noise at t = 0.01, under
# which no score can see.
POWER_FLOOR = 0.01

# Period of the circulant embedding over the frames. A spectral line between two frequencies of the grid costs up to
# 0.5, 0.35, 0.1 and 1e-8 nats at 4, 8, 16 and 32 (cosine of period 5.3 and 1 % white, N = 16, d = 2, t = 0.01).
ENLARGEMENT = 32

_DEVIATION_GAIN, _DEVIATIONS = 0.3, 65

# Weight decay of what tells heads apart. Without it four heads go on learning the noise of 500 sequences: 0.05 nats
# after 1000 train steps, 0.10 after 5000 (docs/learning.md).
_SHRINKAGE = 0.05


class BlockHeads(nn.Module, ABC):
    """What the blocks of an unrolled transformer attend with: heads that all share, or heads of each block's own."""

    @abstractmethod
    def each(self) -> Iterable[Heads]:
        """The heads of blocks 1, 2, ..; the first block sees s = 0 and attends to nothing."""

    @abstractmethod
    def recorded_weights(self, num_blocks: int) -> list[Tensor]:
        """Attention weights of every block for a record, (heads, frames, frames)."""

    @abstractmethod
    def extremes(self, separable: bool) -> tuple[Tensor, Tensor]:
        """Smallest and largest eigenvalue of K; of the K of all blocks, where each has its own.

        Args:
            separable: Whether each K is one Kronecker product.
        """

    @abstractmethod
    def start(self) -> Heads:
        """The heads from which :meth:`restart` can start every block."""

    @abstractmethod
    def restart(self, start: Heads) -> None:
        """Every block's weights become those of ``start``."""


class Heads(BlockHeads):
    """Attention weights and value matrices, and the covariance that they add up to; all blocks share them."""

    @abstractmethod
    def weights_and_values(self) -> tuple[Tensor, Tensor]:
        """A (heads, frames, frames) and V (heads, features, features), float64."""

    def shrinkage(self) -> dict[nn.Parameter, float]:
        """Weight decay of the parameters by which heads differ in time.

        It shrinks K towards one Kronecker product; with relative positions towards one spectrum times one Hermitian
        matrix, which has an odd product beside the even one where the law is not symmetric in time. A prior, told in
        docs/theory.md, section 5: values do not shrink, and evidence moves the heads away.
        """
        return {}

    def covariance(self) -> Tensor:
        """K = sum_m A_m kron V_m, (N d, N d), frame-major, float64."""
        weights, values = self.weights_and_values()
        size = weights.shape[-1] * values.shape[-1]
        return torch.einsum("mij,mab->iajb", weights, values).reshape(size, size)

    def each(self) -> Iterable[Heads]:
        """These heads again and again."""
        return repeat(self)

    def recorded_weights(self, num_blocks: int) -> list[Tensor]:
        """The same in each block."""
        return [self.weights_and_values()[0]] * num_blocks

    def extremes(self, separable: bool) -> tuple[Tensor, Tensor]:
        """Smallest and largest eigenvalue of K."""
        if not separable:
            spectrum = torch.linalg.eigvalsh(self.covariance())
            return spectrum[0].clamp_min(0), spectrum[-1]
        weights, values = self.weights_and_values()
        temporal, spatial = torch.linalg.eigvalsh(weights[0]), torch.linalg.eigvalsh(values[0])
        return (temporal[0] * spatial[0]).clamp_min(0), temporal[-1] * spatial[-1]

    def start(self) -> Heads:
        """These heads."""
        return self

    def restart(self, start: Heads) -> None:
        """Take over the weights of ``start``."""
        self.load_state_dict(start.state_dict())


class SpectralHeads(Heads):
    """Relative positions: each head has a spectrum p_m >= 0 and a Hermitian positive semi-definite value matrix B_m.

        K_ij = sum_m [ c_m(h_i - h_j) Re B_m - s_m(h_i - h_j) Im B_m ]
        c_m(h) = sum_w p_m(w) cos(w h),    s_m(h) = sum_w p_m(w) sin(w h)

    A lone head is separable: B is real, K = Gamma kron Sigma with Gamma_ij = c(h_i - h_j). Of several, each
    occupies two attention heads, an even and an odd function of the signed lag, so K need not be symmetric in time.

    On a regular grid the frequencies are those of a circulant of ``ENLARGEMENT * N`` frames. Powers are

        p_m(w) = 2 floor (cosh(z_m(w)) - 1),    z_m(w) = gain shared(w) + 0.3 sum_k deviation_mk cos(k w) / (1 + k/2)^2

    exponential in z above ``POWER_FLOOR`` and square below it, so that the empty frequencies of a smooth kernel are
    reached in few steps. Several heads share a free spectrum and differ by a ratio that learns its coarse shape first:
    what they could fit of the noise in few sequences is in fine shapes, which are last (gain 0.5 instead of 4).

    Args:
        times: h, (N,), float64, in units of the smallest step.
        num_features: d.
        heads: M.
    """

    cosines: Tensor
    sines: Tensor
    shares: Tensor
    shapes: Tensor

    def __init__(self, times: Tensor, num_features: int, heads: int) -> None:
        super().__init__()
        self.is_regular = bool((times == torch.arange(len(times))).all())
        cosines, sines, shares = phases(times)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)
        self.register_buffer("shares", shares, persistent=False)
        self.gain = 4.0 if heads == 1 else 0.5
        start = math.acosh(1 + 1 / (2 * POWER_FLOOR)) / self.gain
        self.shared = nn.Parameter(torch.full((len(shares),), start))
        self.deviation = None
        if heads > 1:
            order = torch.arange(min(len(shares), _DEVIATIONS), dtype=torch.float64)
            angles = torch.outer(order, torch.linspace(0, math.pi, len(shares), dtype=torch.float64))
            shapes = _DEVIATION_GAIN * angles.cos() / (1 + order[:, None] / 2) ** 2
            self.register_buffer("shapes", shapes, persistent=False)
            self.deviation = nn.Parameter(torch.zeros(heads, len(order)))
        self.real, self.imaginary = _value_factors(heads, num_features, 0.3)

    def shrinkage(self) -> dict[nn.Parameter, float]:
        return {} if self.deviation is None else {self.deviation: _SHRINKAGE}

    def power(self) -> Tensor:
        """p_m(w), (heads, frequencies), float64."""
        level = self.gain * self.shared.double()[None]
        if self.deviation is not None:
            level = level + self.deviation.double() @ self.shapes.double()
        return 2 * POWER_FLOOR * (torch.cosh(level) - 1)

    def weights_and_values(self) -> tuple[Tensor, Tensor]:
        power, real = self.power() * self.shares.double(), self.real.double()
        cosines, sines = self.cosines.double(), self.sines.double()
        even = _by_lag(power @ cosines.mT, 1) if self.is_regular else _by_pair(power, cosines, cosines, sines, sines)
        if self.imaginary is None:
            return even, real @ real.mT
        odd = _by_lag(power @ sines.mT, -1) if self.is_regular else _by_pair(power, sines, cosines, cosines, -sines)
        symmetric, skew = _hermitian(real, self.imaginary.double())
        return torch.cat([even, odd]), torch.cat([symmetric, -skew])


class LagHeads(Heads):
    """Relative positions, one head a signed lag with a value matrix of its own: any block-Toeplitz K.

        K_ij = C(i - j),    C(k) = sum_w [ cos(w k) Re F(w) - sin(w k) Im F(w) ],    F(w) = W(w) W(w)^H

    Args:
        num_frames: N.
        num_features: d.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(self, num_frames: int, num_features: int) -> None:
        super().__init__()
        cosines, sines, shares = phases(torch.arange(num_frames, dtype=torch.float64))
        self.register_buffer("cosines", cosines * shares, persistent=False)
        self.register_buffer("sines", sines * shares, persistent=False)
        self.real = nn.Parameter(torch.eye(num_features).repeat(len(shares), 1, 1))
        self.imaginary = nn.Parameter(torch.zeros(len(shares), num_features, num_features))

    def values(self) -> Tensor:
        """C(k) for k = 0 .. N-1, (N, features, features), float64."""
        symmetric, skew = _hermitian(self.real.double(), self.imaginary.double())
        even = torch.tensordot(self.cosines.double(), symmetric, 1)
        return even - torch.tensordot(self.sines.double(), skew, 1)

    def weights_and_values(self) -> tuple[Tensor, Tensor]:
        frames = torch.arange(len(self.cosines), device=self.cosines.device)
        lags = torch.arange(1 - len(frames), len(frames), device=self.cosines.device)
        shifts = frames[:, None] - frames == lags[:, None, None]
        values = self.values()
        return shifts.double(), torch.cat([values[1:].mT.flip(0), values])

    def covariance(self) -> Tensor:
        values = self.values()
        blocks = toeplitz(values.movedim(0, -1), values.mT.movedim(0, -1))  # (a, b, i, j)
        size = blocks.shape[0] * blocks.shape[2]
        return blocks.permute(2, 0, 3, 1).reshape(size, size)


class FactorHeads(Heads):
    """Absolute positions: K = sum_m G D_m^2 G' kron W_m W_m' with one free basis G and diagonal D_m, not stationary.

    A lone head stands for any Gamma = G G', and two heads for any pair (two covariances are diagonal in a common basis
    that need not be orthogonal). More share a basis too, as stationary ones share the Fourier basis: a free factor
    for each cost more sequences, on the control and on a sum of three Kronecker products alike.

    Args:
        num_frames: N.
        num_features: d.
        heads: M.
    """

    def __init__(self, num_frames: int, num_features: int, heads: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.eye(num_frames))
        self.log_scale = None if heads == 1 else nn.Parameter(torch.zeros(heads, num_frames))
        self.real, _ = _value_factors(heads, num_features, 0.1)

    def shrinkage(self) -> dict[nn.Parameter, float]:
        return {} if self.log_scale is None else {self.log_scale: _SHRINKAGE}

    def weights_and_values(self) -> tuple[Tensor, Tensor]:
        factor, real = self.basis.double()[None], self.real.double()
        if self.log_scale is not None:
            factor = factor * self.log_scale.double().exp()[:, None]
        return factor @ factor.mT, real @ real.mT


def toeplitz(forward: Tensor, backward: Tensor) -> Tensor:
    """(..., N, N) with forward_k where i - j = k >= 0 and backward_k where j - i = k > 0, of (..., N) each."""
    falling = torch.cat([forward.flip(-1), backward[..., 1:]], dim=-1)  # by j - i, from -(N-1)
    return falling.unfold(-1, forward.shape[-1], 1).flip(-2)


def _by_lag(values: Tensor, sign: int) -> Tensor:
    return toeplitz(values, sign * values)


def _by_pair(power: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """a diag(p_m) b' + c diag(p_m) d' for every head."""
    return (power[:, None] * a) @ b.mT + (power[:, None] * c) @ d.mT


def _hermitian(real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of W W^H, W = real + i imaginary."""
    return real @ real.mT + imaginary @ imaginary.mT, imaginary @ real.mT - real @ imaginary.mT


def phases(times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """cos(w h) and sin(w h), (frames, frequencies), and the shares of the frequencies, which sum to 1; float64.

    The frequencies w run from 0 to pi in steps of 2 pi / L, L = ENLARGEMENT times the number of steps that the
    times span. Those of a regular grid make equal powers the identity.
    """
    steps = float(times[-1] - times[0]) + 1
    half = math.ceil(ENLARGEMENT * steps / 2)
    angles = torch.outer(times - times[0], torch.arange(half + 1, dtype=torch.float64) * (math.pi / half))
    shares = torch.full((half + 1,), 1.0 / half, dtype=torch.float64)
    shares[0] = shares[-1] = 0.5 / half
    return angles.cos(), angles.sin(), shares


def in_steps(times: Tensor) -> Tensor:
    """Times in units of their smallest step, from 0.

    Raises:
        InputError: They are not finite and strictly increasing.
    """
    given = _checks.finite("times", torch.as_tensor(times, dtype=torch.float64))
    steps = given.diff()
    if given.ndim != 1 or bool((steps <= 0).any()):
        raise InputError("times must be a strictly increasing 1-D array")
    return (given - given[0]) / (steps.min() if len(steps) else 1.0)


def _value_factors(heads: int, features: int, relative_noise: float) -> tuple[nn.Parameter, nn.Parameter | None]:
    """Real and imaginary factor of the value matrices: I for one head, I/sqrt(M) and noise for several."""
    start = torch.eye(features).repeat(heads, 1, 1) / heads**0.5
    if heads == 1:
        return nn.Parameter(start), None
    noise = relative_noise / heads**0.5
    return (
        nn.Parameter(start + noise * torch.randn_like(start)),
        nn.Parameter(noise * torch.randn_like(start)),
    )
