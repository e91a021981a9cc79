"""Records of animations: matrices that change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._display import Displayed
from .._errors import InputError
from . import _fields


@dataclass(frozen=True, repr=False)
class Movie(Displayed):
    """Frames of one movie.

    Args:
        title: Above the movie; may be empty.
        frames: Matrices of one shape, in order, each as rows of numbers, the first row at the top.
    """

    title: str
    frames: Sequence[Sequence[Sequence[float]]]

    def __post_init__(self) -> None:
        frames = tuple(
            tuple(_fields.numbers(f"frames[{k}][{i}]", row, least=1) for i, row in enumerate(frame))
            for k, frame in enumerate(self.frames)
        )
        if not frames or len({(len(frame), *map(len, frame)) for frame in frames}) != 1 or not frames[0]:
            raise InputError("frames must be matrices of one shape, at least one")
        if len({len(row) for row in frames[0]}) != 1:
            raise InputError("frames must be matrices: rows of one length")
        _fields.settle(self, title=_fields.text("title", self.title), frames=frames)


@dataclass(frozen=True, repr=False)
class Animation(Displayed):
    """Movies side by side on one sequential colour scale. Who asked for less motion sees the first frames.

    Args:
        movies: As many frames in each.
        value_label: What the colours are, with the unit.
        limits: (low, high) of the colour scale; values beyond are drawn as its ends.
        caption: How to read it.
        alt: What a reader who does not see it must know.
        milliseconds: Between frames.
        columns: Movies side by side where the screen is wide enough, 1 to 4.

    Raises:
        InputError: No movie, movies of different length, or fields that are empty or out of range.
    """

    movies: Sequence[Movie]
    value_label: str
    limits: Sequence[float]
    caption: str
    alt: str
    milliseconds: int = 150
    columns: int = 4

    def __post_init__(self) -> None:
        _fields.settle(
            self,
            movies=_fields.records("movies", self.movies, Movie, least=1),
            value_label=_fields.text("value_label", self.value_label, empty=False),
            limits=_fields.limits("limits", self.limits),
            caption=_fields.text("caption (how to read the animation)", self.caption, empty=False),
            alt=_fields.text("alt (the animation in words)", self.alt, empty=False),
            milliseconds=_fields.whole("milliseconds", self.milliseconds, least=20),
            columns=_fields.whole("columns", self.columns, least=1),
        )
        if self.columns > 4:
            raise InputError(f"columns must be at most 4, got {self.columns}")
        if len({len(movie.frames) for movie in self.movies}) > 1:
            raise InputError("movies must have as many frames each")
