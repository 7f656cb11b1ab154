"""What e07 combine must do, from the simplest property to the strictest."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.checks.cases import MaskCase
from attn_lab.checks.compare import agree, require


@st.composite
def texts(draw):
    """Texts of 0 to n real positions, as many texts as positions or not, and a window."""
    n = draw(st.sampled_from((3, 4, 2, 5, 1)))
    b = draw(st.sampled_from((2, 3, 1, n)))
    lengths = draw(st.lists(st.integers(0, n), min_size=b, max_size=b))
    return MaskCase(n=n, lengths=tuple(lengths), window=draw(st.sampled_from((2, 1, 3, 7))))


def combined(answer, case):
    return answer.combine(case.n, torch.tensor(case.lengths), case.window)


def by_pair(case, may_attend):
    """(b 1 i j): one question for each example, query and key."""
    positions = range(case.n)
    rows = [[[[may_attend(length, i, j) for j in positions] for i in positions]] for length in case.lengths]
    return torch.tensor(rows, dtype=torch.bool)


@given(texts())
def test_one_boolean_mask_for_all_heads(answer, case):
    """The mask is boolean, (b 1 i j): each example has its own, and its heads share it."""
    mask = combined(answer, case)
    require(isinstance(mask, torch.Tensor), f"a mask must be a tensor; got {type(mask).__name__}")
    wanted = torch.empty(len(case.lengths), 1, case.n, case.n)
    agree(torch.empty(mask.shape), wanted, torch.inf, "the mask", "b 1 i j")
    require(mask.dtype == torch.bool, f"a mask must be boolean, True where a query may attend; got {mask.dtype}")


@given(texts())
def test_no_query_sees_the_future(answer, case):
    """Nowhere may a query attend to a key that comes after its own position."""
    mask = combined(answer, case)
    seen = mask & by_pair(case, lambda length, i, j: j > i)
    agree(seen, torch.zeros_like(seen), 0.0, "what is seen of the future", "b 1 i j")


@given(texts())
def test_no_query_sees_padding(answer, case):
    """Nowhere may a query attend to a key from lengths[b] on."""
    mask = combined(answer, case)
    seen = mask & by_pair(case, lambda length, i, j: j >= length)
    agree(seen, torch.zeros_like(seen), 0.0, "what is seen of the padding", "b 1 i j")


@given(texts())
def test_no_query_sees_beyond_the_window(answer, case):
    """Nowhere may a query attend to a key that is `window` or more positions back."""
    mask = combined(answer, case)
    seen = mask & by_pair(case, lambda length, i, j: i - j >= case.window)
    agree(seen, torch.zeros_like(seen), 0.0, "what is seen beyond the window", "b 1 i j")


@given(texts())
def test_everything_else_is_seen(answer, case):
    """What is past, near and real may be attended to, by every query, padded ones too; and nothing else."""
    expected = by_pair(case, lambda length, i, j: i - case.window < j <= i and j < length)
    agree(combined(answer, case), expected, 0.0, "the mask", "b 1 i j")


@given(texts(), st.booleans())
def test_it_broadcasts_to_every_head(answer, case, as_many_heads_as_examples):
    """Expanded to the scores' (b h i j), the mask of example b is the same in every head h; also where b = h."""
    b = len(case.lengths)
    h = b if as_many_heads_as_examples else b + 1
    each = by_pair(case, lambda length, i, j: i - case.window < j <= i and j < length)
    scores = torch.zeros(b, h, case.n, case.n)
    hidden = scores.masked_fill(~combined(answer, case), -torch.inf).isneginf()
    agree(~hidden, each.repeat(1, h, 1, 1), 0.0, "the mask on the scores", "b h i j")


@given(texts())
def test_the_lengths_may_be_a_list(answer, case):
    """A list of lengths gives the mask that a tensor gives; the tensor is left as it is."""
    lengths = torch.tensor(case.lengths)
    expected = answer.combine(case.n, lengths, case.window)
    agree(lengths, torch.tensor(case.lengths), 0.0, "the tensor of lengths afterwards", "b")
    mask = answer.combine(case.n, list(case.lengths), case.window)
    agree(mask, expected, 0.0, "the mask for a list of lengths", "b 1 i j")
