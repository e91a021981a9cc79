"""How much memory this process may use, and the refusal of work that would not fit, before it allocates anything."""

from __future__ import annotations

import math
import os
import re
import resource
from pathlib import Path

from ._errors import InputError

SHARE = 0.5  # of the memory that there is; the rest is for copies, the interpreter and other programs
_CONTROL_GROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


# What numpy and torch say of memory that is not there; torch has no exception of its own for the CPU.
_EXHAUSTED = re.compile(
    r"can't allocate memory|not enough memory|out of memory|Unable to allocate|Storage size calculation overflowed"
    r"|Invalid buffer size|integer multiplication overflow|Maximum allowed dimension|array is too big"
)


def is_exhaustion(error: BaseException) -> bool:
    """Whether the error means that an array does not fit into memory."""
    if isinstance(error, RuntimeError | ValueError):
        return bool(_EXHAUSTED.search(str(error)))
    return isinstance(error, MemoryError)


def total_bytes() -> int:
    """Bytes of memory that this process may use: the machine's, or the limit of its container or shell where less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CONTROL_GROUP_LIMITS:
        try:
            limits.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # no such limit, or "max"
            continue
    address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
    if address_space != resource.RLIM_INFINITY:
        limits.append(address_space)
    return min(limits)


def check_bytes(needed: float, what: str, advice: str, share: float = SHARE) -> None:
    """Refuse what would take more than ``share`` of the memory.

    Args:
        needed: Bytes, estimated.
        what: Takes them, as the subject of the message: "a train step".
        advice: What to give instead, as an imperative: "give a smaller --batch-size".
        share: Of the memory.

    Raises:
        InputError: It would not fit.
    """
    total = total_bytes()
    if needed > share * total:
        raise InputError(
            f"{what} would need about {written(needed)} of memory, but {share:.3g} of this machine's {written(total)} "
            f"is the most that kronoscope takes; {advice}"
        )


def written(number: float) -> str:
    """Bytes for people, in GB (2^30 bytes)."""
    if number > 1e300:  # also a whole number that no float holds
        return "over 1e291 GB"
    return f"{number / 2**30:.3g} GB"


def product(*sizes: int) -> int:
    """Number of entries of an array of that shape, as a whole number that cannot overflow."""
    return math.prod(int(size) for size in sizes)
