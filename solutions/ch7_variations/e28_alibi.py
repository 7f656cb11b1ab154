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
    # answer: the slopes of a power of two, and of other numbers of heads
    # The largest power of two that is not above h: 2 to the number of binary digits, less one.
    power = 2 ** (h.bit_length() - 1)
    found = [2.0 ** (-8 * k / power) for k in range(1, power + 1)]

    # Twice that power has twice as many slopes, every second of which is in the list already: the second, the fourth
    # and so on. What lies between them, the first, third, fifth, fills up the rest.
    twice = [2.0 ** (-8 * k / (2 * power)) for k in range(1, 2 * power + 1)]
    between = twice[0::2]
    return found + between[: h - power]
    # end of answer


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
    # answer: scores, scale, less slope times distance, mask, softmax, dropout, average
    h, i, j = query.shape[1], query.shape[2], key.shape[2]
    scores = einsum(query, key, "b h i d, b h j d -> b h i j") / math.sqrt(query.shape[-1])

    # How far apart query and key stand: (i j). With fewer queries than keys, as in writing a text token by token, the
    # queries are the last: they stand at j - i to j - 1.
    key_positions = torch.arange(j, device=query.device)
    query_positions = torch.arange(j - i, j, device=query.device)
    distance = (query_positions[:, None] - key_positions[None, :]).abs()

    # A steep head sees its neighbours only, a flat one nearly everything. The penalty comes after the division by √d:
    # it is a number of its own, and not part of the dot product.
    slope = torch.tensor(slopes(h), dtype=scores.dtype, device=query.device)
    scores = scores - slope[:, None, None] * distance

    if mask is not None:
        scores = torch.where(mask, scores, -math.inf)
    weights = torch.softmax(scores, dim=-1)
    if dropout is not None:
        weights = dropout(weights)
    return einsum(weights, value, "b h i j, b h j e -> b h i e")
    # end of answer
