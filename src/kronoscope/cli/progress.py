"""What a command says while it works: progress on stderr, results on stdout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .._progress import Reporter, reporting, training_words

__all__ = ["progress", "say", "training_words"]


@contextmanager
def progress(title: str, quiet: bool) -> Iterator[Reporter]:
    """A reporter for one stage of work, on stderr: a bar on a terminal, lines elsewhere, nothing when quiet."""
    with reporting(title, not quiet) as reporter:
        yield reporter or (lambda fraction, words: None)


def say(message: str, quiet: bool) -> None:
    """One line of result on stdout."""
    if not quiet:
        print(message, flush=True)
