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
    raise NotImplementedError("e02 attention: scores, scale, mask, softmax, dropout, average")
