"""Attention through a sliding window, in blocks: the n x n scores are never asked for, only a band of them.

To write: `local_attention`. Given: its signature, and the attention function that is to be used inside each block.
Not allowed: a table of n x n, PyTorch's F.scaled_dot_product_attention, and attn_lab's LocalAttention, by_blocks and
banded_attention.
"""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

import attn_lab


def local_attention(query: Tensor, key: Tensor, value: Tensor, window: int, *, attention=attn_lab.attention) -> Tensor:
    """Causal attention in which each query sees `window` keys: those that end with its own position.

    Args:
        query: (b h n d).
        key: (b h n d).
        value: (b h n e).
        window: 1 or more; it need not divide n, and may be larger. Query i sees the keys i - window + 1 to i, as far as
            they exist.
        attention: `attention(query, key, value, mask)` as in e02: (b h i d), (b h j d), (b h j e) and a boolean mask
            that broadcasts to (b h i j), True = may attend. Each query must see one key at least.

    Returns:
        (b h n e), equal to attention under the mask of e06. No tensor on the way has n x n numbers.
    """
    # answer: cut into blocks, keys of two blocks for each, mask, attend
    b, _, n, _ = query.shape

    # Blocks as long as the window: the farthest key of a block's first query is then in the block before, never
    # earlier. Rows of zeros fill up the last block; as keys they lie in everybody's future.
    query, key, value = (F.pad(x, (0, 0, 0, -n % window)) for x in (query, key, value))

    # Each block of queries is an example of its own.
    queries = rearrange(query, "b h (k w) d -> (b k) h w d", w=window)

    # Its keys are those of the block before and its own. A block of zeros in front stands before the first one; then
    # all blocks but the last are the "blocks before".
    def two_blocks(x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, window, 0))
        before, own = x[:, :, :-window], x[:, :, window:]
        return torch.cat([rearrange(part, "b h (k w) d -> (b k) h w d", w=window) for part in (before, own)], dim=2)

    # Where everybody is: query r of a block stands `window` places behind the first of its 2 · window keys, plus r.
    place = torch.arange(2 * window, device=query.device)
    distance = rearrange(place[window:], "w -> w 1") - rearrange(place, "s -> 1 s")
    band = (distance >= 0) & (distance < window)

    # The same band for every block, but for the first: the block before it does not exist.
    k = query.shape[2] // window
    allowed = repeat(band, "w s -> k w s", k=k).clone()
    allowed[0, :, :window] = False

    output = attention(queries, two_blocks(key), two_blocks(value), repeat(allowed, "k w s -> (b k) 1 w s", b=b))
    return rearrange(output, "(b k) h w e -> b h (k w) e", b=b)[:, :, :n]
    # end of answer
