"""The standard streams of a command: text that their encoding lacks is escaped, and a closed pipe is not an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from .._errors import InputError


class Output:
    """A text stream that never raises for its reader.

    What the encoding lacks is written as a backslash escape. Once the reader has closed its end, or the stream was
    closed from the start, text is dropped and the work goes on: its result is in files and in the exit code.

    Args:
        stream: Where text goes; None where the stream is closed.
        is_result: Whether results go there. A full disk is then an error, once; a message that is lost is none.
    """

    def __init__(self, stream: TextIO | None, is_result: bool) -> None:
        self._stream = stream
        self._is_result = is_result
        self._lost: str | None = None

    def write(self, text: str) -> int:
        """Write ``text``; the number of its characters."""
        if not isinstance(text, str):
            raise TypeError("this stream takes text")
        stream = self._stream
        if stream is not None and text:
            with self._losses():
                encoding = getattr(stream, "encoding", None) or "utf-8"
                stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Write what is buffered.

        Raises:
            InputError: Results cannot be written, now or before (the first error may have been caught).
        """
        if self._stream is not None:
            with self._losses():
                self._stream.flush()
        if self._lost is not None:
            raise InputError(self._lost)

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        if name in ("buffer", "detach", "reconfigure"):  # through which text would go around this stream
            raise AttributeError(name)
        return getattr(self._stream, name)

    @contextmanager
    def _losses(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self._drop()
        except OSError as error:
            self._drop()
            if self._is_result:
                self._lost = f"standard output cannot be written: {error.strerror or error}"
        except ValueError:  # closed by someone in this process
            self._drop()

    def _drop(self) -> None:
        """Send what is still buffered nowhere, so that Python's own flush at the end does not fail again."""
        stream, self._stream = self._stream, None
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
            os.close(nowhere)


@contextmanager
def guarded() -> Iterator[None]:
    """Standard output and error as :class:`Output` while a command runs."""
    _occupy_closed_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Output(sys.stdout, True), Output(sys.stderr, False)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _occupy_closed_descriptors() -> None:
    """Open 0, 1 and 2 onto nothing where they are closed: else the next file gets the number, and errors go into it."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
