"""Features of two sources that belong together: by name where both have names, else by position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._errors import InputError
from .messages import list_names
from .sequences import SequenceSet
from .units import Units, compare_units, units_of


@dataclass(frozen=True, eq=False)
class Match:
    """Where the wanted features stand in another source, and what should be said of it."""

    order: NDArray[np.int64]
    notes: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether the other source has its features in another order, or more of them."""
        return not np.array_equal(self.order, np.arange(len(self.order)))


def has_names(names: Sequence[str]) -> bool:
    """Whether the source names its features; those of an array are only counted."""
    return list(names) != [f"feature_{j}" for j in range(len(names))]


def match_features(wanted: Sequence[str], names: Sequence[str], whose: tuple[str, str]) -> Match:
    """Find the wanted features among others.

    Where only one of the two sources has names, features belong together by position, and a note says so. Features
    that are not wanted are left out, with a note.

    Args:
        wanted: names in the first source.
        names: names in the second.
        whose: of what they are, as in "real" and "generated".

    Raises:
        InputError: a wanted feature that is not there, or without names another number of features.
    """
    first, second = whose
    if not (has_names(wanted) and has_names(names)):
        if len(wanted) != len(names):
            got = f"{len(wanted)} ({list_names(wanted, 8)}) and {len(names)} ({list_names(names, 8)})"
            raise InputError(f"{first} and {second} must have the same features, got {got}")
        notes = []
        if has_names(wanted) or has_names(names):
            named, bare = (first, second) if has_names(wanted) else (second, first)
            listed = list_names(wanted if has_names(wanted) else names, 8)
            notes.append(f"The features of {bare} have no names: taken in the order of {named} ({listed}).")
        return Match(np.arange(len(wanted)), tuple(notes))
    places = {name: place for place, name in enumerate(names)}
    missing = [name for name in wanted if name not in places]
    if missing:
        raise InputError(
            f"{first} and {second} must have the same features, but {second} has no '{missing[0]}'; it has "
            f"{list_names(names, 8)}"
        )
    extra = [name for name in names if name not in set(wanted)]
    notes = [f"Features of {second} that {first} does not have are left out: {list_names(extra, 8)}."] if extra else []
    return Match(np.array([places[name] for name in wanted], dtype=np.int64), tuple(notes))


def arrange(
    sequences: SequenceSet, wanted: Sequence[str], units: Units, whose: tuple[str, str]
) -> tuple[SequenceSet, list[str]]:
    """The wanted features of the sequences, in that order, and notes; see :func:`match_features`.

    Args:
        sequences: of the second source.
        wanted: features of the first source.
        units: of the first source.
        whose: of what they are.

    Raises:
        InputError: a wanted feature that is not there or has another unit.
    """
    match = match_features(wanted, sequences.feature_names, whose)
    theirs = units_of(sequences.container, sequences.feature_names)
    notes = compare_units(wanted, units, tuple(theirs[j] for j in match.order), whose)
    arranged = replace(sequences, values=sequences.values[..., match.order], feature_names=tuple(wanted))
    return arranged, [*match.notes, *notes]
