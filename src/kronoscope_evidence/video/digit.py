"""``kronoscope reproduce video-digit``: the question of ``video``, with a handwritten digit in place of the ball."""

from __future__ import annotations

from dataclasses import replace

from . import decoded_paths

STUDY = replace(
    decoded_paths.STUDY,
    claim="A video transformer learns the distribution of the path of a handwritten digit, a harder object than "
    "a ball.",
    full=decoded_paths.full("digit"),
    quick=decoded_paths.quick("digit"),
)
