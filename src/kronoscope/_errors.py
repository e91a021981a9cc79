"""Exceptions with a one-line message for the user."""

from __future__ import annotations


class KronoscopeError(Exception):
    """Base of every exception that kronoscope raises on purpose."""


class InputError(KronoscopeError, ValueError):
    """Bad input: the message names what was wrong and what would be right. The command line exits with 2."""


class DivergenceError(KronoscopeError, RuntimeError):
    """A training run left the finite numbers. The command line exits with 1."""


class ConvergenceError(KronoscopeError, RuntimeError):
    """An iterative solver did not reach its tolerance; its result would not be exact."""


class InterruptedCommand(KronoscopeError):
    """A command was interrupted: the message says what was kept and how to go on. It exits with 130."""


def first_line(error: BaseException) -> str:
    """The first line of another library's error, with the second where the first only announces it.

    An error that says nothing is named by its type.
    """
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    lines = [line.strip() for line in str(message).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
