"""Progress for people: a bar on a terminal, a plain line now and then elsewhere, nothing when quiet."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

SECONDS_BETWEEN_LINES = 10.0


class Reporter(Protocol):
    """Takes the fraction done and a few words."""

    def __call__(self, fraction: float, words: str) -> None: ...


class TrainingProgress(Protocol):
    """What a training loop tells about itself."""

    @property
    def step(self) -> int: ...
    @property
    def fraction(self) -> float: ...
    @property
    def loss(self) -> float: ...
    @property
    def held_out_loss(self) -> float: ...
    @property
    def steps_per_second(self) -> float: ...
    @property
    def seconds_left(self) -> float: ...


@dataclass
class _Lines:
    """A line at the start of a stage, every ten seconds, and at its end."""

    title: str
    last: float = -math.inf
    done: bool = False

    def __call__(self, fraction: float, words: str) -> None:
        now = time.monotonic()
        finished = fraction >= 1 and not self.done
        if finished or (not self.done and now - self.last >= SECONDS_BETWEEN_LINES):
            print(f"{self.title}: {100 * fraction:3.0f} % {words}".rstrip(), file=sys.stderr, flush=True)
            self.last, self.done = now, finished


@contextmanager
def progress(title: str, quiet: bool) -> Iterator[Reporter]:
    """A reporter for one stage of work, on stderr."""
    if quiet:
        yield lambda fraction, words: None
    elif not sys.stderr.isatty():
        yield _Lines(title)
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} % {task.fields[words]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=1.0, words="")
            yield lambda fraction, words: bar.update(task, completed=min(1.0, fraction), words=words)


def training_words(now: TrainingProgress) -> str:
    """Loss, held-out loss, rate and time left of a training run."""
    minutes, seconds = divmod(round(now.seconds_left), 60)
    if now.step == 0:
        return f"about {1 / now.steps_per_second:.1f} s a train step, {minutes}:{seconds:02d} in all"
    held_out = "" if math.isnan(now.held_out_loss) else f" held-out {now.held_out_loss:.2f} nats"
    return f"loss {now.loss:.4f}{held_out} {now.steps_per_second:.1f} steps/s {minutes}:{seconds:02d} left"


def say(message: str, quiet: bool) -> None:
    """One line of result on stdout."""
    if not quiet:
        print(message, flush=True)
