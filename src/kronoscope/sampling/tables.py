"""Samplers as data: the frozen table of coefficients that the runner and the exact law both read.

With D_k = E[x_0 | x_k] computed from one score call at time t_k, and z_k standard normal, every sampler is

    x_{k+1} = a_k x_k + b_k D_k + c_k D_{k-1} + g_k z_k,    k = 0, ..., K-1,    x_0 ~ N(0, I) at t_0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from .. import _checks
from .._display import Tabular
from .._errors import InputError


@dataclass(frozen=True, repr=False)
class SamplerTable(Tabular):
    """Coefficients of a sampler, one entry a score call (docs/theory.md, section 6).

    Attributes:
        name: What the sampler is called.
        times: t_k, the diffusion time of score call k; never increasing.
        from_state: a_k, the weight of the state x_k.
        from_denoised: b_k, the weight of D_k.
        from_previous: c_k, the weight of D_{k-1}; c_0 = 0.
        noise: g_k, the standard deviation of the fresh noise.
        end_time: Diffusion time of what comes out: the result approximates the noised marginal there.

    Raises:
        InputError: The columns differ in length, hold values that are not finite, or the times are out of order.
    """

    name: str
    times: tuple[float, ...]
    from_state: tuple[float, ...]
    from_denoised: tuple[float, ...]
    from_previous: tuple[float, ...]
    noise: tuple[float, ...]
    end_time: float

    def _facts(self) -> dict[str, object]:
        return {
            "name": self.name,
            "score calls": len(self.times),
            "times": f"{self.times[0]:g} to {self.end_time:g}",
            "stochastic": any(self.noise),
        }

    def _columns(self) -> dict[str, Sequence[object]]:
        return {
            "time": self.times,
            "from state": self.from_state,
            "from denoised": self.from_denoised,
            "from previous": self.from_previous,
            "noise": self.noise,
        }

    def __post_init__(self) -> None:
        columns = {
            "times": self.times,
            "from_state": self.from_state,
            "from_denoised": self.from_denoised,
            "from_previous": self.from_previous,
            "noise": self.noise,
        }
        if not self.times:
            raise InputError("times must hold at least one score call, got none")
        for name, column in columns.items():
            if len(column) != len(self.times):
                raise InputError(f"{name} must have {len(self.times)} entries as times has, got {len(column)}")
            if not all(math.isfinite(value) for value in column):
                raise InputError(f"{name} must be finite, got {column}")
        path = (*self.times, self.end_time)
        if self.times[-1] <= 0 or not 0 <= self.end_time < math.inf:
            raise InputError(f"times must be greater than 0 and end_time 0 or greater, got {path}")
        if any(later > earlier for earlier, later in pairwise(path)):
            raise InputError(f"times must never increase on the way to end_time, got {path}")
        if self.from_previous[0] != 0:
            raise InputError(
                f"from_previous must start with 0, as no call precedes the first, got {self.from_previous[0]:g}"
            )
        if min(self.noise) < 0:
            raise InputError(f"noise must be 0 or greater, got {min(self.noise):g}")

    @property
    def num_calls(self) -> int:
        """K, the number of score calls."""
        return len(self.times)

    @property
    def is_deterministic(self) -> bool:
        """Whether the only randomness is the start."""
        return not any(self.noise)

    def with_corrected_start(self) -> SamplerTable:
        """The table with one more call, first: x <- x + (x + s(x, T)) / 2 at T = t_0.

        A sampler starts from N(0, I), while p_T of centred data with covariance K has covariance I + alpha_T^2 (K - I).
        There s(x, T) = -x + alpha_T^2 (K - I) x up to alpha_T^4, so the step gives that covariance up to alpha_T^4:
        what the start loses of the variance falls from alpha_T^2 to alpha_T^4 times the excess.
        """
        weight, variance = math.exp(-self.times[0] / 2), -math.expm1(-self.times[0])
        return replace(
            self,
            name=f"{self.name}+start",
            times=(self.times[0], *self.times),
            from_state=(1.5 - 0.5 / variance, *self.from_state),
            from_denoised=(0.5 * weight / variance, *self.from_denoised),
            from_previous=(0.0, *self.from_previous),
            noise=(0.0, *self.noise),
        )

    def with_denoising(self) -> SamplerTable:
        """The table with one more call, at its end time t0, that leaves the noise of t0 behind: x <- D(x + sigma_t0 z).

        D alone (Tweedie's formula) is the mean of the data given x, so it lacks the variance that they have around it.
        Noise of the variance that x has already, added first, puts that back: a direction in which the data have
        variance v keeps it up to sigma_t0^4 / v (without the noise up to sigma_t0^2).
        """
        if self.end_time == 0:
            raise InputError(
                f"{self.name} ends at diffusion time 0 already, so there is no noise to remove: leave denoise out"
            )
        again = -math.expm1(-self.end_time)
        return replace(
            self,
            name=f"{self.name}+denoise",
            times=(*self.times, self.end_time),
            from_state=(*self.from_state, 0.0),
            from_denoised=(*self.from_denoised, 1.0),
            from_previous=(*self.from_previous, 0.0),
            noise=(*self.noise[:-1], math.hypot(self.noise[-1], math.sqrt(again)), 0.0),
            end_time=0.0,
        )


def require_table(table: object) -> None:
    """Raise TypeError unless ``table`` is a sampler table.

    Raises:
        TypeError: As said.
    """
    if not isinstance(table, SamplerTable):
        raise TypeError(f"table must be a sampler, such as ks.sampling.ddim(32), got {_checks.kind(table)}")
