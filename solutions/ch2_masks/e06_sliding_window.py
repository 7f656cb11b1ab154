"""The mask of a sliding window: each query sees the keys near it, however long the text is.

To write: `sliding_window`. Given: its signature. Not allowed: attn_lab's own, `attn_lab.masks.sliding_window`.
"""

import torch
from einops import rearrange
from torch import Tensor


def sliding_window(n: int, window: int, causal: bool = True) -> Tensor:
    """Which keys are near enough: `window` of them, and the query's own position is one.

    Args:
        n: how many positions there are; queries and keys are the same ones.
        window: 1 or more, and it may be larger than n. 1: each query sees itself alone.
        causal: True: query i sees the `window` keys that end with its own position, i - window + 1 to i, as far as
            they exist. False: it sees as many on the other side too, i - window + 1 to i + window - 1.

    Returns:
        (n n), boolean, True where query i (the row) may attend to key j (the column).
    """
    # answer: how far each key lies behind each query, compared with the window
    position = torch.arange(n)

    # The distance of every pair at once: positions as a column minus positions as a row. Row i, column j holds i - j:
    # 0 for the query's own position, 1 for the key before it, -1 for the key after it.
    distance = rearrange(position, "i -> i 1") - rearrange(position, "j -> 1 j")

    # The own position has distance 0 and counts. So `window` keys are the distances 0 to window - 1: "less than", not
    # "at most". Positions before the start of the text have no column, so nothing is to be done about the edge.
    if causal:
        return (distance >= 0) & (distance < window)

    # On both sides only how far matters, not in which direction.
    return distance.abs() < window
    # end of answer
