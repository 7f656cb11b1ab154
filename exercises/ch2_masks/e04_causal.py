"""The causal mask: each position sees itself and what came before it, never what comes after.

To write: `causal`. Given: its signature. Not allowed: attn_lab's own `masks.causal`, its `masks.sliding_window` (a wide
one is the same), and PyTorch's `generate_square_subsequent_mask`.
"""

import torch
from einops import rearrange
from torch import Tensor


def causal(n: int) -> Tensor:
    """Which keys lie in the past of each query: those at its own position and before.

    Args:
        n: how many positions there are; queries and keys are the same ones.

    Returns:
        (n n), boolean, True where query i (the row) may attend to key j (the column).
    """
    raise NotImplementedError("e04 causal: a boolean for each pair: is key j at the position of query i, or before it?")
