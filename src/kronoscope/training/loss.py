"""Denoising score matching on the log-SNR clock (docs/theory.md, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import diffusion
from .._calls import taking
from .._display import Displayed
from .._errors import InputError

EpsilonNetwork = Callable[..., Tensor]
_CHUNK, _CHUNK_VALUES = 1024, 2**25


def chunk_of(shape: tuple[int, ...]) -> int:
    """Sequences (n, N, d) that the held-out loss passes through a network at once."""
    return max(1, min(_CHUNK, _CHUNK_VALUES // (shape[1] * shape[2])))


def draw_times(
    num: int,
    min_time: float,
    max_time: float,
    *,
    generator: torch.Generator,
    emphasis: tuple[float, float] | None = None,
) -> Tensor:
    """``num`` diffusion times, one from each of ``num`` equal strata of their law, ascending. Shape (num,), float64.

    Each time is uniform on the clock over the whole batch; the strata only lower the variance of the loss. With
    ``emphasis`` it is normal on the clock u = 2 log r, truncated to the range, 80 % of the normal between the two r.
    """
    low, high = diffusion.clock(min_time), diffusion.clock(max_time)
    within = torch.rand(num, generator=generator, dtype=torch.float64, device=generator.device)
    strata = torch.arange(num, dtype=torch.float64, device=generator.device)
    share = (strata + within) / num
    if emphasis is None:
        return diffusion.time_from_clock(float(low) + float(high - low) * share)
    ends = 2 * torch.tensor(emphasis, dtype=torch.float64).log()
    centre, spread = ends.mean(), ends.diff() / (2 * torch.special.ndtri(torch.tensor(0.9, dtype=torch.float64)))
    below, above = (torch.special.ndtr((end - centre) / spread).to(share) for end in (low, high))
    quantile = torch.special.ndtri(below + (above - below) * share)
    return diffusion.time_from_clock((centre.to(share) + spread.to(share) * quantile).clamp(float(low), float(high)))


def denoising_loss(
    network: EpsilonNetwork,
    x0: Tensor,
    t: Tensor,
    epsilon: Tensor,
    weights: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """mean |epsilon - network(alpha_t x_0 + sigma_t epsilon, t)|^2 over all entries.

    With ``t`` uniform on the clock this is, up to a constant, 2 / (N d (u_T - u_t0)) times the likelihood-weighted
    score-matching loss, whose excess over its minimum is ``score_kl``.

    Args:
        network: (x, t) to epsilon; it gets t (batch,) in the dtype of x.
        x0: Data, (batch, frames, features).
        t: Diffusion times, (batch,).
        epsilon: Standard normal noise like ``x0``.
        weights: (batch,), what each sequence counts; None is 1.
        mask: Like ``x0``, bool; True where there is a value. The network gets it as a third argument, sees 0 elsewhere
            and is to predict the noise of the entries that are there given each other; others count as no error.

    Raises:
        InputError: The network returns another shape.
    """
    squares = _squares(network, diffusion.noise(x0, t, epsilon), t, epsilon, mask)
    return squares.mean() if weights is None else (squares.mean(dim=(1, 2)) * weights.to(squares)).mean()


def denoised_weights(t: Tensor, scale: float) -> Tensor:
    """1 + (r/scale)^2 with r = sigma_t / alpha_t, over its mean, like ``t``.

    For data of root mean square ``scale`` the part of the denoised data that is not known beforehand then counts alike
    at every noise level.

    Source: Karras et al., "Elucidating the design space of diffusion-based generative models", NeurIPS 2022,
    arXiv:2206.00364, section 5, in this schedule.
    """
    weights = 1 + torch.expm1(t) / scale**2
    return weights / weights.mean()


@dataclass(frozen=True, repr=False)
class FixedNoise(Displayed):
    """``copies`` noised versions of each sequence, drawn once: times (copies, n) and noise (copies, n, N, d).

    The times of a sequence are one from each of ``copies`` equal strata of the clock.
    """

    times: Tensor
    epsilon: Tensor

    @classmethod
    def draw(
        cls, shape: tuple[int, ...], copies: int, min_time: float, max_time: float, generator: torch.Generator
    ) -> FixedNoise:
        """For sequences of ``shape`` (n, N, d)."""
        per_sequence = [draw_times(copies, min_time, max_time, generator=generator) for _ in range(shape[0])]
        return cls(torch.stack(per_sequence, dim=1), torch.randn(copies, *shape, generator=generator))

    def of(self, index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Times (batch,) and noise (batch, N, d) of the sequences ``index``, one of their copies each at random."""
        copy = torch.randint(len(self.times), index.shape, generator=generator)
        return self.times[copy, index], self.epsilon[copy, index]


