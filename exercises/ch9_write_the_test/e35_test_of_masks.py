"""A test of masks: properties that every right mask has, and that every wrong one breaks somewhere.

To write: properties of `causal`, of `padding` and of `sliding_window`, as many as it takes, to accept every right
implementation that the course holds and to refuse every known wrong one. A property is a function whose name begins
with `property_`; its one argument is the function to test; it raises AssertionError where that is wrong. Given: a first
property, whole, and the names of three more, whose docstrings say what a right one promises. Not allowed: attn_lab's
own masks, `attn_lab.checks`, and to ask how an implementation is called or written.
"""

import torch

# Not one length: what is wrong at 5 may be right at 1.
LENGTHS = (1, 2, 5)


def property_causal_is_a_boolean_for_each_pair(causal):
    """causal(n) is a boolean tensor (n n): a row for each query, a column for each key. n is 1 or more."""
    for n in LENGTHS:
        mask = causal(n)
        assert mask.shape == (n, n), f"causal({n}) must have the shape {(n, n)}; got {tuple(mask.shape)}"
        assert mask.dtype == torch.bool, f"a mask must be boolean; got {mask.dtype}"


def property_causal_hides_the_future(causal):
    """No query sees a key behind its own position. (But what would a mask that hides everything have against this?)"""
    raise NotImplementedError("e35 test of masks: the property, and what else holds of a right causal mask")


def property_padding_shows_the_text_and_nothing_else(padding):
    """padding(lengths, n), (b 1 1 n): of example b the first lengths[b] of n keys are real.

    lengths is a tensor of whole numbers (int64 or int32) or a list of them, each from 0 to n; there is one at least.
    """
    raise NotImplementedError("e35 test of masks: the property, and what else holds of a right padding mask")


def property_causal_window_ends_with_the_query(sliding_window):
    """sliding_window(n, window, causal=True), (n n): query i sees the keys i - window + 1 to i. window is 1 or more.

    With causal=False it sees as many on the other side too, i - window + 1 to i + window - 1.
    """
    raise NotImplementedError("e35 test of masks: the property, and what else holds of a right sliding window")
