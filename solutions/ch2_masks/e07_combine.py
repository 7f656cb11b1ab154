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
    # answer: the three masks, each on the axes it depends on, joined by &
    # Which keys are in the past, and which are near: questions about a pair of positions, the same in every example
    # and every head. So they need the last two axes alone, and broadcasting supplies the rest.
    past = causal(n)  # (i j)
    near = sliding_window(n, window)  # (i j)

    # Which keys are real depends on the example and on the key, not on the head and not on the query: (b 1 1 j). The
    # two axes of size 1 keep b and j in the places that they have in the scores. Without them j would still be last,
    # but b would stand where the queries are.
    real = padding(lengths, n)  # (b 1 1 j)

    # May attend = in the past, and near, and real. `&` asks that for each entry (Python's `and` wants a single one).
    # Axes are matched from the right: (i j) & (i j) & (b 1 1 j) is (b 1 i j).
    return past & near & real
    # end of answer
