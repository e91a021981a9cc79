"""kronoscope: diffusion models of dependent sequences, measured against exact Gaussian process truth."""

__version__ = "0.1.0"
