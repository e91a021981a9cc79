"""Sequences given some of their entries, from any score: guidance for the runner, and replacement with resampling.

For observed entries y = A x_0 the score of the conditional law is s(x, t) + grad log p(y | x_t). Guidance approximates
the second term by a Gaussian around the denoised sequence D(x) = E[x_0 | x_t = x]: a score like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .. import _checks, diffusion
from .._errors import InputError
from .._typing import DiffusionTime, ScoreFunction
from ..diffusion.schedule import broadcast
from .builders import exponential_sde
from .runner import sample
from .tables import SamplerTable, require_table

CONDITIONAL_METHODS = ("replacement", "dps", "mmps")
CG_TOLERANCE = 1e-4
CG_ITERATIONS = 12
RESAMPLINGS = 10


def guided_score(
    score: ScoreFunction, mask: Tensor, values: Tensor, method: str = "mmps", max_iterations: int = CG_ITERATIONS
) -> ScoreFunction:
    """A score of the law given ``values`` where ``mask``, by guidance of a score without condition.

        s(x, t) + J' A' W^-1 (y - A D(x)),    D(x) = (x + sigma^2 s) / alpha,    J = dD/dx

    "mmps": W = A V A' with V = Cov[x_0 | x_t] = (sigma^2 / alpha) J, by conjugate gradients; exact where the data are
    Gaussian and the score is theirs. "dps": W = sigma^2 I, the gradient of |y - A D(x)|^2 / 2 with the weight that fits
    independent data of variance 1 (the source has a constant found by trial); it ignores that observed entries are
    uncertain together.

    Args:
        score: Any score that autograd can go through.
        mask: (frames, features), bool; True = observed.
        values: (frames, features); unobserved entries may be NaN.
        method: "mmps" or "dps".
        max_iterations: Of conjugate gradients, which end sooner at a relative residual of 1e-4.

    Raises:
        InputError: Unknown method, shapes that disagree, or an observed value that is not finite.

    Source: dps: Chung et al., "Diffusion posterior sampling", ICLR 2023, arXiv:2209.14687, eq. (16), with the weight of
    Song et al., "Pseudoinverse-guided diffusion models", ICLR 2023, eq. (7). mmps: Rozet et al., "Learning diffusion
    priors from observations by expectation maximization", NeurIPS 2024, arXiv:2405.13712, section 4.2.
    """
    if method not in ("dps", "mmps"):
        raise InputError(f"method must be 'mmps' or 'dps', got {method!r}")
    _checks.count("max_iterations", max_iterations)
    mask, values = _observed(mask, values)

    def conditional(x: Tensor, t: DiffusionTime) -> Tensor:
        seen, y = mask.to(x.device), values.to(x)
        with torch.enable_grad():
            inside = x.detach().requires_grad_()
            value = score(inside, t)
            denoised = diffusion.denoised_from_score(value, inside, t)

            def pull(v: Tensor) -> Tensor:
                return torch.autograd.grad(denoised, inside, v, retain_graph=True)[0]

            time = _checks.diffusion_time(t, len(x), x, allow_zero=False)
            variance = broadcast(diffusion.sigma_squared(time), x)
            residual = torch.where(seen, y - denoised.detach(), 0.0)
            if method == "dps":
                return value.detach() + pull(residual / variance)
            factor = variance / broadcast(diffusion.alpha(time), x)
            weighted = _solve(lambda v: torch.where(seen, factor * pull(v), 0.0), residual, max_iterations)
            return value.detach() + pull(weighted)

    return conditional


def sample_given(
    score: ScoreFunction,
    mask: Tensor,
    values: Tensor,
    num: int,
    *,
    method: str = "mmps",
    table: SamplerTable | None = None,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    resamplings: int = RESAMPLINGS,
) -> Tensor:
    """``num`` sequences at t = 0 given ``values`` where ``mask``; observed entries come back exactly.

    "replacement" draws the observed entries of x_t afresh from y at every step, so the hidden ones see y through the
    score alone; each step is gone back and taken again ``resamplings`` times, which brings the two into agreement.

    Args:
        score: Any score; for the guided methods one that autograd can go through.
        mask, values: As for :func:`guided_score`.
        num: How many.
        method: "replacement", "dps" or "mmps".
        table: The sampler; None means ``exponential_sde(64)``. Replacement needs one without memory
            (``from_previous`` all zero) and with noise.
        generator: None means seed 0.
        dtype, device: Of the state.
        resamplings: How often replacement takes each step.

    Returns:
        (num, frames, features).

    Raises:
        InputError: As :func:`guided_score`; a table that does not suit; a score that is not finite.

    Source: replacement: Lugmayr et al., "RePaint", CVPR 2022, arXiv:2201.09865, algorithm 1.
    """
    if method not in CONDITIONAL_METHODS:
        raise InputError(f"method must be one of {', '.join(CONDITIONAL_METHODS)}, got {method!r}")
    _checks.score("score", score)
    _checks.floating("dtype", dtype)
    _checks.count("num", num)
    _checks.count("resamplings", resamplings)
    mask, values = _observed(mask, values)
    table = exponential_sde(64) if table is None else table
    require_table(table)
    shape = (num, *mask.shape)
    generator = _checks.generator_or_seed_zero(generator)
    if method == "replacement":
        with torch.no_grad():
            drawn = _replace(score, mask, values, table, generator, shape, dtype, device, resamplings)
    else:
        guided = guided_score(score, mask, values, method)
        drawn = sample(guided, shape, table, generator=generator, dtype=dtype, device=device, denoise=True)
    return torch.where(mask.to(drawn.device), values.to(drawn), drawn)


def _observed(mask: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    mask, values = _checks.tensor("mask", mask), _checks.tensor("values", values)
    if mask.dtype != torch.bool:
        raise TypeError(f"mask must be boolean (True = observed), got {mask.dtype}")
    if mask.ndim != 2 or values.shape != mask.shape:
        shapes = f"{tuple(mask.shape)} and {tuple(values.shape)}"
        raise InputError(f"mask and values must both have shape (frames, features), got {shapes}")
    return mask, _checks.finite("values", torch.where(mask, values, 0.0))


def _solve(product: Callable[[Tensor], Tensor], right: Tensor, max_iterations: int) -> Tensor:
    """Conjugate gradients on each sequence by itself; it stops where done or where the curvature is not positive.

    A learnt Jacobian is only nearly symmetric and positive, so the iteration is cut off and not required to converge.
    """
    solution, residual = torch.zeros_like(right), right
    direction, rho = right, right.square().sum(dim=(1, 2), keepdim=True)
    goal = CG_TOLERANCE**2 * rho
    for _ in range(max_iterations):
        image = product(direction)
        curvature = (direction * image).sum(dim=(1, 2), keepdim=True)
        going = (rho > goal) & (curvature > 0)
        if not bool(going.any()):
            break
        step = torch.where(going, rho / torch.where(going, curvature, 1.0), 0.0)
        solution = solution + step * direction
        residual = residual - step * image
        following = residual.square().sum(dim=(1, 2), keepdim=True)
        direction = torch.where(going, residual + following / torch.where(going, rho, 1.0) * direction, 0.0)
        rho = torch.where(going, following, 0.0)
    return solution


def _replace(
    score: ScoreFunction,
    mask: Tensor,
    values: Tensor,
    table: SamplerTable,
    generator: torch.Generator,
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    device: torch.device | str,
    resamplings: int,
) -> Tensor:
    if any(table.from_previous) or table.is_deterministic:
        raise InputError(f"table must be of a sampler with noise and without memory for replacement, got {table.name}")
    mask, values = mask.to(device), values.to(dtype=dtype, device=device)

    def noise() -> Tensor:
        drawn = torch.randn(shape, dtype=torch.float64, generator=generator, device=generator.device)
        return drawn.to(dtype=dtype, device=device)

    ends = (*table.times[1:], table.end_time)
    x = noise()
    for k, (t, end) in enumerate(zip(table.times, ends, strict=True)):
        for again in range(resamplings):
            shrink = math.exp(-t / 2)
            x = torch.where(mask, shrink * values + math.sqrt(-math.expm1(-t)) * noise(), x)
            value = diffusion.evaluate(score, x, t, f" (score call {k + 1} of {table.num_calls} of replacement)")
            x = table.from_state[k] * x + table.from_denoised[k] * diffusion.denoised_from_score(value, x, t)
            x = x + table.noise[k] * noise()
            if again < resamplings - 1:  # back from end to t by the forward process
                x = math.exp((end - t) / 2) * x + math.sqrt(-math.expm1(end - t)) * noise()
    end = table.end_time
    if end:
        spread = math.sqrt(-math.expm1(-end))
        x = torch.where(mask, math.exp(-end / 2) * values + spread * noise(), x + spread * noise())
        # noise of the variance that x has already, added first, keeps what the mean alone would lose
        x = diffusion.denoised_from_score(diffusion.evaluate(score, x, end, " (replacement)"), x, end)
    return x
