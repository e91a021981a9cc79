"""The one-line error message and the exit code of an exception on the command line."""

from __future__ import annotations

import re
import traceback

from typer.exceptions import Abort, Exit, TyperException

from .. import _memory
from .._errors import DivergenceError, InterruptedCommand, KronoscopeError

DONE, FAILED, BAD_INPUT, DEFECT, INTERRUPTED = 0, 1, 2, 70, 130
SHOW_TRACEBACK = "KRONOSCOPE_TRACEBACK"
LONGEST_LINE = 2000

_BYTES = re.compile(r"allocate (\d+) bytes|allocate ([\d.]+ .iB)")


def failure(error: BaseException) -> tuple[str | None, int]:
    """The line for standard error (None for none) and the exit code."""
    if isinstance(error, Exit):
        return None, error.exit_code
    if isinstance(error, KeyboardInterrupt | Abort):
        return "interrupted", INTERRUPTED
    if isinstance(error, InterruptedCommand):
        return str(error), INTERRUPTED
    if isinstance(error, TyperException):
        return error.format_message(), BAD_INPUT
    if isinstance(error, DivergenceError):
        return str(error), FAILED
    if isinstance(error, KronoscopeError) or (isinstance(error, TypeError) and _is_ours(error)):
        return str(error), BAD_INPUT
    if _memory.is_exhaustion(error):
        return _no_memory(error), BAD_INPUT
    if isinstance(error, OSError):
        return _of_file(error), BAD_INPUT
    return _defect(error), DEFECT


def one_line(message: str) -> str:
    """``message`` without line breaks and control characters, which a terminal would obey, and not without end."""
    lines = [part.strip() for part in message.splitlines() if part.strip()]
    line = " ".join(lines).replace(": - ", ": ", 1).replace(" - ", "; ") if "\n- " in message else " ".join(lines)
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return plain if len(plain) <= LONGEST_LINE else f"{plain[:LONGEST_LINE]}..."


def _no_memory(error: BaseException) -> str:
    asked = _BYTES.search(str(error))
    how_much = "" if asked is None else f" for one array of {_memory.written(int(asked[1])) if asked[1] else asked[2]}"
    return (
        f"not enough memory{how_much} (this machine has {_memory.written(_memory.total_bytes())}): give fewer or "
        "shorter sequences, fewer columns, a smaller --batch-size or a smaller network"
    )


def _of_file(error: OSError) -> str:
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' -> '.join(names)}: {error.strerror or error}" if names else str(error)


def _defect(error: BaseException) -> str:
    """The message of an unexpected error: neither bad input nor a failed check."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name}" if frames else ""
    return (
        f"internal error: {type(error).__name__}{place}: {error}. This is a bug in kronoscope: please report it "
        f"with the output of the same command after setting {SHOW_TRACEBACK}=1"
    )


def _is_ours(error: TypeError) -> bool:
    """Whether one of our argument checks raised it, so that its one line is meant for people."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("kronoscope.")
