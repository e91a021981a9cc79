"""Networks (x, t) -> epsilon, and the ReLU transformer. They know sequences and diffusion time, and no process."""

from .dit import DiT
from .position import PositionTransformer
from .records import BlockRecord, NetworkRecord, TransformerRecord
from .relu_block import ReLUBlock
from .relu_merged import MergedTransformer, merged
from .relu_transformer import ReLUTransformer
from .unrolled import UnrolledTransformer

__all__ = [
    "BlockRecord",
    "DiT",
    "MergedTransformer",
    "NetworkRecord",
    "PositionTransformer",
    "ReLUBlock",
    "ReLUTransformer",
    "TransformerRecord",
    "UnrolledTransformer",
    "merged",
]
