"""Warnings for too few sequences and for too short a training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from .. import training
from .._errors import InputError
from ..nn import LinearScore, UnrolledTransformer
from ..nn.unrolled_heads import FactorHeads, LagHeads


@dataclass(frozen=True)
class Structure:
    """What a network learns freely.

    Attributes:
        name: As in a sentence.
        numbers: p, how many free numbers it has.
        fewest: Sequences from which on nothing is said.
        because: Why fewer are few; ``{price}`` in it is p / (2 n) nats.
        instead: What needs fewer.
    """

    name: str
    numbers: int
    fewest: int
    because: str
    instead: str


def structure(network: nn.Module, num_frames: int, num_features: int) -> Structure | None:
    """Of the networks that learn many numbers freely; None of the others.

    Free matrices learn any covariance of N d numbers; that of n < N d sequences is singular. Absolute positions learn
    any temporal covariance, p = N (N + 1) / 2 numbers, at p / (2 n) nats (docs/theory.md, section 5): where n < N, more
    than (N + 1) / 4. A value matrix for every lag has d (d + 1) / 2 + (N - 1) d^2, about that dear where n < 2 d^2.
    Other networks tied in the lag see most lags many times in each sequence, and the rest are told no structure.
    """
    size = num_frames * num_features
    if isinstance(network, LinearScore):
        return Structure(
            "the free matrices of network 'linear'",
            size * (size + 1) // 2,
            size,
            f"fewer than N d = {size} values in each: the sample covariance is singular, and the free matrices "
            "of network "
            "'linear' fit its noise",
            "a network with structure, such as 'unrolled'",
        )
    if not isinstance(network, UnrolledTransformer):
        return None
    if isinstance(network.heads, FactorHeads):
        numbers = num_frames * (num_frames + 1) // 2
        name = "the temporal covariance of network 'unrolled' with positions 'absolute'"
        because = f"fewer than N = {num_frames} frames: {_price(name, numbers)}"
        instead = f"positions 'relative', which have {num_frames}"
        return Structure(name, numbers, num_frames, because, instead)
    if isinstance(network.heads, LagHeads):
        numbers = num_features * (num_features + 1) // 2 + (num_frames - 1) * num_features**2
        fewest, name = 2 * num_features**2, "the lag matrices of network 'unrolled' with values 'lag'"
        because = f"fewer than 2 d^2 = {fewest}: {_price(name, numbers)}"
        return Structure(name, numbers, fewest, because, "values 'head'")
    return None


def _price(name: str, numbers: int) -> str:
    return (
        f"{numbers} free parameters are in {name}, which costs about {numbers}/(2n) = {{price:.2g}} nats of score error"
    )


def too_few(network: nn.Module, n: int, num_frames: int, num_features: int, *, started: bool = False) -> str | None:
    """The warning for too few sequences for the free parameters of a network; None elsewhere.

    Args:
        network: As built.
        n: Training sequences.
        num_frames: N.
        num_features: d.
        started: Whether it starts from something learnt before, so that no number depends on these sequences alone.

    Raises:
        InputError: They hold fewer values than the structure has free numbers.
    """
    needed = structure(network, num_frames, num_features)
    if needed is None:
        return None
    values, size = n * num_frames * num_features, num_frames * num_features
    if values < needed.numbers and not started:
        raise InputError(
            f"n = {n} training sequences hold {values} values, fewer than the {needed.numbers} free parameters of "
            f"{needed.name}; take at least {-(-needed.numbers // size)}, or {needed.instead}"
        )
    if n >= needed.fewest:
        return None
    because = needed.because.format(price=needed.numbers / (2 * n))
    return f"n = {n} training sequences are {because}; take at least {needed.fewest}, or {needed.instead}"


SHORT = 0.5  # of the steps that were planned; with more, the learning rate came near enough to its end
FEWEST_EVALUATIONS = 4  # to see whether a curve still falls


def undertrained(result: training.TrainingResult, config: training.TrainingConfig) -> str | None:
    """The warning for a training that time cut off before half of its steps; None elsewhere.

    There is none, either, where the held-out loss had stopped falling.
    """
    if result.stopped != "max_seconds" or result.steps >= SHORT * config.max_steps:
        return None
    if len(result.history) >= FEWEST_EVALUATIONS and _lowest(result.history) <= 0.75 * result.steps:
        return None
    whole = ""
    if result.steps:
        whole = f" All steps take about {result.seconds * config.max_steps / result.steps:.0f} s on this machine."
    return (
        f"undertrained: the time limit allowed {result.steps} of {config.max_steps} training steps, and the "
        "held-out loss "
        "was still falling. Do not trust what this model generates. Give more time (max_seconds, --max-seconds; now "
        f"{config.max_seconds:g} s).{whole}"
    )


def is_undertrained(note: str) -> bool:
    """Whether a note of a model's record is the warning of :func:`undertrained`."""
    return note.startswith("undertrained")


def _lowest(history: list[dict[str, float]]) -> float:
    """The step of the lowest held-out loss."""
    return min(history, key=lambda record: record["held_out_loss"])["step"]
