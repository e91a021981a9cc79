"""A study: a claim of the theory, what is measured for it, what would refute it, and its page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from kronoscope.report import Report

from .stages import Stage

RECOMMENDATIONS = "Recommendations"  # title of a page's section of recommendations; a quick run has none

S = TypeVar("S")
R = TypeVar("R")


@dataclass(frozen=True)
class Measured:
    """A number with its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Check:
    """One number that could refute the claim.

    Attributes:
        label: What the number is, in a few words.
        value: The number.
        shown: The number as the page shows it, with its unit.
        expected: What it is compared with, in one line.
        holds: Whether the claim survives it; None for a number that decides nothing.
    """

    label: str
    value: float
    shown: str
    expected: str
    holds: bool | None


@dataclass(frozen=True)
class Run(Generic[S]):
    """What a measurement is given.

    Attributes:
        size: The study's record of sizes: its full one, or its quick one.
        seed: Of everything random.
        stage: ``stage(title)`` is a context manager that gives a function of the fraction done and a few words.
        store: Folder in which a resumable study keeps what is measured; None for the others.
    """

    size: S
    seed: int
    stage: Stage
    store: Path | None = None


@dataclass(frozen=True)
class Study(Generic[S, R]):
    """A claim with all that puts it to the test. The functions are pure but for ``measure``.

    Attributes:
        claim: One sentence.
        full, quick: Records of sizes. A quick run only shows that the study runs; its numbers are not evidence.
        minutes: About how long the two take on 2 cores: (full, quick).
        result: Class of the result: a frozen dataclass of plain values that the codec reads and writes.
        measure: Runs the study.
        checks: The numbers that could refute the claim, at most five.
        page: The page without its headline numbers, which come from ``checks``. Measures and decides nothing.
        resumable: Whether ``measure`` keeps what is done in ``Run.store``, so that a killed run can be continued.
    """

    claim: str
    full: S
    quick: S
    minutes: tuple[float, float]
    result: type[R]
    measure: Callable[[Run[S]], R]
    checks: Callable[[R], list[Check]]
    page: Callable[[R], Report]
    resumable: bool = False
