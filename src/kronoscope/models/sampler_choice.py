"""The coefficient table of a sampler, by name."""

from __future__ import annotations

from collections.abc import Callable

from .. import sampling
from .._errors import InputError
from ..processes import GaussianLaw


def sampler_table(
    sampler: str, num_calls: int, grid: str, times: tuple[float, float], learnt: Callable[[], GaussianLaw | None]
) -> sampling.SamplerTable:
    """The coefficients of a sampler by name.

    Args:
        sampler: A name in ``sampling.SAMPLERS``.
        num_calls: Score calls.
        grid: "uniform", or "optimised" for the learnt law.
        times: Smallest and largest diffusion time of the training.
        learnt: Gives the learnt law of the data in scaled coordinates, None where there is none; it may take a while.

    Raises:
        InputError: An unknown name, or a grid that does not go with the sampler or the model.
    """
    if not isinstance(sampler, str) or sampler not in sampling.SAMPLERS:
        raise InputError(f"sampler must be one of {', '.join(sampling.SAMPLERS)}, got {sampler!r}")
    if grid == "uniform":
        return sampling.SAMPLERS[sampler](num_calls, *times).with_corrected_start()
    if grid != "optimised":
        raise InputError(f"grid must be one of {', '.join(sampling.GRIDS)}, got {grid!r}")
    if sampler != "dpm-solver":
        raise InputError(f"grid='optimised' is for sampler='dpm-solver', got {sampler!r}")
    law = learnt()
    if law is None:
        raise InputError(
            "grid='optimised' needs the covariance of the learnt distribution, known only for a score affine in "
            "x; give grid='uniform', or "
            "build a table with ks.sampling.dpm_solver(..., grid='optimised', law=...) for ks.sampling.sample"
        )
    return sampling.dpm_solver(num_calls, *times, grid="optimised", law=law)
