"""Lists and counts in the words of a message."""

from __future__ import annotations

from collections.abc import Sequence


def list_names(names: Sequence[object], most: int = 12) -> str:
    """Names for an error message, shortened when there are many."""
    shown = ", ".join(str(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "") if names else "none"


def counted(number: int, noun: str) -> str:
    """ "1 block", "2 blocks"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
