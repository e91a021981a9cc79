"""Probes of a trained network: Jacobians, attention, values and ablations, each with a null distribution."""

from .ablation import Ablation, Damage, ablate, swap_kernel
from .alignment import Alignment, Spectrum, alignment, spectrum
from .attention import Association, AttentionProbe, attention
from .circuits import Circuits, circuits
from .jacobian import JacobianProbe, KernelFit, Measured, jacobian
from .recording import attention_maps

__all__ = [
    "Ablation",
    "Alignment",
    "Association",
    "AttentionProbe",
    "Circuits",
    "Damage",
    "JacobianProbe",
    "KernelFit",
    "Measured",
    "Spectrum",
    "ablate",
    "alignment",
    "attention",
    "attention_maps",
    "circuits",
    "jacobian",
    "spectrum",
    "swap_kernel",
]
