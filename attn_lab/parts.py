"""The parts that a language model is put together from: the reference by default, or yours in its place."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

from attn_lab import masks
from attn_lab.encoder import EncoderBlock, TransformerEncoder
from attn_lab.language_model import TransformerLanguageModel
from attn_lab.multihead import MultiHeadSelfAttention
from attn_lab.positions import PositionalEncoding
from attn_lab.scaled_dot_product import fused_attention


@dataclass(frozen=True)
class Parts:
    """One of each part, called as the reference is called. `Parts(attention=mine)` replaces one and keeps the rest."""

    attention: Callable[..., Tensor] = fused_attention
    attention_module: Callable[..., nn.Module] = MultiHeadSelfAttention
    block: Callable[..., nn.Module] = EncoderBlock
    encoder: Callable[..., nn.Module] = TransformerEncoder
    positions: Callable[..., nn.Module] = PositionalEncoding
    mask: Callable[[int], Tensor] = masks.causal
    language_model: Callable[..., nn.Module] = TransformerLanguageModel

    def model(self, ntoken: int, d_model: int, nhead: int, d_hid: int, nlayers: int, **options: Any) -> nn.Module:
        """A language model of these parts; the arguments are those of `TransformerLanguageModel`."""
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "language_model"}
        return self.language_model(ntoken, d_model, nhead, d_hid, nlayers, **parts, **options)

    def attention_layer(self, dim: int, n_heads: int, dropout: float | None = None) -> nn.Module:
        """The attention module around the attention function."""
        return self.attention_module(dim, n_heads, dropout, attention=self.attention)

    def replaced(self) -> list[str]:
        """The names of the parts that are not the reference's."""
        return [f.name for f in fields(self) if getattr(self, f.name) is not f.default]
