"""The page of ``kronoscope reproduce ablation``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kronoscope._intervals import student_reach
from kronoscope.probes import Ablation, Damage
from kronoscope.report import (
    Bar,
    BarPanel,
    Column,
    Estimate,
    Figure,
    Line,
    LinePanel,
    Number,
    Report,
    Section,
    Table,
    Verdict,
)
from kronoscope.report.records import Cell

from ..learning.page_parts import how
from ..yardstick import MIN_TIME

if TYPE_CHECKING:
    from .ablation import AblationResult, Swap

FACTOR = 10.0
FEWEST_SAMPLES = 64  # sequences that a head is judged by
GENERATED_GROUPS = 20  # of generated sequences, for the jackknife
REACH, GENERATED_REACH = student_reach(FEWEST_SAMPLES - 1), student_reach(GENERATED_GROUPS - 1)
PATHS = {"linear": "linear path", "softmax": "softmax blocks"}
SWAP_TARGET = {"compiled": 1e-2, "learnt": 0.05}
GENERATED_TARGET = 0.05


def page(result: AblationResult, quick: bool) -> Report:
    """One claim, all heads, the null beside them; then the swaps."""
    return Report(
        "Which heads carry the dependence?",
        "Each attention head of a trained DiT is taken away in turn. What the network loses without it, in nats, "
        "is held against the same heads of a DiT that was trained on white noise, where there is nothing to carry: "
        "the null.",
        facts={
            "truth": "exponential kernel, lengthscale 8, 32 frames, 4 features",
            "paired over": f"{result.samples} sequences, 24 noise levels",
            "network": "DiT, the library's preset" + (", cut short" if quick else ""),
        },
        sections=[
            Section("Damage by head", "", [_bars(result), _table(result)]),
            Section("Kernels swapped", "", [_swaps(result), _swap_table(result)]),
            how(
                "A head is taken away by putting zero where it wrote, or the mean over sequences of the same "
                "noise level (the two differ where a head says something that does not depend on the sequence). "
                "Damage is the rise "
                "of the score error, with the same sequences and noise before and after; the white network's is taken "
                "against the law of white noise. The claim would have been refuted if no head of the trained network "
                f"had cost more than {FACTOR:g} times the median of the white one's, by the lower end of a 95 % "
                "interval over the sequences (of that head alone: the worst of many looks a little worse than it is). "
                "Both are one training each. The DiT of this library has a path "
                "that is linear in x beside its softmax blocks: the bars tell which of the two loses more. Damages do "
                "not add up, since what one head loses others may hold as well.\n\n"
                "For the swap, the theory says that the attention weights hold Gamma and the values Sigma, so that "
                "exchanging the attention weights must exchange the correlation in time and leave Sigma alone. "
                f"{result.generated} sequences are generated before and after, from the same noise. The claim about "
                f"them would have been refuted by a correlation more than {GENERATED_TARGET:g} off the theory's at any "
                "lag, by the upper end of a 95 % interval; and the experiment would say nothing if the sequences "
                "before the swap had been as near, by the lower end of theirs. What theory says of them is alpha² v "
                f"gamma / (alpha² v + sigma²), with the noise of t = {MIN_TIME:g}, where the sampler stops, and v the "
                "variance that the swapped network believes in; the sampler's own error is not taken off."
            ),
        ],
        verdict=_verdict(result),
    )


def _verdict(result: AblationResult) -> Verdict:
    numbers = [_worst(result), _softmax(result)]
    for one in result.swaps:
        target = SWAP_TARGET[one.name]
        moved = one.gap <= target < one.gap_before and one.spatial_gap <= target
        numbers.append(
            Number(
                f"{one.gap:.1g}",
                f"believed correlation off the donor's, {one.name} network",
                f"largest over lags, target {target:g}; before the swap {one.gap_before:.2g}; Sigma moved by "
                f"{one.spatial_gap:.1g} of itself",
                "good" if moved else "bad",
            )
        )
        numbers += _generated(one)
    return Verdict(numbers)


def _worst(result: AblationResult) -> Number:
    trained, white = result.ablations["trained", "zero"], result.ablations["white", "zero"]
    null, worst = white.median(), trained.worst
    many = sum(_least(one) > FACTOR * null for one in trained.damages)
    return Number(
        f"{worst.nats / null:.0f} ×" if null > 0 else f"{worst.nats:.2g} nats",
        "worst head over the median null head",
        f"{worst.nats:.2g} ± {worst.standard_error:.1g} nats, {name(worst)}; null {null:.2g} nats; {many} of "
        f"{len(trained.damages)} heads are above {FACTOR:g} times the null with their interval, one must be",
        "good" if _least(worst) > FACTOR * null else "bad",
    )


def _softmax(result: AblationResult) -> Number:
    softmax = max(_of_path(result, "trained", "softmax"), key=lambda one: one.nats)
    linear = max(_of_path(result, "trained", "linear"), key=lambda one: one.nats)
    null = result.ablations["white", "zero"].median("softmax")
    return Number(
        f"{softmax.nats:.2g} ± {softmax.standard_error:.1g} nats",
        "the most that a softmax head costs",
        f"{name(softmax)}; median of the null's softmax heads {null:.2g}; a head of the linear path costs up to "
        f"{linear.nats:.2g}",
    )


def _generated(one: Swap) -> list[Number]:
    if one.generated_before is None or one.generated_after is None:
        return []
    (gap, error), (null, null_error) = one.generated_after.gap, one.generated_before.gap
    moved = gap + GENERATED_REACH * error <= GENERATED_TARGET < null - GENERATED_REACH * null_error
    return [
        Number(
            f"{gap:.3f} ± {error:.3f}",
            f"generated correlation off the theory's, {one.name} network",
            f"largest over lags, one standard error by Monte Carlo; must be below {GENERATED_TARGET:g} with 95 % of "
            f"it; before the swap {null:.3f} ± {null_error:.3f}",
            "good" if moved else "bad",
        )
    ]


def _least(one: Damage) -> float:
    return one.nats - REACH * one.standard_error


def _of_path(result: AblationResult, kind: str, path: str) -> list[Damage]:
    return [one for one in result.ablations[kind, "zero"].damages if one.path == path]


def name(one: Damage) -> str:
    """Where a head is."""
    path = f"{PATHS[one.path]}, " if one.path else ""
    return f"{path}block {one.block + 1}, head {one.head + 1}"


def _bars(result: AblationResult) -> Figure:
    panels = []
    for kind, role, title in (("trained", "learnt", "trained on the yardstick"), ("white", "null", "white noise")):
        one = result.ablations[kind, "zero"]
        for path in PATHS:
            panels.append(_panel(f"{title}: {PATHS[path]}", one, path, role))
    caption = (
        "Rise of the score error without each head, 95 % intervals, all on one scale from 0. The lower row is the "
        "null: the same heads of a network that had no dependence to learn. Bars to the left of 0 mean that the "
        "network is better off without that head."
    )
    return Figure(panels, caption, "Damage by head: trained above, white noise below.", columns=2)


def _panel(title: str, one: Ablation, path: str, role: str) -> BarPanel:
    bars = []
    for head in one.damages:
        if head.path == path:
            reach = REACH * head.standard_error
            label = f"block {head.block + 1}, head {head.head + 1}"
            bars.append(Bar(label, role, head.nats, head.nats - reach, head.nats + reach))
    return BarPanel(title, "damage (nats a sequence)", bars)


def _table(result: AblationResult) -> Table:
    rows: list[list[Cell]] = []
    found = result.ablations
    for k, head in enumerate(found["trained", "zero"].damages):
        cells = [found[kind, patch].damages[k] for kind in ("trained", "white") for patch in ("zero", "mean")]
        rows.append([name(head), *(Estimate(one.nats, one.standard_error) for one in cells)])
    total = [found[kind, patch] for kind in ("trained", "white") for patch in ("zero", "mean")]
    rows.append(["score error of the whole network", *(Estimate(one.score_kl, one.standard_error) for one in total)])
    columns: list[Column | str] = ["head"]
    columns += [Column(f"{kind}, {patch}", "nats") for kind in ("trained", "white") for patch in ("zero", "mean")]
    return Table(
        columns,
        rows,
        "Damage by each head, with zero or the mean put in its place. The last row is the score error that it adds to.",
        note="± one standard error, paired over sequences.",
        highlight_rows=[len(rows) - 1],
    )


def _swaps(result: AblationResult) -> Figure:
    panels = []
    for one in result.swaps:
        lags = list(range(len(one.target)))
        lines = [
            Line("donor's kernel, exact", "truth", lags, one.target),
            Line("before the swap", "null", lags, one.before),
            Line("after the swap", "learnt", lags, one.after, dashed=True),
        ]
        for label, role, found in (
            ("generated before the swap", "baseline-2", one.generated_before),
            ("generated after the swap", "second", one.generated_after),
        ):
            if found is not None:
                low, high = (
                    [v + sign * GENERATED_REACH * e for v, e in zip(found.value, found.error)] for sign in (-1, 1)
                )
                lines.append(Line(label, role, lags, found.value, low, high))
        panels.append(LinePanel(f"{one.name} network", "lag (frames)", "correlation", lines))
    caption = (
        "Correlation in time before and after the attention weights of a network for another kernel were put in. "
        "Left: two compiled networks; right: two networks that learnt their lag tables. After the swap the line "
        "should lie on the donor's; the grey one, before it, is what the same network said with its own weights. "
        f"Generated sequences still hold the noise of t = {MIN_TIME:g}, which makes their correlations a little "
        "smaller than the kernel's; the verdict takes that into account. Bands are 95 % intervals by Monte Carlo."
    )
    return Figure(panels, caption, "Correlation by lag before and after swapping kernels.", columns=2)


def _swap_table(result: AblationResult) -> Table:
    rows: list[list[Cell]] = [
        [
            one.name,
            one.gap_before,
            one.gap,
            None if one.generated_before is None else Estimate(*one.generated_before.gap),
            None if one.generated_after is None else Estimate(*one.generated_after.gap),
            one.spatial_gap,
        ]
        for one in result.swaps
    ]
    return Table(
        [
            "network",
            Column("believed, before", digits=2),
            Column("believed, after", digits=2),
            "generated, before",
            "generated, after",
            Column("relative change of Sigma over its trace", digits=2),
        ],
        rows,
        "Largest difference of the correlation from the donor's over the lags, read off the Jacobian and in generated "
        "sequences, and how much the spatial covariance moved, which it should not. Before the swap is the null.",
        note="± one standard error by Monte Carlo, at the lag of the largest difference. A dash: none were generated.",
    )
