"""ALiBi (Press et al. 2022, section 3): no positions in the embedding, a penalty on distance in the scores."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_lab.scaled_dot_product import conformed, masked_softmax


def alibi_attention(
    query: Float[Tensor, "b h i d"],
    key: Float[Tensor, "b h j d"],
    value: Float[Tensor, "b h j e"],
    mask: Bool[Tensor, "..."] | None = None,
    dropout: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "b h i e"]:
    r"""Attention whose scores fall with the distance, in each head at its own slope.

    $$\mathrm{softmax}_j\left(\frac{q_i \cdot k_j}{\sqrt{d}} - m_h\,|i - j|\right)$$

    An attention function like `attn_lab.attention`, with its arguments and errors. The penalty replaces positions in
    the embedding (`attn_lab.variants.rotary.NoPositions`). The mask says what is seen: causal, as in the paper, or not.
    The queries are the last of the keys' positions, so that with fewer queries they stand at the end.

    Raises:
        TypeError: the mask is not boolean.
        ValueError: query, key and value do not fit together, or the mask does not broadcast.

    Cost: O(b h i j (d + e)) time; O(b h i j) memory.
    """
    mask = conformed(query, key, value, mask)
    scores = einsum(query / math.sqrt(query.shape[-1]), key, "b h i d, b h j d -> b h i j")
    weights = masked_softmax(scores + bias(query, key), mask).to(value.dtype)
    if dropout is not None:
        weights = dropout(weights)
    return einsum(weights, value, "b h i j, b h j e -> b h i e")


def fused_alibi_attention(
    query: Float[Tensor, "b h i d"],
    key: Float[Tensor, "b h j d"],
    value: Float[Tensor, "b h j e"],
    mask: Bool[Tensor, "..."] | None = None,
    dropout: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "b h i e"]:
    """The same function as `alibi_attention`, by PyTorch's fused kernel, which adds the penalty as a mask of numbers.

    As in `attn_lab.fused_attention`, a dropout other than `nn.Dropout` is handed to the definition.
    """
    if dropout is not None and type(dropout) is not nn.Dropout:
        return alibi_attention(query, key, value, mask, dropout)
    mask = conformed(query, key, value, mask)
    p = dropout.p if dropout is not None and dropout.training else 0.0
    added = bias(query, key).to(query.dtype)[None]
    if mask is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=added, dropout_p=p)
    empty = ~mask.any(dim=-1, keepdim=True)  # such a query sees every key, and its row is zeroed
    added = added.masked_fill(~(mask | empty), -math.inf)
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=added, dropout_p=p)
    return output.masked_fill(empty, 0.0)


def bias(query: Float[Tensor, "b h i d"], key: Float[Tensor, "b h j d"]) -> Float[Tensor, "h i j"]:
    r"""What is added to the scores, $-m_h\,|i - j|$, in at least float32; the last query stands at the last key."""
    h, i, j = query.shape[1], query.shape[2], key.shape[2]
    places = torch.arange(j, device=query.device)
    distance = (torch.arange(j - i, j, device=query.device)[:, None] - places).abs()
    dtype = torch.promote_types(query.dtype, torch.float32)
    slope = torch.tensor(slopes(h), dtype=torch.float64, device="cpu").to(query.device, dtype)
    return slope[:, None, None] * -distance


def slopes(h: int) -> list[float]:
    r"""How steeply each head's scores fall: $2^{-8/h}, 2^{-16/h}, \dots, 2^{-8}$ where h is a power of two.

    For another h, as in the authors' code: the slopes of the power of two below, then every second one of the power of
    two above, the steepest first.

    Raises:
        ValueError: h is below 1.
    """
    if h < 1:
        raise ValueError(f"there must be at least 1 head; got {h}")
    power = 1 << (h.bit_length() - 1)
    between = range(1, 2 * (h - power), 2)
    return [2.0 ** (-8 * k / power) for k in range(1, power + 1)] + [2.0 ** (-4 * k / power) for k in between]
