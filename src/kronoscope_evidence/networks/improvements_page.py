"""The page of ``kronoscope reproduce improvements``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scipy import stats

from kronoscope.report import Bar, BarPanel, Column, Estimate, Figure, Number, Report, Section, Table, Text, Verdict
from kronoscope.report.numerals import decimal
from kronoscope.report.records import Cell

from ..learning.curves import Point
from ..learning.words import how_it_was_done
from ..slopes import CONFIDENCE

if TYPE_CHECKING:
    from .improvements import Change, Compared

THRESHOLD = 2.0  # standard errors
LOOKS = {"helps": "learnt", "hurts": "second", "no difference shown": "null", "undecided": "null"}


def page(found: Sequence[Compared], n: int, quick: bool) -> Report:
    """What helps and what does not; the changes in figures and tables; how it could have failed."""
    return Report(
        "What brings a generic transformer nearer the truth?",
        "Changes that the theory suggests are tried one at a time on the same draws; each either lowers the held-out "
        "loss by more than twice its standard error, or is not said to help.",
        facts=_facts(found, n),
        sections=[
            Section("What helps, and what does not", "", [_said(found), *_figures(found)]),
            *(Section(one.group.title, "", [_table(one)]) for one in found),
            how_it_was_done(_how(found, quick)),
        ],
        verdict=_verdict(found),
    )


def _every(found: Sequence[Compared]) -> list[Change]:
    return [change for one in found for change in one.changes]


def _facts(found: Sequence[Compared], n: int) -> dict[str, Cell]:
    every = _every(found)
    seeds = max(change.seeds for change in every)
    return {"trained on": f"{n} sequences", "comparisons": len(every), "seeds": seeds}


def said(compared: Compared, verdict: str) -> str:
    """The changes of that verdict with their numbers, the largest first."""
    own = [one for one in compared.changes if one.verdict == verdict and one.held_out is not None]
    own.sort(key=lambda one: -abs(one.held_out or 0.0))
    return "; ".join(
        f"{one.label} ({_signed(one.held_out or 0.0)}"
        + ("" if one.held_out_error is None else f" ± {one.held_out_error:.2f}")
        + ")"
        for one in own
    )


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else ''}{decimal(value, 2)}"


def _said(found: Sequence[Compared]) -> Text:
    paragraphs = []
    for one in found:
        words = {verdict: said(one, verdict) for verdict in LOOKS}
        told = [f"{verdict[0].upper()}{verdict[1:]}: {changes}." for verdict, changes in words.items() if changes]
        if not words["helps"]:
            told.insert(0, "Nothing that was tried helps by more than twice its standard error.")
        paragraphs.append(
            f"{one.group.title} (held-out loss, nats a sequence, less that of the base). {' '.join(told)}"
        )
    return Text("\n\n".join(paragraphs))


def _figures(found: Sequence[Compared]) -> list[Figure]:
    panels = []
    for one in found:
        bars = []
        for change in one.changes:
            if change.held_out is None:
                continue
            half = None if change.held_out_error is None else THRESHOLD * change.held_out_error
            ends = (None, None) if half is None else (change.held_out - half, change.held_out + half)
            bars.append(Bar(change.label, LOOKS[change.verdict], change.held_out, *ends))
        if bars:
            panels.append(BarPanel(one.group.title, "held-out loss less that of the base (nats)", bars))
    if not panels:
        return []
    caption = (
        f"Change of the held-out loss, paired over the seeds, with ±{THRESHOLD:g} standard errors. To the left of 0 a "
        "change helps, to the right it hurts; a bar whose interval holds 0 says nothing."
    )
    alt = "Bars of the change in held-out loss for every variant, by group, with intervals."
    return [Figure(panels, caption, alt, columns=1)]


def _table(compared: Compared) -> Table:
    base = compared.base
    rows: list[list[Cell]] = [
        [
            compared.label,
            None,
            None,
            _own(base),
            _interval(base),
            base.parameters,
            base.seconds,
            "base",
        ]
    ]
    rows += [
        [
            one.label,
            _estimate(one.held_out, one.held_out_error),
            _estimate(one.kl, one.kl_error),
            _own(one.point),
            _interval(one.point),
            one.point.parameters,
            one.point.seconds,
            one.verdict,
        ]
        for one in compared.changes
    ]
    columns: list[Column | str] = ["changed", Column("held-out loss less the base's", "nats")]
    columns += [Column("score error less the base's", "nats"), Column("score error", "nats")]
    columns += [f"{100 * CONFIDENCE:.0f} % interval", Column("weights", digits=7), Column("training", "s", digits=3)]
    columns.append("verdict")
    failed = [f"{one.label}: {why}" for one in compared.changes for why in one.point.failed]
    note = "± one standard error over seeds. The verdict is by the held-out loss, which needs no truth. "
    note += f"Failures: {'. '.join(failed)}." if failed else "No training failed."
    caption = (
        f"{compared.group.title}: one thing changed at a time. Differences are paired by the draw of data, the "
        "held-out part and its noise; the score error is the distance from the truth, which a verdict can be held to."
    )
    looks = ["baseline", *(LOOKS[one.verdict] for one in compared.changes)]
    return Table([*columns], rows, caption, note=note, row_roles=looks)


def _own(one: Point) -> Cell:
    return _estimate(one.kl, one.standard_error)


def _estimate(value: float | None, error: float | None) -> Cell:
    return value if value is None or error is None else Estimate(value, error)


def _interval(one: Point) -> str:
    return "none" if one.lower is None or one.upper is None else f"{one.lower:.3g} to {one.upper:.3g}"


def agreement(changes: Sequence[Change]) -> tuple[int, int]:
    """Of the changes said to help or to hurt, how many move the score error the same way, and how many there are."""
    told = [one for one in changes if one.verdict in ("helps", "hurts") and one.kl is not None]
    return sum((one.kl or 0.0) * (one.held_out or 0.0) > 0 for one in told), len(told)


def false_alarms(changes: Sequence[Change]) -> float:
    """How many of ``changes`` would be said to help or to hurt if none did either: Student's t beyond the threshold."""
    return sum(2 * float(stats.t.sf(THRESHOLD, one.seeds - 1)) for one in changes if one.seeds > 1)


