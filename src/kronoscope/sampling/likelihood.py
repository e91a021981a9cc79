"""The density of the law that a score's probability flow generates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .. import _checks, diffusion
from .._display import Tabular, Uncertain
from .._errors import InputError
from .._typing import ScoreFunction

EXACT_SIZE = 64


@dataclass(frozen=True, repr=False)
class FlowLikelihood(Tabular):
    """Log densities in nats, one a sequence.

    Attributes:
        values: (batch,), float64.
        standard_errors: (batch,), of Hutchinson's estimate; zero where the divergence is exact.
        kind: "exact divergence" or "Hutchinson".
        step_error: Largest difference over the sequences from half as many steps: the error of the ODE solver, which
            is about a fifteenth of it.
    """

    values: Tensor
    standard_errors: Tensor
    kind: str
    step_error: float

    def _facts(self) -> dict[str, object]:
        count = self.values.numel()
        error = float(self.values.std()) / math.sqrt(count) if count > 1 else None
        mean = Uncertain(float(self.values.mean()), error, "nats a sequence")
        return {"sequences": count, "mean": mean, "kind": self.kind, "step error": self.step_error}

    def _columns(self) -> dict[str, Sequence[object]]:
        return {"log density": self.values.tolist(), "standard error": self.standard_errors.tolist()}


def flow_log_prob(
    score: ScoreFunction,
    x: Tensor,
    *,
    min_time: float = 1e-2,
    max_time: float = 8.0,
    num_steps: int = 32,
    num_probes: int | None = None,
    generator: torch.Generator | None = None,
) -> FlowLikelihood:
    """log density at x of the law at ``min_time`` that the probability flow carries from N(0, I) at ``max_time``.

        dx/dt = f(x, t) = -(x + s(x, t)) / 2,    log p_t0(x) = log N(x_T; 0, I) + int_t0^T div f dt

    by the classical Runge-Kutta method in equal steps of log SNR, in float64 outside the score.

    Args:
        score: Any score that autograd can go through.
        x: (batch, frames, features), at ``min_time``.
        min_time, max_time: t0 and T.
        num_steps: Even; each calls the score four times.
        num_probes: How many signs estimate a divergence (Hutchinson); None computes it exactly up to 64 entries, by one
            backward pass an entry, and takes 8 probes beyond.
        generator: Of the probes; None means seed 0.

    Source: Song et al., "Score-based generative modeling through SDEs", ICLR 2021, arXiv:2011.13456, section 4.3 and
    appendix D.2.
    """
    _checks.score("score", score)
    _checks.finite("x", _checks.sequences("x", x).detach())
    if _checks.count("num_steps", num_steps, 2) % 2:
        raise InputError(f"num_steps must be even, so that half as many say the error, got {num_steps}")
    size = x.shape[1] * x.shape[2]
    if num_probes is None and size > EXACT_SIZE:
        num_probes = 8
    if num_probes is None:
        probes = torch.eye(size, dtype=torch.float64).reshape(size, 1, *x.shape[1:]).expand(size, *x.shape)
    else:
        count = _checks.count("num_probes", num_probes, 2)
        generator = _checks.generator_or_seed_zero(generator)
        shape = (count, *x.shape)
        probes = 2.0 * torch.randint(2, shape, generator=generator, device=generator.device).double() - 1
    probes, x = probes.to(x), x.detach()
    (base, traces), (coarse_base, coarse_traces) = (
        _integrate(score, x, probes, min_time, max_time, steps) for steps in (num_steps, num_steps // 2)
    )
    if num_probes is None:
        values, coarse, kind = base + traces.sum(dim=0), coarse_base + coarse_traces.sum(dim=0), "exact divergence"
        errors = torch.zeros_like(values)
    else:
        values, coarse, kind = base + traces.mean(dim=0), coarse_base + coarse_traces.mean(dim=0), "Hutchinson"
        errors = traces.std(dim=0) / math.sqrt(len(traces))
    return FlowLikelihood(values, errors, kind, float((values - coarse).abs().max()))


def _integrate(
    score: ScoreFunction, x: Tensor, probes: Tensor, min_time: float, max_time: float, num_steps: int
) -> tuple[Tensor, Tensor]:
    """The log density without the traces, (batch,), and -1/2 int v' (ds/dx) v dt for each probe, (probes, batch)."""
    grid = diffusion.clock(diffusion.times_on_clock(min_time, max_time, num_steps + 1).flip(0)).tolist()
    state = x.detach().double()
    traces = torch.zeros(probes.shape[:2], dtype=torch.float64, device=x.device)

    def rates(state: Tensor, u: float) -> tuple[Tensor, Tensor]:
        t = float(diffusion.time_from_clock(u))
        with torch.enable_grad():
            inside = state.to(x).detach().requires_grad_()
            value = score(inside, t)
            pulled = [torch.autograd.grad(value, inside, v, retain_graph=True)[0] for v in probes]
        forms = torch.stack([(v * g.detach()).sum(dim=(1, 2)) for v, g in zip(probes, pulled, strict=True)]).double()
        variance = -math.expm1(-t)  # dt = sigma_t^2 du
        return -0.5 * variance * (state + value.detach().double()), -0.5 * variance * forms

    for u, after in pairwise(grid):
        h = after - u
        k1, l1 = rates(state, u)
        k2, l2 = rates(state + 0.5 * h * k1, u + 0.5 * h)
        k3, l3 = rates(state + 0.5 * h * k2, u + 0.5 * h)
        k4, l4 = rates(state + h * k3, after)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        traces = traces + h / 6 * (l1 + 2 * l2 + 2 * l3 + l4)
    size = state[0].numel()
    normal = -0.5 * (state.square().sum(dim=(1, 2)) + size * math.log(2 * math.pi))
    return normal - 0.5 * size * (max_time - min_time), traces
