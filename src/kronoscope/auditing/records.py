"""The result of an audit: a plain frozen record, to JSON and to a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import report
from .._display import Tabular, columns_of
from ..metrics import PublishedMetric
from . import page
from .questions import Question


@dataclass(frozen=True, repr=False)
class AuditResult(Tabular):
    """Result of an audit of real against generated sequences: all questions, largest deviation first.

    Attributes:
        questions: See :class:`Question`.
        alpha: Probability of any rejection at all where both sets have one law.
        num_real, num_generated, num_held_out: Sequences; 0 held out if there were none.
        num_frames, features: Their size.
        block: Neighbouring sequences that were kept together; 1 for independent sequences.
        num_draws: Relabellings.
        notes: What was left out, and why.
        num_training: Sequences of the training set; 0 where it was not given.
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

    def _facts(self) -> dict[str, object]:
        differ = [question.name for question in self.questions if question.rejected]
        facts: dict[str, object] = {
            "passed": self.passed,
            "differ": f"{len(differ)} of {len(self.questions)} questions",
        }
        if self.questions:
            worst = self.questions[0]
            facts["worst"] = f"{worst.name} (adjusted p = {worst.adjusted_p_value:.2g})"
        sizes = {"real": self.num_real, "generated": self.num_generated, "held out": self.num_held_out}
        facts |= {"alpha": self.alpha, **sizes, "frames": self.num_frames, "features": len(self.features)}
        return facts | {"block": self.block, "relabellings": self.num_draws, "notes": len(self.notes)}

    def _columns(self) -> dict[str, Sequence[object]]:
        names = "name", "rejected", "p_value", "adjusted_p_value", "effect", "unit", "lower", "upper", "detectable"
        return {**columns_of(self.questions, *names), "worst cell": [_worst_cell(q) for q in self.questions]}

    def plot(self) -> report.Plot:
        """The largest deviation of each question, relative to its critical value; a ``matplotlib.figure.Figure``."""
        return report.plot(page.deviation_figure(self.questions))

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
        facts: dict[str, str | int] = {
            "real sequences": self.num_real,
            "generated sequences": self.num_generated,
            "sequences trained on": self.num_training or "not given",
            "sequences held out": self.num_held_out or "not given",
            "frames": self.num_frames,
            "features": ", ".join(self.features[:12]) + (" and more" if len(self.features) > 12 else ""),
            "sequences kept together": self.block,
            "relabellings": self.num_draws,
            "level": f"{100 * self.alpha:g} % over all questions together",
        }
        return page.build(
            self.questions,
            facts=facts,
            alpha=self.alpha,
            block=self.block,
            notes=self.notes,
            published=self.published,
        )

    def to_html(self, path: str | Path, force: bool = False) -> Path:
        """Write the page to the file ``path``, which appears whole or not at all.

        Raises:
            InputError: The file exists and ``force`` is False, or its folder does not exist.
        """
        return report.write(self.to_report(), path, force)

    def __str__(self) -> str:
        lines = [f"{'passed' if self.passed else 'failed'}: {len(self.questions)} questions, alpha = {self.alpha:g}"]
        return "\n".join([*lines, *(f"{q.name}: {q.verdict}" for q in self.questions)])


def _worst_cell(question: Question) -> str:
    return question.cells[0].label if question.cells else ""
