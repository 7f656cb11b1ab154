"""Softmax over what a mask allows: hidden entries get no weight, and where nothing is allowed all weights are 0.

To write: `masked_softmax`. Given: its signature. Not allowed: attn_lab's `masked_softmax` and `attention`, and
`torch.masked.softmax`. The plain `torch.softmax` is allowed.
"""

import math

import torch
from torch import Tensor


def masked_softmax(scores: Tensor, mask=None, dim: int = -1) -> Tensor:
    r"""exp(s) / Σ exp(s) over the allowed entries of each row; a "row" runs along the axis `dim`.

    Args:
        scores: numbers of any shape, such as (b h i j); they may be as large as 1000 and more.
        mask: boolean, True where an entry is allowed; it broadcasts to the scores. None: all are.
        dim: the axis along which the weights sum to 1, counted from the front or (negative) from the end.

    Returns:
        Weights, in the shape and dtype of the scores. Hidden entries are 0. A row in which nothing is allowed is all 0,
        and its scores get the gradient 0.
    """
    raise NotImplementedError("e03 masked softmax: hide, softmax along dim, zeros where nothing is allowed")
