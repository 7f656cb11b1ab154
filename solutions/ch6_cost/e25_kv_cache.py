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
        # answer: project, append to the cache, mask, attend, project back
        to_heads = "b m (h d) -> b h m d"
        h = self.module.n_heads
        query = rearrange(self.module.linear_query(x), to_heads, h=h)
        key = rearrange(self.module.linear_key(x), to_heads, h=h)
        value = rearrange(self.module.linear_value(x), to_heads, h=h)

        # In causal attention nobody's key or value depends on what comes later: what is in the cache stays right for
        # ever. Queries are not kept, since nobody will ask for an old position's output again.
        if self.key is not None:
            key = torch.cat([self.key, key], dim=2)
            value = torch.cat([self.value, value], dim=2)
        self.key, self.value = key, value

        # The new queries are the *last* m of the j positions, so their rows are the last m of the causal mask.
        m, j = query.shape[2], key.shape[2]
        place = torch.arange(j, device=x.device)
        mask = place[j - m :, None] >= place

        heads = self.module.attention(query, key, value, mask)
        return self.module.linear_cat_attn(rearrange(heads, "b h m d -> b m (h d)"))
        # end of answer

    def forget(self) -> None:
        """Empties the cache: the next piece is the beginning of another text."""
        # answer: empty the cache
        self.key = self.value = None
        # end of answer
