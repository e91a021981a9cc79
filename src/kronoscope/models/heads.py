"""How many heads an unrolled transformer needs: chosen on sequences that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from .. import _checks, data, training
from .._errors import InputError
from ..settings import ScaledFitOptions, check_keywords
from .fit import fit
from .model import Model

CANDIDATES = (1, 2, 3, 4, 6, 8)
DRAWS = 8192


@dataclass(frozen=True)
class HeadsChoice:
    """What :func:`choose_heads` found.

    Attributes:
        heads: The smallest number that is not worse than the best by more than one standard error.
        losses: Held-out denoising loss by number of heads, nats a sequence up to a constant of the data; all with the
            same held-out sequences and the same noise.
        excess: Loss above that of the best number, and its standard error: of the held-out sequences, paired, and of
            the sequences trained on.
    """

    heads: int
    losses: dict[int, float]
    excess: dict[int, tuple[float, float]]


def choose_heads(
    x: Tensor | np.ndarray | xr.DataArray,
    candidates: Sequence[int] = CANDIDATES,
    *,
    validation: float = 0.2,
    generator: torch.Generator | None = None,
    network_options: dict[str, Any] | None = None,
    **options: Unpack[ScaledFitOptions],
) -> HeadsChoice:
    """Fit ``network="unrolled"`` with each number of heads; take the smallest that is as good on held-out sequences.

    "As good" is the one-standard-error rule: within one standard error of the best number's held-out denoising
    loss. Two sources of it count. That of the held-out sequences, paired with common noise; and that of the sequences
    trained on, sqrt(2 q) / (2 n), the standard deviation of chi-squared with q degrees of freedom over 2 n, by which
    q parameters that are not needed move the loss as the draw has it: N + d^2 - 1 of a head with relative positions,
    (N (N + 1) + d (d + 1)) / 2 - 1 with absolute ones. Two networks that both hold the truth differ by little on any
    held-out sequences, so that the first alone would tell them apart. Nothing of the truth is used.

    The heads are the Kronecker terms of the covariance that the network can hold: too few miss dependence, too many
    learn noise. Fit all sequences with the number chosen afterwards:
    ``fit(x, "unrolled", network_options={"heads": choose_heads(x).heads})``.

    Args:
        x: Sequences (n, N, d), as for :func:`kronoscope.fit`.
        candidates: Numbers of heads to try, increasing. The search ends after two in a row that did not improve, or one
            that is worse than the best by more than a standard error: from there on, heads learn noise.
        validation: Share of the sequences that the loss is taken on.
        generator: Of everything random; None means seed 0.
        network_options: Of the network, besides ``heads``.
        **options: Scaling and training, as for :func:`kronoscope.fit`.

    Raises:
        InputError: No candidates, not increasing, or ``heads`` among the options.

    Source: for the rule, Breiman, Friedman, Olshen and Stone (1984), "Classification and regression trees", 3.4.3.
    """
    numbers = [_checks.count("candidates", heads) for heads in candidates]
    if not numbers or sorted(set(numbers)) != numbers:
        raise InputError(f"candidates must be increasing numbers of heads, got {list(candidates)}")
    own = ("candidates", "validation", "generator", "network_options")
    check_keywords("choose_heads", options, [*own, *sorted(ScaledFitOptions.__optional_keys__)])
    of_network = dict(network_options or {})
    if "heads" in of_network:
        raise InputError("choose_heads chooses the number of heads: leave heads out of network_options")
    seed = int(torch.randint(2**62, (), generator=_checks.generator_or_seed_zero(generator)))
    drawn = _of_the_draw(data.from_array(x).values.shape, validation, of_network)
    each: dict[int, Tensor] = {}
    for heads in numbers:
        fitted = fit(
            x,
            "unrolled",
            validation=validation,
            network_options={**of_network, "heads": heads},
            generator=torch.Generator().manual_seed(seed),
            **options,
        )
        each[heads] = _held_out(fitted, x, seed)
        best = min(each, key=lambda number: float(each[number].mean()))
        more, error = _excess(each[heads], each[best], drawn)
        if more > error or numbers.index(heads) - numbers.index(best) == 2:
            break
    excess = {heads: _excess(losses, each[best], drawn) for heads, losses in each.items()}
    chosen = min(heads for heads, (more, error) in excess.items() if more <= error)
    return HeadsChoice(chosen, {heads: float(losses.mean()) for heads, losses in each.items()}, excess)


def _of_the_draw(shape: tuple[int, ...], validation: float, options: dict[str, Any]) -> float:
    """sqrt(2 q) / (2 n) of one head."""
    n, frames, features = shape
    absolute = options.get("positions") == "absolute"
    of_time, of_space = (
        (frames * (frames + 1) // 2, features * (features + 1) // 2) if absolute else (frames, features**2)
    )
    return math.sqrt(2 * (of_time + of_space - 1)) / (2 * n * (1 - validation))


def _excess(losses: Tensor, best: Tensor, drawn: float) -> tuple[float, float]:
    """Mean of the losses above the best's, and its standard error."""
    difference = losses - best
    held_out = float(difference.std() / len(difference) ** 0.5)
    return float(difference.mean()), math.hypot(held_out, drawn)


def _held_out(model: Model, x: Tensor | np.ndarray | xr.DataArray, seed: int) -> Tensor:
    """Denoising loss of every sequence that the model held out, (m,), nats; the noise depends on ``seed`` alone."""
    sequences = data.from_array(x).subset(model.record["split"]["validation"])
    scaled = torch.from_numpy(model.transform.apply(sequences.values, sequences.starts)).float()
    config = model.training
    generator = torch.Generator().manual_seed(seed)
    draws = max(DRAWS, len(scaled))
    loss = training.HeldOutLoss.draw(scaled, config.min_time, config.max_time, num_draws=draws, generator=generator)
    return loss.each(model.network).reshape(-1, len(scaled)).mean(dim=0)
