"""Learn attention by building it: "Attention is all you need" (Vaswani et al. 2017) in einops, proven equal to PyTorch.

Axes: b batch, h heads, i and j query and key position (n where they are the same), d head width, e value width,
dim or d_model model width, v vocabulary. Batch first. Masks are boolean, True = may attend.
"""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


# Everything is imported when it is first asked for: `attn-lab hint` answers at once, without waiting for PyTorch.
_WHERE = {
    "EncoderBlock": "encoder",
    "MultiHeadSelfAttention": "multihead",
    "Parts": "parts",
    "PositionalEncoding": "positions",
    "TransformerEncoder": "encoder",
    "TransformerLanguageModel": "language_model",
    "attention": "scaled_dot_product",
    "fused_attention": "scaled_dot_product",
}
_MODULES = ("bench", "checks", "corpora", "efficient", "masks", "training", "variants")


def __getattr__(name: str) -> Any:
    """A name of `__all__`, or one of the packages such as `attn_lab.corpora`."""
    if name in _WHERE:
        value = getattr(importlib.import_module(f"attn_lab.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"attn_lab.{name}")
    raise AttributeError(f"module 'attn_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_WHERE, *_MODULES]
