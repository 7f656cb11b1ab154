"""Weights from PyTorch: those of an nn.MultiheadAttention, copied into our module, which then answers as it does.

To write: `borrow_weights`. Given: its signature; the two modules are made already. Not allowed: nothing.
"""

import torch
from torch import nn

from attn_lab import MultiHeadSelfAttention


def borrow_weights(theirs: nn.MultiheadAttention, ours: MultiHeadSelfAttention) -> None:
    """Copy all weights and biases of `theirs` into `ours`, which has the same width E and the same number of heads.

    `theirs` packs three projections into one: `in_proj_weight` is (3E, E), the rows for the query, then those for the
    key, then those for the value; `in_proj_bias` is (3E). `out_proj` is an nn.Linear, as ours are. If it was made with
    bias=False, `in_proj_bias` and `out_proj.bias` are None.

    `ours` is changed in place: its parameters stay the same objects, with their dtype, and an optimiser that holds them
    goes on holding them. Autograd does not record the copying. `theirs` is left as it is, and nothing is shared: to
    train one of the two must not change the other. (The class may be your own from e08; the names are the same.)

    Args:
        theirs: where the weights come from; query, key and value have the same width in it.
        ours: where they go; `linear_query`, `linear_key`, `linear_value` and `linear_cat_attn` are each an
            nn.Linear(E, E) with a bias.
    """
    raise NotImplementedError("e09 borrow weights: unpack the three projections, and copy each number to its place")
