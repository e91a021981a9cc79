"""Laws of sequences: sample, log_prob, score, denoise, condition_on. All exact."""

from .conditional import ConditionalLaw
from .coordinates import ScaledScore
from .law import GaussianLaw, require_law, require_score_and_law
from .matrices import DenseGaussian, SeparableGaussian
from .nonseparable import BlockToeplitzSequence, KroneckerSum
from .sequence import GaussianSequence
from .squared_error import SquaredError, affine_squared_error, sampled_squared_error

__all__ = [
    "BlockToeplitzSequence",
    "ConditionalLaw",
    "DenseGaussian",
    "GaussianLaw",
    "GaussianSequence",
    "KroneckerSum",
    "ScaledScore",
    "SeparableGaussian",
    "SquaredError",
    "affine_squared_error",
    "require_law",
    "require_score_and_law",
    "sampled_squared_error",
]
