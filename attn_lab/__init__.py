"""Learn attention by building it: "Attention is all you need" (Vaswani et al. 2017) in einops, proven equal to PyTorch.

Axes: b batch, h heads, i and j query and key position (n where they are the same), d head width, e value width,
dim or d_model model width, v vocabulary. Batch first. Masks are boolean, True = may attend.
"""

import importlib
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from attn_lab import masks
from attn_lab.encoder import EncoderBlock, TransformerEncoder
from attn_lab.language_model import TransformerLanguageModel
from attn_lab.multihead import MultiHeadSelfAttention
from attn_lab.parts import Parts
from attn_lab.positions import PositionalEncoding
from attn_lab.scaled_dot_product import attention, fused_attention

__all__ = [
    "EncoderBlock",
    "MultiHeadSelfAttention",
    "Parts",
    "PositionalEncoding",
    "TransformerEncoder",
    "TransformerLanguageModel",
    "attention",
    "fused_attention",
    "masks",
]

try:
    __version__ = version("attn-lab")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> ModuleType:
    """`attn_lab.corpora` and its like are imported when they are first asked for: `import attn_lab` stays cheap."""
    if name in {"bench", "checks", "corpora", "training"}:
        return importlib.import_module(f"attn_lab.{name}")
    raise AttributeError(f"module 'attn_lab' has no attribute {name!r}")
