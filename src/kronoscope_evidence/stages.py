"""Progress of a study, stage by stage."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from kronoscope.training import Progress

Show = Callable[[float, str], None]
Stage = Callable[[str], AbstractContextManager[Show]]


def quiet(title: str) -> AbstractContextManager[Show]:
    """A stage that says nothing."""
    return nullcontext(lambda fraction, words: None)


def training_steps(show: Show) -> Callable[[Progress], None]:
    """``on_progress`` of a training that shows its step and its time left."""
    return lambda now: show(now.fraction, f"step {now.step}, loss {now.loss:.3f}, {now.seconds_left:.0f} s left")
