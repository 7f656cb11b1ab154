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
    # answer: per block of keys: largest score, sum, weighted sum
    query = query / math.sqrt(query.shape[-1])

    # What is known of each query after the keys so far. The largest score starts below any score; not at -inf, since
    # as long as all keys were hidden, the difference of two largest scores would be -inf - (-inf), which is NaN.
    largest = query.new_full((*query.shape[:-1], 1), torch.finfo(query.dtype).min)
    total = torch.zeros_like(largest)
    summed = query.new_zeros(*query.shape[:-1], value.shape[-1])

    # range() stops at j, so the last block may be shorter; slices that reach beyond the end are cut off by Python.
    for start in range(0, key.shape[-2], block):
        keys = slice(start, start + block)
        scores = einsum(query, key[:, :, keys], "b h i d, b h j d -> b h i j")
        if mask is not None:
            scores = torch.where(mask[..., keys], scores, -math.inf)

        # A softmax is the same whatever is subtracted from all its scores. The largest one is, so that nothing
        # overflows. Since it cancels, it needs no gradient.
        new_largest = torch.maximum(largest, scores.detach().amax(dim=-1, keepdim=True))
        weights = torch.exp(scores - new_largest)

        # What was added up before is relative to the old largest score: e^(s - old). Times e^(old - new) it is
        # e^(s - new), as if the new one had been known from the start. That is the whole trick.
        shrink = torch.exp(largest - new_largest)
        total = shrink * total + weights.sum(dim=-1, keepdim=True)
        summed = shrink * summed + einsum(weights, value[:, :, keys], "b h i j, b h j e -> b h i e")
        largest = new_largest

    # Only now is the denominator complete: divide once, at the end.
    return summed / total
    # end of answer
