"""One mask of three: the past, as far as the window reaches, and of it what is no padding.

To write: `combine`. Given: its signature, and the three masks that it joins, `causal`, `padding` and `sliding_window`:
attn_lab's, or your own from e04 to e06 in their place. Not allowed: nothing.
"""

from torch import Tensor

from attn_lab.masks import causal, padding, sliding_window


def combine(n: int, lengths, window: int) -> Tensor:
    """Query i of example b may attend to key j if all of these hold: j <= i, j > i - window, and j < lengths[b].

    A query for which nothing is left keeps an empty row: attention gives it zeros (e03).

    Args:
        n: how many positions there are, padding counted.
        lengths: how many of them are real in each example, a list or a tensor (b), each from 0 to n.
        window: how many keys a query sees at most, its own position counted; 1 or more.

    Returns:
        (b 1 n n), boolean, True = may attend: the axes of the scores (b h i j), with one for all heads.
    """
    raise NotImplementedError("e07 combine: the three masks, each on the axes it depends on, joined by &")
