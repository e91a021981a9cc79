"""``verify``: what a folder claims, against a fresh compilation and against its weights alone.

Shown: every file is the one that its seal was written for; process, options and certificate belong together; the
tensors are those that this compiler writes for them, up to round-off; and, whatever the compiler does, the stored
network's error under p_t is at most the bound at the times looked at, its ReLU units stay in the ranges that their
proof needs, and with modulated gates it is affine in x everywhere. Not shown: who wrote the folder, that the process
fits anybody's data, the round-off part of the bound (a model), times between those looked at.
"""

from __future__ import annotations

import copy
import json
import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import _checks
from .._errors import InputError
from ..nn import MergedTransformer, merged
from . import bounds, checking
from .bases import basis_faults
from .certificate import Certificate
from .comparing import is_identical, tensor_differences
from .compiled import CompiledScore
from .folder import CERTIFICATE, WEIGHTS, certificate_of, damage, open_folder, recompiled, tensors
from .structure import structure_of

MEASURED_AGREEMENT = 1e-6  # relative, of figures measured again
PROVEN_AGREEMENT = 1e-9
RANDOM_TIMES = 4
CERTAINTY = 4.0  # standard errors


def verify(folder: str | os.PathLike[str], seed: int | None = None) -> list[str]:
    """Check the seals, compile again, compare tensor by tensor, and check the stored weights by themselves.

    Args:
        folder: What :func:`save` wrote.
        seed: Of the random probes; None takes a new one from the operating system each time, so that no forgery can be
            made to fit them.

    Returns:
        Disagreements in words; empty if there is none. One changed byte in any file is one.
    """
    generator = torch.Generator().manual_seed(secrets.randbits(63) if seed is None else _checks.count("seed", seed, 0))
    try:
        files = open_folder(Path(folder))
    except InputError as error:
        return [str(error)]
    wrong = damage(files)
    if wrong:
        return wrong
    try:
        stored, fresh = certificate_of(files), recompiled(files)
        fresh.seconds_to_measure()  # hours are refused
        weights = tensors(WEIGHTS, files[WEIGHTS])
        faults = [f"{WEIGHTS}: {fault}" for fault in _against_fresh(fresh, weights)]
        network = _stored_score(fresh, weights)
        another = None if is_identical(fresh, weights) else fresh
        if network is not None:
            faults += [f"{WEIGHTS}: {fault}" for fault in weights_faults(network, generator, another)]
        faults = [*_above_bound(stored), *faults]
        if network is not None and not any(fault.startswith(WEIGHTS) for fault in faults):
            faults += _differences(stored, network.certificate)
        return faults
    except InputError as error:
        return [" ".join(str(error).split())]


def _against_fresh(fresh: CompiledScore, weights: Mapping[str, Tensor]) -> list[str]:
    """The tensors, and the basis that both were written in."""
    faults, lowered = tensor_differences(fresh, weights), fresh.plan.lowered
    if lowered.basis is not None:
        dtype = getattr(torch, fresh.options.dtype)
        faults += basis_faults(lowered.basis, structure_of(fresh.process).covariance, lowered.iteration, dtype)
    return faults


def _stored_score(fresh: CompiledScore, weights: Mapping[str, Tensor]) -> CompiledScore | None:
    """The score that the stored weights compute, or None where they fit no such network or are not numbers."""
    network = copy.deepcopy(fresh.network)
    expected = network.state_dict()
    fits = expected.keys() == weights.keys() and all(
        tensor.shape == weights[name].shape and bool(torch.isfinite(weights[name]).all())
        for name, tensor in expected.items()
    )
    if not fits:
        return None
    network.load_state_dict(dict(weights))
    return replace(fresh, network=network)


def weights_faults(stored: CompiledScore, generator: torch.Generator, fresh: CompiledScore | None = None) -> list[str]:
    """What is wrong with a network by itself, on random sequences at random times; and with its distance from another.

    Args:
        stored: The network in question; of the plan its bound, the ranges of its products and the spectrum are used.
        generator: Of times and sequences.
        fresh: A compilation that it must equal up to the round-off that its bound allows, or None.
    """
    options, spectrum, dtype = stored.options, stored.plan.lowered.spectrum, stored.network.enter.dtype
    network = merged(stored.network)
    faults = [] if stored.plan.ranges is not None else _bends(network)
    watch = None if stored.plan.ranges is None else checking.RangeWatch(_deviations(stored))
    for t in checking.random_times(options.min_time, options.max_time, RANDOM_TIMES, generator):
        at = checking.probes(stored.process, t, options.gates == "modulated" and not faults, generator)
        x = at.x.to(dtype)
        with torch.no_grad():
            score = stored.score(x, t) if watch is None else _watched_score(stored, network, watch, x, t, faults)
        value, deviation = checking.relative_size(score.double() - stored.process.score(x.double(), t), at, spectrum)
        if not value - CERTAINTY * deviation <= stored.bound:
            faults.append(
                f"its relative score error at t = {t:.4g} is {value:.3g}, above its bound of {stored.bound:.3g}"
            )
        faults += [] if fresh is None else _moved(score, fresh, at, x)
        if faults:
            break
    return faults


