"""Theorem 1 of [F]: the size of a transformer that approximates the score, beside a compiled one (docs/paper.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .. import _checks
from .._display import Displayed
from .._errors import InputError
from ..compiler import CompiledScore, compile_score
from ..processes import GaussianLaw
from .conditions import decay_reach, theorem_conditions
from .embedding import Assumption1, assumption1, require_form
from .records import EXPLICIT, UP_TO_CONSTANT, Condition, Quantity, Row, Statement, number, row
from .separable import Factors, separable
from .solver import share

LARGEST_TOLERANCE = 0.99  # relative, that a compilation is asked for
MOST_SECONDS = 60.0  # of measuring a compiled network


@dataclass(frozen=True, repr=False)
class CompiledNetwork(Displayed):
    """What a compiled network takes and reaches, in the terms of Theorem 1.

    Attributes:
        width, depth, heads: D, L and M.
        weight_norm: B, the largest Frobenius norm of a weight matrix (of each head by itself).
        output_range: R; None for a network that does not clip.
        error: The largest sigma_t^2 E|s~ - s|^2 over the measured times.
        standard_error: Of ``error``.
        time: Where it is largest.
        kind: "exact" or "monte carlo".
    """

    width: int
    depth: int
    heads: int
    weight_norm: float
    output_range: float | None
    error: float
    standard_error: float
    time: float
    kind: str


@dataclass(frozen=True, repr=False)
class Theorem1(Statement):
    """Sizes that Theorem 1 states for E|s~ - s|^2 <= epsilon / sigma_t^2, beside those of a compiled network.

    Attributes:
        tolerance, min_time, max_time: epsilon and the range of t.
        width, depth, heads, weight_norm, output_range: D, L, M, B and R at ``min_time``.
        error: epsilon; the counterpart is the largest sigma_t^2 E|s~ - s|^2 of the compiled network.
        condition_number: kappa at ``min_time``.
        compiled: The compiled network, or None.
        not_compiled: Why there is none; empty where there is one.
        assumption: Assumption 1.
        conditions: Beside those of Assumption 1: "dominance", "truncation", "gap".
    """

    tolerance: float
    min_time: float
    max_time: float
    width: Quantity
    depth: Quantity
    heads: Quantity
    weight_norm: Quantity
    output_range: Quantity
    error: Quantity
    condition_number: float
    compiled: CompiledNetwork | None
    not_compiled: str
    assumption: Assumption1
    conditions: dict[str, Condition]

    @property
    def title(self) -> str:
        return f"Theorem 1, epsilon = {number(self.tolerance)}, t0 = {number(self.min_time)}"

    @property
    def all_conditions(self) -> Mapping[str, Condition]:
        return {**self.assumption.conditions, **self.conditions}

    def rows(self) -> list[Row]:
        return [
            ("kappa_t0", number(self.condition_number), "condition number at t0", EXPLICIT, ""),
            row("D, width", self.width),
            row("L, blocks", self.depth),
            row("M, heads a layer", self.heads),
            row("B, weight norm", self.weight_norm),
            row("R, output range at t0", self.output_range),
            row("error", self.error),
        ]

    @property
    def remarks(self) -> list[str]:
        return [*super().remarks, *([f"No network was compiled: {self.not_compiled}."] if self.not_compiled else [])]


def theorem1(
    process: GaussianLaw,
    tolerance: float,
    min_time: float,
    max_time: float = 6.0,
    embedding: Tensor | None = None,
    *,
    gates: str = "relu",
    measure: bool = True,
) -> Theorem1:
    """Evaluate Theorem 1 of [F], and compile a network that meets its error.

    Under Assumption 1, ell <= c^nu and epsilon < smallest eigenvalue of Gamma, some network of T(D, L, M, B, R) has
    E_{p_t} |s~ - s|^2 <= epsilon / sigma_t^2 for every t in [min_time, max_time], with

        D = O(d + d_e)                  L = O(kappa_t0 log^2(N d / (epsilon sigma_t0)))
        M = O((ell log(N d |Sigma|_F / (epsilon sigma_t0)))^(1/nu))
        B = O(log(N d / (epsilon sigma_t0)) sigma_t0^-2 N d (r^2 + |Sigma|_max))
        R_t = O(log(N d / (epsilon sigma_t0)) sqrt(N d) / sigma_t)

    The compiled network unrolls gradient descent with trapezoid heads, as [F] does; its table of time functions is
    computed outside of its ReLU layers.

    Args:
        process: A separable law.
        tolerance: epsilon, greater than 0 and less than 1.
        min_time, max_time: The range of t.
        embedding: As for :func:`assumption1`.
        gates: "relu" (products by ReLU layers; the error is Monte Carlo) or "modulated" (exact error).
        measure: Whether to compile a network. It is left out, with the reason, where it takes over a minute.

    Raises:
        InputError: Bad input, a law that is not separable, or one for which nu and ell do not exist.

    Source: [F], Theorem 1. The constants in O(.) are not given there.
    """
    epsilon = share("tolerance", tolerance)
    low, high = _checks.positive("min_time", min_time), _checks.positive("max_time", max_time)
    if low >= high:
        raise InputError(f"min_time must be less than max_time, got {low:g} and {high:g}")
    if gates not in ("relu", "modulated"):
        raise InputError(f"gates must be 'relu' or 'modulated', got {gates!r}")
    factors, assumption = separable(process), assumption1(process, embedding)
    require_form(assumption)
    compiled, reason = _compiled(process, epsilon, low, high, gates) if measure else (None, "not asked for")
    kappa = process.condition_number(low)
    return Theorem1(
        epsilon, low, high, *_sizes(factors, assumption, epsilon, low, kappa, compiled), kappa, compiled, reason,
        assumption, theorem_conditions(factors, assumption, epsilon, low),
    )  # fmt: skip


def _sizes(
    factors: Factors, assumption: Assumption1, epsilon: float, t: float, kappa: float, compiled: CompiledNetwork | None
) -> tuple[Quantity, Quantity, Quantity, Quantity, Quantity, Quantity]:
    """D, L, M, B, R and the error."""
    frames, features = len(factors.temporal), len(factors.spatial)
    entries, sigma = frames * features, math.sqrt(-math.expm1(-t))
    logarithm = math.log(entries / (epsilon * sigma))
    spatial, largest = float(factors.spatial.norm()), float(factors.spatial.abs().max())
    reach = decay_reach(assumption.exponent, assumption.ell, math.log(entries * spatial / (epsilon * sigma)))
    norm = logarithm / sigma**2 * entries * (assumption.radius**2 + largest)

    def stated(value: float, formula: str, name: str) -> Quantity:
        return Quantity(value, formula, UP_TO_CONSTANT, None if compiled is None else getattr(compiled, name))

    error = Quantity(epsilon, "sigma_t^2 E|s~ - s|^2 <= eps", EXPLICIT)
    if compiled is not None:
        note = f"largest, at t = {number(compiled.time)}, +- {number(compiled.standard_error)}, {compiled.kind}"
        error = Quantity(epsilon, "sigma_t^2 E|s~ - s|^2 <= eps", EXPLICIT, compiled.error, note)
    return (
        stated(features + assumption.dimension, "d + d_e", "width"),
        stated(kappa * logarithm**2, "kappa_t0 log^2(N d / (eps sigma))", "depth"),
        stated(reach, "(ell log(N d |Sigma|_F / (eps sigma)))^(1/nu)", "heads"),
        stated(norm, "log(N d / (eps sigma)) N d (r^2 + |Sigma|_max) / sigma^2", "weight_norm"),
        stated(logarithm * math.sqrt(entries) / sigma, "log(N d / (eps sigma)) sqrt(N d) / sigma", "output_range"),
        error,
    )


def relative_tolerance(process: GaussianLaw, epsilon: float, max_time: float) -> float:
    """The relative error delta with delta^2 sigma_t^2 E|s|^2 <= epsilon for every t up to ``max_time``.

    sigma_t^2 E|s|^2 = sum_i 1 / (1 + lambda_i / (e^t - 1)) grows with t, so its last value decides.
    """
    factors = separable(process)
    products = torch.outer(torch.linalg.eigvalsh(factors.temporal), torch.linalg.eigvalsh(factors.spatial))
    energy = float((1 / (1 + products.clamp(min=0.0) / math.expm1(max_time))).sum())
    return min(LARGEST_TOLERANCE, math.sqrt(epsilon / energy))


def _compiled(
    process: GaussianLaw, epsilon: float, low: float, high: float, gates: str
) -> tuple[CompiledNetwork | None, str]:
    """The network and its error, or why there is none."""
    try:
        compiled = compile_score(
            process, "gradient-descent", relative_tolerance(process, epsilon, high), low, gates, "trapezoid",
            max_time=high,
        )  # fmt: skip
        seconds = compiled.seconds_to_measure()
    except InputError as error:
        return None, " ".join(str(error).removeprefix("compile_score cannot do this:\n- ").split())
    if seconds > MOST_SECONDS:
        return None, f"measuring it would take about {number(round(seconds / 60) or 1)} minutes"
    return _measured(compiled), ""


def _measured(compiled: CompiledScore) -> CompiledNetwork:
    certificate = compiled.certificate
    spectrum = compiled.iteration.spectrum
    errors = []
    for at in certificate.measured:
        noise = -math.expm1(-at.time)
        energy = float((noise / (math.exp(-at.time) * spectrum + noise)).sum())
        errors.append((at.value**2 * energy, 2 * at.value * at.standard_error * energy, at.time))
    error, deviation, time = max(errors)
    kind = "monte carlo" if certificate.measured_kind == "monte carlo" else "exact"
    return CompiledNetwork(
        certificate.width, certificate.depth, certificate.num_heads, frobenius(compiled.network),
        compiled.network.output_range, error, deviation, time, kind,
    )  # fmt: skip


def frobenius(network: nn.Module) -> float:
    """The largest Frobenius norm of a weight matrix; tensors of heads hold one matrix for each."""
    largest = 0.0
    for weight in network.parameters():
        if weight.ndim >= 2 and weight.numel():
            largest = max(largest, float(weight.detach().double().flatten(-2).norm(dim=-1).max()))
    return largest
