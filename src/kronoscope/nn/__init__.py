"""Networks (x, t) -> epsilon, and the ReLU transformer. They know sequences and diffusion time, and no process."""

from .dit import DiT
from .linear import LinearScore
from .mixture import MixtureTransformer
from .mlp import MLP
from .position import PositionTransformer
from .records import BlockRecord, NetworkRecord, TransformerRecord
from .relu_block import ReLUBlock
from .relu_merged import MergedOnChange, MergedTransformer, merged
from .relu_transformer import ReLUTransformer
from .unet import UNet
from .unrolled import UnrolledTransformer
from .video_dit import VideoDiT, VideoRecord

__all__ = [
    "MLP",
    "BlockRecord",
    "DiT",
    "LinearScore",
    "MergedOnChange",
    "MergedTransformer",
    "MixtureTransformer",
    "NetworkRecord",
    "PositionTransformer",
    "ReLUBlock",
    "ReLUTransformer",
    "TransformerRecord",
    "UNet",
    "UnrolledTransformer",
    "VideoDiT",
    "VideoRecord",
    "merged",
]
