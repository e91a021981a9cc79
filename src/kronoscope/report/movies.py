"""Records of animations, and their drawing: matrices that change, as one GIF each inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .._errors import InputError
from . import _fields
from .svg import colour_map


@dataclass(frozen=True)
class Movie:
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


@dataclass(frozen=True)
class Animation:
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


def sources(movie: Movie, limits: Sequence[float], milliseconds: int) -> list[tuple[str, str]]:
    """(media query, data URI) in the order in which a browser tries them; the last has no query."""
    low, high = limits
    levels = np.clip((np.asarray(movie.frames) - low) / (high - low), 0, 1)
    pixels = np.rint(levels * 255).astype(np.uint8)
    still, dark = "(prefers-reduced-motion: reduce)", "screen and (prefers-color-scheme: dark)"
    return [
        (f"{dark} and {still}", _uri(pixels[:1], "dark", milliseconds)),
        (still, _uri(pixels[:1], "light", milliseconds)),
        (dark, _uri(pixels, "dark", milliseconds)),
        ("", _uri(pixels, "light", milliseconds)),
    ]


def _uri(pixels: np.ndarray, scheme: str, milliseconds: int) -> str:
    """A GIF of one pixel an entry with a palette of 256 colours."""
    palette = colour_map(False, scheme).ravel().tobytes()
    pictures = []
    for one in pixels:
        picture = Image.frombytes("P", (one.shape[1], one.shape[0]), one.tobytes())
        picture.putpalette(palette)
        pictures.append(picture)
    stream = io.BytesIO()
    pictures[0].save(
        stream,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=milliseconds,
        loop=0,
        optimize=False,
        disposal=1,
    )
    return "data:image/gif;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
