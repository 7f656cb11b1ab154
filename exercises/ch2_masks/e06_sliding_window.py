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
    raise NotImplementedError("e06 sliding window: how far each key lies behind each query, compared with the window")
