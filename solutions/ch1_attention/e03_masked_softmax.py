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
    # answer: hide, softmax along dim, zeros where nothing is allowed
    # exp(-inf) = 0: a hidden entry then adds nothing to its row's sum. `where` rather than an addition of -inf: on the
    # way back, it hands a hidden score the gradient 0, whatever comes from above.
    if mask is not None:
        scores = torch.where(mask, scores, -math.inf)

    # exp(1000) is too large for any float. But the same number may be subtracted from all scores of a row: numerator
    # and denominator shrink alike. With the largest of the row, of those that are allowed, the largest power is
    # exp(0) = 1. As it does not matter which number it is, no gradient needs to flow through it: detach.
    largest = scores.detach().amax(dim, keepdim=True)

    # In a row in which nothing is allowed the largest is -inf, and -inf - (-inf) is NaN. Subtract 0 there.
    largest = torch.where(largest == -math.inf, 0.0, largest)
    powers = torch.exp(scores - largest)

    # The sum is at least 1, the largest power, except in a row in which nothing is allowed: there it is 0. Divided by
    # 1 in its place, the zeros above it stay zeros. No NaN was there at any time, so none can enter a gradient.
    total = powers.sum(dim, keepdim=True)
    return powers / torch.where(total == 0.0, 1.0, total)
    # end of answer
