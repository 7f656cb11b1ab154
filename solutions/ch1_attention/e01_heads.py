"""Heads: the features of each position cut into several vectors, so that each head can attend on its own.

To write: `split_heads` and `merge_heads`. Given: their signatures. Not allowed: attn_lab's `MultiHeadSelfAttention`,
which does both. einops is allowed, and so is all that PyTorch has for shapes.
"""

from einops import rearrange
from torch import Tensor


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """Each head gets features of its own, at every position: head k the features k * d to (k + 1) * d - 1.

    Args:
        x: (b n (h d)), the features of every position, head after head.
        n_heads: h, how many heads there are.

    Returns:
        (b h n d)

    Raises:
        Any exception, such as einops's own: n_heads does not divide the number of features.
    """
    # answer: cut the features into n_heads parts, bring the heads before the positions
    # The features of a position are the heads' vectors, one behind the other. "(h d)" says so: the left letter, h,
    # counts the slow way, so features 0 to d - 1 belong to head 0, the next d to head 1.
    # The result has h before n: what comes after, attention, treats the first two axes, b and h, alike. Each example
    # and each head is a small attention of n positions of its own.
    # How wide is a head? einops finds d = features / h, and complains if that is no whole number.
    return rearrange(x, "b n (h d) -> b h n d", h=n_heads)
    # end of answer


def merge_heads(x: Tensor) -> Tensor:
    """The way back: the vectors of all heads side by side, at every position, in the order of the heads.

    Args:
        x: (b h n d), what each head has found for each position.

    Returns:
        (b n (h d))
    """
    # answer: bring the heads behind the positions, put their features side by side
    # The same letters, read from right to left. Two things happen here: h moves behind n, then (h d) becomes one axis.
    # The first may not be left out: in (b h n d) the neighbour of a head's vector is the vector of the next position,
    # not that of the next head.
    return rearrange(x, "b h n d -> b n (h d)")
    # end of answer
