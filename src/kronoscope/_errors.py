"""Exceptions that carry one clear line for the person who gave the input."""

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