def _moved(score: Tensor, fresh: CompiledScore, at: checking.Probes, x: Tensor) -> list[str]:
    """Whether a score is further from that of a fresh compilation than round-off can move it."""
    with torch.no_grad():
        gap = score - fresh.score(x, at.time)
    value, deviation = checking.relative_size(gap, at, fresh.plan.lowered.spectrum)
    allowed = fresh.plan.parts["round-off"]
    if value - CERTAINTY * deviation <= allowed:
        return []
    return [
        f"its score differs from that of the recompiled network by {value:.1e} at t = {at.time:.4g}, more than "
        f"the round-off of {allowed:.1e} in its bound"
    ]


def _watched_score(
    stored: CompiledScore,
    network: MergedTransformer,
    watch: checking.RangeWatch,
    x: Tensor,
    t: float,
    faults: list[str],
) -> Tensor:
    """The score of a network with ReLU gates; units and outputs beyond the ranges of the products become faults."""
    assert stored.plan.ranges is not None
    with watch.over(network):
        score = network(x, t)
    faults += list(watch.faults.values())[:1]
    largest, limit = float(score.abs().max()), stored.plan.ranges.output
    if not largest < limit:
        faults.append(f"its output reaches the limit of {limit:.4g} on a draw at t = {t:.4g}")
    return score


def _bends(network: MergedTransformer) -> list[str]:
    """Units of a network with modulated gates that do not cancel, so that it is not proven affine."""
    faults = []
    for number, block in enumerate(network.blocks):
        bent = 0 if block.perceptron is None else len(checking.nonlinear_units(block.perceptron))  # type: ignore[arg-type]
        if bent:
            faults.append(f"block {number} has {bent} ReLU units that do not cancel, so the network is not affine in x")
    return faults


def _deviations(stored: CompiledScore) -> float:
    assert stored.plan.ranges is not None
    return bounds.deviations(stored.plan.lowered, stored.plan.ranges)


def _above_bound(stored: Certificate) -> list[str]:
    """Measured errors that the certificate itself says are above its bound."""
    for at in stored.measured:
        if not at.value - CERTAINTY * at.standard_error <= stored.bound:
            return [
                f"{CERTIFICATE} says that the measured error at t = {at.time:.4g} is {at.value:.3g}, above its bound "
                f"of {stored.bound:.3g}"
            ]
    return []


def _differences(stored: Certificate, fresh: Certificate) -> list[str]:
    """Fields of two certificates that disagree; measured figures may differ by round-off."""
    wrong = []
    before, again = json.loads(stored.to_json()), json.loads(fresh.to_json())
    for name, value in before.items():
        measured = name in ("measured", "score_kl", "score_kl_standard_error")
        agreement = MEASURED_AGREEMENT if measured else PROVEN_AGREEMENT
        if not _agree(value, again[name], agreement, noise=stored.bound_parts["round-off"] if measured else 0.0):
            wrong.append(f"{CERTIFICATE} says {name} = {_short(value)}, computed again it is {_short(again[name])}")
    return wrong


def _agree(before: Any, again: Any, relative: float, noise: float) -> bool:
    """Whether two pieces of JSON are equal up to the round-off of their numbers."""
    if isinstance(before, dict) and isinstance(again, dict):
        return before.keys() == again.keys() and all(_agree(before[k], again[k], relative, noise) for k in before)
    if isinstance(before, list) and isinstance(again, list):
        return len(before) == len(again) and all(_agree(a, b, relative, noise) for a, b in zip(before, again))
    if isinstance(before, float) and isinstance(again, float):
        return math.isclose(before, again, rel_tol=relative, abs_tol=max(noise, 1e-300))
    return type(before) is type(again) and bool(before == again)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
