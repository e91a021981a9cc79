"""Theorem 2 of [F]: how far the generated distribution is from the data's, beside what estimators reach."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks
from .._display import Displayed
from .._errors import InputError
from ..estimators import StationarySeparable, score_kl_floor
from ..metrics import TotalVariation, total_variation
from ..processes import GaussianLaw, GaussianSequence, SeparableGaussian
from .conditions import theorem_conditions
from .embedding import Assumption1, assumption1, require_form
from .records import EXPLICIT, MET, UP_TO_CONSTANT, VIOLATED, Condition, Quantity, Row, Statement, number, row
from .separable import Factors, separable

MOST_VALUES = 2**22  # n N d up to which the estimator is fitted to n sequences
MOST_ENTRIES = 1024  # N d up to which the distance is measured: it is dense


@dataclass(frozen=True, repr=False)
class InformationFloor(Displayed):
    """What the best estimator of the stationary separable class leaves, to leading order in 1/n.

    Attributes:
        kl: Nats between t0 and T.
        local: sqrt(kl / pi), the total variation of nearby laws.
        pinsker: sqrt(kl / 2), an upper bound of it.
        how: "noised information", or "p / (2n), an upper limit" where the information of the data cannot be inverted.
    """

    kl: float
    local: float
    pinsker: float
    how: str


@dataclass(frozen=True, repr=False)
class Theorem2(Statement):
    """The rate of Theorem 2, factor by factor, beside the information floor and one fitted estimator.

    Attributes:
        num_sequences, min_time, max_time: n, t0 and T = log n.
        tv: The bound of E TV(P_t0, P^) without its constant; the counterpart is the estimator's distance.
        w2: The bound of W2(P_0, P_t0) without its constant; the counterpart is the exact distance.
        factors: Of ``tv``, by name: explicit values, and the unnamed constant.
        floor: The information floor.
        estimator: The measured distance between P_t0 and a stationary separable law fitted to n sequences; or None.
        not_measured: Why there is none.
        constant: C, the smallest with eigenvalues of Sigma in [1/C, C] and |mu|_max <= C.
        assumption: Assumption 1.
        conditions: Beside those of Assumption 1: "dominance", "truncation", "gap", "spectrum".
    """

    num_sequences: int
    min_time: float
    max_time: float
    tv: Quantity
    w2: Quantity
    factors: dict[str, Quantity]
    floor: InformationFloor
    estimator: TotalVariation | None
    not_measured: str
    constant: float
    assumption: Assumption1
    conditions: dict[str, Condition]

    @property
    def explicit(self) -> tuple[str, ...]:
        """The factors of ``tv`` that the theorem gives."""
        return tuple(name for name, factor in self.factors.items() if factor.kind == EXPLICIT)

    @property
    def title(self) -> str:
        return f"Theorem 2, n = {self.num_sequences}, t0 = {number(self.min_time)}"

    @property
    def all_conditions(self) -> Mapping[str, Condition]:
        return {**self.assumption.conditions, **self.conditions}

    def rows(self) -> list[Row]:
        rows = [row("TV(P_t0, P^), bound", self.tv)]
        rows += [row(f"  factor {name}", factor) for name, factor in self.factors.items()]
        rows += [
            row("W2(P_0, P_t0), bound", self.w2),
            ("information floor, KL", number(self.floor.kl), f"nats, {self.floor.how}", EXPLICIT, ""),
            ("information floor, TV", number(self.floor.local), "sqrt(KL / pi), local formula", EXPLICIT, ""),
            ("  upper bound", number(self.floor.pinsker), "sqrt(KL / 2), Pinsker", EXPLICIT, ""),
        ]
        if self.estimator is None:
            return rows
        fit = self.estimator
        return [
            *rows,
            ("one estimator, KL", number(fit.kl), "exact, stationary separable fitted to n sequences", "", ""),
            ("one estimator, TV", number(fit.local), "sqrt(KL / pi), local formula", "", f"{fit}"),
            ("  upper bound", number(fit.pinsker), "sqrt(KL / 2), Pinsker", "", ""),
        ]

    @property
    def remarks(self) -> list[str]:
        return [*super().remarks, *([f"No estimator was fitted: {self.not_measured}."] if self.not_measured else [])]


def theorem2(
    process: GaussianLaw,
    n: int,
    min_time: float,
    embedding: Tensor | None = None,
    *,
    constant: float | None = None,
    measure: bool = True,
    generator: torch.Generator | None = None,
) -> Theorem2:
    """Evaluate Theorem 2 of [F], and what the same n sequences are worth to an estimator.

    Under the conditions of Theorem 1 with epsilon = 1/n, eigenvalues of Sigma in [1/C, C] and |mu|_max <= C, the
    empirical risk minimiser on [t0, log n] generates P^ with, up to a constant,

        E TV(P_t0, P^) <= sqrt(ell^(1/nu) kappa_t0^2 N d^3 / n) log^((5 nu + 1)/(2 nu))(kappa_t0 n d N / t0)
        W2(P_0, P_t0) <= ell sqrt(t0 N d)

    Args:
        process: A separable law.
        n: Number of sequences, at least 2.
        min_time: t0, greater than 0 and less than log n.
        embedding: As for :func:`assumption1`.
        constant: C; None is the smallest that does.
        measure: Whether to draw n sequences, fit the stationary separable class at t0, and measure its distance: half a
            minute at N = 128, d = 8, n = 1000. It is left out, with the reason, for more than 2^22 values.
        generator: Of the sequences; None means seed 0.

    Raises:
        InputError: Bad input, a law that is not separable, or one for which nu and ell do not exist.

    Source: [F], Theorem 2. Its constant is not given there.
    """
    count = _checks.count("n", n, 2)
    low, high = _checks.positive("min_time", min_time), math.log(count)
    if low >= high:
        raise InputError(f"min_time must be less than log n = {high:.3g}, the T of the theorem, got {low:g}")
    given = None if constant is None else _checks.positive("constant", constant)
    factors, assumption = separable(process), assumption1(process, embedding)
    require_form(assumption)
    kappa = process.condition_number(low)
    parts = _factors(factors, assumption, count, low, kappa)
    tv = math.prod(part.value for part in parts.values())
    floor = _floor(process, factors, count, low, high)
    estimator, reason = (None, "not asked for")
    if measure:
        estimator, reason = _estimator(process, count, low, _checks.generator_or_seed_zero(generator))
    needed = _smallest_constant(process, factors)
    formula = "sqrt(ell^(1/nu) kappa^2 N d^3 / n) log^((5 nu + 1)/(2 nu))(kappa n d N / t0)"
    entries = process.mean.numel()
    conditions = theorem_conditions(factors, assumption, 1 / count, low) | {"spectrum": _spectrum(needed, given)}
    return Theorem2(
        count,
        low,
        high,
        Quantity(tv, formula, UP_TO_CONSTANT, None if estimator is None else estimator.value, "one estimator, TV"),
        Quantity(
            assumption.ell * math.sqrt(low * entries), "ell sqrt(t0 N d)", UP_TO_CONSTANT,
            noising_distance(process, factors, low), "exact",
        ),
        parts,
        floor,
        estimator,
        reason,
        needed if given is None else given,
        assumption,
        conditions,
    )  # fmt: skip


def _factors(factors: Factors, assumption: Assumption1, n: int, t: float, kappa: float) -> dict[str, Quantity]:
    frames, features = len(factors.temporal), len(factors.spatial)
    nu = assumption.exponent
    power = (5 * nu + 1) / (2 * nu)
    return {
        "lengthscale": Quantity(assumption.ell ** (1 / (2 * nu)), "ell^(1/(2 nu))", EXPLICIT),
        "conditioning": Quantity(kappa, "kappa_t0", EXPLICIT),
        "sizes": Quantity(math.sqrt(frames * features**3 / n), "sqrt(N d^3 / n)", EXPLICIT),
        "logarithm": Quantity(
            math.log(kappa * n * features * frames / t) ** power, f"log^{number(power)}(kappa n d N / t0)", EXPLICIT
        ),
        "constant": Quantity(1.0, "not given by the theorem; set to 1", UP_TO_CONSTANT),
    }


def _floor(process: GaussianLaw, factors: Factors, n: int, low: float, high: float) -> InformationFloor:
    frames, features = len(factors.temporal), len(factors.spatial)
    try:
        kl, how = score_kl_floor(process, "stationary-separable", n, low, high), "noised information"
    except InputError:  # too near singular, or not stationary
        kl, how = (frames + features * (features + 1) // 2 - 1) / (2 * n), "p / (2n), an upper limit"
    return InformationFloor(kl, math.sqrt(kl / math.pi), math.sqrt(kl / 2), how)


def _estimator(process: GaussianLaw, n: int, t: float, generator: torch.Generator) -> tuple[TotalVariation | None, str]:
    """The distance at t0 of a law fitted to n sequences, or why there is none."""
    entries = process.mean.numel()
    assert isinstance(process, (GaussianSequence, SeparableGaussian))
    if n * entries > MOST_VALUES or entries > MOST_ENTRIES:
        return None, f"n N d = {n * entries} values; at most {MOST_VALUES}, and N d = {MOST_ENTRIES}, are measured"
    centred = SeparableGaussian(process.temporal_covariance, process.spatial_covariance)  # the mean is known
    try:
        fitted = StationarySeparable(min_time=t).fit(centred.sample(n, generator=generator))
    except InputError as error:
        return None, str(error)
    return total_variation(centred, fitted, t, generator=generator), ""


def _smallest_constant(process: GaussianLaw, factors: Factors) -> float:
    spectrum = torch.linalg.eigvalsh(factors.spatial)
    low, high = float(spectrum[0]), float(spectrum[-1])
    round_off = 8 * torch.finfo(torch.float64).eps * len(spectrum) * high
    return max(high, float(process.mean.abs().max()), 1 / low if low > round_off else math.inf)


def _spectrum(needed: float, given: float | None) -> Condition:
    statement = "eigenvalues of Sigma in [1/C, C], |mu|_max <= C"
    if given is None:
        holds, words = math.isfinite(needed), "a finite C; this is the smallest"
    else:
        holds, words = needed <= given, f"at most C = {number(given)}"
    return Condition(statement, MET if holds else VIOLATED, needed, words)


def noising_distance(process: GaussianLaw, factors: Factors, t: float) -> float:
    """W2(P_0, P_t), exact: both covariances have the same eigenvectors.

    W2^2 = sum_i (sqrt(lambda_i) - sqrt(alpha^2 lambda_i + sigma^2))^2 + (1 - alpha)^2 |mu|^2
    """
    products = torch.outer(torch.linalg.eigvalsh(factors.temporal), torch.linalg.eigvalsh(factors.spatial))
    before = products.clamp(min=0.0)
    after = math.exp(-t) * before - math.expm1(-t)
    moved = (before.sqrt() - after.sqrt()).square().sum() + (math.expm1(-t / 2) * process.mean).square().sum()
    return math.sqrt(float(moved))
