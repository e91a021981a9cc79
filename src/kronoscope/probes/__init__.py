"""What a network learnt, read off the network: Jacobians, attention, values, ablations, each beside a null."""

from .jacobian import JacobianProbe, KernelFit, Measured, jacobian

__all__ = ["JacobianProbe", "KernelFit", "Measured", "jacobian"]
