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
    # answer: the property, and what else holds of a right causal mask
    for n in LENGTHS:
        seen = causal(n).tolist()
        for i in range(n):
            for j in range(i + 1, n):
                assert not seen[i][j], f"causal({n}): query {i} sees key {j}, which comes later"


# The other half. Each half alone is kept by a mask that is wrong: one that hides everything, one that hides nothing.
def property_causal_shows_the_past(causal):
    """Each query sees its own position and all before it."""
    for n in LENGTHS:
        seen = causal(n).tolist()
        for i in range(n):
            for j in range(i + 1):
                assert seen[i][j], f"causal({n}): query {i} does not see key {j}"
    # end of answer


def property_padding_shows_the_text_and_nothing_else(padding):
    """padding(lengths, n), (b 1 1 n): of example b the first lengths[b] of n keys are real.

    lengths is a tensor of whole numbers (int64 or int32) or a list of them, each from 0 to n; there is one at least.
    """
    # answer: the property, and what else holds of a right padding mask
    for lengths, n in TEXTS:
        mask = padding(torch.tensor(lengths), n)
        for b, length in enumerate(lengths):
            expected = [j < length for j in range(n)]
            # Its numbers, whatever axes they lie on, and whatever type they have: of that another property speaks.
            got = mask[b].flatten().tolist()
            assert got == expected, f"a text of {length} of {n}: expected {expected}, got {got}"


# An empty text, a full one, those in between; not in order, and the first is not the longest.
TEXTS = (([2, 0, 5, 1], 5), ([3, 4], 4), ([1, 3, 2], 3), ([1], 1))


def property_padding_is_a_boolean_for_each_key(padding):
    """The axes are those of the scores, (b h i j), with 1 for the heads and the queries."""
    for lengths, n in TEXTS:
        mask, shape = padding(torch.tensor(lengths), n), (len(lengths), 1, 1, n)
        assert mask.shape == shape, f"a padding mask must have the shape {shape}; got {tuple(mask.shape)}"
        assert mask.dtype == torch.bool, f"a mask must be boolean; got {mask.dtype}"


def property_padding_takes_a_list(padding):
    """A list of lengths gives what a tensor gives."""
    for lengths, n in TEXTS:
        same = torch.equal(padding(lengths, n), padding(torch.tensor(lengths), n))
        assert same, f"padding({lengths}, {n}) is not the mask that a tensor of these lengths gives"


def property_padding_leaves_the_lengths_alone(padding):
    """The tensor is the caller's, who may want it again."""
    for lengths, n in TEXTS:
        given = torch.tensor(lengths)
        padding(given, n)
        # torch.equal compares shapes too.
        assert torch.equal(given, torch.tensor(lengths)), f"lengths is changed in place, from {lengths} to {given}"
    # end of answer


def property_causal_window_ends_with_the_query(sliding_window):
    """sliding_window(n, window, causal=True), (n n): query i sees the keys i - window + 1 to i. window is 1 or more.

    With causal=False it sees as many on the other side too, i - window + 1 to i + window - 1.
    """
    # answer: the property, and what else holds of a right sliding window
    for n, window in WINDOWS:
        expected = [[i - window + 1 <= j <= i for j in range(n)] for i in range(n)]
        # Asked for, and if nobody says anything: a default is behaviour as well.
        for mask in (sliding_window(n, window, causal=True), sliding_window(n, window)):
            assert mask.tolist() == expected, f"n = {n}, window = {window}: expected {expected}, got {mask.tolist()}"


# Narrower than the text by far, by one, as wide, and wider. A window of 3 to both sides is not a window of 3 in all.
WINDOWS = ((5, 1), (7, 3), (4, 3), (3, 3), (2, 4), (1, 1))


def property_two_sided_window_has_the_query_in_the_middle(sliding_window):
    """causal=False: as many keys on either side."""
    for n, window in WINDOWS:
        expected = [[abs(i - j) < window for j in range(n)] for i in range(n)]
        got = sliding_window(n, window, causal=False).tolist()
        assert got == expected, f"n = {n}, window = {window}, two-sided: expected {expected}, got {got}"


def property_window_is_a_boolean_for_each_pair(sliding_window):
    """Python's lists above do not tell True from 1.0: True == 1.0 is True."""
    for n, window in WINDOWS:
        for causal in (True, False):
            mask = sliding_window(n, window, causal)
            assert mask.dtype == torch.bool, f"a mask must be boolean; got {mask.dtype}"
    # end of answer