def split_missing(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """``x`` with 0 for NaN, and where it has values; None in place of a mask that is all True."""
    missing = x.isnan()
    return (x.masked_fill(missing, 0.0), ~missing) if bool(missing.any()) else (x, None)


def _squares(network: EpsilonNetwork, noised: Tensor, t: Tensor, epsilon: Tensor, mask: Tensor | None = None) -> Tensor:
    """Squared errors, entry by entry, 0 where nothing is; a shape that would broadcast is refused."""
    with taking("network", network, noised, "x"):
        if mask is None:
            predicted = network(noised, t.to(noised.dtype))
        else:
            predicted = network(noised.masked_fill(~mask, 0.0), t.to(noised.dtype), mask)
    if not isinstance(predicted, Tensor) or predicted.shape != epsilon.shape:
        came = tuple(predicted.shape) if isinstance(predicted, Tensor) else type(predicted).__name__
        raise InputError(f"network must return a tensor of the shape of x, {tuple(epsilon.shape)}, got {came}")
    squares = (predicted - epsilon).square()
    return squares if mask is None else squares.masked_fill(~mask, 0.0)


@dataclass(frozen=True, repr=False)
class HeldOutLoss(Displayed):
    """The denoising loss of held-out sequences on noise that is drawn once, so that evaluations compare.

    The value is in nats a sequence: (u_T - u_t0)/2 E|epsilon - network|^2, which is ``score_kl`` plus a constant that
    depends on the data and not on the network. Of sequences with missing values (NaN) only the others count.
    """

    noised: Tensor
    times: Tensor
    epsilon: Tensor
    clock_span: float
    mask: Tensor | None = None

    @classmethod
    def draw(
        cls, x: Tensor, min_time: float, max_time: float, *, num_draws: int, generator: torch.Generator
    ) -> HeldOutLoss:
        """About ``num_draws`` noised sequences: each of ``x`` equally often, at times spread over the clock.

        Of more sequences than draws, ``num_draws`` are taken at random. All randomness is drawn where ``generator``
        lives, so that a run sees the same noise on every device.
        """
        where = generator.device
        if len(x) > num_draws:
            x = x[torch.randperm(len(x), generator=generator, device=where)[:num_draws].to(x.device)]
        x0 = x.repeat(max(1, round(num_draws / len(x))), 1, 1)
        times = draw_times(len(x0), min_time, max_time, generator=generator)
        times = times[torch.randperm(len(x0), generator=generator, device=where)].to(x.device)
        epsilon = torch.randn(x0.shape, generator=generator, dtype=x.dtype, device=where).to(x.device)
        span = float(diffusion.clock(max_time) - diffusion.clock(min_time))
        x0, mask = split_missing(x0)
        return cls(diffusion.noise(x0, times, epsilon), times, epsilon, span, mask)

    @torch.no_grad()
    def __call__(self, network: EpsilonNetwork, chunk: int | None = None) -> float:
        """The loss of ``network``, in nats a sequence."""
        total = 0.0
        for part in self._parts(chunk):
            total += float(_squares(network, *part).sum(dtype=torch.float64))
        return 0.5 * self.clock_span * total / len(self.noised)

    @torch.no_grad()
    def each(self, network: EpsilonNetwork, chunk: int | None = None) -> Tensor:
        """The loss of every noised copy in nats, (copies,) float64; the sequences recur in their order."""
        rows = [_squares(network, *part).sum(dim=(1, 2), dtype=torch.float64) for part in self._parts(chunk)]
        return 0.5 * self.clock_span * torch.cat(rows).cpu()

    def _parts(self, chunk: int | None) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor | None]]:
        chunk = chunk or chunk_of(tuple(self.noised.shape))
        for k in range(0, len(self.noised), chunk):
            part = slice(k, k + chunk)
            mask = None if self.mask is None else self.mask[part]
            yield self.noised[part], self.times[part], self.epsilon[part], mask
