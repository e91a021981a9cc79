"""A stored network beside a fresh compilation of its configuration, tensor by tensor.

This proves that the weights are those that the compiler writes. It does not prove that the compiler is right: for that,
``checking`` looks at the weights alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from . import bounds
from .compiled import CompiledScore

ROUNDING = 64.0  # units of round-off that two compilations of one process may differ by
CONDITION = "condition."  # what is not rounded to the dtype of the weights


def tensor_differences(compiled: CompiledScore, stored: Mapping[str, Tensor]) -> list[str]:
    """Every stored tensor that is missing, unknown, of another shape or dtype, not finite, or of another value.

    Values may differ by what another linear algebra library leaves: 64 units of round-off of the weights' dtype, of the
    largest entry, and in float64 64 units times the condition number (and times (N + 1)^2 for heads on an arc, whose
    hinges lie that close).

    Args:
        compiled: A fresh compilation, in the basis of the stored network.
        stored: The stored tensors by name.
    """
    expected = compiled.network.state_dict()
    faults = [f"it has no tensor {name}" for name in expected if name not in stored]
    faults += [f"it has an unexpected tensor {name}" for name in stored
               if name not in expected]  # fmt: skip
    amplified = ROUNDING * torch.finfo(torch.float64).eps * _conditioning(compiled)
    for name in sorted(expected.keys() & stored.keys()):
        own = 0.0 if name.startswith(CONDITION) else ROUNDING * torch.finfo(expected[name].dtype).eps
        faults += _difference(name, expected[name], stored[name], amplified + own)
    return faults


def is_identical(compiled: CompiledScore, stored: Mapping[str, Tensor]) -> bool:
    """Whether a stored network is bit for bit the fresh one."""
    expected = compiled.network.state_dict()
    return expected.keys() == stored.keys() and all(
        stored[name].dtype == tensor.dtype and torch.equal(stored[name], tensor) for name, tensor in expected.items()
    )


def _difference(name: str, expected: Tensor, stored: Tensor, allowed: float) -> list[str]:
    if stored.dtype != expected.dtype:
        return [f"{name} has the dtype {stored.dtype}, not {expected.dtype}"]
    if stored.shape != expected.shape:
        return [f"{name} has the shape {tuple(stored.shape)}, not {tuple(expected.shape)}"]
    if not expected.numel():
        return []
    if not bool(torch.isfinite(stored).all()):
        return [f"{name} holds values that are NaN or infinite"]
    gaps = (stored.double() - expected.double()).abs()
    scale = float(expected.double().abs().max())
    if float(gaps.max()) <= allowed * scale:
        return []
    where = torch.unravel_index(gaps.argmax(), gaps.shape)
    return [
        f"{name} at index {tuple(int(i) for i in where)} is {float(stored[where]):.6g}, compiled again "
        f"{float(expected[where]):.6g}"
    ]


def _conditioning(compiled: CompiledScore) -> float:
    """By what round-off of the covariance can grow in the weights."""
    kappa = bounds.exact_condition(compiled.plan.lowered, compiled.options.min_time)
    return kappa + (compiled.process.num_frames + 1) ** 2 * (compiled.options.heads == "arc")
