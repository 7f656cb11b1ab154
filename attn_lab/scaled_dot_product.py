"""Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1): the definition, and a fused call equal to it."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_lab import masks


def attention(
    query: Float[Tensor, "b h i d"],
    key: Float[Tensor, "b h j d"],
    value: Float[Tensor, "b h j e"],
    mask: Bool[Tensor, "..."] | None = None,
    dropout: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "b h i e"]:
    r"""Each query's average of the values, weighted by how well the query matches each key.

    $$\mathrm{Attention}(Q, K, V) = \mathrm{softmax}\left(\frac{Q K^\top}{\sqrt{d_k}}\right) V$$

    Args:
        query: what each position looks for.
        key: what each position offers to be found by.
        value: what each position hands over when it is found.
        mask: boolean, True where the query may attend to the key; `(i j)`, `(b i j)`, or four axes that
            broadcast to `(b h i j)`. A query that may attend to nothing gets zeros.
        dropout: applied to the weights, for instance an `nn.Dropout`.

    Raises:
        TypeError: the mask is not boolean.
        ValueError: query, key and value do not fit together, or the mask does not broadcast.

    Cost: O(b h i j (d + e)) time; O(b h i j) memory, for the weights.
    """
    mask = conformed(query, key, value, mask)
    # The query is scaled, not the scores: fewer numbers to divide, and float16 does not overflow in the product.
    scores = einsum(query / math.sqrt(query.shape[-1]), key, "b h i d, b h j d -> b h i j")
    weights = masked_softmax(scores, mask).to(value.dtype)
    if dropout is not None:
        weights = dropout(weights)
    return einsum(weights, value, "b h i j, b h j e -> b h i e")


def masked_softmax(
    scores: Float[Tensor, "*batch i j"], mask: Bool[Tensor, "..."] | None = None
) -> Float[Tensor, "*batch i j"]:
    r"""Softmax over the keys that the mask allows, $w_{ij} = e^{s_{ij}} / \sum_{j' \text{ allowed}} e^{s_{ij'}}$.

    A row with no allowed key is all zeros, and so is its gradient. Computed in at least float32, whatever the scores.
    """
    dtype = torch.promote_types(scores.dtype, torch.float32)
    if mask is None:
        return scores.softmax(dim=-1, dtype=dtype)
    # An empty row is NaN after the softmax. Filling the weights makes it zero, and the gradient of the first fill
    # drops the NaN on the way back; filling the output instead would leave NaN in the gradient of the values.
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1, dtype=dtype)
    return weights.masked_fill(~mask, 0.0)


def fused_attention(
    query: Float[Tensor, "b h i d"],
    key: Float[Tensor, "b h j d"],
    value: Float[Tensor, "b h j e"],
    mask: Bool[Tensor, "..."] | None = None,
    dropout: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "b h i e"]:
    """The same function as `attention`, by PyTorch's fused kernel where the device has one.

    The kernel draws its own dropout, so it is used for `nn.Dropout` and for none; any other callable needs to see
    the weights, which the kernel never holds, and is handed to the definition.
    """
    if dropout is not None and type(dropout) is not nn.Dropout:
        return attention(query, key, value, mask, dropout)
    mask = conformed(query, key, value, mask)
    p = dropout.p if dropout is not None and dropout.training else 0.0
    if mask is None:
        return F.scaled_dot_product_attention(query, key, value, dropout_p=p)
    # Before torch 2.5 the kernel's answer for a query without keys is NaN: let it see every key, then zero its row.
    empty = ~mask.any(dim=-1, keepdim=True)
    # A column for every key: torch 2.3's kernel reads past a mask that has one for all.
    seen = (mask | empty).expand(*mask.shape[:-1], key.shape[-2])
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=p)
    return output.masked_fill(empty, 0.0)


def conformed(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor | None:
    """The mask on four axes, once everything is known to fit.

    Raises:
        TypeError: the mask is not boolean.
        ValueError: query, key and value do not fit together, or the mask does not broadcast.
    """
    q, k, v = tuple(query.shape), tuple(key.shape), tuple(value.shape)
    four = len(q) == len(k) == len(v) == 4
    if not four or k[:2] != q[:2] or k[3] != q[3] or v[:3] != k[:3]:
        raise ValueError(
            f"query, key and value must be (b h i d), (b h j d) and (b h j e); got {q}, {k} and {v}. "
            "Split heads with: rearrange(x, 'b n (h d) -> b h n d', h=n_heads)"
        )
    return None if mask is None else masks.conform(mask, (q[0], q[1], q[2], k[2]))
