"""Attention a block of keys at a time: the same numbers as e02's, and no table of all the weights.

To write: `online_attention`, the forward pass; autograd does the rest. Given: its signature. Not allowed: PyTorch's
F.scaled_dot_product_attention, attn_lab's attention, fused_attention and online_attention.
"""

import math

import torch
from einops import einsum
from torch import Tensor


def online_attention(query: Tensor, key: Tensor, value: Tensor, mask=None, *, block: int = 128) -> Tensor:
    r"""softmax(Q Kᵀ / √d) V, in one pass over the keys that never holds the scores of more than `block` of them.

    Args:
        query: (b h i d).
        key: (b h j d).
        value: (b h j e).
        mask: boolean, True where query i may attend to key j; it has four axes or two, and broadcasts to (b h i j), its
            last axis being j. None: all may. Each query may attend to one key at least, though not in every block.
        block: how many keys at a time, 1 or more. It need not divide j, and may be larger.

    Returns:
        (b h i e), the same whatever the block. No tensor on the way is larger than the scores of one block, or than the
        query, the key, the value or the output.
    """
    raise NotImplementedError("e24 online softmax: per block of keys: largest score, sum, weighted sum")
