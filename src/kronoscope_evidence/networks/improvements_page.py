"""Result, checks and page of the study of single changes to a generic transformer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from scipy import stats

from kronoscope.report import Bar, BarPanel, Column, Estimate, Figure, Report, Section, Table, Text
from kronoscope.report.numerals import decimal
from kronoscope.report.records import Cell

from ..learning.curves import interval
from ..learning.jobs import SAMPLES, Job
from ..study import Check

THRESHOLD = 2.0  # standard errors
HELPS, HURTS, NO_DIFFERENCE, UNDECIDED = "helps", "hurts", "no difference shown", "undecided"
ROLES = {HELPS: "learnt", HURTS: "second", NO_DIFFERENCE: "null", UNDECIDED: "null"}


@dataclass(frozen=True)
class VariantJob(Job):
    """A training of a variant, and the sequences at which its score error is measured."""

    variant: str = ""
    error_samples: int = SAMPLES


@dataclass(frozen=True)
class Row:
    """One training of one variant. What a diverged training cannot have is None.

    Attributes:
        job: What was asked.
        seconds: Of the processor.
        held_out: Loss of the held-out sequences, nats a sequence.
        kl, standard_error: Score error and its Monte Carlo error, nats a sequence; needs the truth.
        parameters, steps, best_step: Of the training.
        failed: Why the training diverged.
    """

    job: VariantJob
    seconds: float
    held_out: float | None = None
    kl: float | None = None
    standard_error: float | None = None
    parameters: int | None = None
    steps: int | None = None
    best_step: int | None = None
    failed: str | None = None


@dataclass(frozen=True)
class Change:
    """A variant less the network that it changes, paired by the draw of data.

    Attributes:
        variant: Which.
        label: What is changed.
        held_out: Mean change of the held-out loss, nats a sequence; None if no pair is left.
        held_out_error: Its standard error over the seeds; None with fewer than two.
        kl, kl_error: The same of the score error.
        seeds: In which neither failed.
    """

    variant: str
    label: str
    held_out: float | None
    held_out_error: float | None
    kl: float | None
    kl_error: float | None
    seeds: int

    @property
    def verdict(self) -> str:
        """By the held-out loss, which needs no truth."""
        if self.held_out is None or self.held_out_error is None:
            return UNDECIDED
        if abs(self.held_out) <= THRESHOLD * self.held_out_error:
            return NO_DIFFERENCE
        return HELPS if self.held_out < 0 else HURTS


@dataclass(frozen=True)
class Comparison:
    """Variants that each differ by one thing from ``base``.

    Attributes:
        title: Of the section.
        base, label: The network that is changed, and what it is.
        changes: In the order of the page.
    """

    title: str
    base: str
    label: str
    changes: tuple[Change, ...]

    def count(self, verdict: str) -> int:
        """Changes of that verdict."""
        return sum(change.verdict == verdict for change in self.changes)


@dataclass(frozen=True)
class Result:
    """All numbers of the study."""

    comparisons: tuple[Comparison, ...]
    rows: tuple[Row, ...]

    @property
    def changes(self) -> list[Change]:
        """Of all comparisons."""
        return [change for comparison in self.comparisons for change in comparison.changes]

    def of(self, variant: str) -> list[Row]:
        """The trainings of a variant, diverged ones too."""
        return [row for row in self.rows if row.job.variant == variant]


def checks(result: Result) -> list[Check]:
    """How many changes help, and whether the score error moves the way that the held-out loss says."""
    numbers = [
        Check(
            f"changes help: {comparison.title}",
            comparison.count(HELPS),
            f"{comparison.count(HELPS)} of {len(comparison.changes)}",
            f"{comparison.count(HURTS)} hurt, {comparison.count(NO_DIFFERENCE)} show no difference",
            None,
        )
        for comparison in result.comparisons
    ]
    same, decided = agreement(result.changes)
    chance = f"{false_alarms(result.changes):.1f} are expected by chance if no change has an effect"
    if not decided:
        return [*numbers, Check("changes help or hurt", 0, "0", chance, None)]
    text = f"changes that help or hurt by the held-out loss; {chance}"
    label = "verdicts move the score error the same way"
    return [*numbers, Check(label, same, f"{same} of {decided}", text, same == decided)]


def agreement(changes: Sequence[Change]) -> tuple[int, int]:
    """Of the changes said to help or to hurt, how many move the score error the same way, and how many there are."""
    decided = [change for change in changes if change.verdict in (HELPS, HURTS) and change.kl is not None]
    return sum((change.kl or 0.0) * (change.held_out or 0.0) > 0 for change in decided), len(decided)


def false_alarms(changes: Sequence[Change]) -> float:
    """How many changes would be said to help or to hurt if none did either: Student's t beyond the threshold."""
    return sum(2 * float(stats.t.sf(THRESHOLD, change.seeds - 1)) for change in changes if change.seeds > 1)


def page(result: Result) -> Report:
    """Which changes help, in words, figures and tables."""
    return Report(
        "Which single changes improve a generic transformer?",
        "Changes that the theory suggests are tried one at a time on the same draws. A change helps if it lowers the "
        f"held-out loss by more than {THRESHOLD:g} standard errors.",
        facts={
            "trained on": f"{result.rows[0].job.n} sequences",
            "comparisons": len(result.changes),
            "seeds": len({row.job.seed for row in result.rows}),
        },
        sections=[
            Section("What helps, and what does not", "", [_summary(result), *_figures(result)]),
            *(Section(comparison.title, "", [_table(result, comparison)]) for comparison in result.comparisons),
            Section("How it was done", "", [Text(_method(result))]),
        ],
    )


