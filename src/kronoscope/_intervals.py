"""Confidence intervals of means and jackknife estimates: how many standard errors they reach."""

from __future__ import annotations

from scipy.special import stdtrit

from . import _checks
from ._errors import InputError


def student_reach(freedom: int, level: float = 0.95) -> float:
    """Half-width of a central interval in standard errors: the quantile of Student's t.

    A standard error of few groups is itself uncertain; the normal 1.96 would hold 92 % for 10 groups.

    Args:
        freedom: Degrees of freedom: groups less one for a jackknife over groups.
        level: Between 0 and 1.
    """
    if not 0 < _checks.real("level", level) < 1:
        raise InputError(f"level must be greater than 0 and less than 1, got {level:g}")
    return float(stdtrit(_checks.count("freedom", freedom), (1 + level) / 2))
