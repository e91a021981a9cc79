"""A least-squares slope with its confidence interval: the exponent of a power law on logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Slope:
    """A least-squares slope and its 95 % interval, from the residuals."""

    value: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.lower:.3f} to {self.upper:.3f})"


def slope(x: Sequence[float], y: Sequence[float]) -> Slope:
    """Slope of y against x. The interval uses Student's t with len(x) - 2 degrees of freedom."""
    across, along = np.array(x) - np.mean(x), np.array(y) - np.mean(y)
    value = float(across @ along / (across @ across))
    scatter = float(((along - value * across) ** 2).sum() / (len(x) - 2) / (across @ across))
    reach = float(stats.t.ppf(0.975, len(x) - 2)) * math.sqrt(scatter)
    return Slope(value, value - reach, value + reach)


def power(x: Sequence[float], y: Sequence[float]) -> Slope:
    """Exponent b of y = a x^b: the slope of log y against log x."""
    return slope([math.log(value) for value in x], [math.log(value) for value in y])
