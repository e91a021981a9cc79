"""Result, checks and page of the study of Jacobians."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kronoscope._intervals import student_reach
from kronoscope.probes.jacobian import GROUPS
from kronoscope.report import Column, Estimate, Figure, Line, LinePanel, MatrixPanel, Report, Section, Table, Text
from kronoscope.report.records import Cell

from ..study import Check, Measured
from ..yardstick import FEATURES, FRAMES, LENGTHSCALE
from .networks import LABELS, NULLS, ROLES

TIME = 0.2
MOST_GAP, MOST_SCALE_GAP, MOST_EXACT_GAP = 0.03, 0.1, 1e-8
TIMES_CLOSER = 3.0  # than a null
REACH = student_reach(GROUPS - 1)  # of a jackknife over ten groups of sequences
LEAST_SHOWN = 1e-3
EXACT_KIND = "exact"
NAMES = {EXACT_KIND: "exact score", **{kind: f"DiT, {label}" for kind, label in LABELS.items()}}
LOOKS = {EXACT_KIND: "floor", **ROLES}

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Probed:
    """The Jacobian of one score at one noise level, turned into a covariance.

    Attributes:
        kind: "exact", "trained" or a null.
        t: Diffusion time.
        relative_error: Of the mean Jacobian, in the Frobenius norm.
        profile, profile_error: gamma by lag, and standard errors.
        gap: Largest |entry - truth| of gamma, with the standard error of that entry.
        lengthscale, exponent: Of the fitted kernel; None where the matrix is not a covariance.
        sigma, sigma_error: Spatial covariance, (d, d), and standard errors.
        sigma_gap: The same of Sigma.
        modes, modes_error: Precision by mode, (N, d), and standard errors.
        true_modes: The exact precisions.
    """

    kind: str
    t: float
    relative_error: float
    profile: tuple[float, ...]
    profile_error: tuple[float, ...]
    gap: Measured
    lengthscale: Measured | None
    exponent: Measured | None
    sigma: Matrix
    sigma_error: Matrix
    sigma_gap: Measured
    modes: Matrix
    modes_error: Matrix
    true_modes: Matrix

    @property
    def scale_gap(self) -> float:
        """Relative error of the lengthscale; 1 where there is none."""
        return 1.0 if self.lengthscale is None else abs(self.lengthscale.value / LENGTHSCALE - 1)


@dataclass(frozen=True)
class Result:
    """All numbers of the study.

    Attributes:
        gamma: The true correlation by lag.
        sigma: The true spatial covariance.
        probed: Every score at every noise level.
        exact_gap: Largest error of an entry of the exact score's Jacobian.
        samples: Noised sequences per probe of a network.
    """

    gamma: tuple[float, ...]
    sigma: Matrix
    probed: tuple[Probed, ...]
    exact_gap: float
    samples: int

    def of(self, kind: str, t: float = TIME) -> Probed:
        """That score at that noise level."""
        return next(each for each in self.probed if (each.kind, each.t) == (kind, t))


def checks(result: Result) -> list[Check]:
    """The trained network is close to the truth, the nulls are far from it, and the probe itself is exact."""
    trained = result.of("trained")
    scale = trained.lengthscale
    return [
        Check(
            f"largest error of gamma, lags 0 to {len(trained.profile) - 1}",
            trained.gap.value,
            f"{trained.gap.value:.3f} ± {trained.gap.standard_error:.3f}",
            f"trained DiT at t = {trained.t:g}; target {MOST_GAP:g}",
            trained.gap.value <= MOST_GAP,
        ),
        Check(
            "lengthscale (frames)",
            scale.value if scale else 0.0,
            f"{scale.value:.2f} ± {scale.standard_error:.2f}" if scale else "none",
            f"the truth is {LENGTHSCALE:g}; {100 * trained.scale_gap:.0f} % off, target {100 * MOST_SCALE_GAP:g} %",
            trained.scale_gap <= MOST_SCALE_GAP,
        ),
        _null_check(result),
        _spatial_check(result),
        Check(
            "largest error of an entry for the exact score",
            result.exact_gap,
            f"{result.exact_gap:.0e}",
            f"the probe itself: at most {MOST_EXACT_GAP:g}",
            result.exact_gap <= MOST_EXACT_GAP,
        ),
    ]


def _null_check(result: Result) -> Check:
    nulls = [result.of(kind) for kind in NULLS]
    closest, by_scale = min(nulls, key=lambda null: null.gap.value), min(nulls, key=lambda null: null.scale_gap)
    bound = TIMES_CLOSER * max(MOST_GAP, result.of("trained").gap.value)
    scale = by_scale.lengthscale
    shown = "none" if scale is None else f"{scale.value:.2g} ± {scale.standard_error:.1g}"
    return Check(
        "the same error of the closest null",
        closest.gap.value,
        f"{closest.gap.value:.2f} ± {closest.gap.standard_error:.2g}",
        f"DiT {LABELS[closest.kind]}, must be above {bound:.2g}; closest lengthscale of a null {shown} "
        f"({LABELS[by_scale.kind]}), must be more than {100 * MOST_SCALE_GAP:g} % off",
        closest.gap.value > bound and by_scale.scale_gap > MOST_SCALE_GAP,
    )


def _spatial_check(result: Result) -> Check:
    gap, null = result.of("trained").sigma_gap, result.of("white").sigma_gap
    upper, lower = gap.value + REACH * gap.standard_error, null.value - REACH * null.standard_error
    return Check(
        "largest error of an entry of Sigma",
        gap.value,
        f"{gap.value:.2f} ± {gap.standard_error:.2g}",
        f"trained DiT; DiT {LABELS['white']}: {null.value:.2f} ± {null.standard_error:.2g}, must be {TIMES_CLOSER:g} "
        "times as far",
        TIMES_CLOSER * upper < lower,
    )


def page(result: Result) -> Report:
    """Dependence in time, in space, and by mode."""
    return Report(
        "Which covariance did the trained DiT learn?",
        "For Gaussian data the score is -C⁻¹x, so the mean Jacobian of a good score is -C⁻¹. Turned back into a "
        "covariance it shows the dependence in time and space that the network has learnt, without any attention map.",
        facts={
            "truth": f"exponential kernel, lengthscale {LENGTHSCALE:g}, {FRAMES} frames, {FEATURES} features",
            "read at": f"{result.samples} noised sequences",
            "network": "DiT, the library's preset",
        },
        sections=[
            Section("Dependence in time", "", [_profiles(result), _table(result)]),
            Section("Dependence in space", "", [_sigma(result)]),
            Section("By mode and noise level", "", [_modes(result)]),
            Section("How it was done", "", [Text(_METHOD)]),
        ],
    )


_METHOD = (
    "The Jacobian is taken by automatic differentiation at noised sequences of the truth and averaged. The covariance "
    "is (A⁻¹ - σ²I)/α²; its traces over the features are averaged along the lags. Standard errors come from a "
    "jackknife over ten groups of sequences: they describe how precisely the network is read, not how much it would "
    "differ after another training.\n\n"
    "There are three nulls: the same network untrained, trained on white noise, and trained on sequences with "
    "shuffled frames. The last two were trained on as many sequences of the same shape, but no order in time. "
    "Each is one "
    "training.\n\n"
    f"The claim would be refuted by a trained network that misses gamma by more than {MOST_GAP:g} or the lengthscale "
    f"by more than {100 * MOST_SCALE_GAP:g} %; by a null whose lengthscale is within that, or whose largest error of "
    f"gamma is below {TIMES_CLOSER:g} times both {MOST_GAP:g} and the trained network's error; and, for Sigma, by a "
    f"network trained on white noise whose error is less than {TIMES_CLOSER:g} times as large, with 95 % intervals "
    "taken at their worse ends."
)


def _profiles(result: Result) -> Figure:
    lags = list(range(len(result.gamma)))
    lines = [Line("truth", "truth", lags, result.gamma)]
    for kind in (EXACT_KIND, "trained", *NULLS):
        each = result.of(kind)
        reach = [REACH * error for error in each.profile_error]
        low, high = ([v + sign * r for v, r in zip(each.profile, reach)] for sign in (-1, 1))
        lines.append(Line(NAMES[kind], LOOKS[kind], lags, each.profile, low, high))
    caption = (
        "Correlation between frames in each score's Jacobian, by lag, with 95 % bands where these are wide enough to "
        "see. The trained network should lie on the truth. The nulls, two of them trained on as many sequences for as "
        "many steps, should not."
    )
    panel = LinePanel("", "lag (frames)", "correlation", lines)
    return Figure([panel], caption, "Learnt correlation against lag for truth, trained network and nulls.")


def _estimate(measured: Measured | None) -> Cell:
    return None if measured is None else Estimate(measured.value, measured.standard_error)


def _table(result: Result) -> Table:
    rows: list[list[Cell]] = [
        [
            NAMES[each.kind],
            each.t,
            _estimate(each.gap),
            _estimate(each.lengthscale),
            _estimate(each.exponent),
            _estimate(each.sigma_gap),
            each.relative_error,
        ]
        for each in result.probed
    ]
    columns: list[Column | str] = ["score", "read at t", "largest error of gamma"]
    columns += [Column("lengthscale", "frames"), "exponent", "largest error of Sigma"]
    columns += [Column("relative error of the Jacobian", digits=2)]
    return Table(
        columns,
        rows,
        "A powered exponential fitted to each curve. Little noise (small t) shows small eigenvalues, which a network "
        f"learns last; much noise hides the difference between lags. t = {TIME:g} is the probe's default.",
        note="± one standard error by the jackknife. A fit at an end of its range (0.001 frames, exponent 0.05 or 2) "
        "means nothing: such a curve is not a powered exponential.",
        row_roles=[LOOKS[each.kind] for each in result.probed],
    )


def _sigma(result: Result) -> Figure:
    matrices = {"truth": result.sigma}
    matrices |= {NAMES[kind]: result.of(kind).sigma for kind in ("trained", "permuted", "white")}
    names = [str(a) for a in range(FEATURES)]
    panels = [
        MatrixPanel(title, sigma, "feature", "feature", "covariance", names, names, diverging=True)
        for title, sigma in matrices.items()
    ]
    caption = (
        "Covariance between features in each network's Jacobian. Shuffled frames keep it, so the network trained on "
        "shuffled frames should show it and is not a null here. White noise does not have it."
    )
    return Figure(panels, caption, "Spatial covariance: truth, trained, shuffled, white.", columns=4)


def _modes(result: Result) -> Figure:
    panels = []
    for t in dict.fromkeys(each.t for each in result.probed):
        exact = np.array(result.of("trained", t).true_modes).ravel()
        order = np.argsort(-exact, kind="stable")
        x = (1 / exact[order]).tolist()
        lines = [Line("truth", "truth", x, exact[order].tolist())]
        lines += [_precision(result.of(kind, t), order, x) for kind in ("trained", "white")]
        panels.append(
            LinePanel(f"t = {t:g}", "variance of the mode with noise", "precision", lines, log_x=True, log_y=True)
        )
    caption = (
        "Precision along every temporal × spatial mode (eigenvectors of Gamma and Sigma) against the mode's true "
        "variance at that noise level, with 95 % bands. The truth is one over the variance. Where a curve leaves it, "
        "the network is wrong about those modes. A network that has learnt white noise has a level curve. "
        f"{_cut_off(result)}"
    )
    return Figure(panels, caption, "Precision by mode, truth and networks, at several noise levels.", columns=3)


def _precision(each: Probed, order: np.ndarray, x: list[float]) -> Line:
    value, error = (np.array(part).ravel()[order] for part in (each.modes, each.modes_error))
    rows = (value, value - REACH * error, value + REACH * error)
    return Line(NAMES[each.kind], LOOKS[each.kind], x, *(row.clip(LEAST_SHOWN).tolist() for row in rows))


def _cut_off(result: Result) -> str:
    """Which precisions lie below the figure, in words."""
    counts = []
    for each in result.probed:
        if each.kind in ("trained", "white"):
            value, error = np.array(each.modes), np.array(each.modes_error)
            bands = int((value - REACH * error < LEAST_SHOWN).sum())
            if bands:
                counts.append(
                    f"{NAMES[each.kind]} at t = {each.t:g}: {int((value < LEAST_SHOWN).sum())} of {value.size} "
                    f"precisions, {int((value < 0).sum())} of them negative, and {bands} lower ends of bands"
                )
    if not counts:
        return f"Nothing is cut off: every band lies above {LEAST_SHOWN:g}."
    return f"Values below {LEAST_SHOWN:g}, or negative, are drawn at the edge. " + "; ".join(counts) + "."
