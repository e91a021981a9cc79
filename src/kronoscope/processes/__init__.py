"""Laws of sequences: sample, log_prob, score, denoise, condition_on. All exact."""

from .conditional import ConditionalLaw
from .law import GaussianLaw
from .matrices import DenseGaussian, SeparableGaussian
from .nonseparable import BlockToeplitzSequence, KroneckerSum
from .sequence import GaussianSequence

__all__ = [
    "BlockToeplitzSequence",
    "ConditionalLaw",
    "DenseGaussian",
    "GaussianLaw",
    "GaussianSequence",
    "KroneckerSum",
    "SeparableGaussian",
]
