"""What an audit found: plain frozen records, to JSON and to a page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import report
from ..metrics import PublishedMetric


@dataclass(frozen=True)
class Cell:
    """One number that both sets have.

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


@dataclass(frozen=True)
class Question:
    """One question of the audit, told by the cell that deviates most.

    Attributes:
        name, title: "covariance"; "Is the covariance right, at every lag and for every pair of features?".
        effect, unit, lower, upper, detectable: Of the worst cell; see :class:`Cell`.
        p_value: Of the question alone, corrected for its cells.
        adjusted_p_value: Corrected for the number of questions as well.
        rejected: Whether ``adjusted_p_value`` is at most alpha.
        verdict: The answer in plain words.
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


@dataclass(frozen=True)
class AuditResult:
    """Real against generated sequences: every question with its answer, worst offenders first.

    Attributes:
        questions: See :class:`Question`.
        alpha: Probability of any rejection at all where both sets have one law.
        num_real, num_generated, num_held_out: Sequences; 0 held out if there were none.
        num_frames, features: Their size.
        block: Neighbouring sequences that were kept together; 1 for independent sequences.
        num_draws: Relabellings.
        notes: What was left out, and why.
        num_training: Sequences that the generator has seen; 0 where that was not told.
        published: Metrics of papers, where asked for. They decide nothing.
    """

    questions: tuple[Question, ...]
    alpha: float
    num_real: int
    num_generated: int
    num_held_out: int
    num_frames: int
    features: tuple[str, ...]
    block: int
    num_draws: int
    notes: tuple[str, ...] = ()
    num_training: int = 0
    published: tuple[PublishedMetric, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no question is rejected after the correction for all of them."""
        return not any(question.rejected for question in self.questions)

    def question(self, name: str) -> Question:
        """The question of that name.

        Raises:
            KeyError: It was not asked.
        """
        for question in self.questions:
            if question.name == name:
                return question
        raise KeyError(f"no question {name!r}; there are {', '.join(q.name for q in self.questions)}")

    def to_json(self) -> str:
        """Everything as JSON, with ``passed``."""
        return json.dumps({"passed": self.passed, **asdict(self)}, ensure_ascii=False, allow_nan=False, indent=1)

    def to_report(self) -> report.Report:
        """The page as records."""
        from .page import build  # page.py needs the records above

        return build(self)

    def to_html(self, path: str | Path, force: bool = False) -> Path:
        """Write the page to the file ``path``, which appears whole or not at all.

        Raises:
            InputError: The file exists and ``force`` is False, or its folder does not exist.
        """
        return report.write(self.to_report(), path, force)

    def __str__(self) -> str:
        lines = [f"{'passed' if self.passed else 'failed'}: {len(self.questions)} questions, alpha = {self.alpha:g}"]
        return "\n".join([*lines, *(f"{q.name}: {q.verdict}" for q in self.questions)])
