"""Numbers of the verdict and rows of results for the pages that are not converted to ``Study`` yet; goes with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kronoscope._codec import to_plain
from kronoscope.report import Number

from .learning.curves import Ratio
from .learning.words import exponent_check, ratio_check
from .slopes import Slope
from .study import Check


def slope_number(exponent: Slope | None, label: str, expected: str, holds: bool | None) -> Number:
    """An exponent in the verdict."""
    return _number(exponent_check(exponent, label, expected, holds))


def ratio_number(ratio: Ratio | None, label: str, expected: str, holds: bool | None, *, claimed: bool = True) -> Number:
    """A ratio in the verdict."""
    return _number(ratio_check(ratio, label, expected, holds, claimed=claimed))


def _number(check: Check) -> Number:
    standing = "neutral" if check.holds is None else "good" if check.holds else "bad"
    return Number(check.shown, check.label, check.expected, standing)


def plain(rows: Sequence[object]) -> list[dict[str, Any]]:
    """Rows as JSON."""
    return [to_plain(row) for row in rows]
