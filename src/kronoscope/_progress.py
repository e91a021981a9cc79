"""Progress for people, on stderr: a bar on a terminal and in a notebook, a plain line now and then elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any, Protocol, TypeVar

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_DRAWINGS = 0.2  # of a notebook's bar, which crosses a network


class Reporter(Protocol):
    """Takes the fraction done and a few words."""

    def __call__(self, fraction: float, words: str) -> None: ...


class TrainingProgress(Protocol):
    """Progress of a training loop."""

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


P = TypeVar("P", bound=TrainingProgress)


class _Shown(Protocol):
    """A reporter that ends. It shows nothing before its first report: only one process of several reports."""

    def __call__(self, fraction: float, words: str) -> None: ...
    def close(self) -> None: ...


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

    def close(self) -> None:
        """The last line stays."""


@dataclass
class _TerminalBar:
    """A bar of rich, redrawn in place."""

    title: str
    bar: Any = None

    def __call__(self, fraction: float, words: str) -> None:
        if self.bar is None:
            self.bar = _rich_bar(self.title)
            self.bar.start()
        self.bar.update(self.bar.task_ids[0], completed=min(1.0, fraction), words=words)

    def close(self) -> None:
        """The bar stays as it is."""
        if self.bar is not None:
            self.bar.stop()


def _rich_bar(title: str) -> Any:
    from rich.console import Console  # loaded where a bar is drawn
    from rich.progress import BarColumn, Progress, TextColumn

    percent = TextColumn("{task.percentage:>3.0f} % {task.fields[words]}")
    bar = Progress(TextColumn("{task.description}"), BarColumn(), percent, console=Console(stderr=True))
    bar.add_task(title, total=1.0, words="")
    return bar


@dataclass
class _NotebookBar:
    """An HTML progress element, replaced in place; front ends without HTML show its text."""

    title: str
    drawn: float = -math.inf
    handle: Any = None
    last: tuple[float, str] = field(default=(0.0, ""))

    def __call__(self, fraction: float, words: str) -> None:
        self.last = (min(1.0, fraction), words)
        if time.monotonic() - self.drawn >= SECONDS_BETWEEN_DRAWINGS:
            self._draw()

    def close(self) -> None:
        """What was reported last is drawn."""
        if self.handle is not None:
            self._draw()

    def _draw(self) -> None:
        fraction, words = self.last
        text = f"{self.title}: {100 * fraction:.0f} % {words}".rstrip()
        html = f'<progress value="{fraction:.4f}" max="1" style="width:16em"></progress> <span>{escape(text)}</span>'
        bundle = {"text/plain": text, "text/html": html}
        from IPython.display import display  # a notebook has it

        if self.handle is None:
            self.handle = display(bundle, raw=True, display_id=True)
        else:
            self.handle.update(bundle, raw=True)
        self.drawn = time.monotonic()


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextmanager
def reporting(title: str, shown: bool | None = None) -> Iterator[Reporter | None]:
    """A reporter for one stage of work; None where nothing is to be shown.

    Args:
        title: Of the stage.
        shown: None on a terminal and in a notebook only; True everywhere; False nowhere.

    Raises:
        TypeError: ``shown`` is something else.
    """
    if shown is not None and not isinstance(shown, bool):
        raise TypeError(
            f"progress must be True, False or None, got {type(shown).__name__}; a function of your own is on_progress="
        )
    reporter = _reporter(title, shown)
    try:
        yield reporter
    finally:
        if reporter is not None:
            reporter.close()


def _reporter(title: str, shown: bool | None) -> _Shown | None:
    if shown is False:
        return None
    if in_notebook():
        return _NotebookBar(title)
    if sys.stderr is not None and sys.stderr.isatty():
        return _TerminalBar(title)
    return _Lines(title) if shown else None


@contextmanager
def training_progress(
    shown: bool | None, on_progress: Callable[[P], None] | None
) -> Iterator[Callable[[P], None] | None]:
    """What a training loop calls after a step: the bar, where one is shown, and then ``on_progress``."""
    with reporting("training", shown) as reporter:
        if reporter is None:
            yield on_progress
            return

        def both(now: P) -> None:
            reporter(now.fraction, training_words(now))
            if on_progress is not None:
                on_progress(now)

        yield both


def training_words(now: TrainingProgress) -> str:
    """Loss, held-out loss, rate and time left of a training run."""
    minutes, seconds = divmod(round(now.seconds_left), 60)
    if now.step == 0:
        return f"about {1 / now.steps_per_second:.1f} s a train step, {minutes}:{seconds:02d} in all"
    held_out = "" if math.isnan(now.held_out_loss) else f" held-out {now.held_out_loss:.2f} nats"
    return f"loss {now.loss:.4f}{held_out} {now.steps_per_second:.1f} steps/s {minutes}:{seconds:02d} left"
