"""Features that do not change within a sequence, such as the age of a patient: what is learnt does not keep that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .feature_columns import columns_option
from .messages import list_names
from .time_forms import FloatArray

_MOST_NAMES = 30  # in the advice of a note


def note_static(values: FloatArray, names: Sequence[str]) -> list[str]:
    """A note on features of (n, N, d) that are the same in all frames of each sequence, but not in all sequences."""
    if values.shape[1] < 2:
        return []
    with np.errstate(invalid="ignore"):
        first = values[:, :1]
        same = ((values == first) | np.isnan(values)).all(axis=(0, 1)) & (first != first[:1]).any(axis=(0, 1))
    static = [name for name, is_static in zip(names, same) if is_static]
    if not static:
        return []
    others = [name for name in names if name not in static]
    option = f" with columns= ({columns_option(others)})" if 0 < len(others) <= _MOST_NAMES else ""
    does, it = ("does", "it") if len(static) == 1 else ("do", "them")
    return [
        f"Warning: {list_names(static)} {does} not change within a sequence, and generated sequences do not keep that; "
        f"leave {it} out{option}."
    ]
