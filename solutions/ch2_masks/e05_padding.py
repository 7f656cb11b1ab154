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
    # answer: the position of each key, compared with the length of its text
    # A list becomes a tensor, a tensor stays what it is.
    lengths = torch.as_tensor(lengths)

    # A text of 3 fills the positions 0, 1 and 2: real is what lies before its length. Positions as a row, lengths as a
    # column, so that the comparison asks every position of every text.
    position = torch.arange(n)
    real = rearrange(position, "n -> 1 n") < rearrange(lengths, "b -> b 1")

    # Scores are (b h i j), and this is about b and j. The axes between them get the size 1, which broadcasts: every
    # head and every query of an example sees the same keys.
    return rearrange(real, "b n -> b 1 1 n")
    # end of answer


def padding_of_ids(ids: Tensor, pad_id: int) -> Tensor:
    """Which keys are real, read off the text itself: those whose token id is not `pad_id`, wherever they stand.

    Args:
        ids: (b n), token ids.
        pad_id: the id that stands for padding; any number, and it need not occur.

    Returns:
        (b 1 1 n), boolean, True where the key is real.
    """
    # answer: compare each id with pad_id
    # Each id is asked on its own. So padding may also stand in front (as it does where texts are to end together, to be
    # continued), and nothing is said about an order.
    real = ids != pad_id
    return rearrange(real, "b n -> b 1 1 n")
    # end of answer
