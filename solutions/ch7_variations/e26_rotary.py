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
    # answer: angles, cosines and sines, every pair turned
    d = x.shape[-1]

    # One frequency for each of the d / 2 pairs: pair 0 turns by one radian a position, the others ever more slowly.
    # Fast pairs tell neighbours apart, slow ones tell near from far, like the hands of a clock.
    k = torch.arange(d // 2, dtype=torch.float64)
    frequency = base ** (-2 * k / d)

    # An angle for every position and every pair: (n d/2). In float64, because 100,000 times a frequency that is off in
    # the seventh digit is an angle off by a hundredth.
    angle = positions.cpu().to(torch.float64)[:, None] * frequency[None, :]
    cos, sin = angle.cos().to(x), angle.sin().to(x)

    # The two coordinates of every pair, each (b h n d/2). The table (n d/2) has their last two axes.
    first, second = x[..., 0::2], x[..., 1::2]

    # A point (a, b), turned by t, lies at (a cos t - b sin t, a sin t + b cos t). Both lines need the old a and b.
    turned_first = first * cos - second * sin
    turned_second = first * sin + second * cos

    # Side by side again, each coordinate in the place that it came from: (b h n d/2 2) becomes (b h n d).
    return torch.stack([turned_first, turned_second], dim=-1).flatten(-2)
    # end of answer


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
    # answer: the positions of queries and keys; turn what meets in the scores; attend
    i, j = query.shape[-2], key.shape[-2]

    # The keys are the whole text. The last query is about the last token, whatever the number of queries.
    key_positions = torch.arange(j)
    query_positions = torch.arange(j - i, j)

    # Both are turned the same way: the difference of the two angles is then the distance times the frequency. Values
    # play no part in the scores. They are what is handed over, and that shall not depend on where it was found.
    return attention(rotate(query, query_positions), rotate(key, key_positions), value, mask, dropout)
    # end of answer
