"""Seasonal cycle, mean and scale: learnt from training values, removed before training and restored after sampling."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .. import _checks
from .._codec import parse_json
from .._display import Displayed
from .._errors import InputError, first_line
from .feature_columns import columns_option
from .margins import MARGINS, MonotoneMap, fit_margins, refuse_atoms
from .messages import list_names
from .steps import Starts, Step, nanoseconds, step_from_json, step_to_json
from .time_forms import FloatArray

# The mean Gregorian year, in nanoseconds.
YEAR_DAYS = 365.2425
_YEAR = YEAR_DAYS * 86_400e9
# A seasonal fit worse conditioned than this extrapolates wildly: the record shows too little of the year.
_WORST_CONDITION = 100.0

_LARGEST = 1e150
_MOST_NAMES = 30  # in the advice of a message
_FOLDS = 20

MEANS = ("zero", "feature", "free")
SCALINGS = (None, "standard")


@dataclass(frozen=True, eq=False, repr=False)
class Transform(Displayed):
    """z = (x - cycle(time) - mean) / scale, fitted to training sequences and nothing else.

    With tau the clock time of a frame in years of 365.2425 days since 1970 (universal time), the cycle of a feature is
    sum_{k=1}^{K} a_k cos(2 pi k tau) + b_k sin(2 pi k tau), its K annual harmonics. With margins, z = g_j(that): one
    strictly increasing map a feature to a standard normal margin. Build it with :meth:`fit`.

    Attributes:
        num_frames, num_features: N and d, of what it was fitted to.
        cycle: (2 K, d), the a_k and b_k in turn; (0, d) without harmonics.
        mean: (N, d), what is subtracted after the cycle.
        scale: (d,), standard deviations; ones without scaling.
        step: time between frames; used with harmonics only.
        margins: the map g_j of each feature (:class:`MonotoneMap`), or None.
    """

    num_frames: int
    num_features: int
    cycle: FloatArray
    mean: FloatArray
    scale: FloatArray
    step: Step = None
    margins: tuple[MonotoneMap, ...] | None = None

    def _facts(self) -> dict[str, object]:
        return {
            "frames": self.num_frames,
            "features": self.num_features,
            "mean": bool(self.mean.any()),
            "scaling": bool((self.scale != 1).any()),
            "annual harmonics": self.num_harmonics,
            "margins": self.margins is not None,
        }

    @classmethod
    def fit(
        cls,
        values: ArrayLike,
        starts: Starts = None,
        step: Step = None,
        *,
        mean: str,
        scaling: str | None,
        num_harmonics: int = 0,
        margins: str | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> Transform:
        """Learn it from training sequences.

        The harmonics are fitted by least squares, each feature for itself, together with a constant that is not
        subtracted (that is the mean's part).

        Args:
            values: (n, N, d), the training sequences only. A NaN is a missing value: the others count.
            starts: clock time of the first frame of each; needed with harmonics.
            step: time between frames; needed with harmonics.
            mean: "zero" subtracts none, "feature" one number a feature, "free" one a frame and feature.
            scaling: None, or "standard": one standard deviation a feature, about the mean that was subtracted.
            num_harmonics: K.
            margins: None, or "normal-scores": fitted to the residuals that :meth:`out_of_fold` takes, all frames of a
                feature together, because those of new sequences spread as they do.
            feature_names: for error messages.

        Raises:
            InputError: for infinite values, a feature without any value (or that does not vary, under scaling),
                harmonics without clock times or with too little of the year, and, with margins, a value that holds
                more than 20 % of a feature.
        """
        x = _sequences(values)
        n, frames, features = x.shape
        if mean not in MEANS:
            raise InputError(f"mean must be one of 'zero', 'feature', 'free', got {mean!r}")
        if scaling not in SCALINGS:
            raise InputError(f"scaling must be None or 'standard', got {scaling!r}")
        num_harmonics = _checks.count("num_harmonics", num_harmonics, least=0)
        if margins not in MARGINS:
            raise InputError(f"margins must be None or 'normal-scores', got {margins!r}")
        design = _harmonics(starts, step, n, frames, num_harmonics) if num_harmonics else None
        names = list(feature_names) if feature_names is not None else [f"feature_{j}" for j in range(features)]
        _refuse_unseen(x, mean, names)
        cycle, average = _centre(design, x, mean)
        rest = x if design is None else x - design @ cycle
        scale = np.ones(features)
        if scaling == "standard":
            scale = _scale(rest - average, x, names)
        fitted = cls(frames, features, cycle, average, scale, step if num_harmonics else None)
        if margins is None:
            return fitted
        refuse_atoms(x, names)
        return replace(fitted, margins=fit_margins(fitted.out_of_fold(x, starts, mean=mean), names))

    def out_of_fold(self, values: ArrayLike, starts: Starts = None, *, mean: str) -> FloatArray:
        """Scaled training values (n, N, d), each fold of them about a cycle and a mean that are fitted to the others.

        Least squares follows the values that it is fitted to, so :meth:`apply` leaves training sequences nearer to zero
        than it leaves new ones, the more so the more neighbours resemble each other: what is learnt from them varies
        too little (two harmonics of 262 days of the demo's weather take 3 to 6 % from the standard deviation of a daily
        mean). These have the spread of new sequences. The folds are 20 runs of sequences as they stand, n of them where
        n < 20; the scale is that of :meth:`fit`.

        Args:
            values: What the transform was fitted to, in order of time.
            starts: As for :meth:`fit`.
            mean: As for :meth:`fit`.
        """
        x = self._check(values)
        if mean == "zero" and not self.num_harmonics:
            return self.apply(x)
        design = (
            _harmonics(starts, self.step, len(x), self.num_frames, self.num_harmonics) if self.num_harmonics else None
        )
        rest = np.empty_like(x)
        for fold in np.array_split(np.arange(len(x)), min(_FOLDS, len(x))):
            others = np.setdiff1d(np.arange(len(x)), fold)
            cycle, average = _centre(None if design is None else design[others], x[others], mean)
            rest[fold] = x[fold] - average - (0.0 if design is None else design[fold] @ cycle)
        return self._to_scores(np.asarray(rest / self.scale))

    @property
    def is_identity(self) -> bool:
        """Whether values come out as they went in."""
        changes = self.num_harmonics or self.margins is not None
        return not changes and not self.mean.any() and bool((self.scale == 1).all())

    def shift_and_scale(self, starts: Starts = None) -> tuple[FloatArray, FloatArray]:
        """m, (N, d), and s, (d,), of z = (x - m) / s, for a sequence that begins at ``starts`` (used with harmonics).

        Raises:
            InputError: z is not affine in x, because of margins; harmonics without a start.
        """
        if self.margins is not None:
            raise InputError("the scaling is not affine: margins='normal-scores' is a nonlinear map of each feature")
        return np.asarray(self.mean + self._season(1, starts)).reshape(self.mean.shape), self.scale

    @property
    def num_harmonics(self) -> int:
        """K, the number of annual harmonics."""
        return len(self.cycle) // 2

    def apply(self, values: ArrayLike, starts: Starts = None) -> FloatArray:
        """Scaled values (n, N, d) of sequences in their own units, NaN where missing; harmonics need ``starts``."""
        x = self._check(values)
        return self._to_scores(self._residuals(x, starts))

    def log_slope(self, values: ArrayLike, starts: Starts = None) -> FloatArray:
        """log |dz/dx| of each sequence in nats, (n,), summed over the entries that are there: what a density gains."""
        x = self._check(values)
        slopes = np.broadcast_to(-np.log(self.scale), x.shape)
        if self.margins is not None:
            u = self._residuals(x, starts)
            slopes = slopes + np.stack([g.log_slope(u[..., j]) for j, g in enumerate(self.margins)], axis=-1)
        return np.asarray(np.where(np.isnan(x), 0.0, slopes).sum(axis=(1, 2)))

    def invert(self, values: ArrayLike, starts: Starts = None) -> FloatArray:
        """Values in their own units; inverse of :meth:`apply` with the same ``starts``."""
        z = self._check(values)
        if self.margins is not None:
            z = np.stack([g.invert(z[..., j]) for j, g in enumerate(self.margins)], axis=-1)
        return z * self.scale + self.mean + self._season(len(z), starts)

    def clock_times(self, starts: Any, n: int) -> pd.DatetimeIndex | None:
        """``starts`` as n clock times in the zone of the data; None without a seasonal cycle.

        Raises:
            InputError: There is a cycle, but ``starts`` are missing, no clock times, or of another number.
        """
        if not self.num_harmonics:
            return None
        if starts is None:
            raise InputError("start must be given: the model has a seasonal cycle, so the date of a sequence matters")
        try:
            index = pd.DatetimeIndex([starts] if isinstance(starts, str | pd.Timestamp) else starts)
        except (TypeError, ValueError) as error:
            raise InputError(f"start must be a clock time, got {starts!r} ({first_line(error)})") from None
        if len(index) != n:
            raise InputError(f"starts must be one clock time a sequence ({n}), got {len(index)}")
        return index

    def to_json(self) -> str:
        """One line of JSON with full float64 precision."""
        arrays = {name: getattr(self, name).tolist() for name in ("cycle", "mean", "scale")}
        sizes = {"num_frames": self.num_frames, "num_features": self.num_features}
        margins = {} if self.margins is None else {"margins": [g.to_plain() for g in self.margins]}
        return json.dumps({**sizes, **arrays, "step": step_to_json(self.step), **margins})

    @classmethod
    def from_json(cls, text: str) -> Transform:
        """Inverse of :meth:`to_json`.

        Raises:
            InputError: if the text is not such a record.
        """
        try:
            plain = parse_json(text)
            frames, features = int(plain["num_frames"]), int(plain["num_features"])
            cycle = np.asarray(plain["cycle"], dtype=np.float64).reshape(-1, features)
            mean = np.asarray(plain["mean"], dtype=np.float64).reshape(frames, features)
            scale = np.asarray(plain["scale"], dtype=np.float64).reshape(features)
            maps = plain.get("margins")  # runs of before margins have none
            margins = None if maps is None else tuple(MonotoneMap.from_plain(plain_map) for plain_map in maps)
            if margins is not None and len(margins) != features:
                raise ValueError(f"margins of {len(margins)} features, not {features}")
            return cls(frames, features, cycle, mean, scale, step_from_json(plain["step"]), margins)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise InputError(f"this is not the record of a transform ({error})") from None

    def _check(self, values: ArrayLike) -> FloatArray:
        x = _sequences(values)
        if x.shape[1:] != (self.num_frames, self.num_features):
            raise InputError(f"values must have shape (n, {self.num_frames}, {self.num_features}), got {x.shape}")
        return x

    def _residuals(self, x: FloatArray, starts: Starts) -> FloatArray:
        return np.asarray((x - self._season(len(x), starts) - self.mean) / self.scale)

    def _to_scores(self, u: FloatArray) -> FloatArray:
        if self.margins is None:
            return u
        return np.stack([g.apply(u[..., j]) for j, g in enumerate(self.margins)], axis=-1)

    def _season(self, n: int, starts: Starts) -> FloatArray | float:
        if not self.num_harmonics:
            return 0.0
        return _harmonics(starts, self.step, n, self.num_frames, self.num_harmonics) @ self.cycle


def _sequences(values: ArrayLike) -> FloatArray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 3 or not x.size:
        raise InputError(f"values must have shape (n, N, d) with none of them 0, got {x.shape}")
    if np.isinf(x).any():
        raise InputError(f"values must be finite (or NaN where missing), but {int(np.isinf(x).sum())} are infinite")
    return x


def _refuse_unseen(x: FloatArray, mean: str, names: list[str]) -> None:
    """Nothing is learnt of a feature without a value, nor the mean of a frame at which a feature never has one."""
    unseen = np.isnan(x).all(axis=0)  # (N, d)
    if unseen.all(axis=0).any():
        name = names[int(np.argmax(unseen.all(axis=0)))]
        raise InputError(f"the feature '{name}' has no value in the training sequences")
    if mean == "free" and unseen.any():
        frame, feature = np.argwhere(unseen)[0]
        raise InputError(
            f"the feature '{names[feature]}' has no value at frame {frame} of any training sequence, so it has no "
            'mean there; use mean="feature" (--mean feature)'
        )


def _harmonics(starts: Starts, step: Step, n: int, frames: int, num_harmonics: int) -> FloatArray:
    """cos and sin of each harmonic at each frame, (n, N, 2 K)."""
    if not isinstance(starts, pd.DatetimeIndex) or not isinstance(step, pd.Timedelta):
        raise InputError("annual harmonics need sequences with clock times: starts and step")
    if len(starts) != n:
        raise InputError(f"starts must have one time a sequence ({n}), got {len(starts)}")
    began = np.asarray(starts.as_unit("ns").asi8)[:, None]
    angle = 2 * np.pi * ((began + nanoseconds(step) * np.arange(frames)) / _YEAR)  # (n, N)
    waves = [wave(k * angle) for k in range(1, num_harmonics + 1) for wave in (np.cos, np.sin)]
    return np.stack(waves, axis=-1)


def _centre(design: FloatArray | None, x: FloatArray, mean: str) -> tuple[FloatArray, FloatArray]:
    """Cycle and mean, by least squares."""
    cycle = np.zeros((0, x.shape[2])) if design is None else _fit_cycle(design, x)
    rest = x if design is None else x - design @ cycle
    if mean == "zero":
        return cycle, np.zeros(x.shape[1:])
    average = _average(rest, 0) if mean == "free" else np.broadcast_to(_average(rest, (0, 1)), x.shape[1:])
    return cycle, np.array(average)


def _average(x: FloatArray, axis: int | tuple[int, ...]) -> FloatArray:
    """The mean of the values that are there; NaN where there is none."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(x, axis=axis) / np.isfinite(x).sum(axis=axis))


def _fit_cycle(design: FloatArray, x: FloatArray) -> FloatArray:
    rows, targets = design.reshape(-1, design.shape[-1]), x.reshape(-1, x.shape[-1])
    with_constant = np.concatenate([np.ones((len(rows), 1)), rows], axis=1)
    seen = np.isfinite(targets)
    if seen.all():
        return _least_squares(with_constant, targets)[1:]
    fits = [_least_squares(with_constant[here], y[here, None]) for here, y in zip(seen.T, targets.T, strict=True)]
    return np.concatenate(fits, axis=1)[1:]


def _least_squares(design: FloatArray, targets: FloatArray) -> FloatArray:
    singular = np.linalg.svd(design, compute_uv=False)
    if len(design) < design.shape[1] or singular[0] > _WORST_CONDITION * singular[-1]:
        raise InputError(
            f"the training sequences cover too little of the year for {design.shape[-1] // 2} annual harmonics; "
            "use fewer or none"
        )
    solution, *_ = np.linalg.lstsq(design, targets, rcond=None)
    return np.asarray(solution, dtype=np.float64)


def _constant(still: list[str], names: list[str]) -> str:
    """That features do not vary, and how to leave them out, in the words of a message."""
    varying = [name for name in names if name not in still]
    leave_out = f" with columns= ({columns_option(varying)})" if 0 < len(varying) <= _MOST_NAMES else ""
    what, it = ("the features {} do", "them") if len(still) > 1 else ("the feature '{}' does", "it")
    return (
        f"{what.format(list_names(still))} not vary over the training sequences and cannot be scaled: leave {it} "
        f"out{leave_out}, or give scaling=None (--scaling none)"
    )


def _scale(centred: FloatArray, x: FloatArray, names: list[str]) -> FloatArray:
    size = np.nanmax(np.abs(x), axis=(0, 1))
    if size.max() > _LARGEST:
        name = names[int(np.argmax(size))]
        raise InputError(f"the feature '{name}' reaches {size.max():g}, too large to be squared; change its unit")
    scale = np.sqrt(np.nanmean(centred**2, axis=(0, 1)))
    moves = np.minimum(scale, np.nanstd(centred, axis=(0, 1)))  # with mean "zero", a constant does not vary
    constant = moves <= 1e-12 * size
    if constant.any():
        raise InputError(_constant([name for name, same in zip(names, constant) if same], names))
    return scale
