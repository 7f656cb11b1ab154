"""ALiBi: attention without positions in the embedding, in which a score falls with the distance of query and key.

To write: `slopes`, how steeply it falls in each head, and `alibi_attention`. Given: the signatures. Not allowed:
PyTorch's F.scaled_dot_product_attention, attn_lab's attention and fused_attention, all of attn_lab.variants.alibi.
"""

import math

import torch
from einops import einsum
from torch import Tensor


def slopes(h: int) -> list[float]:
    r"""A slope for each of h heads, the steepest first.

    Where h is a power of two: 2^(-8/h), 2^(-16/h), …, 2^(-8), each the first one times the one before. For another h:
    the slopes of the power of two below it, then the first, third, fifth … of twice that power, until there are h.

    Returns:
        h numbers, as Python's floats.
    """
    raise NotImplementedError("e28 alibi: the slopes of a power of two, and of other numbers of heads")


def alibi_attention(query: Tensor, key: Tensor, value: Tensor, mask=None, dropout=None) -> Tensor:
    r"""softmax(Q Kᵀ / √d - slope · distance) V, in every example b and every head h on its own.

    Args:
        query: (b h i d). The last query stands where the last key stands, the one before it a place before, and so on.
        key: (b h j d), at the positions 0 to j - 1.
        value: (b h j e).
        mask: boolean, True where query i may attend to key j; it broadcasts to (b h i j). None: all may. Each query may
            attend to one key at least. A key may stand behind its query: the distance counts in both directions.
        dropout: a function that is applied to the weights, or None.

    Returns:
        (b h i e), in the dtype of the query.
    """
    raise NotImplementedError("e28 alibi: scores, scale, less slope times distance, mask, softmax, dropout, average")
