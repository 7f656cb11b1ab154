"""What e06 sliding window must do, from the simplest property to the strictest."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.checks.compare import agree, require

LENGTHS = st.sampled_from((5, 3, 7, 2, 1, 33))
WINDOWS = st.sampled_from((2, 3, 1, 4, 5, 7, 9, 20))  # narrower than the text, as wide, and wider


def by_pair(n, may_attend):
    """The mask by its definition: one question for each pair of a query i and a key j."""
    return torch.tensor([[may_attend(i, j) for j in range(n)] for i in range(n)])


@given(n=LENGTHS, window=WINDOWS, causal=st.booleans())
def test_a_boolean_for_each_pair(answer, n, window, causal):
    """The mask is boolean, with a row for each query and a column for each key: (i j) = (n n)."""
    mask = answer.sliding_window(n, window, causal)
    require(isinstance(mask, torch.Tensor), f"a mask must be a tensor; got {type(mask).__name__}")
    agree(torch.empty(mask.shape), torch.empty(n, n), torch.inf, "the mask", "i j")
    require(mask.dtype == torch.bool, f"a mask must be boolean, True where a query may attend; got {mask.dtype}")


@given(n=LENGTHS, window=WINDOWS, causal=st.booleans())
def test_each_query_sees_itself(answer, n, window, causal):
    """The query's own position is one of its window's: the diagonal is True."""
    mask = answer.sliding_window(n, window, causal)
    agree(mask.diagonal(), torch.ones(n, dtype=torch.bool), 0.0, "the mask's diagonal", "i")


@given(n=LENGTHS, causal=st.booleans())
def test_a_window_of_one_is_the_query_alone(answer, n, causal):
    """The own position counts, so with window = 1 each query sees itself and nothing else, in both kinds."""
    mask = answer.sliding_window(n, 1, causal)
    agree(mask, by_pair(n, lambda i, j: i == j), 0.0, "the mask for window = 1", "i j")


@given(n=LENGTHS, more=st.sampled_from((0, 1, 4)), causal=st.booleans())
def test_a_window_as_wide_as_the_text_hides_no_near_key(answer, n, more, causal):
    """With window >= n nothing is too far: the causal mask is left, or no mask at all."""
    mask = answer.sliding_window(n, n + more, causal)
    agree(mask, by_pair(n, lambda i, j: j <= i or not causal), 0.0, f"the mask for window = {n + more}", "i j")


@given(n=LENGTHS, window=WINDOWS)
def test_causal_the_window_ends_with_the_query(answer, n, window):
    """causal=True: query i sees the keys i - window + 1 to i."""
    mask = answer.sliding_window(n, window, causal=True)
    agree(mask, by_pair(n, lambda i, j: i - window + 1 <= j <= i), 0.0, "the causal mask", "i j")


@given(n=LENGTHS, window=WINDOWS)
def test_two_sided_the_query_is_in_the_middle(answer, n, window):
    """causal=False: query i sees the keys i - window + 1 to i + window - 1."""
    mask = answer.sliding_window(n, window, causal=False)
    agree(mask, by_pair(n, lambda i, j: i - window + 1 <= j <= i + window - 1), 0.0, "the two-sided mask", "i j")


@given(n=LENGTHS, window=WINDOWS)
def test_causal_unless_told_otherwise(answer, n, window):
    """Without a third argument the window is causal."""
    mask = answer.sliding_window(n, window)
    agree(mask, by_pair(n, lambda i, j: i - window + 1 <= j <= i), 0.0, "the mask by default", "i j")
