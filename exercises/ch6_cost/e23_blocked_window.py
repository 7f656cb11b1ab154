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
    raise NotImplementedError("e23 blocked window: cut into blocks, keys of two blocks for each, mask, attend")
