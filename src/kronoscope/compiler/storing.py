"""A process and its options as files: canonical JSON for names and numbers, safetensors for arrays."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from .. import _checks, kernels
from .._errors import InputError
from ..processes import (
    BlockToeplitzSequence,
    DenseGaussian,
    GaussianLaw,
    GaussianSequence,
    KroneckerSum,
    SeparableGaussian,
)
from .certificate import canonical
from .options import Options

FORMAT = "kronoscope-compiled-2"
ARRAYS = {
    "GaussianSequence": ("times", "spatial_covariance"),
    "KroneckerSum": ("times", "spatial"),
    "BlockToeplitzSequence": ("blocks",),
    "SeparableGaussian": ("temporal", "spatial"),
    "DenseGaussian": ("covariance",),
}


def describe(process: GaussianLaw) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Kind and kernels of a process, and its arrays. What has no kind of its own is kept as its dense covariance."""
    arrays = {"mean": process.mean}
    if isinstance(process, GaussianSequence):
        arrays |= {"times": process.times, "spatial_covariance": process.spatial_covariance}
        return {"kind": "GaussianSequence", "kernels": [_text(process.kernel)]}, arrays
    if isinstance(process, KroneckerSum):
        arrays |= {"times": process.times, "spatial": torch.stack([matrix for _, matrix in process.terms])}
        return {"kind": "KroneckerSum", "kernels": [_text(kernel) for kernel, _ in process.terms]}, arrays
    if isinstance(process, BlockToeplitzSequence):
        return {"kind": "BlockToeplitzSequence", "kernels": []}, arrays | {"blocks": process.blocks}
    if isinstance(process, SeparableGaussian):
        arrays |= {"temporal": process.temporal_covariance, "spatial": process.spatial_covariance}
        return {"kind": "SeparableGaussian", "kernels": []}, arrays
    return {"kind": "DenseGaussian", "kernels": []}, arrays | {"covariance": process.covariance()}


def rebuild(description: dict[str, Any], arrays: dict[str, Tensor]) -> GaussianLaw:
    """What :func:`describe` described.

    Raises:
        InputError: It describes no process.
    """
    try:
        kind, mean = description["kind"], arrays["mean"]
        if not isinstance(kind, str) or kind not in ARRAYS:
            raise InputError(f"kind must be one of {', '.join(ARRAYS)}, got {_checks.described(kind)}")
        if set(arrays) != {"mean", *ARRAYS[kind]}:
            raise InputError(
                f"a {kind} has the arrays mean, {', '.join(ARRAYS[kind])}, got {', '.join(sorted(arrays))}"
            )
        for name, array in arrays.items():
            if array.dtype != torch.float64:
                raise InputError(f"array {name} must be float64, got {array.dtype}")
        parsed = [kernels.parse(text) for text in description["kernels"]]
        if kind == "GaussianSequence":
            return GaussianSequence(parsed[0], arrays["spatial_covariance"], arrays["times"], mean)
        if kind == "KroneckerSum":
            return KroneckerSum(list(zip(parsed, arrays["spatial"], strict=True)), arrays["times"], mean)
        if kind == "BlockToeplitzSequence":
            return BlockToeplitzSequence(arrays["blocks"], mean)
        if kind == "SeparableGaussian":
            return SeparableGaussian(arrays["temporal"], arrays["spatial"], mean)
        return DenseGaussian(arrays["covariance"], mean.shape[1], mean)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
        raise InputError(f"configuration describes no process: {reason}") from None


def configuration_text(process: GaussianLaw, options: Options) -> str:
    """Options and description as canonical JSON."""
    return canonical({"format": FORMAT, "options": asdict(options), "process": describe(process)[0]})


def process_bytes(process: GaussianLaw) -> bytes:
    """The arrays of a process as a safetensors file."""
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in describe(process)[1].items()})


def configuration_bytes(process: GaussianLaw, options: Options) -> bytes:
    """Both together, for their hash. A process with a kernel of the user's own counts by its matrices."""
    if isinstance(process, GaussianSequence) and not _is_known(process.kernel):
        process = SeparableGaussian(process.temporal_covariance, process.spatial_covariance, process.mean)
    elif isinstance(process, KroneckerSum) and not all(_is_known(kernel) for kernel, _ in process.terms):
        process = DenseGaussian(process.covariance(), process.num_features, process.mean)
    return configuration_text(process, options).encode() + process_bytes(process)


def _text(kernel: kernels.Kernel) -> str:
    if not _is_known(kernel):
        raise InputError(
            f"a compiled folder needs a kernel that kernels.parse reads back, got {kernel!r}; compile the same "
            "covariance as a SeparableGaussian to save it"
        )
    return repr(kernel)


def _is_known(kernel: kernels.Kernel) -> bool:
    """Whether the kernel comes back from its repr."""
    try:
        return kernels.parse(repr(kernel)) == kernel
    except InputError:
        return False
