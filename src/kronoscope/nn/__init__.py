"""Networks (x, t) -> epsilon, and the ReLU transformer. They know sequences and diffusion time, and no process."""

from .dit import DiT
from .position import PositionTransformer
from .records import BlockRecord, NetworkRecord, TransformerRecord
from .relu_block import ReLUBlock
from .relu_transformer import ReLUTransformer

__all__ = [
    "BlockRecord",
    "DiT",
    "NetworkRecord",
    "PositionTransformer",
    "ReLUBlock",
    "ReLUTransformer",
    "TransformerRecord",
]
