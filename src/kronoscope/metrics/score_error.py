"""The error of a score in nats: the Kullback-Leibler divergence that it causes (docs/theory.md, section 2)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .. import _checks, diffusion, report
from .._display import Tabular, Uncertain
from .._errors import InputError
from .._typing import ScoreFunction
from ..processes import (
    GaussianLaw,
    SequenceLaw,
    SquaredError,
    affine_squared_error,
    require_score_and_law,
    sampled_squared_error,
)
from .figures import score_error_figure

EXACT = 1e-6  # of the value: the estimate of what a result that is called exact may miss


@dataclass(frozen=True, repr=False)
class ErrorByTime(Tabular):
    """The integrand of :class:`ScoreKL`, one entry a quadrature node, from small to large times.

    Attributes:
        times: Diffusion times t.
        integrand: 1/2 sigma_t^2 E||s - s*||^2, nats per unit of the clock u = log(expm1(t)).
        standard_errors: Of ``integrand``, by samples or round-off.
        weights: Gauss-Legendre weights in u, so that value = sum(weights * integrand).
    """

    times: tuple[float, ...]
    integrand: tuple[float, ...]
    standard_errors: tuple[float, ...]
    weights: tuple[float, ...]

    def _facts(self) -> dict[str, object]:
        return {"nodes": len(self.times), "from time": self.times[0], "to time": self.times[-1]}

    def _columns(self) -> dict[str, Sequence[object]]:
        return {
            "time": self.times,
            "integrand": self.integrand,
            "standard error": self.standard_errors,
            "weight": self.weights,
        }

    def plot(self) -> report.Plot:
        """The integrand by diffusion time with its uncertainty."""
        return report.plot(score_error_figure(self.times, self.integrand, self.standard_errors))


@dataclass(frozen=True, repr=False)
class ScoreKL(Tabular):
    """A score error in nats.

    Attributes:
        value: 1/2 int E||s - s*||^2 dt from min_time to max_time, nats a sequence.
        standard_error: Of ``value``: ``sampling_error`` and ``quadrature_error`` together (root of the sum of squares).
            0 for "exact by quadrature" where both are below a millionth of the value.
        by_time: Where on the way from data to noise the error sits.
        kind: "monte carlo"; "exact by quadrature" for an affine score called in float64 whose standard error is 0;
            else "affine map in float32" or "affine map in float64".
        sampling_error: The part of the Monte Carlo samples, or of the round-off of an affine score.
        quadrature_error: Estimate of what the rule over t misses; large where the score jumps in t.
    """

    value: float
    standard_error: float
    by_time: ErrorByTime
    kind: str
    sampling_error: float
    quadrature_error: float

    def _facts(self) -> dict[str, object]:
        times = self.by_time.times
        return {
            "value": Uncertain(self.value, self.standard_error, "nats"),
            "kind": self.kind,
            "times": f"{times[0]:.2g} to {times[-1]:.2g} in {len(times)} nodes",
            "sampling error": self.sampling_error,
            "quadrature error": self.quadrature_error,
        }

    def _columns(self) -> dict[str, Sequence[object]]:
        return self.by_time._columns()

    def plot(self) -> report.Plot:
        """The integrand of the error by diffusion time."""
        return self.by_time.plot()

    def __str__(self) -> str:
        return f"{self.value:.4g} +- {self.standard_error:.2g} nats ({self.kind})"


def score_kl(
    score: ScoreFunction,
    process: SequenceLaw,
    min_time: float = 1e-2,
    max_time: float = 6.0,
    num_samples: int = 8192,
    generator: torch.Generator | None = None,
    linear: bool = False,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    batch_size: int = 1024,
) -> ScoreKL:
    """KL in nats that a score costs: 1/2 int_{t0}^{T} E_{x ~ p_t} ||s(x, t) - s*(x, t)||^2 dt.

    For the score of another law q it equals KL(p_t0 | q_t0) - KL(p_T | q_T); for any network, KL(p_T | N(0, I)) plus
    it bounds the KL of what the reverse SDE generates (docs/theory.md, section 2). On the clock, dt = sigma_t^2 du,
    the integral is a Gauss-Legendre sum with three nodes a unit of u: the marginal precisions are analytic within
    pi of the real u axis, so the quadrature error of a smooth score is below 1e-8 of the value. Where the integrand
    jumps or bends in t, the range is halved there, up to 14 times, and what is still missed is part of the error.

    Args:
        score: The score to judge, called with x in ``dtype`` and t a float.
        process: The truth, Gaussian or not; its score is computed in float64 at the very x that ``score`` saw.
        min_time: t0.
        max_time: T.
        num_samples: Sequences in all, drawn independently at each node and shared evenly (rounded up). Nodes that a
            jump in t asks for take as many each.
        generator: Source of the sequences; None means seed 0. Not used with ``linear``.
        linear: Evaluate the expectation in closed form for a score affine in x. Its map is read off sequences of the
            noised law and corrected on fresh ones, so that the standard error covers round-off; a score that is not
            affine is refused. Use ``dtype=torch.float64`` if the score allows: float32 is never exact.
        dtype: What the score is called with.
        device: Where the score is called.
        batch_size: Sequences a score call.

    Returns:
        The value with its standard error and its resolution in time.

    Raises:
        TypeError: Arguments of another kind; swapped ones are named.
        InputError: Times out of order, fewer than two samples a node, a score that misbehaves or (``linear``) is
            not affine.
    """
    require_score_and_law(score, process)
    _checks.floating("dtype", dtype)
    batch_size = _checks.count("batch_size", batch_size)
    if not isinstance(linear, bool):
        raise TypeError(f"linear must be True or False, got {_checks.described(linear)}")
    if linear:
        if not isinstance(process, GaussianLaw):
            raise TypeError(f"linear=True needs a Gaussian process, got {_checks.kind(process)}: leave linear out")
        square = _of_affine(score, process, dtype, device)
    else:
        num_nodes = len(diffusion.clock_rule(min_time, max_time).times)
        each = -(-_checks.count("num_samples", num_samples) // num_nodes)
        if each < 2:
            raise InputError(f"num_samples must be greater than {num_nodes}, the number of nodes, got {num_samples}")
        generator = _checks.generator_or_seed_zero(generator)
        square = lambda t: sampled_squared_error(  # noqa: E731
            score, process, t, each, generator, dtype=dtype, device=device, batch_size=batch_size
        )
    return _integrated(square, min_time, max_time, linear, dtype)


def _of_affine(
    score: ScoreFunction, process: GaussianLaw, dtype: torch.dtype, device: torch.device | str
) -> Callable[[float], SquaredError]:
    """E||s - s*||^2 by t, from the affine map; fresh sequences at every t, so that errors are independent."""
    covariance, seeds = process.covariance(), itertools.count()
    return lambda t: affine_squared_error(score, process, covariance, t, dtype=dtype, device=device, seed=next(seeds))


def _integrated(
    square: Callable[[float], SquaredError], min_time: float, max_time: float, linear: bool, dtype: torch.dtype
) -> ScoreKL:
    def integrand(t: float) -> tuple[float, float]:
        half, error = 0.5 * float(diffusion.sigma_squared(t)), square(t)
        return half * error.value, half * error.standard_error

    integral = diffusion.integrate_on_clock(integrand, min_time, max_time)
    parts = ErrorByTime(integral.times, integral.values, integral.errors, integral.weights)
    error = math.hypot(integral.sampling_error, integral.quadrature_error)
    kind = "monte carlo"
    if linear:
        exact = dtype == torch.float64 and error <= EXACT * integral.value
        kind = "exact by quadrature" if exact else f"affine map in {str(dtype).removeprefix('torch.')}"
        error = 0.0 if exact else error
    return ScoreKL(integral.value, error, parts, kind, integral.sampling_error, integral.quadrature_error)