def _verdict(found: Sequence[Compared]) -> Verdict:
    numbers = []
    for one in found:
        tally = {verdict: sum(change.verdict == verdict for change in one.changes) for verdict in LOOKS}
        told = f"{tally['hurts']} hurt, {tally['no difference shown']} show no difference"
        standing = "good" if tally["helps"] else "neutral"
        label = f"changes help: {one.group.title}"
        numbers.append(Number(f"{tally['helps']} of {len(one.changes)}", label, told, standing))
    every = _every(found)
    same, of = agreement(every)
    chance = f"{false_alarms(every):.1f} would be told by chance, if no change did anything"
    if of:
        label, standing = "verdicts move the score error the same way", "good" if same == of else "bad"
        numbers.append(Number(f"{same} of {of}", label, f"helps or hurts, beside the truth; {chance}", standing))
    else:
        numbers.append(Number("0", "changes help or hurt", chance))
    return Verdict(numbers)


def _how(found: Sequence[Compared], quick: bool) -> str:
    every = _every(found)
    told = (
        "Every variant is trained on the same draws as its base, with the same held-out sequences and the same noise "
        "on them, for the same number of train steps (about 20 s of one core for the presets, but in the group "
        "trained in full); a change that makes a step slower is not charged for it, which is why seconds stand in the "
        "table. The weights kept are those of "
        "the least held-out loss, of variant and base alike. Weight decay is torch's AdamW: weights shrink by the "
        "learning rate times the decay in a step, on matrices only. Antithetic batches hold pairs of noise +epsilon "
        "and -epsilon on one sequence at one time, so half as many sequences. Noise drawn once: each sequence keeps "
        "one time and one noise for the whole training; the other rows draw them afresh in every step. Width, depth "
        "and tying are those of both paths; the presets have depth 4 and width 64.\n\n"
        f"A claim that a change helps would have failed if its interval of ±{THRESHOLD:g} standard errors held 0; it "
        "is in doubt if the change moved the score error the other way. With so few seeds the rule errs: if no change "
        f"did anything, {false_alarms(every):.1f} of the {len(every)} comparisons would be said to help or to hurt by "
        "chance, so a verdict close to the line is to be repeated with other seeds before it is believed. Budgets are "
        "small, and what helps a short training need not help a long one: the group trained in full repeats what had "
        "helped, with the preset's own train steps. Changes were not tried together."
    )
    if quick:
        told += " This quick version trains smaller networks on shorter sequences for a few steps: it only shows that "
        told += "everything runs, and leaves the group trained in full out. Its presets have depth 3 and width 48, and "
        told += "what helps so early is mostly speed."
    return told
