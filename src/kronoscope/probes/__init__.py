"""What a network learnt, read off the network: Jacobians, attention, values, ablations, each beside a null."""

from .attention import Association, AttentionProbe, attention
from .circuits import Alignment, Circuits, alignment, circuits
from .jacobian import JacobianProbe, KernelFit, Measured, jacobian

__all__ = [
    "Alignment",
    "Association",
    "AttentionProbe",
    "Circuits",
    "JacobianProbe",
    "KernelFit",
    "Measured",
    "alignment",
    "attention",
    "circuits",
    "jacobian",
]
