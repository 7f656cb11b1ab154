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
    # answer: unpack the three projections, and copy each number to its place
    layers = (ours.linear_query, ours.linear_key, ours.linear_value)

    # An nn.Linear(E, E) has a weight with one row for each feature that it makes. Three of them under one another are
    # one (3E, E), so the rows come apart in three equal pieces. Nothing is transposed: both sides are nn.Linear's way.
    weights = theirs.in_proj_weight.chunk(3)

    # A projection without a bias is one whose bias is 0. Ours has one and must be told so: it starts at random.
    has_bias = theirs.in_proj_bias is not None
    biases = theirs.in_proj_bias.chunk(3) if has_bias else (torch.zeros(()),) * 3

    # Copying is no step of a computation that is to be differentiated. Recorded, it would make our weights depend on
    # theirs; PyTorch refuses that for a parameter.
    with torch.no_grad():
        # copy_ writes into the memory that our parameter has already, in its dtype. An assignment would put another
        # object in its place, or let both modules look at the same numbers.
        for layer, weight, bias in zip(layers, weights, biases):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)

        # The projection back is not packed.
        ours.linear_cat_attn.weight.copy_(theirs.out_proj.weight)
        ours.linear_cat_attn.bias.copy_(theirs.out_proj.bias if has_bias else torch.zeros(()))
    # end of answer
