"""The one runner of sampler tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .. import _checks, _memory, diffusion
from .._errors import InputError
from .._typing import ScoreFunction
from .tables import SamplerTable, require_table

BATCH_VALUES = 2**22


def sample(
    score: ScoreFunction,
    shape: tuple[int, int, int],
    table: SamplerTable,
    *,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    denoise: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """New sequences: N(0, I) at the table's first time, carried to its end time by its coefficients.

    Every sequence has a noise stream of its own, seeded by an integer drawn from ``generator`` and drawn in float64 on
    the CPU. So the noise depends neither on the batch size nor on dtype or device, and the first 5 sequences of
    10 are the 5 of 5 (to the round-off of a score that adds in another order in another batch).

    Args:
        score: Any score; called with x in ``dtype`` and t a float.
        shape: (num, frames, features) of the result.
        table: The sampler, for example ``dpm_solver(32)``.
        generator: Source of the seeds; None means seed 0.
        dtype: Of the state.
        device: Of the state.
        batch_size: Sequences a score call; None means as many as hold 2^22 values.
        denoise: End with one more call, at the table's end time, that leaves its noise behind
            (:meth:`SamplerTable.with_denoising`).
        progress: Called as progress(calls done, calls in all) after each score call.

    Returns:
        (num, frames, features) on ``device``: the noised marginal at ``table.end_time``, or t = 0 with ``denoise``.

    Raises:
        InputError: The score returned another shape, NaN or infinity (the message says at which call).
    """
    _checks.score("score", score)
    require_table(table)
    _checks.floating("dtype", dtype)
    num, num_frames, num_features = _sizes(shape)
    _memory.check_bytes(
        num * (4 * num_frames * num_features + 100), f"drawing {num:.4g} sequences of that shape", "draw fewer at once"
    )
    if denoise:
        table = table.with_denoising()
    fitting = max(1, BATCH_VALUES // (num_frames * num_features))
    batch = fitting if batch_size is None else _checks.count("batch_size", batch_size)
    seeds = _seeds(num, _checks.generator_or_seed_zero(generator))
    total, done = -(-num // batch) * table.num_calls, 0
    result = torch.empty(shape, dtype=dtype, device=device)

    def count_call() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    with torch.no_grad():
        for start in range(0, num, batch):
            streams = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + batch]]
            noise = _Noise(streams, (num_frames, num_features), dtype, device)
            result[start : start + batch] = _run(score, table, noise, count_call)
    return result


class _Noise:
    """Standard normal (batch, frames, features) tensors, each sequence from its own stream."""

    def __init__(
        self, streams: list[torch.Generator], size: tuple[int, int], dtype: torch.dtype, device: torch.device | str
    ) -> None:
        self.streams, self.size, self.dtype, self.device = streams, size, dtype, device

    def __call__(self) -> Tensor:
        draws = [torch.randn(self.size, dtype=torch.float64, generator=stream) for stream in self.streams]
        return torch.stack(draws).to(dtype=self.dtype, device=self.device)


def _run(score: ScoreFunction, table: SamplerTable, noise: _Noise, count_call: Callable[[], None]) -> Tensor:
    x = noise()
    previous = torch.zeros_like(x)
    rows = zip(table.times, table.from_state, table.from_denoised, table.from_previous, table.noise, strict=True)
    for k, (t, a, b, c, g) in enumerate(rows, start=1):
        value = diffusion.evaluate(score, x, t, f" (score call {k} of {table.num_calls} of {table.name})")
        denoised = diffusion.denoised_from_score(value.to(x), x, t)
        x = a * x + b * denoised + c * previous
        if g:
            x = x + g * noise()
        previous = denoised
        count_call()
    return x


def _sizes(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    if not isinstance(shape, Sequence) or len(shape) != 3:
        raise InputError(f"shape must be (num, frames, features), got {_checks.described(shape)}")
    num, num_frames, num_features = shape
    return (
        _checks.count("num", num, least=0),
        _checks.count("num_frames", num_frames),
        _checks.count("num_features", num_features),
    )


def _seeds(num: int, generator: torch.Generator) -> list[int]:
    seeds = torch.randint(2**63 - 1, (num,), generator=generator, device=generator.device, dtype=torch.int64)
    return [int(seed) for seed in seeds.tolist()]
