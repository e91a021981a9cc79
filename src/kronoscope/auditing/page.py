"""The audit as a page: a verdict, one table of questions, and a section with the worst cells of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..metrics import PublishedMetric
from ..report import Bar, BarPanel, Column, Estimate, Figure, Number, Report, Section, Table, Text, Verdict
from ..report.records import Block, Cell
from .questions import Question


def build(
    questions: Sequence[Question],
    *,
    facts: Mapping[str, str | int],
    alpha: float,
    block: int,
    notes: Sequence[str],
    published: Sequence[PublishedMetric],
) -> Report:
    """The page of an audit.

    Args:
        questions: Every question with its answer, worst first.
        facts: Sizes and settings, by their label.
        alpha: Probability that a perfect generator fails.
        block: Neighbouring sequences that were kept together.
        notes: What was left out, and why.
        published: Metrics of papers, where they were asked for.
    """
    papers = [_papers(published)] if published else []
    sections = [_overview(questions, notes), *papers, *(_section(question, alpha) for question in questions)]
    return Report(
        "Audit of generated sequences",
        summary(questions),
        dict(facts),
        [*sections, _method(alpha, block)],
        _verdict(questions, alpha),
    )


def summary(questions: Sequence[Question]) -> str:
    """The result in one sentence."""
    rejected = [question.name for question in questions if question.rejected]
    if not rejected:
        return f"The audit passed: none of {len(questions)} questions shows a difference beyond chance."
    names = rejected[0] if len(rejected) == 1 else f"{', '.join(rejected[:-1])} and {rejected[-1]}"
    show = "shows" if len(rejected) == 1 else "show"
    return f"The audit failed: {len(rejected)} of {len(questions)} questions {show} a difference: {names}."


def _verdict(questions: Sequence[Question], alpha: float) -> Verdict:
    rejected = [question for question in questions if question.rejected]
    quality = "bad" if rejected else "good"
    numbers = [
        Number(
            "failed" if rejected else "passed",
            "the audit",
            f"a perfect generator fails one audit in {1 / alpha:.0f}",
            quality,
        ),
        Number(
            f"{len(rejected)} of {len(questions)}",
            "questions show a difference",
            "after the correction for all questions",
            quality,
        ),
    ]
    if rejected:
        numbers.append(Number(rejected[0].name, "largest deviation", _brief(rejected[0]), "bad"))
    return Verdict(numbers)


def _brief(question: Question) -> str:
    return question.cells[0].label if question.cells else ""


def _overview(questions: Sequence[Question], notes: Sequence[str]) -> Section:
    rows: list[list[Cell]] = [
        [q.name, q.verdict, q.p_value, q.adjusted_p_value, "differs" if q.rejected else "no difference found"]
        for q in questions
    ]
    table = Table(
        ["question", "answer", Column("p", digits=2), Column("p, all questions", digits=2), ""],
        rows,
        "All questions, largest deviation first. p: how often two sets with the same distribution deviate as "
        "much in any "
        "number of this question. p, all questions: the p-value corrected for all questions; at or below the level the "
        "question counts as a difference.",
        highlight_rows=[i for i, q in enumerate(questions) if q.rejected],
    )
    blocks: list[Block] = [deviation_figure(questions), table]
    if notes:
        blocks.append(Text("\n\n".join(notes), "note"))
    return Section("All questions", "", blocks)


def deviation_figure(questions: Sequence[Question]) -> Figure:
    """The largest deviation of each question, relative to its critical value at the level of the audit."""
    roles = {True: "second", False: "learnt"}
    bars = [Bar(q.name, roles[q.rejected], max(0.0, q.excess)) for q in questions]
    return Figure(
        [BarPanel("", "largest deviation / critical value of one question", bars)],
        "The largest deviation of each question, divided by its critical value. Sequences with the same "
        "distribution exceed "
        "1 in a single question with "
        "the probability of the level. Among so many questions, a bar may exceed 1 by chance. The questions "
        "that count as a "
        "difference have the other colour.",
        "Bars of the largest deviation in each question, relative to its critical value.",
    )


def _papers(published: Sequence[PublishedMetric]) -> Section:
    rows: list[list[Cell]] = [
        [metric.name, metric.value, metric.reference, Estimate(metric.value - metric.reference, metric.standard_error)]
        for metric in published
    ]
    table = Table(
        ["metric", "real against generated", "real against real", "difference, with its spread over splits"],
        rows,
        "Lower is better. The baseline is real against real: it compares half of the real sequences with the "
        "other half, and "
        "with as many generated ones. These metrics have no error rate, so they do not affect the verdict. "
        "`kronoscope reproduce metric-trial` shows which defects each of them detects.",
    )
    return Section("The metrics that papers report", "", [table])


def _section(question: Question, alpha: float) -> Section:
    first, second = question.compared
    rows: list[list[Cell]] = [
        [c.label, c.unit, c.real, c.generated, c.effect, c.lower, c.upper, c.p_value, c.detectable]
        for c in question.cells
    ]
    if not rows:
        return Section(question.title, question.verdict)
    level = 100 * (1 - alpha)
    table = Table(
        [
            "what", "unit", first, second, "difference", "from", "to",
            Column("p", digits=2), Column("detectable", digits=2),
        ],
        rows,
        f"The {len(rows)} numbers of {question.num_cells} with the largest standardised deviation. From, to: "
        f"{level:g} % simultaneous interval of the difference, for all numbers of the question. Detectable: the "
        "smallest "
        "difference of this number that would have been found with probability 0.9.",
        highlight_rows=[i for i, c in enumerate(question.cells) if c.p_value <= alpha],
    )  # fmt: skip
    return Section(question.title, question.verdict, [table], folded=not question.rejected)


def _method(alpha: float, block: int) -> Section:
    if block == 1:
        how = (
            "If both sets have the same distribution, the labels real and generated are exchangeable. The labels are "
            "permuted at random and every number is computed again. This gives the null distribution, and the "
            "p-values are "
            "exact for any dependence within a sequence."
        )
    else:
        how = (
            f"The real sequences follow each other in time. They were cut into blocks of {block} neighbours, "
            "and each block was paired with as many generated sequences. The two sides of a pair are exchanged "
            "at random, "
            "which preserves the dependence within a block."
        )
    family = (
        "Within a question, the largest standardised deviation is compared with its null distribution. Over the "
        "questions, the smallest p-value is compared with its null distribution, step by step (Westfall and Young "
        f"1993). The probability of any false alarm in the whole audit is {100 * alpha:g} %."
    )
    limit = (
        '"No difference found" does not prove that there is none: compare the detectable difference with the '
        "size that "
        "matters to you. Innovations are the part of a frame that the earlier frames do not predict (linearly)."
    )
    return Section("How to read the p-values", "", [Text(f"{how}\n\n{family}\n\n{limit}")])
