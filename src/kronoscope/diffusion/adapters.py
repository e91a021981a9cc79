"""External networks as score functions: prediction, noise schedule, steps, order of axes.

The network's process is x~ = a x_0 + b eps, with a schedule (a, b) of its time tau. At a/b = alpha_t/sigma_t
its input is x~ = sqrt(a^2 + b^2) x, as alpha^2 + sigma^2 = 1, and what it predicts is p x_0 + q eps for a known (p, q):
together with x~ two equations, so eps = (a y - p x~) / (a q - b p), and the score is -eps / sigma_t.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import _checks
from .._calls import taking
from .._errors import InputError
from .._typing import DiffusionTime, ScoreFunction
from .schedule import alpha, broadcast, sigma, time_from_clock

Schedule = Callable[[Tensor], Any] | Tensor | Sequence[Any]
_GRID = 513
_BISECTIONS = 64

# What is predicted, as the weights (p, q) of x_0 and eps for the stranger's own a and b.
PREDICTIONS = MappingProxyType(
    {
        "epsilon": lambda a, b: (torch.zeros_like(a), torch.ones_like(b)),
        "denoised": lambda a, b: (torch.ones_like(a), torch.zeros_like(b)),
        "score": lambda a, b: (torch.zeros_like(a), -1 / b),
        "velocity": lambda a, b: (-b, a),
        "flow": lambda a, b: (-torch.ones_like(a), torch.ones_like(b)),
    }
)


class _Clock(Protocol):
    """The external schedule at our diffusion time: (weight, tau, a, b), a term a network call."""

    def __call__(self, t: Tensor) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]: ...


def score_from(
    net: Callable[..., Tensor],
    predicts: str = "epsilon",
    alpha_sigma: Schedule | None = None,
    layout: str = "bfd",
    *,
    time_range: tuple[float, float] | None = None,
    steps: str = "interpolated",
    dtype: torch.dtype | None = None,
) -> ScoreFunction:
    """Wrap an external network as a score function.

    docs/howto/outside-networks.md has the lines for diffusers and azula.

    Args:
        net: ``net(x~, tau)`` -> a tensor like x~; tau has shape (batch,): int64 where ``alpha_sigma`` is a table, the
            dtype of x~ otherwise.
        predicts: "epsilon" (the noise), "denoised" (x_0), "score" (of x~), "velocity" (a eps - b x_0, Salimans and
            Ho 2022, arXiv:2202.00512), or "flow" (eps - x_0, flow matching with tau = 1 the noise).
        alpha_sigma: The schedule x~ = a x_0 + b eps. None: ours, tau = t. A function tau -> (a, b) of tensors, with
            ``time_range``. A table: a (steps, 2) tensor of (a, b), or a pair of two (steps,) tensors; row k is what the
            network calls step k.
        layout: Order of the network's axes: b batch, f frames, d features.
        time_range: The lowest and highest tau of a function ``alpha_sigma``; noise may grow either way.
        steps: Between two integer steps of a table: "interpolated" calls the network at both and blends their noise
            predictions linearly in log SNR (an error of second order in the gap); "nearest" calls the one nearest in
            log SNR (first order).
        dtype: What the network computes in; None for that of x. The score has the dtype of x in either case.

    Returns:
        ``score(x, t)``. It raises ``InputError`` at a t whose noise level the schedule does not reach: nothing is
        extrapolated.

    Example:
        A denoiser in the parametrisation of Karras et al. 2022, x~ = x_0 + tau eps:

        >>> denoiser = lambda x, tau: x / (1 + tau.reshape(-1, 1, 1) ** 2)  # of standard normal data
        >>> score = score_from(denoiser, "denoised", lambda tau: (1.0, tau), time_range=(0.002, 80.0))
        >>> x = torch.ones(2, 3, 1, dtype=torch.float64)
        >>> bool(torch.allclose(score(x, 0.5), -x))
        True
    """
    _checks.module("net", net)
    if not callable(net):
        raise TypeError(f"net must be a network or a function (x, t), got {_checks.described(net)}")
    if predicts not in PREDICTIONS:
        raise InputError(f"predicts must be one of {', '.join(PREDICTIONS)}, got {predicts!r}")
    if sorted(layout) != ["b", "d", "f"]:
        raise InputError(f"layout must order the letters b, f and d, as in 'bfd' or 'bdf', got {layout!r}")
    clock = _clock(alpha_sigma, time_range, steps)
    to_stranger = [("bfd").index(axis) for axis in layout]
    to_us = [layout.index(axis) for axis in "bfd"]

    def score(x: Tensor, t: DiffusionTime, /) -> Tensor:
        _checks.sequences("x", x)
        time = _checks.diffusion_time(t, len(x), x, allow_zero=False)
        inside = x.to(dtype or x.dtype)
        epsilon = torch.zeros_like(inside)
        for weight, tau, a, b in clock(time):
            given = broadcast(torch.hypot(a, b), inside) * inside
            moment = tau.expand(len(x)) if tau.dtype == torch.int64 else tau.to(inside.dtype).expand(len(x))
            shown = given.permute(to_stranger)
            with taking("net", net, shown, f"x in layout {layout!r}"):
                output = net(shown, moment)
            _check_output(output, shown, layout)
            p, q = PREDICTIONS[predicts](a, b)
            from_output, from_input = weight * a / (a * q - b * p), -weight * p / (a * q - b * p)
            epsilon = epsilon + broadcast(from_output, inside) * output.permute(to_us).to(inside.dtype)
            epsilon = epsilon + broadcast(from_input, inside) * given
        return (-epsilon / broadcast(sigma(time), inside)).to(x.dtype)

    return score


def _check_output(output: Any, given: Tensor, layout: str) -> None:
    if not isinstance(output, Tensor):
        raise TypeError(f"net must return a tensor, got {type(output).__name__}")
    if output.shape != given.shape:
        raise InputError(
            f"net must return the shape that it was given, {tuple(given.shape)} in layout {layout!r}, "
            f"got {tuple(output.shape)}"
        )


def _clock(schedule: Schedule | None, time_range: tuple[float, float] | None, steps: str) -> _Clock:
    if steps not in ("interpolated", "nearest"):
        raise InputError(f"steps must be 'interpolated' or 'nearest', got {steps!r}")
    if callable(schedule) and not isinstance(schedule, Tensor):
        if time_range is None:
            raise InputError("time_range must be given as (lowest, highest) where alpha_sigma is a function")
        low, high = (_checks.real("time_range", end) for end in time_range)
        if low >= high:
            raise InputError(f"time_range must be (lowest, highest), got {time_range}")
        return _FunctionClock(schedule, low, high)
    if time_range is not None:
        raise InputError("time_range belongs to a function alpha_sigma: a table's steps are 0, 1, 2, ...")
    return _our_clock if schedule is None else _table_clock(schedule, steps == "nearest")


def _our_clock(t: Tensor) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    return [(torch.ones_like(t), t, alpha(t), sigma(t))]


def _angle(t: Tensor) -> Tensor:
    """Noise level as an angle, atan(sigma/alpha): finite for pure data (0) and pure noise (pi/2) alike."""
    return torch.atan2(sigma(t), alpha(t))


def _refuse_outside(t: Tensor, low: float, high: float) -> None:
    """Refuse times whose noise level (an angle) the schedule does not reach."""
    level = _angle(t)
    slack = 1e-12  # the ends themselves are inside, whatever the round-off
    if float(level.min()) < low - slack or float(level.max()) > high + slack:
        ends = [float(time_from_clock(2 * math.log(math.tan(a)))) if a > 0 else 0.0 for a in (low, high)]
        raise InputError(
            f"t must be from {ends[0]:.4g} to {ends[1]:.4g}, where alpha_sigma has its noise levels, "
            f"got {float(t.min()):.4g}" + (f" to {float(t.max()):.4g}" if t.ndim else "")
        )


@dataclass(frozen=True)
class _FunctionClock:
    """A schedule of continuous tau, inverted by bisection on its noise angle."""

    schedule: Callable[[Tensor], Any]
    low: float
    high: float

    def __post_init__(self) -> None:
        change = self._level(torch.linspace(self.low, self.high, _GRID, dtype=torch.float64)).diff()
        if not (bool((change > 0).all()) or bool((change < 0).all())):
            raise InputError("alpha_sigma must have noise that only grows or only falls over time_range")

    def _both(self, tau: Tensor) -> tuple[Tensor, Tensor]:
        values = self.schedule(tau)
        if not isinstance(values, (tuple, list)) or len(values) != 2:
            raise InputError(f"alpha_sigma must return a pair (a, b), got {type(values).__name__}")
        a, b = (torch.as_tensor(v, dtype=torch.float64, device=tau.device).expand(tau.shape) for v in values)
        _check_coefficients(a, b)
        return a, b

    def _level(self, tau: Tensor) -> Tensor:
        a, b = self._both(tau)
        return torch.atan2(b, a)

    def __call__(self, t: Tensor) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        start, end = torch.full_like(t, self.low), torch.full_like(t, self.high)
        levels = sorted((float(self._level(start.reshape(-1)[0])), float(self._level(end.reshape(-1)[0]))))
        _refuse_outside(t, *levels)
        wanted, rises = _angle(t), bool((self._level(end) > self._level(start)).all())
        for _ in range(_BISECTIONS):
            middle = (start + end) / 2
            later = (self._level(middle) < wanted) == rises
            start, end = torch.where(later, middle, start), torch.where(later, end, middle)
        tau = (start + end) / 2
        return [(torch.ones_like(t), tau, *self._both(tau))]


def _table_clock(table: Tensor | Sequence[Any] | Any, nearest: bool) -> _Clock:
    """A schedule of integer steps; those of pure data or pure noise hold no finite log SNR and are not called."""
    a, b = _columns(table)
    usable = torch.nonzero((a > 0) & (b > 0)).flatten()
    if len(usable) < 2:
        raise InputError("alpha_sigma must hold at least 2 steps with both a and b greater than 0")
    level = torch.log(b[usable] / a[usable])
    if not (bool((level.diff() > 0).all()) or bool((level.diff() < 0).all())):
        raise InputError("alpha_sigma must have noise that only grows or only falls from step to step")
    order = level.argsort()
    usable, level = usable[order], level[order]
    low, high = float(torch.atan(level[0].exp())), float(torch.atan(level[-1].exp()))

    def clock(t: Tensor) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        _refuse_outside(t, low, high)
        wanted = torch.log(sigma(t) / alpha(t)).cpu()
        after = torch.searchsorted(level, wanted.reshape(-1)).reshape(wanted.shape).clamp(1, len(level) - 1)
        share = (wanted - level[after - 1]) / (level[after] - level[after - 1])
        if nearest:
            chosen = [(torch.ones_like(share), usable[torch.where(share < 0.5, after - 1, after)])]
        else:
            chosen = [(1 - share, usable[after - 1]), (share, usable[after])]
        return [(w.to(t.device), k.to(t.device), a[k].to(t.device), b[k].to(t.device)) for w, k in chosen]

    return clock


def _columns(table: Tensor | Sequence[Any] | Any) -> tuple[Tensor, Tensor]:
    pair = isinstance(table, (tuple, list)) and len(table) == 2
    if pair:
        a, b = (torch.as_tensor(column, dtype=torch.float64).cpu() for column in table)
    else:
        values = torch.as_tensor(table, dtype=torch.float64).cpu()
        if values.ndim != 2 or values.shape[1] != 2:
            raise InputError(f"alpha_sigma must be a (steps, 2) table or a pair of columns, got {tuple(values.shape)}")
        a, b = values.unbind(1)
    if a.ndim != 1 or a.shape != b.shape:
        raise InputError(f"alpha_sigma must have two columns of one length, got {tuple(a.shape)} and {tuple(b.shape)}")
    _check_coefficients(a, b)
    return a, b


def _check_coefficients(a: Tensor, b: Tensor) -> None:
    for name, values in (("a", a), ("b", b)):
        if not bool(torch.isfinite(values).all()) or float(values.min()) < 0:
            raise InputError(f"alpha_sigma must have {name} finite and 0 or greater, got {float(values.min()):g}")
