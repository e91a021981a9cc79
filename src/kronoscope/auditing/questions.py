"""The records of one question of an audit, and of one number that is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._display import Displayed, Tabular, columns_of


@dataclass(frozen=True, repr=False)
class Cell(Displayed):
    """One number that is compared between the two sets.

    Attributes:
        label, unit: What it is.
        real, generated: Its value in both; None for one that only the two together have.
        effect: Generated less real (or a distance between the sets).
        lower, upper: Interval of the effect that holds for all cells of the question at once, with probability
            1 - alpha.
        p_value: Corrected for the number of cells in the question.
        detectable: Smallest effect that would have been found, in this cell, with probability 0.9.
    """

    label: str
    unit: str
    real: float | None
    generated: float | None
    effect: float
    lower: float
    upper: float
    p_value: float
    detectable: float

    def _facts(self) -> dict[str, object]:
        unit = f" {self.unit}" if self.unit else ""
        return {
            "label": self.label,
            "real": self.real,
            "generated": self.generated,
            "effect": f"{self.effect:.4g}{unit}",
            "interval": (self.lower, self.upper),
            "p value": self.p_value,
            "detectable": self.detectable,
        }


@dataclass(frozen=True, repr=False)
class Question(Tabular):
    """One question of the audit, with the number that deviates most.

    Attributes:
        name, title: "covariance"; "Is the covariance reproduced, at every lag and for every pair of features?".
        effect, unit, lower, upper, detectable: Of the worst cell; see :class:`Cell`.
        p_value: Of the question alone, corrected for its cells.
        adjusted_p_value: Corrected for the number of questions as well.
        rejected: Whether ``adjusted_p_value`` is at most alpha.
        verdict: The answer in one or two sentences.
        cells: Those that deviate most, worst first.
        num_cells: How many were looked at.
        excess: Deviation of the worst cell over what alpha allows the question by itself: above 1 it deviates.
        compared: What the two sets are.
    """

    name: str
    title: str
    effect: float
    unit: str
    lower: float
    upper: float
    p_value: float
    adjusted_p_value: float
    detectable: float
    rejected: bool
    verdict: str
    cells: tuple[Cell, ...]
    num_cells: int
    excess: float
    compared: tuple[str, str] = ("real", "generated")

    def _facts(self) -> dict[str, object]:
        unit = f" {self.unit}" if self.unit else ""
        return {
            "name": self.name,
            "rejected": self.rejected,
            "effect": f"{self.effect:.4g}{unit}",
            "interval": (self.lower, self.upper),
            "p value": self.p_value,
            "adjusted p value": self.adjusted_p_value,
            "detectable": self.detectable,
            "cells": self.num_cells,
        }

    def _columns(self) -> dict[str, Sequence[object]]:
        names = "label", "unit", "real", "generated", "effect", "lower", "upper", "p_value", "detectable"
        return columns_of(self.cells, *names)
