"""Scaled dot-product attention: each query gets an average of the values, weighted by how well it matches each key.

To write: `attention`. Given: its signature. Not allowed: PyTorch's F.scaled_dot_product_attention and attn_lab's own.
"""

import math

import torch
from einops import einsum
from torch import Tensor


def attention(query: Tensor, key: Tensor, value: Tensor, mask=None, dropout=None) -> Tensor:
    r"""softmax(Q Kᵀ / √d) V, in every example b and every head h on its own.

    Args:
        query: (b h i d), what each position looks for.
        key: (b h j d), what each position offers to be found by.
        value: (b h j e), what each position hands over.
        mask: boolean, True where query i may attend to key j; it broadcasts to (b h i j). None: all may.
            Each query may attend to one key at least (what if not? That is e03).
        dropout: a function that is applied to the weights, such as an `nn.Dropout`. None: nothing is dropped.

    Returns:
        (b h i e)
    """
    # answer: scores, scale, mask, softmax, dropout, average
    d = query.shape[-1]

    # How well does query i match key j? One number for every pair, the dot product. It is a sum of d products, so
    # its spread grows with √d; dividing by √d keeps the softmax away from where it is flat.
    scores = einsum(query, key, "b h i d, b h j d -> b h i j") / math.sqrt(d)

    # A key that may not be attended to must get the weight 0 and leave the others to sum to 1. So it is hidden before
    # the softmax, and exp(-inf) = 0.
    if mask is not None:
        scores = torch.where(mask, scores, -math.inf)

    # Each query shares out one unit of attention among the keys: the softmax runs over j, the last axis.
    weights = torch.softmax(scores, dim=-1)

    # Dropout comes as a function that knows for itself whether it is in training.
    if dropout is not None:
        weights = dropout(weights)

    # The average of the values under these weights.
    return einsum(weights, value, "b h i j, b h j e -> b h i e")
    # end of answer
