"""The command line. Thin: it parses, calls, prints; everything heavy is imported by the command that needs it."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from typer.exceptions import Abort, Exit, TyperException

from .._errors import DivergenceError, InputError, KronoscopeError

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> None:
    """Run ``kronoscope``; exits 0 when done, 1 on a failed check or divergence, 2 on bad input, 130 interrupted."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """As :func:`main`, but returns the exit code."""
    from . import auditing, compiling, forecasting, reproducing
    from .app import app

    assert (
        app is auditing.app is compiling.app is forecasting.app is reproducing.app
    )  # importing them registered their commands

    previous = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        outcome = app(arguments, standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except TyperException as error:
        return _complain(error.format_message().replace("\n", " "), 2)
    except Exit as leave:
        return leave.exit_code
    except DivergenceError as error:
        return _complain(str(error), 1)
    except (InputError, TypeError) as error:
        if isinstance(error, TypeError) and not _is_ours(error):
            raise
        return _complain(str(error), 2)
    except KronoscopeError as error:
        return _complain(str(error), 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}", 2)
    except (KeyboardInterrupt, Abort):
        return _complain("interrupted", INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _is_ours(error: TypeError) -> bool:
    """Whether one of our argument checks raised it, so that its one line is meant for people."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("kronoscope.")


def _complain(message: str, code: int) -> int:
    print(f"kronoscope: {message}", file=sys.stderr)
    return code


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
