"""Rotary positions: queries and keys are turned, each by an angle that is its position, so that scores see distances.

To write: `rotate`, which turns one tensor, and `rotary_attention`, which turns what must be turned. Given: the
signatures, and the attention function as an argument. Not allowed: attn_lab's rotate and RotaryAttention, and PyTorch's
F.scaled_dot_product_attention.
"""

import torch
from torch import Tensor

import attn_lab


def rotate(x: Tensor, positions: Tensor, base: float = 10000.0) -> Tensor:
    r"""Each pair of features (2k, 2k + 1) turned by the angle position · base^(-2k/d), counter-clockwise.

    Args:
        x: (b h n d), queries or keys; d is even. float32 or float64.
        positions: (n), integers: where each of the n stands in the text. Any integers, negative ones too.
        base: how much slower the last pairs turn than the first one.

    Returns:
        (b h n d), in the dtype of x. The angles are as exact as float64 has them, in whatever dtype x is: late
        positions are large numbers.
    """
    raise NotImplementedError("e26 rotary: angles, cosines and sines, every pair turned")


def rotary_attention(
    query: Tensor, key: Tensor, value: Tensor, mask=None, dropout=None, *, attention=attn_lab.attention
) -> Tensor:
    r"""Attention in which a score depends on what query and key say, and on how far apart they stand.

    Args:
        query: (b h i d), as many as keys or fewer. They are the last of the keys' positions: where there are fewer, as
            in writing a text token by token, they stand at the end.
        key: (b h j d), from position 0 to j - 1.
        value: (b h j e).
        mask, dropout: as in e02; the attention takes care of them.
        attention: `attention(query, key, value, mask, dropout)` as in e02. It scales the scores by itself.

    Returns:
        (b h i e)
    """
    raise NotImplementedError("e26 rotary: the positions of queries and keys; turn what meets in the scores; attend")
