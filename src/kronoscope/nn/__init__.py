"""Networks (x, t) -> epsilon. They know sequences and diffusion time, and no process."""

from .dit import DiT
from .position import PositionTransformer
from .records import BlockRecord, NetworkRecord

__all__ = ["BlockRecord", "DiT", "NetworkRecord", "PositionTransformer"]
