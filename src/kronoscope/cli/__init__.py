"""The command line. Thin: it parses, calls, prints; everything heavy is imported by the command that needs it."""

from __future__ import annotations

import os
import sys
import traceback
import warnings

from .. import _files
from .failures import INTERRUPTED, SHOW_TRACEBACK, failure, one_line
from .interruptions import Signals, interruption
from .streams import guarded


def main(arguments: list[str] | None = None) -> None:
    """Run ``kronoscope``.

    Exits 0 when done, 1 on a failed check or divergence, 2 on bad input, 70 on a defect of kronoscope, 130 interrupted.
    """
    code = run(arguments)
    if code == INTERRUPTED:
        os._exit(code)  # Python itself would end as killed by the signal where it came while a module was imported
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """As :func:`main`, but returns the exit code."""
    with guarded(), warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # of libraries, about their own insides; what matters is said by a command
        with Signals() as signals:
            try:
                return _outcome(arguments)
            except (Exception, KeyboardInterrupt) as error:
                if os.environ.get(SHOW_TRACEBACK):
                    traceback.print_exception(error)
                message, code = failure(error)
                if signals.came and code != INTERRUPTED:
                    message, code = str(interruption()), INTERRUPTED
                if message is not None:
                    print(f"kronoscope: {one_line(message)}", file=sys.stderr, flush=True)
                return code


def _outcome(arguments: list[str] | None) -> int:
    from . import auditing, compiling, forecasting, reproducing, theory
    from .app import app

    assert (
        app is auditing.app is compiling.app is forecasting.app is reproducing.app is theory.app
    )  # importing them registered their commands
    _files.written.clear()
    outcome = app(arguments, standalone_mode=False)
    sys.stdout.flush()
    return outcome if isinstance(outcome, int) else 0
