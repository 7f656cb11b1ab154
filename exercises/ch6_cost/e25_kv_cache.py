"""Self-attention that reads on: new positions join those before, whose keys and values are remembered.

To write: `forward` and `forget` of `CachedSelfAttention`. Given: the constructor, with a finished multi-head attention
whose projections are to be used. Not allowed: attn_lab's CachedAttention and Decoder, and to project anything twice.
"""

import torch
from einops import rearrange
from torch import Tensor, nn


class CachedSelfAttention(nn.Module):
    """Causal self-attention, a piece of the text at a time, equal to reading the whole text at once.

    Args:
        module: a multi-head attention as in e08, such as `attn_lab.MultiHeadSelfAttention`: with `linear_query`,
            `linear_key`, `linear_value` and `linear_cat_attn`, `n_heads`, and `attention(query, key, value, mask)`. It
            is used, and left as it is.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.key = None  # (b h j d) of all positions so far; None: there are none
        self.value = None

    def forward(self, x: Tensor) -> Tensor:
        """The output of the new positions; each sees all positions before it, in this piece and in those before.

        Args:
            x: (b m dim), the m positions that follow upon what was read. Only these are projected.

        Returns:
            (b m dim)
        """
        raise NotImplementedError("e25 kv cache: project, append to the cache, mask, attend, project back")

    def forget(self) -> None:
        """Empties the cache: the next piece is the beginning of another text."""
        raise NotImplementedError("e25 kv cache: empty the cache")
