"""Lemma 1 and Corollary 1 of [F]: the error of truncated gradient descent on the score (docs/paper.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError
from ..processes import GaussianLaw
from .conditions import decay_reach, dominance, gap_condition, truncated, truncation_condition, whole_lags
from .eigenvalues import EXACT_LAGS
from .embedding import Assumption1, assumption1, require_form
from .records import EXPLICIT, UP_TO_CONSTANT, Condition, Quantity, Row, Statement, number, row
from .separable import Factors, separable

MOST_ITERATIONS = 10**12


@dataclass(frozen=True, repr=False)
class Lemma1(Statement):
    """Bounds of |s_K - s| / |x - alpha_t mu| after K steps of gradient descent on Gamma_J, and the exact value.

    Attributes:
        time: t.
        num_lags: J; lags |i - j| < J are kept.
        num_iterations: K.
        condition_number: kappa_t of alpha^2 Gamma_J kron Sigma + sigma^2 I; infinite where that is not positive.
        epsilon: ((kappa - 1)/(kappa + 1))^K, what K steps of the best constant size leave.
        optimisation_error: epsilon / sigma_t^2.
        truncation_error: |Sigma|_F sqrt(sum_{|i-j| >= J} Gamma_ij^2) / sigma_t^4.
        sharper: A bound with eigenvalues in place of sigma_t^2 and the Frobenius norms (ours); None where gradient
            descent diverges.
        measured: The operator norm of the error map, exact to round-off; None where gradient descent diverges.
        conditions: "truncation": Gamma_J is positive semi-definite.
    """

    time: float
    num_lags: int
    num_iterations: int
    condition_number: float
    epsilon: float
    optimisation_error: float
    truncation_error: float
    sharper: float | None
    measured: float | None
    conditions: dict[str, Condition]

    @property
    def bound(self) -> float | None:
        """The lemma's bound of the operator norm; None where its condition is not met."""
        return self.optimisation_error + self.truncation_error if self.applies else None

    @property
    def title(self) -> str:
        return f"Lemma 1, t = {number(self.time)}, J = {self.num_lags}, K = {self.num_iterations}"

    @property
    def all_conditions(self) -> Mapping[str, Condition]:
        return self.conditions

    def rows(self) -> list[Row]:
        bound = "none: the condition is not met" if self.bound is None else number(self.bound)
        sharper = "none: gradient descent diverges" if self.sharper is None else number(self.sharper)
        return [
            ("kappa_t", number(self.condition_number), "of alpha^2 Gamma_J kron Sigma + sigma^2 I", EXPLICIT, ""),
            ("epsilon", number(self.epsilon), "((kappa - 1)/(kappa + 1))^K", EXPLICIT, ""),
            ("optimisation", number(self.optimisation_error), "epsilon / sigma^2", EXPLICIT, ""),
            ("truncation", number(self.truncation_error), "|Sigma|_F sqrt(sum Gamma_ij^2) / sigma^4", EXPLICIT, ""),
            ("bound", bound, "sum of both, times |x - alpha mu|", EXPLICIT, _norm(self.measured)),
            ("sharper bound (ours)", sharper, "with eigenvalues in place of sigma^2", EXPLICIT, _norm(self.measured)),
        ]


def _norm(measured: float | None) -> str:
    return "none: gradient descent diverges" if measured is None else f"{number(measured)} (operator norm)"


def lemma1(process: GaussianLaw, t: float, num_lags: int, num_iterations: int) -> Lemma1:
    """Evaluate Lemma 1 of [F] and measure what it bounds.

    Gamma_J keeps the lags |i - j| < J. K steps s <- s - eta [(alpha^2 Gamma_J kron Sigma + sigma^2 I) s + x - alpha mu]
    from s = 0, with eta = 2/(smallest + largest eigenvalue), have an error of at most

        |x - alpha mu| { epsilon / sigma_t^2 + |Sigma|_F sqrt(sum_{|i-j| >= J} Gamma_ij^2) / sigma_t^4 }

    if Gamma_J is positive semi-definite. [F] states K = O(kappa_t log 1/epsilon); here epsilon is that of this K.

    Args:
        process: A separable law.
        t: Diffusion time, greater than 0.
        num_lags: J, at least 1; N or more keeps everything.
        num_iterations: K, at least 1.

    Returns:
        Both parts of the bound, the condition, and the exact operator norm of x - alpha mu -> s_K - s.

    Raises:
        InputError: Bad input, or a law that is not separable.

    Source: [F], Lemma 1; the constant of the steps is ours.

    Example:
        >>> from kronoscope.kernels import PowerExponential
        >>> from kronoscope.processes import GaussianSequence
        >>> process = GaussianSequence(PowerExponential(lengthscale=0.5, exponent=1.0), torch.eye(2), times=16)
        >>> result = lemma1(process, t=0.1, num_lags=3, num_iterations=20)
        >>> result.applies, result.measured <= result.sharper <= result.bound
        (True, True)
    """
    factors, exact = separable(process), None
    if _checks.count("num_lags", num_lags) < len(factors.temporal):
        exact = assumption1(process).exact_lags
    return of_factors(factors, exact, t, num_lags, num_iterations)


