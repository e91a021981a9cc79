"""Result, checks and page of the study of ablated heads and swapped kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kronoscope._intervals import student_reach
from kronoscope.probes import Ablation, Damage
from kronoscope.probes.ablation import Patch
from kronoscope.report import Bar, BarPanel, Column, Estimate, Figure, Line, LinePanel, Report, Section, Table, Text
from kronoscope.report.records import Cell

from ..study import Check
from ..yardstick import FEATURES, FRAMES, LENGTHSCALE, MIN_TIME

FACTOR = 10.0
FEWEST_SAMPLES = 64  # sequences that a head's damage is averaged over
GROUPS = 20  # of generated sequences, for the jackknife
REACH, GENERATED_REACH = student_reach(FEWEST_SAMPLES - 1), student_reach(GROUPS - 1)
PATHS = {"linear": "linear path", "softmax": "softmax blocks"}
KINDS = {"trained": "trained on the reference process", "white": "trained on white noise"}
PATCHES: tuple[Patch, ...] = ("zero", "mean")
MOST_GAP = {"compiled": 1e-2, "learnt": 0.05}
MOST_GENERATED_GAP = 0.05


@dataclass(frozen=True)
class Generated:
    """Correlation by lag, from lag 0, of generated sequences.

    Attributes:
        value, error: Of the sequences, and standard errors.
        target: Of the donor's kernel with the noise that is left where the sampler stops.
    """

    value: tuple[float, ...]
    error: tuple[float, ...]
    target: tuple[float, ...]

    @property
    def gap(self) -> tuple[float, float]:
        """Largest difference from the target over the lags, and its standard error."""
        return max((abs(v - t), e) for v, e, t in zip(self.value, self.error, self.target, strict=True))

    @property
    def estimate(self) -> Estimate:
        """The gap as the page shows it."""
        return Estimate(*self.gap)


@dataclass(frozen=True)
class Swap:
    """Correlation by lag, from lag 0, before and after a kernel was swapped.

    Attributes:
        name: "compiled" or "learnt".
        before, after: From the Jacobian.
        target: Of the donor's kernel.
        spatial_gap: Largest change of Sigma / tr Sigma, which should be 0, over the largest entry.
        generated_before, generated_after: Of sequences from the same noise, with the network's own kernel (the null)
            and with the donor's; None if none were generated.
    """

    name: str
    before: tuple[float, ...]
    after: tuple[float, ...]
    target: tuple[float, ...]
    spatial_gap: float
    generated_before: Generated | None = None
    generated_after: Generated | None = None

    @property
    def gap(self) -> float:
        """Largest difference of the correlation after the swap from the donor's."""
        return max(abs(a - b) for a, b in zip(self.after, self.target))

    @property
    def gap_before(self) -> float:
        """The same before the swap."""
        return max(abs(a - b) for a, b in zip(self.before, self.target))


@dataclass(frozen=True)
class Ablated:
    """The heads of one network ("trained" or "white") taken away with one patch ("zero" or "mean")."""

    kind: str
    patch: str
    ablation: Ablation


@dataclass(frozen=True)
class Result:
    """All numbers of the study.

    Attributes:
        ablated: Both networks with both patches.
        swaps: Of the compiled networks and of the learnt ones.
        samples: Sequences that damages are averaged over.
        generated: Sequences generated before and after the learnt swap.
    """

    ablated: tuple[Ablated, ...]
    swaps: tuple[Swap, ...]
    samples: int
    generated: int

    def of(self, kind: str, patch: str = "zero") -> Ablation:
        """The ablation of that network with that patch."""
        return next(each.ablation for each in self.ablated if (each.kind, each.patch) == (kind, patch))

    @property
    def cases(self) -> list[Ablation]:
        """All ablations, in the order of the table's columns."""
        return [self.of(kind, patch) for kind in KINDS for patch in PATCHES]


def checks(result: Result) -> list[Check]:
    """One head carries the dependence, and kernels can be swapped."""
    numbers = [_worst_head(result), _softmax_head(result)]
    for swap in result.swaps:
        target = MOST_GAP[swap.name]
        numbers.append(
            Check(
                f"correlation off the donor's, {swap.name} network's Jacobian",
                swap.gap,
                f"{swap.gap:.1g}",
                f"largest over lags, at most {target:g}; before the swap {swap.gap_before:.2g}; Sigma changed by "
                f"{swap.spatial_gap:.1g} of its largest entry",
                swap.gap <= target < swap.gap_before and swap.spatial_gap <= target,
            )
        )
        if swap.generated_before is not None and swap.generated_after is not None:
            numbers.append(_generated(swap.name, swap.generated_before, swap.generated_after))
    return numbers


