"""Parts that run, fit and are wrong, planted on purpose: their curves are what one learns to recognise."""

import math
from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor

from attn_lab.encoder import EncoderBlock
from attn_lab.positions import PositionalEncoding
from attn_lab.scaled_dot_product import fused_attention


def unscaled_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """softmax(QKᵀ) V: the paper's function without its 1/√d."""
    return fused_attention(query * math.sqrt(query.shape[-1]), key, value, mask, dropout)


def leaky_mask(n: int) -> Tensor:
    """A causal mask that is off by one: each token also sees its successor, which is what it should predict."""
    return torch.ones(n, n, dtype=torch.bool).tril(1)


class PositionsOnBatch(PositionalEncoding):
    """The pattern of the row's number in the batch, the same at all positions: a text of (n b d) read as (b n d)."""

    def forward(self, x: Tensor) -> Tensor:
        """x with the positions added along the wrong axis."""
        return rearrange(super().forward(rearrange(x, "b n d_model -> n b d_model")), "n b d_model -> b n d_model")


class NoResidual(EncoderBlock):
    """A block whose layers replace what comes in, instead of adding to it."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """One block without `x +`."""
        if self.norm_first:
            return self._feed_forward(self.norm2(self._attend(self.norm1(x), mask)))
        return self.norm2(self._feed_forward(self.norm1(self._attend(x, mask))))