def of_factors(factors: Factors, exact: EXACT_LAGS | None, t: float, num_lags: int, num_iterations: int) -> Lemma1:
    """:func:`lemma1` from the factors and, where they are known, the lags in more digits."""
    time = _checks.positive("t", t)
    lags = _checks.count("num_lags", num_lags)
    count = _checks.count("num_iterations", num_iterations, 1, MOST_ITERATIONS)
    scale, noise = math.exp(-time), -math.expm1(-time)
    kept = truncated(factors.temporal, lags)
    condition = truncation_condition(factors, exact, kept, lags)
    system = _System(factors, kept, scale, noise, condition.met)
    epsilon = system.rate**count
    dropped = factors.temporal - kept
    truncation = float(factors.spatial.norm() * dropped.norm()) / noise**2
    sharper = measured = None
    if system.low > 0:
        off = scale * float(torch.linalg.matrix_norm(dropped, 2)) * float(system.spatial.max())
        sharper = epsilon / system.low + off / (system.exact_low * system.low)
        measured = system.error_norm(dropped, count)
    return Lemma1(
        time, lags, count, system.condition_number, epsilon, epsilon / noise, truncation, sharper, measured,
        {"truncation": condition},
    )  # fmt: skip


class _System:
    """A = alpha^2 Gamma kron Sigma + sigma^2 I and A_J, by the eigenvalues of their factors."""

    def __init__(self, factors: Factors, kept: Tensor, scale: float, noise: float, is_semidefinite: bool) -> None:
        self.factors, self.scale, self.noise = factors, scale, noise
        self.spatial = torch.linalg.eigvalsh(factors.spatial).clamp(min=0.0)
        values, self.vectors = torch.linalg.eigh(kept)
        self.values = values.clamp(min=0.0) if is_semidefinite else values
        products = scale * torch.outer(self.spatial, self.values) + noise
        self.low, self.high = float(products.min()), float(products.max())
        smallest = max(float(torch.linalg.eigvalsh(factors.temporal)[0]), 0.0)
        self.exact_low = scale * smallest * float(self.spatial.min()) + noise

    @property
    def condition_number(self) -> float:
        return self.high / self.low if self.low > 0 else math.inf

    @property
    def rate(self) -> float:
        """(kappa - 1)/(kappa + 1); 1 where gradient descent diverges."""
        return (self.high - self.low) / (self.high + self.low) if self.low > 0 else 1.0

    def error_norm(self, dropped: Tensor, count: int) -> float:
        """|A^-1 - p_K(A_J)|, p_K(a) = (1 - r_K(a))/a, as A^-1 (A_J - A) A_J^-1 + r_K(A_J) A_J^-1: nothing cancels.

        The norm is the largest over the eigenvalues of Sigma.
        """
        step, identity = 2 / (self.low + self.high), torch.eye(len(dropped), dtype=torch.float64)
        largest = 0.0
        for spatial in self.spatial.unique():
            weight = self.scale * spatial
            values = weight * self.values + self.noise
            left = ((1 - step * values) ** count / values) * self.vectors @ self.vectors.mT
            inverse = (self.vectors / values) @ self.vectors.mT
            full = weight * self.factors.temporal + self.noise * identity
            cut = torch.linalg.solve(full, -weight * dropped @ inverse)
            largest = max(largest, float(torch.linalg.matrix_norm(cut + left, 2)))
        return largest


@dataclass(frozen=True, repr=False)
class Corollary1(Statement):
    """How many lags and steps make the error of Lemma 1 at most 2 epsilon / sigma_t^2, as stated and as needed.

    Attributes:
        time, tolerance: t and epsilon.
        num_lags: J as stated, (ell log(N / (epsilon sigma_t)))^(1/nu); its measured counterpart is the fewest lags
            whose part of the bound is at most epsilon / sigma_t^2 while Gamma_J is positive semi-definite.
        sufficient_lags: J that follows from the decay: (ell log(N |Sigma|_F / (epsilon sigma_t^2)))^(1/nu) / c (ours).
        num_iterations: K as stated, kappa_t log(1/epsilon); the counterpart is the K that the rate asks for.
        bound: 2 epsilon / sigma_t^2; the counterpart is the error at ``fewest_lags`` and that K.
        fewest_lags: The fewest lags by calculation.
        at_fewest: Lemma 1 there.
        assumption: Assumption 1.
        conditions: Beside those of Assumption 1: "dominance", "truncation" at the J that suffices, "gap".
    """

    time: float
    tolerance: float
    num_lags: Quantity
    sufficient_lags: Quantity
    num_iterations: Quantity
    bound: Quantity
    fewest_lags: int
    at_fewest: Lemma1
    assumption: Assumption1
    conditions: dict[str, Condition]

    @property
    def title(self) -> str:
        return f"Corollary 1, t = {number(self.time)}, epsilon = {number(self.tolerance)}"

    @property
    def all_conditions(self) -> Mapping[str, Condition]:
        return {**self.assumption.conditions, **self.conditions}

    def rows(self) -> list[Row]:
        return [
            row("J", self.num_lags),
            row("J that suffices (ours)", self.sufficient_lags),
            row("K", self.num_iterations),
            row("error / |x - alpha mu|", self.bound),
        ]


