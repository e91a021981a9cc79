"""Where the mixture network starts: a mixture of separable laws by expectation-maximisation from several clusterings.

It only has to give every component sequences of its own; denoising score matching does the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .._errors import InputError
from ..nn import MixtureTransformer
from ..processes import Mixture, SeparableGaussian

STARTS = 12
FEWEST = 10  # complete sequences for each component
ROUNDS = 40
MOST_SEQUENCES = 4000
_LAGS = 4  # of the autocorrelations that clusters are made of
_RIDGE = 1e-3  # of the mean variance, added to both factors


def start_mixture(network: MixtureTransformer, x: Tensor, min_time: float, generator: torch.Generator) -> None:
    """Let a network begin at :func:`mixture_start` of the complete sequences among ``x``.

    Args:
        network: As built.
        x: Training sequences, as the network will see them.
        min_time: t0 of the training.
        generator: Of the clusterings.

    Raises:
        InputError: There are fewer than ten complete sequences for each component.
    """
    whole, components = x[x.isfinite().all(dim=(1, 2))], network.num_components
    if len(whole) < FEWEST * components:
        raise InputError(
            f"network 'mixture' needs at least {FEWEST} complete sequences for each component, "
            f"{FEWEST * components} in all, got {len(whole)}: "
            f"give fewer components (--option components={max(1, len(whole) // FEWEST)})"
        )
    law, _ = mixture_start(
        whole, components, min_time=min_time, mean=network.mean_kind, is_regular=network.is_regular, generator=generator
    )
    network.start_from([part for part in law.components if isinstance(part, SeparableGaussian)], law.weights)


@dataclass(frozen=True)
class _Fit:
    """Components, their responsibilities and the mean log likelihood at the smallest diffusion time."""

    temporal: Tensor  # (K, N, N)
    spatial: Tensor  # (K, d, d)
    means: Tensor  # (K, N, d)
    log_weights: Tensor  # (K,)
    log_likelihood: float


def mixture_start(
    x: Tensor,
    components: int,
    *,
    min_time: float,
    mean: str = "zero",
    is_regular: bool = True,
    starts: int = STARTS,
    generator: torch.Generator,
) -> tuple[Mixture, float]:
    """A mixture of K separable Gaussian laws for ``x``, and its mean log likelihood in nats at ``min_time``.

    Args:
        x: (n, N, d), complete sequences.
        components: K.
        min_time: t0; the likelihood is that of the noised law, which no direction of small variance can rule.
        mean: Of each component: "zero", "feature" or "free".
        is_regular: Whether frames are equally spaced, so that diagonals of Gamma are averaged.
        starts: How many clusterings are tried; the best likelihood is kept.
        generator: Of the clusterings.
    """
    data = x.detach().to("cpu", torch.float64)
    if len(data) > MOST_SEQUENCES:
        data = data[torch.randperm(len(data), generator=generator)[:MOST_SEQUENCES]]
    shrink, noise = math.exp(-min_time), -math.expm1(-min_time)
    traits = _traits(data)
    fits = []
    for start in range(starts if components > 1 else 1):
        shares = _clusters(traits, components, start, generator)
        fits.append(_maximise(data, shares, shrink, noise, mean, is_regular))
    best = max(fits, key=lambda fit: fit.log_likelihood)
    laws = [
        SeparableGaussian(gamma, sigma, centre)
        for gamma, sigma, centre in zip(best.temporal, best.spatial, best.means, strict=True)
    ]
    return Mixture(laws, best.log_weights.exp()), best.log_likelihood


def _traits(x: Tensor) -> Tensor:
    """What tells sequences apart, standardised: level and log power of each feature, and autocorrelations."""
    centred = x - x.mean((0, 1))
    power = centred.square().mean(1)
    lags = range(1, min(_LAGS, x.shape[1] - 1) + 1)
    correlations = [
        (centred[:, lag:] * centred[:, :-lag]).mean((1, 2)) / power.mean(1).clamp_min(1e-12) for lag in lags
    ]
    columns = [power.clamp_min(1e-12).log(), centred.mean(1), *(c[:, None] for c in correlations)]
    table = torch.cat(columns, 1)
    return (table - table.mean(0)) / table.std(0).clamp_min(1e-9)


def _clusters(traits: Tensor, components: int, start: int, generator: torch.Generator) -> Tensor:
    """Responsibilities (n, K) from k-means on randomly weighted traits."""
    weight = torch.rand(traits.shape[1], dtype=torch.float64, generator=generator) if start else 1.0
    points = traits * weight
    centres = points[torch.randint(len(points), (1,), generator=generator)]
    while len(centres) < components:  # k-means++
        distance = torch.cdist(points, centres).amin(1).square() + 1e-12
        centres = torch.cat([centres, points[torch.multinomial(distance, 1, generator=generator)]])
    for _ in range(10):
        nearest = torch.cdist(points, centres).argmin(1)
        members = torch.nn.functional.one_hot(nearest, components).double()
        counts = members.sum(0)[:, None]
        centres = torch.where(counts > 0, members.mT @ points / counts.clamp_min(1), centres)
    return 0.9 * members + 0.1 / components


def _maximise(x: Tensor, shares: Tensor, shrink: float, noise: float, mean: str, is_regular: bool) -> _Fit:
    spatial = torch.eye(x.shape[2], dtype=torch.float64).repeat(shares.shape[1], 1, 1)
    previous = -math.inf
    for round_number in range(ROUNDS):
        parts = [_component(x, shares[:, k], spatial[k], mean, is_regular) for k in range(shares.shape[1])]
        temporal, spatial, means = (torch.stack(group) for group in zip(*parts, strict=True))
        log_weights = (shares.mean(0) + 1e-6).log().log_softmax(0)
        logs = _densities(x, temporal, spatial, means, shrink, noise) + log_weights
        likelihood = float(logs.logsumexp(1).mean())
        if round_number > 3 and likelihood - previous < 1e-4:
            break
        previous, shares = likelihood, logs.softmax(1)
    return _Fit(temporal, spatial, means, log_weights, likelihood)


def _component(x: Tensor, share: Tensor, spatial: Tensor, mean: str, is_regular: bool) -> tuple[Tensor, Tensor, Tensor]:
    """One round of flip-flop with weights: Gamma given Sigma, then Sigma given Gamma; tr Sigma = d."""
    frames, features = x.shape[1:]
    total = share.sum() + 1e-9
    centre = torch.zeros(frames, features, dtype=torch.float64)
    if mean != "zero":
        centre = torch.einsum("b,bnd->nd", share, x) / total
        centre = centre.mean(0).expand(frames, -1) if mean == "feature" else centre
    y = (x - centre) * (share / total).sqrt()[:, None, None]
    white = y @ torch.linalg.inv(spatial)
    gamma = torch.einsum("bnd,bmd->nm", white, y) / features
    gamma = _stationary(gamma) if is_regular else gamma
    gamma = gamma + _RIDGE * gamma.diagonal().mean() * torch.eye(frames, dtype=torch.float64)
    sigma = torch.einsum("bnd,bne->de", torch.linalg.solve(gamma, y), y) / frames
    sigma = sigma + _RIDGE * sigma.diagonal().mean() * torch.eye(features, dtype=torch.float64)
    scale = sigma.diagonal().mean()
    return gamma * scale, 0.5 * (sigma + sigma.mT) / scale, centre


def _stationary(gamma: Tensor) -> Tensor:
    """The means along the diagonals, with negative eigenvalues raised to zero."""
    frames = len(gamma)
    lags = torch.tensor([float(gamma.diagonal(k).mean()) for k in range(frames)], dtype=torch.float64)
    index = torch.arange(frames)
    values, vectors = torch.linalg.eigh(lags[(index[:, None] - index).abs()])
    return (vectors * values.clamp_min(0.0)) @ vectors.mT


def _densities(x: Tensor, temporal: Tensor, spatial: Tensor, means: Tensor, shrink: float, noise: float) -> Tensor:
    """log p_k(alpha x) of the noised law with its noise averaged out, up to one constant, (n, K).

    The expected quadratic form over the noise is that of alpha^2 y y' + sigma^2 I.
    """
    columns = []
    for gamma, sigma, centre in zip(temporal, spatial, means, strict=True):
        lam, u = torch.linalg.eigh(gamma)
        sig, v = torch.linalg.eigh(sigma)
        spectrum = shrink * lam[:, None].clamp_min(0) * sig + noise
        rotated = u.mT @ (x - centre) @ v
        square = shrink * rotated.square() + noise
        columns.append(-0.5 * ((square / spectrum).sum((1, 2)) + spectrum.log().sum()))
    return torch.stack(columns, 1)
