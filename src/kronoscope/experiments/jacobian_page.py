"""The page of ``kronoscope reproduce jacobian``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..report import Column, Estimate, Figure, Line, LinePanel, MatrixPanel, Number, Report, Section, Table, Verdict
from ..report.records import Cell
from .control import FEATURES, FRAMES, LENGTHSCALE
from .learning_page import how
from .yardstick_networks import LABELS, NULLS, ROLES

if TYPE_CHECKING:
    from .jacobian import JacobianResult, Reading

GAP, SCALE = 0.03, 0.1
NAMES = {"exact": "exact score", **{kind: f"DiT, {label}" for kind, label in LABELS.items()}}
LOOKS = {"exact": "floor", **ROLES}


def page(result: JacobianResult, quick: bool) -> Report:
    """One claim, three pictures of it, the numbers."""
    return Report(
        "What covariance does a trained DiT believe in?",
        "For Gaussian data the score is -C⁻¹x, so the mean Jacobian of a good score is -C⁻¹; turned back into a "
        "covariance, it says which dependence in time and space the network has learnt. No attention map is looked at.",
        facts={
            "truth": f"exponential kernel, lengthscale {LENGTHSCALE:g}, {FRAMES} frames, {FEATURES} features",
            "read at": f"{result.samples} noised sequences",
            "network": "DiT, the library's preset" + (", cut short" if quick else ""),
        },
        sections=[
            Section("Dependence in time", "", [_profiles(result), _table(result)]),
            Section("Dependence in space", "", [_sigma(result)]),
            Section("By mode and noise level", "", [_modes(result)]),
            how(
                "The Jacobian is taken by automatic differentiation at noised sequences of the true law and averaged; "
                "the covariance is (A⁻¹ - σ²I)/α², its traces over the features averaged along the lags. Standard "
                "errors by a jackknife over ten groups of sequences: they tell how well the network is read, not how "
                "it would differ if it were trained again. The same network was also not trained at all, trained on "
                "white noise, and trained on sequences whose frames were shuffled: each has seen as many sequences of "
                "the same shape, but no order in time. The claim would have been refuted by a null that gives the "
                "same curve, or by a trained network that misses gamma by more than the target."
            ),
        ],
        verdict=_verdict(result),
    )


def _verdict(result: JacobianResult) -> Verdict:
    trained = result.of("trained")
    scale, error = trained.lengthscale or (0.0, 0.0)
    off = abs(scale / LENGTHSCALE - 1)
    nearest = min((result.of(kind) for kind in NULLS), key=lambda one: one.gap)
    return Verdict(
        [
            Number(
                f"{trained.gap:.3f}",
                "largest error of gamma, lags 0 to 16",
                f"trained DiT, read at t = {trained.t:g}; target {GAP:g}",
                "good" if trained.gap <= GAP else "bad",
            ),
            Number(
                f"{scale:.2f}" if trained.lengthscale else "none",
                "lengthscale (frames)",
                f"± {error:.2f}; the truth is {LENGTHSCALE:g}; {100 * off:.0f} % off, target {100 * SCALE:g} %",
                "good" if off <= SCALE else "bad",
            ),
            Number(
                f"{nearest.gap:.2f}",
                "the same error of the nearest null",
                f"DiT {LABELS[nearest.kind]}: would have refuted the claim below {GAP:g}",
                "good" if nearest.gap > 3 * max(GAP, trained.gap) else "bad",
            ),
            Number(
                f"{result.exact_gap:.0e}",
                "largest error of an entry for the exact score",
                "the microscope itself: at most 1e-8",
                "good" if result.exact_gap <= 1e-8 else "bad",
            ),
        ]
    )


def _profiles(result: JacobianResult) -> Figure:
    kinds = ("exact", "trained", *NULLS)
    lines = [_line(result.of(kind)) for kind in kinds]
    lags = list(range(len(lines[0].y)))
    truth = result.process.temporal_covariance[0, : len(lags)].tolist()
    lines.insert(0, Line("truth", "truth", lags, truth))
    caption = (
        "Correlation between frames that each score believes in, by their distance, with 95 % bands where these are "
        "wide enough to see. The trained network should lie on the truth; the nulls, of the same shape, steps "
        "and number of sequences, should not."
    )
    panel = LinePanel("", "lag (frames)", "correlation", lines)
    return Figure([panel], caption, "Believed correlation against lag for truth, trained network and nulls.")


def _line(one: Reading) -> Line:
    lags = list(range(len(one.profile)))
    reach = [1.96 * error for error in one.profile_error]
    low, high = ([v + sign * r for v, r in zip(one.profile, reach)] for sign in (-1, 1))
    return Line(NAMES[one.kind], LOOKS[one.kind], lags, one.profile, low, high)


def _table(result: JacobianResult) -> Table:
    rows: list[list[Cell]] = [
        [
            NAMES[one.kind],
            one.t,
            one.gap,
            None if one.lengthscale is None else Estimate(*one.lengthscale),
            None if one.exponent is None else Estimate(*one.exponent),
            one.relative_error,
        ]
        for one in result.readings
    ]
    columns: list[Column | str] = ["score", "read at t", Column("largest error of gamma", digits=2)]
    columns += [Column("lengthscale", "frames"), "exponent", Column("relative error of the Jacobian", digits=2)]
    return Table(
        columns,
        rows,
        "A powered exponential fitted to each curve. Less noise (small t) shows small eigenvalues, which a network "
        "learns last; more noise hides what distinguishes one lag from the next. t = 0.2 is the probe's default.",
        note="± one standard error by the jackknife. At an end of the range searched (0.001 frames, exponent 0.05 or "
        "2) it means nothing: such a curve is no powered exponential.",
        row_roles=[LOOKS[one.kind] for one in result.readings],
    )


def _sigma(result: JacobianResult) -> Figure:
    shown = {"truth": result.process.spatial_covariance}
    shown |= {NAMES[kind]: result.of(kind).sigma for kind in ("trained", "permuted", "white")}
    names = [str(a) for a in range(FEATURES)]
    panels = [
        MatrixPanel(title, sigma.tolist(), "feature", "feature", "covariance", names, names, diverging=True)
        for title, sigma in shown.items()
    ]
    caption = (
        "Covariance between features that each network believes in. Shuffling the frames leaves it as it is, so the "
        "network trained on shuffled frames should know it, and does not make a null here; white noise does."
    )
    return Figure(panels, caption, "Spatial covariance: truth, trained, shuffled, white.", columns=4)


def _modes(result: JacobianResult) -> Figure:
    panels = []
    for t in dict.fromkeys(one.t for one in result.readings):
        lines = []
        for kind in ("truth", "trained", "white"):
            one = result.of("trained" if kind == "truth" else kind, t)
            order = one.true_modes.flatten().argsort(descending=True)
            y = (one.true_modes if kind == "truth" else one.modes).flatten()[order].clamp_min(1e-3).tolist()
            label = "truth" if kind == "truth" else NAMES[kind]
            role = "truth" if kind == "truth" else LOOKS[kind]
            lines.append(Line(label, role, (1 / one.true_modes.flatten()[order]).tolist(), y))
        panels.append(
            LinePanel(f"t = {t:g}", "variance of the mode with noise", "precision", lines, log_x=True, log_y=True)
        )
    caption = (
        "Precision along every temporal × spatial mode (eigenvectors of Gamma and Sigma) against the mode's true "
        "variance at that noise level. The truth is one over the variance; where a curve leaves it, the network is "
        "blind to those modes. The network that saw white noise believes that all modes are alike."
    )
    return Figure(panels, caption, "Precision by mode, truth and networks, at three noise levels.", columns=3)
