"""``kronoscope reproduce video-digit``: the question of ``video``, with a handwritten digit in place of the ball."""

from __future__ import annotations

from dataclasses import replace

import torch

from kronoscope import video as films

from ..reproductions import Finding
from ..stages import Stage
from . import decoded_paths as video

DIGIT = 2


def preset(quick: bool, large: bool) -> video.Preset:
    """That of ``video``, the ball replaced by a digit that moves by the same law.

    Raises:
        InputError: scikit-learn, whose digits they are, is not installed.
    """
    told = video.preset(quick, large)
    times = told.ball.size // 32 or 1  # 8 x 8 in frames of 16 x 16, 16 x 16 in those of 64 x 64
    sprite = films.digit(DIGIT).repeat_interleave(times, 0).repeat_interleave(times, 1)
    return replace(told, ball=replace(told.ball, sprite=sprite))


def run(*, quick: bool, seed: int, stage: Stage) -> Finding:
    """The evidence on a digit."""
    told = preset(quick, torch.cuda.is_available() and not quick)
    return video.evidence(told, quick=quick, seed=seed, stage=stage)