def corollary1(process: GaussianLaw, t: float, tolerance: float, embedding: Tensor | None = None) -> Corollary1:
    """Evaluate Corollary 1 of [F]: the lags and steps for an error of 2 |x - alpha mu| epsilon / sigma_t^2.

    Args:
        process: A separable law.
        t: Diffusion time, greater than 0.
        tolerance: epsilon, between 0 and 1.
        embedding: As for :func:`assumption1`.

    Returns:
        J and K as stated (up to a constant), the J that the decay implies, and the fewest by calculation.

    Raises:
        InputError: Bad input, a law that is not separable or has no form of Assumption 1 at all.

    Source: [F], Corollary 1.
    """
    time = _checks.positive("t", t)
    epsilon = share("tolerance", tolerance)
    factors, assumption = separable(process), assumption1(process, embedding)
    nu, ell = assumption.exponent, assumption.ell
    require_form(assumption)
    noise, frames = -math.expm1(-time), len(factors.temporal)
    stated = decay_reach(nu, ell, math.log(frames / (epsilon * math.sqrt(noise))))
    spatial_norm = float(factors.spatial.norm())
    reach = decay_reach(nu, ell, math.log(max(1.0, frames * spatial_norm / (epsilon * noise))))
    sufficient = whole_lags(reach, assumption.slope, frames)
    fewest = _fewest_lags(factors, assumption.exact_lags, epsilon * noise / spatial_norm)
    trial = of_factors(factors, assumption.exact_lags, time, fewest, 1)
    count = iterations_for(trial.condition_number, epsilon)
    at_fewest = of_factors(factors, assumption.exact_lags, time, fewest, count)
    needed = f"fewest with a truncation of at most epsilon / sigma^2; N is {frames}"
    return Corollary1(
        time,
        epsilon,
        Quantity(stated, "(ell log(N / (eps sigma)))^(1/nu)", UP_TO_CONSTANT, fewest, needed),
        Quantity(sufficient, "(ell log(N |Sigma|_F / (eps sigma^2)))^(1/nu) / c, at most N", EXPLICIT, fewest, needed),
        Quantity(
            trial.condition_number * math.log(1 / epsilon), "kappa_t log(1/eps)", UP_TO_CONSTANT, count,
            "log(1/eps) / log((kappa + 1)/(kappa - 1))",
        ),
        Quantity(2 * epsilon / noise, "2 eps / sigma^2", EXPLICIT, at_fewest.measured, "operator norm at that J and K"),
        fewest,
        at_fewest,
        assumption,
        {
            "dominance": dominance(assumption, factors.temporal),
            "truncation": truncation_condition(
                factors, assumption.exact_lags, truncated(factors.temporal, sufficient), sufficient
            ),
            "gap": gap_condition(factors.temporal, epsilon, assumption.exact_lags),
        },
    )  # fmt: skip


def share(name: str, value: float) -> float:
    """``value``, if it is between 0 and 1."""
    number_given = _checks.real(name, value)
    if not 0 < number_given < 1:
        raise InputError(f"{name} must be greater than 0 and less than 1, got {number_given:g}")
    return number_given


def iterations_for(condition_number: float, epsilon: float) -> int:
    """The fewest steps with ((kappa - 1)/(kappa + 1))^K <= epsilon, at least 1."""
    if condition_number <= 1:
        return 1
    if not math.isfinite(condition_number):
        raise InputError("gradient descent diverges: the truncated covariance with its noise is not positive definite")
    return max(1, math.ceil(-math.log(epsilon) / math.log1p(2 / (condition_number - 1))))


def _fewest_lags(factors: Factors, exact: EXACT_LAGS | None, allowed: float) -> int:
    """The smallest J with sqrt(sum_{|i-j| >= J} Gamma_ij^2) <= allowed and Gamma_J not known to be indefinite."""
    gamma = factors.temporal
    index = torch.arange(len(gamma))
    lag = (index[:, None] - index).abs().flatten()
    squares = torch.zeros(len(gamma), dtype=torch.float64).index_add_(0, lag, gamma.square().flatten())
    beyond = squares.flip(0).cumsum(0).flip(0).sqrt()
    first = int((torch.cat([beyond, torch.zeros(1, dtype=torch.float64)]) <= allowed).nonzero()[0])
    for lags in range(max(first, 1), len(gamma)):
        if truncation_condition(factors, exact, truncated(gamma, lags), lags).met:
            return lags
    return len(gamma)
