"""Train, validation and test parts that do not leak into each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from .. import _checks
from .._display import Displayed
from .._errors import InputError
from .sequences import SequenceSet

Index = NDArray[np.int64]
# Stretches of consecutive blocks that make up the validation part of a series.
STRETCHES = 8
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False, repr=False)
class Split(Displayed):
    """Indices of the sequences of each part, ascending and disjoint; a gap leaves some in no part."""

    train: Index
    validation: Index
    test: Index

    def _facts(self) -> dict[str, object]:
        return {"train": len(self.train), "validation": len(self.validation), "test": len(self.test)}


def split(
    sequences: SequenceSet,
    *,
    test: float | str | ArrayLike | None = None,
    validation: float = 0.1,
    gap: int = 0,
    generator: torch.Generator | None = None,
) -> Split:
    """Parts of a set of sequences.

    Args:
        sequences: the set.
        test: None for no test part; a fraction in (0, 1) for the last sequences; "weeks:5" for every fifth week
            of each calendar year (weeks 5, 10, ...; week 1 is 1 to 7 January), by the start of a sequence; or the
            indices themselves.
        validation: fraction of the rest, in [0, 1); at least one sequence unless 0. From a consecutive set, up to 8
            stretches, one in each eighth of the record at a place that shifts from eighth to eighth, so that in a
            record of several years they fall into different seasons. From any other set, drawn at random.
        gap: sequences nearer than this many places to validation or test are dropped from training; for
            consecutive sets only. A gap in the record counts as no distance, so time between parts is never shorter.
        generator: draws the validation part of a set that is not consecutive; None means seed 0.

    Raises:
        InputError: for an impossible part, or if no sequence is left to train on.
    """
    n = len(sequences)
    gap = _checks.count("gap", gap, least=0)
    if gap and not sequences.consecutive:
        raise InputError("gap needs sequences cut from one long series; these have no neighbours")
    if not 0 <= _checks.real("validation", validation) < 1:
        raise InputError(f"validation must be a fraction in [0, 1), got {validation:g}")
    held_out = np.zeros(n, dtype=bool)
    held_out[_test_part(sequences, test)] = True
    rest = np.flatnonzero(~held_out)
    number = min(max(1, round(validation * len(rest))), len(rest)) if validation else 0
    if sequences.consecutive:
        chosen = rest[_stretches(len(rest), number)]
    else:
        random = torch.randperm(len(rest), generator=_checks.generator_or_seed_zero(generator))
        chosen = rest[np.sort(random[:number].numpy())]
    away = held_out.copy()
    away[chosen] = True
    near = np.convolve(away, np.ones(2 * gap + 1), mode="full")[gap : gap + n] > 0.5
    train = np.flatnonzero(~near)
    if not train.size:
        raise InputError(f"no sequence is left to train on: of {n}, {int(away.sum())} are held out and gap is {gap}")
    return Split(train, chosen, np.flatnonzero(held_out))


def _test_part(sequences: SequenceSet, test: float | str | ArrayLike | None) -> Index:
    n = len(sequences)
    if test is None:
        return np.zeros(0, dtype=np.int64)
    if isinstance(test, str):
        return _weeks(sequences, test)
    if isinstance(test, float):
        if not 0 < test < 1:
            raise InputError(f"test must be a fraction in (0, 1), got {test:g}")
        return np.arange(n - max(1, round(test * n)), n)
    index = np.asarray(test)
    if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
        raise InputError(f"test must be None, a fraction, 'weeks:5' or an array of indices, got {test!r}")
    if index.size and (index.min() < 0 or index.max() >= n or len(np.unique(index)) < len(index)):
        raise InputError(f"test must hold different indices from 0 to {n - 1}")
    return index.astype(np.int64)


def _weeks(sequences: SequenceSet, text: str) -> Index:
    word, _, every = text.partition(":")
    if word != "weeks" or not every.isdecimal() or int(every) < 2:
        raise InputError(f"test must be written weeks:K with K at least 2, got {text!r}")
    if not isinstance(sequences.starts, pd.DatetimeIndex):
        raise InputError(f"test={text!r} needs sequences with clock times")
    week = (np.asarray(sequences.starts.day_of_year) - 1) // 7 + 1
    chosen = np.flatnonzero(week % int(every) == 0)
    if not chosen.size:
        raise InputError(f"test={text!r} holds out nothing: no sequence starts in such a week")
    return chosen


def _stretches(length: int, number: int) -> Index:
    """``number`` of the places 0..length-1 in up to 8 stretches, one in each stratum, shifted by the golden ratio."""
    if not number:
        return np.zeros(0, dtype=np.int64)
    count = min(STRETCHES, number)
    places = []
    for k in range(count):
        low, high = length * k // count, length * (k + 1) // count
        size = min(number * (k + 1) // count - number * k // count, high - low)
        shift = int(((k + 0.5) * _GOLDEN) % 1.0 * (high - low - size + 1))
        places.append(np.arange(low + shift, low + shift + size))
    return np.concatenate(places)
