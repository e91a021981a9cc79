"""Distances between two sets of sequences."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import _checks
from .._display import Displayed, Uncertain
from .._errors import InputError

CHUNK_VALUES = 2**22


@dataclass(frozen=True, repr=False)
class EnergyDistance(Displayed):
    """An energy distance from samples.

    Attributes:
        value: Unbiased estimate; it can fall below zero where the laws agree.
        standard_error: By the jackknife, which overstates (by up to sqrt 2) where the laws agree.
        kind: "two-sample estimate".
    """

    value: float
    standard_error: float
    kind: str = "two-sample estimate"

    def _facts(self) -> dict[str, object]:
        return {"value": Uncertain(self.value, self.standard_error), "kind": self.kind}

    def __str__(self) -> str:
        return f"{self.value:.4g} +- {self.standard_error:.2g} ({self.kind})"


def energy_distance(x: Tensor, y: Tensor) -> EnergyDistance:
    """Energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| with |.| the Euclidean norm of a whole sequence.

    Zero exactly when the laws agree; in the units of the data (no square root is taken). U-statistic: pairs of
    a sequence with itself are left out, so the estimate is unbiased. The standard error is that of the delete-one
    jackknife over both samples, from the row sums of the distances; memory stays bounded.

    Args:
        x: (n, frames, features), n >= 3.
        y: (m, frames, features), m >= 3.

    Raises:
        InputError: Shapes disagree, too few sequences, or values that are not finite.

    Source: Szekely and Rizzo, "Energy statistics", J. Stat. Plan. Inference 2013, section 2.
    """
    _checks.finite("x", _checks.sequences("x", x))
    _checks.finite("y", _checks.sequences("y", y, x.shape[1], x.shape[2]))
    for name, values in (("x", x), ("y", y)):
        if len(values) < 3:
            raise InputError(f"{name} must hold at least 3 sequences, got {len(values)}")
    a, b = (values.to(torch.float64).flatten(1) for values in (x, y))
    b = b.to(a.device)
    within_a, within_b = _row_sums(a, a), _row_sums(b, b)
    a_to_b, b_to_a = _row_sums(a, b), _row_sums(b, a)
    across = a_to_b.sum() / (len(a) * len(b))
    mean_a, mean_b = (rows.sum() / (len(rows) * (len(rows) - 1)) for rows in (within_a, within_b))
    variance = _jackknife(within_a, a_to_b, len(b)) + _jackknife(within_b, b_to_a, len(a))
    return EnergyDistance(float(2 * across - mean_a - mean_b), math.sqrt(float(variance)))


def _row_sums(a: Tensor, b: Tensor) -> Tensor:
    """sum_j |a_i - b_j| for every i, without the pair of a point and itself when ``b`` is ``a``."""
    rows = max(1, CHUNK_VALUES // len(b))
    sums = []
    for start in range(0, len(a), rows):
        distances = torch.cdist(a[start : start + rows], b)
        if b is a:
            distances.diagonal(start).zero_()
        sums.append(distances.sum(dim=1))
    return torch.cat(sums)


def _jackknife(within: Tensor, across: Tensor, other: int) -> Tensor:
    """Jackknife variance of the estimate over one sample: each of its n sequences left out in turn."""
    n = len(within)
    mean_across = (across.sum() - across) / ((n - 1) * other)
    mean_within = (within.sum() - 2 * within) / ((n - 1) * (n - 2))
    return (n - 1) * (2 * mean_across - mean_within).var(correction=0)
