"""The padding mask: which keys are text, and which only fill up the short texts of a batch.

To write: `padding`, from the lengths of the texts, and `padding_of_ids`, from their token ids. Given: their signatures.
Not allowed: attn_lab's own, `attn_lab.masks.padding`.
"""

import torch
from einops import rearrange
from torch import Tensor


def padding(lengths, n: int) -> Tensor:
    """Which keys are real, when each text begins at position 0 and padding follows.

    It hides keys, not queries: what a padded query computes is nobody's input, and is left alone.

    Args:
        lengths: how many keys are real in each example, a list or a tensor (b) of whole numbers, each from 0 to n.
        n: how many positions there are, padding counted.

    Returns:
        (b 1 1 n), boolean, True where the key is real: the axes of the scores (b h i j), with one for all heads and all
        queries.
    """
    raise NotImplementedError("e05 padding: the position of each key, compared with the length of its text")


def padding_of_ids(ids: Tensor, pad_id: int) -> Tensor:
    """Which keys are real, read off the text itself: those whose token id is not `pad_id`, wherever they stand.

    Args:
        ids: (b n), token ids.
        pad_id: the id that stands for padding; any number, and it need not occur.

    Returns:
        (b 1 1 n), boolean, True where the key is real.
    """
    raise NotImplementedError("e05 padding: compare each id with pad_id")
