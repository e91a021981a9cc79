"""The page of ``kronoscope reproduce jacobian``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..report import Column, Estimate, Figure, Line, LinePanel, MatrixPanel, Number, Report, Section, Table, Verdict
from ..report.records import Cell
from .control import FEATURES, FRAMES, LENGTHSCALE
from .learning_page import how
from .yardstick_networks import LABELS, NULLS, ROLES

if TYPE_CHECKING:
    from torch import Tensor

    from .jacobian import JacobianResult, Reading

GAP, SCALE = 0.03, 0.1
TIMES_NEARER = 3.0  # than a null, where no target says how near
REACH = 1.96
LEAST = 1e-3  # of a precision that is drawn: a logarithmic axis has no 0
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
                "white noise, and trained on sequences whose frames were shuffled: the latter two have seen as many "
                "sequences of the same shape, but no order in time. Each is one training. The claim would have been "
                f"refuted by a trained network that misses gamma by more than {GAP:g} or the lengthscale by more than "
                f"{100 * SCALE:g} %; by a null whose lengthscale is within that, or whose largest error of gamma is "
                f"below {TIMES_NEARER:g} times both {GAP:g} and the trained network's; and, for Sigma, by the network "
                f"that saw white noise being off by less than {TIMES_NEARER:g} times as much, 95 % intervals taken "
                "at their worse ends."
            ),
        ],
        verdict=_verdict(result),
    )


def _verdict(result: JacobianResult) -> Verdict:
    trained = result.of("trained")
    scale, error = trained.lengthscale or (0.0, 0.0)
    return Verdict(
        [
            Number(
                f"{trained.gap:.3f} ± {trained.gap_error:.3f}",
                f"largest error of gamma, lags 0 to {len(trained.profile) - 1}",
                f"trained DiT, read at t = {trained.t:g}; target {GAP:g}",
                "good" if trained.gap <= GAP else "bad",
            ),
            Number(
                f"{scale:.2f}" if trained.lengthscale else "none",
                "lengthscale (frames)",
                f"± {error:.2f}; the truth is {LENGTHSCALE:g}; {100 * _off(trained):.0f} % off, target "
                f"{100 * SCALE:g} %",
                "good" if _off(trained) <= SCALE else "bad",
            ),
            _nulls(result),
            _spatial(result),
            Number(
                f"{result.exact_gap:.0e}",
                "largest error of an entry for the exact score",
                "the microscope itself: at most 1e-8",
                "good" if result.exact_gap <= 1e-8 else "bad",
            ),
        ]
    )


def _off(one: Reading) -> float:
    """Relative error of the lengthscale; 1 where there is none."""
    return 1.0 if one.lengthscale is None else abs(one.lengthscale[0] / LENGTHSCALE - 1)


def _nulls(result: JacobianResult) -> Number:
    nulls = [result.of(kind) for kind in NULLS]
    nearest, by_scale = min(nulls, key=lambda one: one.gap), min(nulls, key=_off)
    bound = TIMES_NEARER * max(GAP, result.of("trained").gap)
    told = "none" if by_scale.lengthscale is None else "{:.2g} ± {:.1g}".format(*by_scale.lengthscale)
    return Number(
        f"{nearest.gap:.2f} ± {nearest.gap_error:.2g}",
        "the same error of the nearest null",
        f"DiT {LABELS[nearest.kind]}, must be above {bound:.2g}; nearest lengthscale of a null {told} "
        f"({LABELS[by_scale.kind]}), must be more than {100 * SCALE:g} % off",
        "good" if nearest.gap > bound and _off(by_scale) > SCALE else "bad",
    )


def _spatial(result: JacobianResult) -> Number:
    (gap, error), (null, null_error) = result.of("trained").sigma_gap, result.of("white").sigma_gap
    nearer = TIMES_NEARER * (gap + REACH * error) < null - REACH * null_error
    return Number(
        f"{gap:.2f} ± {error:.2g}",
        "largest error of an entry of Sigma",
        f"trained DiT; DiT {LABELS['white']}: {null:.2f} ± {null_error:.2g}, must be {TIMES_NEARER:g} times as far",
        "good" if nearer else "bad",
    )


def _profiles(result: JacobianResult) -> Figure:
    kinds = ("exact", "trained", *NULLS)
    lines = [_line(result.of(kind)) for kind in kinds]
    lags = list(range(len(lines[0].y)))
    truth = result.process.temporal_covariance[0, : len(lags)].tolist()
    lines.insert(0, Line("truth", "truth", lags, truth))
    caption = (
        "Correlation between frames that each score believes in, by their distance, with 95 % bands where these are "
        "wide enough to see. The trained network should lie on the truth; the nulls, two of them with the same "
        "number of sequences and steps, should not."
    )
    panel = LinePanel("", "lag (frames)", "correlation", lines)
    return Figure([panel], caption, "Believed correlation against lag for truth, trained network and nulls.")


def _line(one: Reading) -> Line:
    lags = list(range(len(one.profile)))
    reach = [REACH * error for error in one.profile_error]
    low, high = ([v + sign * r for v, r in zip(one.profile, reach)] for sign in (-1, 1))
    return Line(NAMES[one.kind], LOOKS[one.kind], lags, one.profile, low, high)


def _table(result: JacobianResult) -> Table:
    rows: list[list[Cell]] = [
        [
            NAMES[one.kind],
            one.t,
            Estimate(one.gap, one.gap_error),
            None if one.lengthscale is None else Estimate(*one.lengthscale),
            None if one.exponent is None else Estimate(*one.exponent),
            Estimate(*one.sigma_gap),
            one.relative_error,
        ]
        for one in result.readings
    ]
    columns: list[Column | str] = ["score", "read at t", "largest error of gamma"]
    columns += [Column("lengthscale", "frames"), "exponent", "largest error of Sigma"]
    columns += [Column("relative error of the Jacobian", digits=2)]
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
        trained, white = result.of("trained", t), result.of("white", t)
        order = trained.true_modes.flatten().argsort(descending=True)
        exact = trained.true_modes.flatten()[order]
        x = (1 / exact).tolist()
        lines = [Line("truth", "truth", x, exact.tolist()), _precision(trained, order, x), _precision(white, order, x)]
        panels.append(
            LinePanel(f"t = {t:g}", "variance of the mode with noise", "precision", lines, log_x=True, log_y=True)
        )
    caption = (
        "Precision along every temporal × spatial mode (eigenvectors of Gamma and Sigma) against the mode's true "
        "variance at that noise level, with 95 % bands. The truth is one over the variance; where a curve leaves it, "
        "the network is wrong about those modes. A network that believed in white noise alone would have a level "
        f"curve. {_cut_off(result)}"
    )
    return Figure(panels, caption, "Precision by mode, truth and networks, at three noise levels.", columns=3)


def _precision(one: Reading, order: Tensor, x: list[float]) -> Line:
    value, reach = (part.flatten()[order] for part in (one.modes, REACH * one.modes_error))
    y, low, high = (part.clamp_min(LEAST).tolist() for part in (value, value - reach, value + reach))
    return Line(NAMES[one.kind], LOOKS[one.kind], x, y, low, high)


def _cut_off(result: JacobianResult) -> str:
    """Which precisions are not drawn where they are, in words."""
    told = []
    for one in result.readings:
        if one.kind in ("trained", "white"):
            low = int((one.modes < LEAST).sum())
            bands = int((one.modes - REACH * one.modes_error < LEAST).sum())
            if bands:
                told.append(
                    f"{NAMES[one.kind]} at t = {one.t:g}: {low} of {one.modes.numel()} precisions, "
                    f"{int((one.modes < 0).sum())} of them negative, and {bands} lower ends of bands"
                )
    if not told:
        return f"Nothing is cut off: every band lies above {LEAST:g}."
    return f"What is below {LEAST:g}, or negative, is drawn there, at the edge. " + "; ".join(told) + "."
