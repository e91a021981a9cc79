"""What an interrupted command says: what it had written before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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
            done = [str(path) for path in _files.written]
            more = f"written before that: {', '.join(done[-3:])}" if done else "nothing was written"
            raise InterruptedCommand(f"interrupted; {more}") from None


@contextmanager
def naming_next(out: Path, command: str) -> Iterator[None]:
    """Let an interruption of what writes into the folder ``out`` name the command that goes on from there."""
    try:
        yield
    except KeyboardInterrupt:
        if any(out in path.parents for path in _files.written):
            raise InterruptedCommand(f"interrupted; {out} is incomplete: {command}") from None
        raise
