"""Movies as GIFs inside a page: one for each scheme, and one still picture for readers who ask for less motion."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from .movies import Movie
from .svg import colour_map


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
    for frame in pixels:
        picture = Image.frombytes("P", (frame.shape[1], frame.shape[0]), frame.tobytes())
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
