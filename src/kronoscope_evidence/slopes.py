"""A least-squares slope with its confidence interval: the exponent of a power law on logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kronoscope._intervals import student_reach

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Slope:
    """A least-squares slope and its 95 % interval, from the residuals; unbounded from two points."""

    value: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.lower:.3f} to {self.upper:.3f})"


def slope(x: Sequence[float], y: Sequence[float]) -> Slope:
    """Slope of y against x, which must not all be equal. The interval is Student's, len(x) - 2 degrees of freedom."""
    across, along = np.array(x) - np.mean(x), np.array(y) - np.mean(y)
    value = float(across @ along / (across @ across))
    if len(x) < 3:
        return Slope(value, -math.inf, math.inf)
    scatter = float(((along - value * across) ** 2).sum() / (len(x) - 2) / (across @ across))
    reach = student_reach(len(x) - 2, CONFIDENCE) * math.sqrt(scatter)
    return Slope(value, value - reach, value + reach)


def power(x: Sequence[float], y: Sequence[float]) -> Slope:
    """Exponent b of y = a x^b: the slope of log y against log x."""
    return slope([math.log(value) for value in x], [math.log(value) for value in y])