def _worst_head(result: Result) -> Check:
    trained, null = result.of("trained"), result.of("white").median()
    worst = trained.worst
    above = sum(_lower_end(head) > FACTOR * null for head in trained.damages)
    return Check(
        "worst head over the median null head",
        worst.nats / null if null > 0 else worst.nats,
        f"{worst.nats / null:.0f} ×" if null > 0 else f"{worst.nats:.2g} nats",
        f"{worst.nats:.2g} ± {worst.standard_error:.1g} nats, {label(worst)}; null {null:.2g} nats; with their 95 % "
        f"interval {above} of {len(trained.damages)} heads exceed {FACTOR:g} times the null; the worst one must",
        _lower_end(worst) > FACTOR * null,
    )


def _softmax_head(result: Result) -> Check:
    softmax, linear = (_of_path(result, "trained", path) for path in ("softmax", "linear"))
    worst = max(softmax, key=lambda head: head.nats)
    null = result.of("white").median("softmax")
    return Check(
        "largest damage by a softmax head",
        worst.nats,
        f"{worst.nats:.2g} ± {worst.standard_error:.1g} nats",
        f"{label(worst)}; median of the null's softmax heads {null:.2g}; largest damage by a head of the linear path "
        f"{max(head.nats for head in linear):.2g}",
        None,
    )


def _generated(name: str, before: Generated, after: Generated) -> Check:
    (gap, error), (null, null_error) = after.gap, before.gap
    return Check(
        f"correlation off the theory's, sequences of the {name} network",
        gap,
        f"{gap:.3f} ± {error:.3f}",
        f"largest over lags, ± one standard error by Monte Carlo; the upper end of its 95 % interval must be at most "
        f"{MOST_GENERATED_GAP:g}; before the swap {null:.3f} ± {null_error:.3f}",
        gap + GENERATED_REACH * error <= MOST_GENERATED_GAP < null - GENERATED_REACH * null_error,
    )


def _lower_end(head: Damage) -> float:
    return head.nats - REACH * head.standard_error


def _of_path(result: Result, kind: str, path: str) -> list[Damage]:
    return [head for head in result.of(kind).damages if head.path == path]


def label(head: Damage) -> str:
    """Where a head is."""
    path = f"{PATHS[head.path]}, " if head.path else ""
    return f"{path}block {head.block + 1}, head {head.head + 1}"


def page(result: Result) -> Report:
    """The damage by every head beside the null, then the swaps."""
    return Report(
        "Which attention heads matter for the dependence?",
        "Each attention head of a trained DiT is removed in turn. The study compares what the network loses, in nats, "
        "with what a DiT loses that was trained on white noise. That network is the null: it had no dependence to "
        "learn.",
        facts={
            "truth": f"exponential kernel, lengthscale {LENGTHSCALE:g}, {FRAMES} frames, {FEATURES} features",
            "paired over": f"{result.samples} sequences, 24 noise levels",
            "network": "DiT, the library's preset",
        },
        sections=[
            Section("Damage by head", "", [_bars(result), _table(result)]),
            Section("Kernels swapped", "", [_swaps(result), _swap_table(result)]),
            Section("How it was done", "", [Text(_method(result))]),
        ],
    )


def _method(result: Result) -> str:
    return (
        "A head is removed by putting zero where it wrote, or the mean over sequences of the same noise level. The two "
        "differ where a head writes something that does not depend on the sequence. Damage is the rise of the score "
        "error, with the same sequences and noise before and after. The damage of the network trained on white noise "
        "is measured against the law of white noise.\n\n"
        f"The claim is refuted if no head of the trained network costs more than {FACTOR:g} times the median of the "
        "null's heads, by the lower end of a 95 % interval over the sequences. The interval is that of one head; the "
        "worst of many looks a little worse than it is. Both networks are one training each. The library's DiT has a "
        "path that is linear in x beside its softmax blocks, and the bars show which of the two loses more. Damages do "
        "not add up, because what one head loses others may hold as well.\n\n"
        "The theory says that the attention weights hold Gamma and the values Sigma. So exchanging the attention "
        "weights of two networks must exchange the correlation in time and leave Sigma unchanged. "
        f"{result.generated} sequences are generated before and after, from the same noise. The claim is refuted by a "
        f"correlation more than {MOST_GENERATED_GAP:g} off the theory's at any lag, by the upper end of a 95 % "
        "interval. The experiment shows nothing if the sequences before the swap are as close, by the lower end of "
        "theirs. The theory's correlation is alpha² v gamma / (alpha² v + sigma²), with the noise of "
        f"t = {MIN_TIME:g}, where the sampler stops, and the variance v of the swapped network. The sampler's own "
        "error is not removed."
    )


