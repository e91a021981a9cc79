"""Memory and time of a compilation, estimated before it begins: what cannot end is refused in one line.

The figures are those of one core of 2024, within a factor of three; they decide between seconds and hours only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from .. import _checks, _memory
from .._errors import InputError
from ..linalg.eigen import LinAlgError
from . import assembly
from .lowering import Lowered
from .products import Ranges

SHARE = 0.25  # of the machine's memory
COPIES = 8  # of a matrix while it is decomposed
COPIES_OF_WEIGHTS = 3  # the network, its file, the merged network
CUBE_SECONDS = 1e-9  # of all decompositions together, for a matrix of one row, cubed
OPERATIONS = 2e10  # a second and core
CALL_SECONDS = 1e-4  # of a block, however small
LONGEST_SECONDS = 3600.0


def check_matrices(frames: int, features: int, joint: bool = False) -> float:
    """Seconds that the decompositions of the covariances take; sizes that cannot be decomposed here are refused.

    Args:
        frames: N.
        features: d.
        joint: Whether the covariance is not a Kronecker product, so that it has N d rows.

    Raises:
        InputError: Too much memory, or hours.
    """
    rows = (frames * features,) if joint else (frames, features)
    what = f"a process of {_checks.described(frames)} frames and {_checks.described(features)} features"
    squares = sum(n**2 for n in rows)
    _memory.check_bytes(COPIES * 8 * squares, f"the covariances of {what}", f"about {_largest_rows(joint)} fit", SHARE)
    seconds = CUBE_SECONDS * sum(float(n) ** 3 for n in rows) / torch.get_num_threads()
    _refuse_hours(f"decomposing the covariances of {what}", seconds)
    return seconds


def check_network(lowered: Lowered, heads: str, ranges: Ranges | None, dtype: torch.dtype) -> None:
    """Refuse a network whose weights do not fit into memory.

    Raises:
        InputError: With their size, and what is smaller.
    """
    needed = COPIES_OF_WEIGHTS * assembly.num_parameters(lowered, heads, ranges) * dtype.itemsize
    _memory.check_bytes(
        needed,
        "the weights of this network",
        "give fewer features or frames, or heads='table' or iteration='spectral', which have fewer heads",
        SHARE,
    )


def check_measuring(lowered: Lowered, heads: str, ranges: Ranges | None, num_sequences: int) -> float:
    """Seconds for the score of some sequences, refused where that is hours.

    Raises:
        InputError: With the estimate.
    """
    frames, features = lowered.shape
    depth = assembly.depth(lowered, ranges)
    terms = len(lowered.terms)
    reach = min(frames, 3 * max(lowered.num_lags, 32))  # of a product between frames, by windows
    mixing = 4.0 * frames * reach * features * (1 if lowered.operator is None else len(lowered.operator.temporal))
    hidden = 6.0 * frames * (terms * features) ** 2
    merging = float(assembly.num_heads(lowered, heads)) * frames**2 * 4
    seconds = (num_sequences * depth * (mixing + hidden) + merging) / (OPERATIONS * torch.get_num_threads())
    seconds += min(num_sequences, 64) * depth * CALL_SECONDS
    _refuse_hours(f"measuring a network of {depth} blocks at {frames} frames and {features} features", seconds)
    return seconds


@contextmanager
def failures_named(what: str) -> Iterator[None]:
    """Turn what linear algebra and memory raise into one line.

    Raises:
        InputError: In place of a failed decomposition or allocation.
    """
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused by name, later
            yield
    except LinAlgError:
        raise InputError(f"{what} has a covariance whose eigenvalues cannot be computed") from None
    except (MemoryError, RuntimeError) as error:
        if not _memory.is_exhaustion(error):
            raise
        raise InputError(f"{what} needs more memory than this machine has") from None


def _refuse_hours(what: str, seconds: float) -> None:
    if seconds > LONGEST_SECONDS:
        raise InputError(
            f"{what} would take about {seconds / 3600:.2g} hours on this machine; one hour is the most: choose fewer "
            "frames or features, a larger tolerance or min_time, or iteration='spectral'"
        )


def _largest_rows(joint: bool) -> str:
    rows = int((SHARE * _memory.total_bytes() / ((1 if joint else 2) * COPIES * 8)) ** 0.5)
    return f"{rows} frames times features" if joint else f"{rows} frames and as many features"
