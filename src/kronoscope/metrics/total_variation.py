"""The total variation distance of two Gaussian laws: by Monte Carlo, beside its local formula and Pinsker's bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks, diffusion
from .._display import Displayed
from .._errors import InputError
from ..processes import GaussianLaw
from .gaussian import gaussian_kl

BATCH_VALUES = 2**20


@dataclass(frozen=True, repr=False)
class TotalVariation(Displayed):
    """TV(p, q) = 1/2 int |p - q|, between 0 and 1.

    Attributes:
        value: The Monte Carlo estimate.
        standard_error: Of ``value``.
        kl: KL(p | q) in nats, exact.
        local: sqrt(kl / pi): what TV is for two nearby laws in many dimensions, where log(p/q) is nearly normal.
        pinsker: sqrt(kl / 2): an upper bound by Pinsker, above ``local`` by a factor of sqrt(pi / 2).
        kind: "monte carlo".
    """

    value: float
    standard_error: float
    kl: float
    local: float
    pinsker: float
    kind: str = "monte carlo"

    def __str__(self) -> str:
        return f"{self.value:.4g} +- {self.standard_error:.2g} ({self.kind})"


def total_variation(
    p: GaussianLaw,
    q: GaussianLaw,
    time: float = 0.0,
    num_samples: int = 20_000,
    generator: torch.Generator | None = None,
) -> TotalVariation:
    """TV of two laws, both noised to diffusion time ``time``.

    With m = (p + q)/2 it is E_m |p - q| / (p + q) = E_m |tanh(log(p/q) / 2)|, bounded by 1, so the standard error is
    at most 1/(2 sqrt(num_samples)).

    Args:
        p: A law.
        q: Another, of the same sizes.
        time: Diffusion time; 0 compares the data.
        num_samples: Sequences in all, half of them from each law; at least 4.
        generator: None means seed 0.

    Raises:
        InputError: The sizes disagree, a law is singular at ``time``, or a number is out of its range.
    """
    t = _checks.non_negative("time", time)
    half = _checks.count("num_samples", num_samples, 4) // 2
    kl = gaussian_kl(p, q, t)
    if not math.isfinite(kl):
        raise InputError(f"p and q must be close enough for a finite KL, got {kl}")
    source = _checks.generator_or_seed_zero(generator)
    sides = [_separations(p, q, law, t, half, source) for law in (p, q)]
    value = sum(float(side.mean()) for side in sides) / 2
    error = math.sqrt(sum(float(side.var()) for side in sides) / half) / 2
    return TotalVariation(value, error, kl, math.sqrt(max(kl, 0.0) / math.pi), math.sqrt(max(kl, 0.0) / 2))


def _separations(
    p: GaussianLaw, q: GaussianLaw, law: GaussianLaw, t: float, num: int, generator: torch.Generator
) -> Tensor:
    """|tanh(log(p_t/q_t) / 2)| at ``num`` draws of ``law`` at t."""
    parts, batch = [], max(1, BATCH_VALUES // law.mean.numel())
    for start in range(0, num, batch):
        x = law.sample(min(batch, num - start), generator=generator)
        if t > 0:
            white = torch.randn(x.shape, dtype=x.dtype, generator=generator).to(x.device)
            x = diffusion.noise(x, torch.tensor(t, dtype=torch.float64), white)
        parts.append(torch.tanh((p.log_prob(x, t) - q.log_prob(x, t)).abs() / 2))
    return torch.cat(parts)
