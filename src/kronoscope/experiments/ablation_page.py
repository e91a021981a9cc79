"""The page of ``kronoscope reproduce ablation``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..probes import Ablation, Damage
from ..report import Bar, BarPanel, Column, Estimate, Figure, Line, LinePanel, Number, Report, Section, Table, Verdict
from ..report.records import Cell
from .learning_page import how

if TYPE_CHECKING:
    from .ablation import AblationResult, Swap

FACTOR = 10.0
PATHS = {"linear": "linear path", "softmax": "softmax blocks"}
SWAP_TARGET = {"compiled": 1e-2, "learnt": 0.05}


def page(result: AblationResult, quick: bool) -> Report:
    """One claim, all heads, the null beside them; then the swaps."""
    return Report(
        "Which heads carry the dependence?",
        "Each attention head of a trained DiT is taken away in turn. What that costs, in nats, is what the head "
        "carries; the same heads of a DiT that was trained on white noise, where there is nothing to carry, are the "
        "null.",
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
                f"cost more than {FACTOR:g} times the median of the white one's. The DiT of this library has a path "
                "that is linear in x beside its softmax blocks: the bars tell which of the two carries the dependence. "
                "For the swap, the theory says that the attention weights hold Gamma and the values Sigma, so that "
                "exchanging the attention weights must exchange the correlation in time and leave Sigma alone."
            ),
        ],
        verdict=_verdict(result),
    )


def _verdict(result: AblationResult) -> Verdict:
    trained, white = result.ablations["trained", "zero"], result.ablations["white", "zero"]
    null, worst = white.median(), trained.worst
    many = sum(one.nats > FACTOR * null for one in trained.damages)
    softmax = max((one for one in trained.damages if one.path == "softmax"), key=lambda one: one.nats)
    numbers = [
        Number(
            f"{worst.nats / null:.0f} ×",
            "worst head over the median null head",
            f"{worst.nats:.2g} nats, {name(worst)}; must be above {FACTOR:g}",
            "good" if worst.nats > FACTOR * null else "bad",
        ),
        Number(
            f"{many} of {len(trained.damages)}", f"heads cost more than {FACTOR:g} null heads", f"null: {null:.2g} nats"
        ),
        Number(
            f"{softmax.nats:.2g} ± {softmax.standard_error:.1g} nats",
            "the most that a softmax head carries",
            f"{name(softmax)}; the linear path carries the rest",
        ),
    ]
    for one in result.swaps:
        numbers.append(
            Number(
                f"{one.gap:.1g}",
                f"correlation off the donor's, {one.name} network",
                f"largest over lags; before the swap {_before(one):.2g}",
                "good" if one.gap <= SWAP_TARGET[one.name] else "bad",
            )
        )
    return Verdict(numbers)


def name(one: Damage) -> str:
    """Where a head is."""
    path = f"{PATHS[one.path]}, " if one.path else ""
    return f"{path}block {one.block + 1}, head {one.head + 1}"


def _before(one: Swap) -> float:
    return max(abs(a - b) for a, b in zip(one.before, one.target))


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
            reach = 1.96 * head.standard_error
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
        if one.generated:
            reach = [1.96 * error for error in one.generated_error]
            low, high = ([v + sign * r for v, r in zip(one.generated, reach)] for sign in (-1, 1))
            lines.append(Line("generated after the swap", "second", lags, one.generated, low, high))
        panels.append(LinePanel(f"{one.name} network", "lag (frames)", "correlation", lines))
    caption = (
        "Correlation in time before and after the attention weights of a network for another kernel were put in. "
        "Left: two compiled networks; right: two networks that learnt their lag tables. After the swap the line "
        "should lie on the donor's; the grey one, before it, is what the same network said with its own weights. "
        "Generated sequences still hold the noise of t = 0.01, which makes their correlations about 1 % smaller."
    )
    return Figure(panels, caption, "Correlation by lag before and after swapping kernels.", columns=2)


def _swap_table(result: AblationResult) -> Table:
    rows: list[list[Cell]] = [[one.name, _before(one), one.gap, one.spatial_gap] for one in result.swaps]
    return Table(
        [
            "network",
            Column("off the donor's before", digits=2),
            Column("after", digits=2),
            Column("relative change of Sigma over its trace", digits=2),
        ],
        rows,
        "Largest difference of the correlation from the donor's over the lags, and how much the spatial covariance "
        "moved, which it should not.",
    )