def listed(comparison: Comparison, verdict: str) -> str:
    """The changes of that verdict with their numbers, the largest first."""
    changes = [(change, change.held_out) for change in comparison.changes if change.verdict == verdict]
    known = sorted(((change, value) for change, value in changes if value is not None), key=lambda pair: -abs(pair[1]))
    return "; ".join(f"{change.label} ({_signed(value)}{_error(change.held_out_error)})" for change, value in known)


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else ''}{decimal(value, 2)}"


def _error(value: float | None) -> str:
    return "" if value is None else f" ± {value:.2f}"


def _summary(result: Result) -> Text:
    paragraphs = []
    for comparison in result.comparisons:
        changes = {verdict: listed(comparison, verdict) for verdict in ROLES}
        sentences = [f"{verdict[0].upper()}{verdict[1:]}: {each}." for verdict, each in changes.items() if each]
        if not comparison.count(HELPS):
            sentences.insert(0, f"No change helps by more than {THRESHOLD:g} standard errors.")
        paragraphs.append(
            f"{comparison.title} (held-out loss less that of the base, nats a sequence). {' '.join(sentences)}"
        )
    return Text("\n\n".join(paragraphs))


def _figures(result: Result) -> list[Figure]:
    panels = []
    for comparison in result.comparisons:
        bars = []
        for change in comparison.changes:
            if change.held_out is None:
                continue
            reach = None if change.held_out_error is None else THRESHOLD * change.held_out_error
            ends = (None, None) if reach is None else (change.held_out - reach, change.held_out + reach)
            bars.append(Bar(change.label, ROLES[change.verdict], change.held_out, *ends))
        if bars:
            panels.append(BarPanel(comparison.title, "held-out loss less that of the base (nats)", bars))
    if not panels:
        return []
    caption = (
        f"Change of the held-out loss, paired over the seeds, with ±{THRESHOLD:g} standard errors. A change helps to "
        "the left of 0 and hurts to the right. A bar whose interval covers 0 shows no difference."
    )
    alt = "Bars of the change in held-out loss for every variant, by group, with intervals."
    return [Figure(panels, caption, alt, columns=1)]


def _table(result: Result, comparison: Comparison) -> Table:
    rows = [[comparison.label, None, None, *_own(result.of(comparison.base)), "base"]]
    rows += [
        [
            change.label,
            _estimate(change.held_out, change.held_out_error),
            _estimate(change.kl, change.kl_error),
            *_own(result.of(change.variant)),
            change.verdict,
        ]
        for change in comparison.changes
    ]
    columns: list[Column | str] = ["changed", Column("held-out loss less the base's", "nats")]
    columns += [Column("score error less the base's", "nats"), Column("score error", "nats"), "95 % interval"]
    columns += [Column("parameters", digits=7), Column("training", "s", digits=3), "verdict"]
    failures = dict.fromkeys(
        f"{change.label}: {row.failed}"
        for change in comparison.changes
        for row in result.of(change.variant)
        if row.failed is not None
    )
    note = "± one standard error over seeds. The verdict is by the held-out loss, which needs no truth. "
    note += f"Failures: {'. '.join(failures)}." if failures else "No training failed."
    caption = (
        f"{comparison.title}: one thing changed at a time. Differences are paired by the draw of data, the held-out "
        "part and its noise. The score error is the distance from the truth, by which the verdict can be checked."
    )
    roles = ["baseline", *(ROLES[change.verdict] for change in comparison.changes)]
    return Table(columns, rows, caption, note=note, row_roles=roles)


def _own(rows: Sequence[Row]) -> list[Cell]:
    """Mean score error with its interval, parameters, and mean seconds of a variant by itself."""
    errors = [row.kl for row in rows if row.kl is not None]
    seconds = fmean(row.seconds for row in rows)
    if not errors:
        return [None, "none", None, seconds]
    mean, error, lower, upper = interval(errors)
    bounds = "none" if lower is None or upper is None else f"{lower:.3g} to {upper:.3g}"
    parameters = next(row.parameters for row in rows if row.parameters is not None)
    return [_estimate(mean, error), bounds, parameters, seconds]


def _estimate(value: float | None, error: float | None) -> Cell:
    return value if value is None or error is None else Estimate(value, error)


def _method(result: Result) -> str:
    return (
        "Every variant is trained on the same draws as its base, with the same held-out sequences and the same noise "
        "on them, for the same number of train steps. At the presets' sizes that is about 20 s of one core, except in "
        "the group trained in full. A change that makes a step slower is not charged for it; the table shows the "
        "seconds. The parameters kept are those of the lowest held-out loss, for variant and base alike.\n\n"
        "Weight decay is torch's AdamW: a step shrinks matrices by the learning rate times the decay. Antithetic "
        "batches hold pairs of noise, +epsilon and -epsilon, on one sequence at one time, so half as many sequences. "
        "“Noise drawn once” gives each sequence one time and one noise for the whole training; all other rows draw "
        "both in every step. Width, depth and tying are those of both paths; the presets have depth 4 and width "
        "64.\n\n"
        f"An interval of ±{THRESHOLD:g} standard errors that covers 0 refutes the claim that a change helps. A score "
        "error that moves the other way puts it in doubt. With so few seeds the rule errs: if no change had an "
        f"effect, {false_alarms(result.changes):.1f} of the {len(result.changes)} comparisons would be said to help "
        "or to hurt by chance. Repeat a verdict close to the threshold with other seeds before you rely on it. "
        "Budgets are small, and what helps a short training need not help a long one: the group trained in full "
        "repeats what had helped, with the preset's own number of steps. Changes were not combined."
    )
