"""Whether the sequences are enough for a network's structure: if not, it is fitted all the same, and told."""

from __future__ import annotations

from torch import nn

from ..nn import LinearScore, UnrolledTransformer
from ..nn.unrolled_heads import FactorHeads, LagHeads


def too_few(network: nn.Module, n: int, num_frames: int, num_features: int) -> str | None:
    """What is to be said where few sequences meet a structure of many parameters; None elsewhere.

    Free matrices learn any covariance of N d numbers; that of n < N d sequences is singular. Absolute positions learn
    any temporal covariance, p = N (N + 1) / 2 numbers, at p / (2 n) nats (docs/theory.md, section 5): where n < N, more
    than (N + 1) / 4. A value matrix for every lag has d (d + 1) / 2 + (N - 1) d^2, about that dear where n < 2 d^2.
    Other networks tied in the lag see most lags many times in each sequence, and need no such note.

    Args:
        network: As built.
        n: Training sequences.
        num_frames: N.
        num_features: d.
    """
    size = num_frames * num_features
    if isinstance(network, LinearScore) and n < size:
        return (
            f"n = {n} training sequences are fewer than N d = {size} numbers in each: their covariance is singular, "
            f"and the free matrices of network 'linear' learn its noise; take at least {size}, or a network with "
            "structure, as 'unrolled'"
        )
    if isinstance(network, UnrolledTransformer) and isinstance(network.heads, FactorHeads) and n < num_frames:
        numbers = num_frames * (num_frames + 1) // 2
        return (
            f"n = {n} training sequences are fewer than N = {num_frames} frames: the temporal covariance of network "
            f"'unrolled' with positions 'absolute' has {numbers} free numbers, which cost about {numbers}/(2n) = "
            f"{numbers / (2 * n):.2g} nats; take at least {num_frames}, or positions 'relative', which have "
            f"{num_frames}"
        )
    if isinstance(network, UnrolledTransformer) and isinstance(network.heads, LagHeads) and n < 2 * num_features**2:
        numbers = num_features * (num_features + 1) // 2 + (num_frames - 1) * num_features**2
        least = 2 * num_features**2
        return (
            f"n = {n} training sequences are fewer than 2 d^2 = {least}: the value matrices of network 'unrolled' with "
            f"values 'lag' have {numbers} free numbers, which cost about {numbers}/(2n) = {numbers / (2 * n):.2g} "
            f"nats; take at least {least}, or values 'head'"
        )
    return None
