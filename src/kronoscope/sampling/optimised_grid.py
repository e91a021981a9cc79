"""Times and extrapolation weights of DPM-Solver++ 2M, optimised through the exact law of the sampler.

In the eigenbasis of the data's covariance the sampler multiplies each direction by a number that depends on its
eigenvalue, so the KL of what it generates is a sum over eigenvalues, differentiable in the times and the weights.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .. import _checks, diffusion
from .._errors import InputError
from ..processes import GaussianLaw, GaussianSequence, SeparableGaussian, require_law
from .tables import SamplerTable

MOST_EIGENVALUES = 512  # larger spectra are averaged in groups of neighbours
MOST_ENTRIES = 4096  # N d of a law that must be decomposed
ROUNDS, ITERATIONS = 10, 20
PENALTY = 0.1  # of the squared logarithm of what an extrapolation weight differs by from that of the second order
SMALLEST = 1e-14  # nats, below which round-off decides
ENOUGH = 1e-9  # nats, at which to stop


def optimised(
    num_calls: int, law: GaussianLaw, min_time: float, max_time: float, *, extrapolation: bool = True
) -> SamplerTable:
    """DPM-Solver++ 2M with the times, and the weights of the extrapolation, that are best for ``law``.

    Minimises KL(generated | exact) at ``min_time`` over t_1 > ... > t_{K-1} and w_1, ..., w_{K-1} in

        x' = (sigma'/sigma) x + alpha' (1 - rho'/rho) ((1 + w_k) D_k - w_k D_{k-1})

    by L-BFGS, from the uniform grid and the weights of second order, h_k / (2 h_{k-1}) with h the steps of log(rho).
    The start is N(0, I) at ``max_time``, whose own error the weights correct as far as they can. The mean of the law is
    not looked at.

    Args:
        num_calls: Score calls, at least 2.
        law: Of the data, in the coordinates of the score; N d at most 4096 unless it is separable.
        min_time: Diffusion time at which to stop.
        max_time: Diffusion time at which to start.
        extrapolation: Whether to optimise the weights, too; else they are those of second order.

    Raises:
        TypeError: ``law`` is not a Gaussian law.
        InputError: A number is out of its range, or the law is too large to decompose.
    """
    count = _checks.count("num_calls", num_calls, 2, 256)
    ends = diffusion.clock(diffusion.times_on_clock(min_time, max_time, 2))
    eigenvalues, multiplicities = _spectrum(law)
    steps = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    weights = torch.zeros(count, dtype=torch.float64, requires_grad=True)

    def kl() -> Tensor:
        return _kl(*_coefficients(steps, weights, ends), eigenvalues, multiplicities)

    def loss() -> Tensor:
        return (kl() + SMALLEST).log() + PENALTY * weights.square().sum()

    # The times first: from there the weights seldom leave the finite numbers.
    _minimise(loss, kl, [steps], 1 if extrapolation else ROUNDS)
    if extrapolation:
        _minimise(loss, kl, [steps, weights], ROUNDS)
    with torch.no_grad():
        clocks, shares = _coefficients(steps, weights, ends)
    return multistep("dpm-solver+optimised", clocks, shares, min_time, max_time)


def _minimise(loss: Callable[[], Tensor], kl: Callable[[], Tensor], free: list[Tensor], rounds: int) -> None:
    """L-BFGS by rounds while the KL falls; the numbers of the best round stay."""

    def value() -> float:
        with torch.no_grad():
            return float(kl())

    def closure() -> Tensor:
        search.zero_grad()
        current = loss()
        current.backward()
        return current

    search = torch.optim.LBFGS(free, max_iter=ITERATIONS, history_size=50, line_search_fn="strong_wolfe")
    least, best = value(), [part.detach().clone() for part in free]
    for _ in range(rounds):
        if least <= ENOUGH:
            break
        search.step(closure)
        reached = value()
        if not reached < least:  # no better, or a line search that left the finite numbers
            break
        least, best = reached, [part.detach().clone() for part in free]
    with torch.no_grad():
        for part, kept in zip(free, best):
            part.copy_(kept)


def multistep(name: str, clocks: Tensor, shares: Tensor, min_time: float, max_time: float) -> SamplerTable:
    """The table of DPM-Solver++ 2M on any grid.

    Args:
        name: Of the table.
        clocks: u_0 > ... > u_K, (calls + 1,).
        shares: w_k, (calls,); the first is 0.
        min_time, max_time: The ends, which replace those of ``clocks`` up to round-off.
    """
    times = diffusion.time_from_clock(clocks)
    times[0], times[-1] = max_time, min_time
    alpha, sigma = diffusion.alpha(times), diffusion.sigma(times)
    weight = -alpha[1:] * torch.expm1(diffusion.clock(times).diff() / 2)
    a, b, c = sigma[1:] / sigma[:-1], weight * (1 + shares), -weight * shares
    steps, from_state, from_denoised, from_previous = (tuple(column.tolist()) for column in (times[:-1], a, b, c))
    return SamplerTable(name, steps, from_state, from_denoised, from_previous, (0.0,) * len(steps), min_time)


def _spectrum(law: GaussianLaw) -> tuple[Tensor, Tensor]:
    """Eigenvalues of the covariance and how many each stands for."""
    require_law("law", law)
    if isinstance(law, (GaussianSequence, SeparableGaussian)):
        factors = (torch.linalg.eigvalsh(part) for part in (law.temporal_covariance, law.spatial_covariance))
        values = torch.outer(*factors).flatten()
    else:
        if law.mean.numel() > MOST_ENTRIES:
            raise InputError(f"law must have at most {MOST_ENTRIES} frames times features, got {law.mean.numel()}")
        values = torch.linalg.eigvalsh(law.covariance())
    ordered = values.cpu().clamp(min=0.0).sort().values
    groups = ordered.tensor_split(min(len(ordered), MOST_EIGENVALUES))
    means = torch.stack([group.mean() for group in groups])
    return means, torch.tensor([len(group) for group in groups], dtype=torch.float64)


def _coefficients(steps: Tensor, weights: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Clocks u_0 > ... > u_K from unconstrained numbers, and the weights of the extrapolation."""
    width = ends[0] - ends[1]
    clocks = torch.cat([ends[:1], ends[0] - width * torch.softmax(steps, 0).cumsum(0)])
    gaps = -clocks.diff()
    return clocks, torch.cat([torch.zeros_like(gaps[:1]), gaps[1:] / (2 * gaps[:-1]) * weights[1:].exp()])


def _kl(clocks: Tensor, shares: Tensor, eigenvalues: Tensor, multiplicities: Tensor) -> Tensor:
    """KL(generated | exact) of zero-mean laws, nats: 1/2 sum m (v - 1 - log v), v the ratio of variances."""
    times = diffusion.time_from_clock(clocks)
    alpha, variance = diffusion.alpha(times), diffusion.sigma_squared(times)
    sigma = variance.sqrt()
    state, previous = torch.ones_like(eigenvalues), torch.zeros_like(eigenvalues)
    for k, share in enumerate(shares):
        denoised = alpha[k] * eigenvalues / (alpha[k] ** 2 * eigenvalues + variance[k]) * state
        weight = -alpha[k + 1] * torch.expm1((clocks[k + 1] - clocks[k]) / 2)
        state = sigma[k + 1] / sigma[k] * state + weight * ((1 + share) * denoised - share * previous)
        previous = denoised
    ratio = state.square() / (alpha[-1] ** 2 * eigenvalues + variance[-1])
    return 0.5 * (multiplicities * (ratio - 1 - ratio.log())).sum()
