"""What e04 causal must do, from the simplest property to the strictest."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab import attention
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, require
from attn_lab.checks.setting import EXACT

LENGTHS = st.sampled_from((4, 3, 7, 2, 5, 1, 33))


def by_pair(n, may_attend):
    """The mask by its definition: one question for each pair of a query i and a key j."""
    return torch.tensor([[may_attend(i, j) for j in range(n)] for i in range(n)])


@given(n=LENGTHS)
def test_a_boolean_for_each_pair(answer, n):
    """The mask is boolean, with a row for each query and a column for each key: (i j) = (n n)."""
    mask = answer.causal(n)
    require(isinstance(mask, torch.Tensor), f"a mask must be a tensor; got {type(mask).__name__}")
    agree(torch.empty(mask.shape), torch.empty(n, n), torch.inf, "the mask", "i j")
    require(mask.dtype == torch.bool, f"a mask must be boolean, True where a query may attend; got {mask.dtype}")


@given(n=LENGTHS)
def test_each_query_sees_itself(answer, n):
    """A query may look at its own position: the diagonal is True."""
    agree(answer.causal(n).diagonal(), torch.ones(n, dtype=torch.bool), 0.0, "the mask's diagonal", "i")


@given(n=LENGTHS)
def test_no_query_sees_the_future(answer, n):
    """Nowhere may a query attend to a key that comes after its own position."""
    seen = answer.causal(n) & by_pair(n, lambda i, j: j > i)
    agree(seen, torch.zeros(n, n, dtype=torch.bool), 0.0, "what is seen of the future", "i j")


@given(n=LENGTHS)
def test_each_query_sees_the_whole_past(answer, n):
    """Query i sees the keys 0 to i, all of them, and nothing else."""
    agree(answer.causal(n), by_pair(n, lambda i, j: j <= i), 0.0, "the mask", "i j")


@given(n=st.sampled_from((4, 3, 7, 2, 5)), seed=st.integers(0, 9999))
def test_changing_the_future_never_changes_the_past(answer, n, seed):
    """Under this mask, attention gives the first p positions the same output, whatever stands from p on."""
    source = generator(seed)
    query, key, value = (fill(source, 2, 3, n, 4) for _ in range(3))
    mask = answer.causal(n)
    before = attention(query, key, value, mask)
    for p in range(1, n):
        text = [x.clone() for x in (query, key, value)]
        for x in text:
            x[:, :, p:] = fill(source, 2, 3, n - p, 4)
        after = attention(*text, mask)
        what = f"the output at positions 0 to {p - 1}, after a change from {p} on,"
        agree(after[:, :, :p], before[:, :, :p], EXACT.tolerance, what, "b h i e")
