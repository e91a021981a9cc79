"""Interruptions of a command, and the message that names the files written before."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from typer.core import TyperGroup

from .. import _files
from .._errors import InterruptedCommand


class Commands(TyperGroup):
    """The commands; without this class typer would end an interrupted one in silence."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise interruption() from None


def interruption() -> InterruptedCommand:
    """The message of an interrupted command, with the files that it had written."""
    done = [str(path) for path in _files.written]
    more = f"written before that: {', '.join(done[-3:])}" if done else "nothing was written"
    return InterruptedCommand(f"interrupted; {more}")


class Signals:
    """Ctrl-C and SIGTERM as ``KeyboardInterrupt``, with the memory that one came.

    Code of other packages may turn the exception into another one, above all while it is imported.
    """

    def __init__(self) -> None:
        self.came = False

    def __enter__(self) -> Signals:
        numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
        self._previous = {number: signal.signal(number, self._interrupt) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
        raise KeyboardInterrupt


@contextmanager
def naming_next(out: Path, command: str) -> Iterator[None]:
    """Let an interruption of what writes into the folder ``out`` name the command that goes on from there."""
    try:
        yield
    except KeyboardInterrupt:
        if any(out in path.parents for path in _files.written):
            raise InterruptedCommand(f"interrupted; {out} is incomplete: {command}") from None
        raise