def _bars(result: Result) -> Figure:
    panels = []
    for kind, role in (("trained", "learnt"), ("white", "null")):
        panels += [_panel(f"{KINDS[kind]}: {PATHS[path]}", _of_path(result, kind, path), role) for path in PATHS]
    caption = (
        "Rise of the score error without each head, with 95 % intervals, all on one scale from 0. The lower row is the "
        "null: the same heads of a network that had no dependence to learn. A bar to the left of 0 means that the "
        "network is better without that head."
    )
    return Figure(panels, caption, "Damage by head: trained above, white noise below.", columns=2)


def _panel(title: str, heads: Sequence[Damage], role: str) -> BarPanel:
    bars = []
    for head in heads:
        reach = REACH * head.standard_error
        name = f"block {head.block + 1}, head {head.head + 1}"
        bars.append(Bar(name, role, head.nats, head.nats - reach, head.nats + reach))
    return BarPanel(title, "damage (nats a sequence)", bars)


def _table(result: Result) -> Table:
    rows: list[list[Cell]] = []
    for heads in zip(*(case.damages for case in result.cases), strict=True):
        rows.append([label(heads[0]), *(Estimate(head.nats, head.standard_error) for head in heads)])
    totals = [Estimate(case.score_kl, case.standard_error) for case in result.cases]
    rows.append(["score error of the whole network", *totals])
    columns: list[Column | str] = ["head", *(Column(f"{kind}, {patch}", "nats") for kind in KINDS for patch in PATCHES)]
    return Table(
        columns,
        rows,
        "Damage by each head, with zero or the mean in its place. The last row is the score error that it adds to.",
        note="± one standard error, paired over sequences.",
        highlight_rows=[len(rows) - 1],
    )


def _swaps(result: Result) -> Figure:
    panels = []
    for swap in result.swaps:
        lags = list(range(len(swap.target)))
        lines = [
            Line("donor's kernel, exact", "truth", lags, swap.target),
            Line("before the swap", "null", lags, swap.before),
            Line("after the swap", "learnt", lags, swap.after, dashed=True),
        ]
        for name, role, generated in (
            ("generated before the swap", "baseline-2", swap.generated_before),
            ("generated after the swap", "second", swap.generated_after),
        ):
            if generated is not None:
                reach = [GENERATED_REACH * error for error in generated.error]
                low, high = ([v + sign * r for v, r in zip(generated.value, reach)] for sign in (-1, 1))
                lines.append(Line(name, role, lags, generated.value, low, high))
        panels.append(LinePanel(f"{swap.name} network", "lag (frames)", "correlation", lines))
    caption = (
        "Correlation in time before and after a network got the attention weights of a network for another kernel. "
        "Left: two compiled networks. Right: two networks that learnt their lag tables. After the swap the line should "
        "lie on the donor's; the grey line is the same network with its own weights. Generated sequences still hold "
        f"the noise of t = {MIN_TIME:g}, which makes their correlations a little smaller than the kernel's; the checks "
        "take that into account. Bands are 95 % intervals by Monte Carlo."
    )
    return Figure(panels, caption, "Correlation by lag before and after swapping kernels.", columns=2)


def _swap_table(result: Result) -> Table:
    rows: list[list[Cell]] = []
    for swap in result.swaps:
        generated = [None if g is None else g.estimate for g in (swap.generated_before, swap.generated_after)]
        rows.append([swap.name, swap.gap_before, swap.gap, *generated, swap.spatial_gap])
    columns: list[Column | str] = ["network", Column("Jacobian, before", digits=2), Column("Jacobian, after", digits=2)]
    columns += ["generated, before", "generated, after", Column("relative change of Sigma over its trace", digits=2)]
    return Table(
        columns,
        rows,
        "Largest difference of the correlation from the donor's over the lags, from the Jacobian and in generated "
        "sequences. The last column is the change of the spatial covariance, which should be 0. Before the swap is the "
        "null.",
        note="± one standard error by Monte Carlo, at the lag of the largest difference. A dash: none were generated.",
    )
