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
    raise NotImplementedError("e01 heads: cut the features into n_heads parts, bring the heads before the positions")


def merge_heads(x: Tensor) -> Tensor:
    """The way back: the vectors of all heads side by side, at every position, in the order of the heads.

    Args:
        x: (b h n d), what each head has found for each position.

    Returns:
        (b n (h d))
    """
    raise NotImplementedError("e01 heads: bring the heads behind the positions, put their features side by side")
