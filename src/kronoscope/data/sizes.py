"""A file of a few kilobytes can claim, or unpack to, more than memory holds: that is refused before it is read."""

from __future__ import annotations

import os

from .._errors import InputError

SHARE = 0.25  # of the machine's memory, in float64: reading and cutting make copies


def check_size(values: float, what: str) -> None:
    """Refuse ``values`` numbers that do not fit, in float64, into a quarter of this machine's memory.

    Args:
        values: How many numbers are claimed.
        what: Holds them, as the subject of the message: "the array".

    Raises:
        InputError: They do not fit.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if values * 8 > SHARE * memory:
        raise InputError(
            f"{what} would hold {values:.3g} values, {values * 8 / 2**30:.3g} GB: "
            f"more than a quarter of this machine's memory ({memory / 2**30:.3g} GB)"
        )
