"""Conditions that the corollary and both theorems share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .eigenvalues import EXACT_LAGS, compare_smallest
from .embedding import Assumption1
from .records import MET, VIOLATED, Condition, number
from .separable import Factors

SAME = 1e-9  # relative, of ell and c^nu


def dominance(assumption: Assumption1, gamma: Tensor) -> Condition:
    """ell <= c^nu, which [F] states as enough for every truncation of Gamma to be positive semi-definite.

    The note gives diagonal dominance itself, which is what makes every truncation positive semi-definite.
    """
    limit = assumption.slope**assumption.exponent if assumption.slope > 0 else 0.0
    holds = math.isfinite(assumption.ell) and assumption.ell <= limit * (1 + SAME)
    off = float((gamma.abs().sum(dim=1) - gamma.diagonal().abs()).max()) / float(gamma.diagonal().min())
    note = ""
    if holds and off > 1:
        note = (
            f"the correlations off the diagonal add up to {number(off)} in a row: above 1, so ell <= c^nu does not "
            "prove here that every truncation is positive semi-definite; each is checked by itself"
        )
    return Condition("ell <= c^nu", MET if holds else VIOLATED, assumption.ell, f"at most {number(limit)}", note=note)


def gap_condition(gamma: Tensor, epsilon: float, exact: EXACT_LAGS | None) -> Condition:
    """epsilon < smallest eigenvalue of Gamma."""
    smallest = compare_smallest(gamma, epsilon, exact, refine=True)
    return Condition(
        "eps < smallest eigenvalue of Gamma", smallest.status, smallest.value, f"above {number(epsilon)}", smallest.how,
        smallest.note,
    )  # fmt: skip


def truncated(gamma: Tensor, num_lags: int) -> Tensor:
    """Gamma_J: entries with |i - j| >= J are 0."""
    index = torch.arange(len(gamma))
    return torch.where((index[:, None] - index).abs() < num_lags, gamma, 0.0)


def truncation_condition(factors: Factors, exact: EXACT_LAGS | None, kept: Tensor, num_lags: int) -> Condition:
    """Whether this truncation is positive semi-definite."""
    statement = f"Gamma_J positive semi-definite, J = {num_lags}"
    needed = "smallest eigenvalue 0 or above"
    if num_lags >= len(kept):
        smallest = float(torch.linalg.eigvalsh(kept)[0])
        return Condition(statement, MET, max(smallest, 0.0), needed, "definition of a covariance")
    cut = None if exact is None else _cut(exact, num_lags)
    comparison = compare_smallest(kept, 0.0, cut)
    return Condition(statement, comparison.status, comparison.value, needed, comparison.how, comparison.note)


def _cut(exact: EXACT_LAGS, num_lags: int) -> EXACT_LAGS:
    return lambda size: [value if k < num_lags else 0 * value for k, value in enumerate(exact(size))]


def theorem_conditions(factors: Factors, assumption: Assumption1, epsilon: float, t: float) -> dict[str, Condition]:
    """The conditions of both theorems beyond Assumption 1; the truncation is that of the J which the decay implies.

    J = (ell log(N d |Sigma|_F / (epsilon sigma_t^2)))^(1/nu) / c, at most N.
    """
    frames, features = len(factors.temporal), len(factors.spatial)
    noise = -math.expm1(-t)
    logarithm = math.log(max(1.0, frames * features * float(factors.spatial.norm()) / (epsilon * noise)))
    lags = whole_lags(decay_reach(assumption.exponent, assumption.ell, logarithm), assumption.slope, frames)
    return {
        "dominance": dominance(assumption, factors.temporal),
        "truncation": truncation_condition(factors, assumption.exact_lags, truncated(factors.temporal, lags), lags),
        "gap": gap_condition(factors.temporal, epsilon, assumption.exact_lags),
    }


def decay_reach(nu: float, ell: float, logarithm: float) -> float:
    """(ell logarithm)^(1/nu)."""
    return float((ell * max(logarithm, 0.0)) ** (1 / nu))


def whole_lags(reach: float, slope: float, frames: int) -> int:
    """reach / c rounded up, between 1 and N; N where c is 0 or the reach unknown."""
    if not (slope > 0 and math.isfinite(reach)):
        return frames
    return int(min(max(math.ceil(reach / slope), 1), frames))
