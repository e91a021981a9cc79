"""K unrolled solvers under a softmax: the score of a mixture of Gaussian laws that are learnt.

The transformer unrolls an algorithm, and its softmax infers the regime (docs/theory.md, section 10).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .. import _checks
from .._errors import InputError
from ..diffusion.schedule import alpha, broadcast, sigma_squared
from .unrolled import UnrolledTransformer
from .unrolled_heads import SpectralHeads, in_steps

Mean = Literal["zero", "feature", "free"]
MOST_COMPONENTS = 16
MOST_SCALES = 33
SCALE_RANGE = (-2.0, 4.0)  # of log w
LARGEST_FRAMES = 1024
LARGEST_MASKED = 512


class Part(Protocol):
    """What :meth:`MixtureTransformer.start_from` reads of a component."""

    @property
    def mean(self) -> Tensor:
        """(frames, features)."""

    def covariance(self) -> Tensor:
        """(N d, N d), frame-major."""


class MixtureTransformer(nn.Module):
    """epsilon(x, t) = sigma_t sum_k r_k C_k^-1 y_k, the score of a mixture of K separable Gaussian laws.

        y_k = x - alpha_t mu_k,    C_k = alpha_t^2 Gamma_k kron Sigma_k + sigma_t^2 I
        r = softmax_k[ b_k - 1/2 ( y_k' C_k^-1 y_k + log det C_k ) ]

    Each component is a solver with one head: attention weights Gamma_k of the lag, values Sigma_k. The softmax runs
    over quadratic forms that the solvers compute anyway, with a bias by time. So the learnt law is a mixture, exactly:
    weights softmax(b), components N(mu_k, Gamma_k kron Sigma_k). Gradients are implicit, as in
    :class:`UnrolledTransformer`: the backward pass is one more solve.

    Where entries are missing, the score is that of the entries that are there.

    Args:
        num_frames: N, at most 1024.
        num_features: d.
        components: K, at most 16.
        times: h, for irregular times; None means 0..N-1.
        mean: What is learnt of each mu_k: "zero" (nothing), "feature" (d numbers) or "free" ((N, d)).
        scales: 1 makes components Gaussian. More make them elliptical: each is a mixture over that many factors of its
            covariance, between exp(-2) and exp(4), whose probabilities are learnt. For heavy tails.

    Raises:
        InputError: An option out of its range.
    """

    factors: Tensor

    def __init__(
        self,
        num_frames: int,
        num_features: int,
        components: int = 3,
        times: Sequence[float] | Tensor | None = None,
        mean: Mean = "zero",
        scales: int = 1,
    ) -> None:
        super().__init__()
        self.num_frames = _checks.count("num_frames", num_frames, 1, LARGEST_FRAMES)
        self.num_features = _checks.count("num_features", num_features)
        self.num_components = _checks.count("components", components, 1, MOST_COMPONENTS)
        if mean not in get_args(Mean):
            raise InputError(f"mean must be one of {', '.join(get_args(Mean))}, got {mean!r}")
        grid = torch.arange(num_frames, dtype=torch.float64) if times is None else in_steps(torch.as_tensor(times))
        if grid.shape != (num_frames,):
            raise InputError(f"times must have shape ({num_frames},), got {tuple(grid.shape)}")
        self._grid, self.mean_kind = grid, mean
        self.is_regular = bool((grid == torch.arange(num_frames)).all())
        self.heads = nn.ModuleList(SpectralHeads(grid, num_features, 1) for _ in range(components))
        for k, heads in enumerate(self._each()):
            heads.real.data *= 1.3 ** (k - (components - 1) / 2)  # equal components would stay equal
        self.logits = nn.Parameter(torch.zeros(components))
        count = _checks.count("scales", scales, 1, MOST_SCALES)
        spread = torch.linspace(*SCALE_RANGE, count, dtype=torch.float64) if count > 1 else torch.zeros(1).double()
        self.register_buffer("factors", spread.exp(), persistent=False)
        self.tails = (
            None if count == 1 else nn.Parameter((-0.5 * (spread / 0.7).square()).float().repeat(components, 1))
        )
        frames = {"zero": 0, "feature": 1, "free": num_frames}[mean]
        self.mean = nn.Parameter(torch.zeros(components, frames, num_features)) if frames else None

    def forward(self, x: Tensor, t: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (batch, frames, features), t (batch,) to epsilon like x; under a mask (bool, like x), of its entries."""
        if not all(bool(p.isfinite().all()) for p in self.parameters()):
            return x * torch.nan  # no decomposition exists; the training then stops with a divergence error
        time = t.double().expand(len(x))
        logits, solved = self.evidence(x, time, mask)
        score = torch.einsum("kb,kbnd->bnd", logits.softmax(0).to(x), solved)
        return broadcast(sigma_squared(time).sqrt(), x) * score

    def evidence(self, x: Tensor, t: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """log w_k + log p_k(x_t) up to one constant, (K, batch), and C_k^-1 y_k, (K, batch, frames, features).

        Args:
            x: (batch, frames, features).
            t: (batch,), float64.
            mask: Like ``x``, bool; True where there is a value.
        """
        temporal, spatial = self.covariances()
        shrink = broadcast(alpha(t), x)
        y = x.expand(self.num_components, *x.shape)
        if self.mean is not None:
            y = y - shrink * self.mean.to(x)[:, None]
        scale, noise = torch.exp(-t).to(x), sigma_squared(t).to(x)
        if mask is None:
            solved, densities = _Solve.apply(
                y, temporal, spatial, scale, noise, self.factors.to(x), self.log_shares().to(x)
            )
        else:
            solved, densities = self._masked(y, mask, temporal, spatial, scale, noise)
        return self.logits.to(x).log_softmax(0)[:, None] + densities, solved

    def _masked(
        self, y: Tensor, mask: Tensor, temporal: Tensor, spatial: Tensor, scale: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same of the entries that are there; others become independent of them, with variance one and value zero.

        Raises:
            InputError: N d is above 512.
        """
        size = y.shape[2] * y.shape[3]
        if size > LARGEST_MASKED:
            raise InputError(f"missing values need frames * features of at most {LARGEST_MASKED} here, got {size}")
        whole = torch.einsum("kij,kab->kiajb", temporal, spatial).reshape(len(y), 1, 1, size, size)
        there = mask.flatten(1).double()
        identity = torch.eye(size, dtype=torch.float64, device=y.device)
        scales = self.factors[:, None] * scale.double()
        noised = scales[..., None, None] * whole + noise.double()[:, None, None] * identity
        pairs = there[:, :, None] * there[:, None, :]
        factor = torch.linalg.cholesky(pairs * noised + torch.diag_embed(1 - there))
        flat = (y.flatten(2).double() * there)[:, None, ..., None].expand(-1, len(scales), -1, -1, -1)
        each = torch.cholesky_solve(flat, factor)[..., 0]
        logs = (flat[..., 0] * each).sum(-1) + 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        logs = self.log_shares().double()[..., None] - 0.5 * logs
        solved = torch.einsum("kmb,kmbi->kbi", logs.softmax(1), each)
        return solved.reshape(y.shape).to(y), logs.logsumexp(1).to(y)

    def covariances(self) -> tuple[Tensor, Tensor]:
        """Gamma_k, (K, N, N), and Sigma_k, (K, d, d), float64."""
        parts = [heads.weights_and_values() for heads in self._each()]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def _each(self) -> list[SpectralHeads]:
        return [heads for heads in self.heads if isinstance(heads, SpectralHeads)]

    @property
    def weights(self) -> Tensor:
        """w_k, (K,), float64."""
        return self.logits.detach().double().softmax(0)

    def log_shares(self) -> Tensor:
        """log P(scale m | component k), (K, M)."""
        if self.tails is None:
            return self.logits.new_zeros(self.num_components, 1)
        return self.tails.log_softmax(1)

    def means(self) -> Tensor:
        """mu_k, (K, N, d), float64."""
        shape = self.num_components, self.num_frames, self.num_features
        return (
            torch.zeros(shape, dtype=torch.float64) if self.mean is None else self.mean.detach().double().expand(shape)
        )

    def start_from(self, parts: Sequence[Part], weights: Tensor) -> None:
        """Take over the components of a mixture: each the closest law that a head can hold (KL at t = 0.01).

        Args:
            parts: K laws.
            weights: Their K probabilities.

        Raises:
            InputError: Another number of components.
        """
        if len(parts) != self.num_components:
            raise InputError(f"parts must be {self.num_components} laws, got {len(parts)}")
        for heads, part in zip(self._each(), parts, strict=True):
            law = _Centred(part)
            closest = UnrolledTransformer.from_law(law, times=self._grid, mean="zero")
            heads.load_state_dict(closest.heads.state_dict())
        self.logits.data.copy_(weights.log().to(self.logits))
        if self.mean is not None:
            means = torch.stack([part.mean for part in parts])
            self.mean.data.copy_(means.mean(1, keepdim=True) if self.mean.shape[1] == 1 else means)


class _Centred:
    """A law without its mean."""

    def __init__(self, law: Part) -> None:
        self._law = law
        self.mean = torch.zeros_like(law.mean)

    def covariance(self) -> Tensor:
        return self._law.covariance()


class _Solve(torch.autograd.Function):
    """s_k = sum_m q_km C_km^-1 y_k and l_k = log sum_m exp(b_km) p_km(y_k), C_km = alpha^2 w_m K_k + sigma^2 I.

    q_k is the softmax over the scales w_m, K_k is separable. With a_m = q_m C_m^-1 g_s and
    h_m = q_m [ g_l + g_s' (s_m - s) ], the gradient of l_m, the gradient in K is
    sum_bm alpha^2 w_m [ h_m/2 (s_m s_m' - C_m^-1) - a_m s_m' ], symmetrised; in y it is sum_m (a_m - h_m s_m); in b_m
    it is sum_b h_m.
    """

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, temporal: Tensor, spatial: Tensor, scale: Tensor, noise: Tensor, w: Tensor, log_w: Tensor
    ) -> tuple[Tensor, Tensor]:
        lam, u = (part.to(y.dtype) for part in torch.linalg.eigh(temporal))
        sig, v = (part.to(y.dtype) for part in torch.linalg.eigh(spatial))
        values = (lam[:, :, None] * sig[:, None, :])[:, None, None]
        scales = w[:, None] * scale  # (M, B)
        spectrum = scales[..., None, None] * values + noise[:, None, None]  # (K, M, B, N, d)
        rotated = (u.mT[:, None] @ y @ v[:, None])[:, None]
        each = rotated / spectrum
        logs = log_w[..., None] - 0.5 * ((rotated * each).sum((3, 4)) + spectrum.log().sum((3, 4)))
        shares = logs.softmax(1)
        solved = torch.einsum("kmb,kmbnd->kbnd", shares, each)
        ctx.save_for_backward(u, lam, v, sig, spectrum, each, scales, shares, solved)
        return u[:, None] @ solved @ v.mT[:, None], logs.logsumexp(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_solved: Tensor, g_density: Tensor) -> tuple[Tensor | None, ...]:
        u, lam, v, sig, spectrum, each, scales, shares, solved = ctx.saved_tensors
        gradient = u.mT[:, None] @ g_solved @ v[:, None]
        excess = torch.einsum("kbnd,kmbnd->kmb", gradient, each - solved[:, None])
        h = shares * (g_density[:, None] + excess)
        a = shares[..., None, None] * gradient[:, None] / spectrum
        d_y = None
        if ctx.needs_input_grad[0]:
            d_y = u[:, None] @ (a - h[..., None, None] * each).sum(1) @ v.mT[:, None]
        left = scales[..., None, None] * (0.5 * h[..., None, None] * each - a)
        weight = ((-0.5 * scales * h)[..., None, None] / spectrum).sum((1, 2))
        by_frame = torch.einsum("kmbid,kd,kmbjd->kij", left, sig, each)
        by_frame = by_frame + torch.diag_embed((weight * sig[:, None]).sum(2))
        by_feature = torch.einsum("kmbnc,kn,kmbnd->kcd", left, lam, each)
        by_feature = by_feature + torch.diag_embed((weight * lam[:, :, None]).sum(1))
        return d_y, _back(u, by_frame), _back(v, by_feature), None, None, None, h.sum(2)


def _back(basis: Tensor, outer: Tensor) -> Tensor:
    """The symmetric part of ``outer``, out of the eigenbasis, in float64."""
    symmetric = 0.5 * (outer + outer.mT)
    return (basis @ symmetric @ basis.mT).double()
