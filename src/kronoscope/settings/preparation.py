"""What happens between reading and training: :class:`Scaling` and :class:`SplitRule`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from .options import SHARE, Range, described


class ScalingOptions(TypedDict, total=False):
    """Keywords, one for each field of :class:`Scaling`."""

    mean: str
    scaling: str | None
    margins: str | None
    harmonics: int


@dataclass(frozen=True)
class Scaling:
    """What is subtracted and divided by before training, and undone after sampling; learnt on the training part.

    Attributes:
        mean: "zero" (nothing), "feature" (one number a feature) or "free" (one a frame and feature).
        scaling: None, or "standard": one standard deviation a feature.
        margins: None, or "normal-scores": a strictly increasing map of each feature to a standard normal margin.
        harmonics: Annual harmonics of a seasonal cycle; the sequences need clock times.
    """

    mean: str = field(
        metadata=described(
            "Mean to subtract: zero, feature (one per feature) or free (one per frame and feature).",
            choices=("zero", "feature", "free"),
        )
    )
    scaling: str | None = field(
        metadata=described(
            "standard (divide each feature by its standard deviation) or none.", choices=("standard", "none")
        )
    )
    margins: str | None = field(
        default=None,
        metadata=described(
            "none, or normal-scores: "
            "learn skewed or heavy-tailed features through an increasing map to a normal margin.",
            choices=("none", "normal-scores"),
        ),
    )
    harmonics: int = field(
        default=0,
        metadata=described(
            "Annual harmonics of a seasonal cycle, removed before training and added after sampling.",
            bounds=Range(0, 1000),
        ),
    )

    @property
    def is_identity(self) -> bool:
        """Whether nothing is changed, so that a law of the data is one of what the network sees."""
        return self == Scaling(mean="zero", scaling=None)


class SplitOptions(TypedDict, total=False):
    """Keywords, one for each field of :class:`SplitRule`."""

    test: float | str | None
    validation: float
    gap: int


@dataclass(frozen=True)
class SplitRule:
    """Which sequences are held out; see :func:`kronoscope.data.split`.

    Attributes:
        test: None, a share (the last sequences), or "weeks:5" (every fifth week). The fit never sees them.
        validation: Share of the rest, for the held-out loss that decides when training ends.
        gap: Sequences to leave out between the parts.
    """

    test: float | str | None = field(
        default=None,
        metadata=described("Hold out a share (0.2: the last fifth) or weeks:5 (every fifth week).", unset="nothing"),
    )
    validation: float = field(default=0.1, metadata=described("Share of the rest for early stopping.", bounds=SHARE))
    gap: int = field(default=0, metadata=described("Sequences to leave out between the parts.", bounds=Range(0, 10**9)))
