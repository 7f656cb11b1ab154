"""What e05 padding must do, from the simplest property to the strictest."""

from dataclasses import dataclass

import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab import attention
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, require
from attn_lab.checks.setting import EXACT

FEW, LENGTHS, SEEDS = st.sampled_from((2, 3, 1)), st.sampled_from((4, 3, 5, 2, 1, 7)), st.integers(0, 9999)


@dataclass(frozen=True)
class Texts:
    """How many of n positions are real in each text."""

    lengths: tuple[int, ...]
    n: int


@dataclass(frozen=True)
class Ids:
    """Token ids, a row for each text, and the one that stands for padding."""

    ids: tuple[tuple[int, ...], ...]
    pad_id: int

    @property
    def n(self):
        """How many positions there are."""
        return len(self.ids[0])

    def tensor(self):
        """(b n)"""
        return torch.tensor(self.ids)


@st.composite
def texts(draw):
    """As many texts as positions or not, each of 0 to n."""
    n = draw(LENGTHS)
    b = draw(st.one_of(FEW, st.just(n)))
    return Texts(tuple(draw(st.lists(st.integers(0, n), min_size=b, max_size=b))), n)


@st.composite
def batches_of_ids(draw):
    """Rows of few ids, the padding's among them, anywhere in a row; and of ids that might be mistaken for it."""
    n, pad_id = draw(LENGTHS), draw(st.sampled_from((0, 1, 3, -1, 1000)))
    b = draw(st.one_of(FEW, st.just(n)))
    row = st.lists(
        st.sampled_from((2, pad_id, 0, pad_id + 1, pad_id - 1, -pad_id, pad_id + 256)), min_size=n, max_size=n
    )
    return Ids(tuple(tuple(draw(row)) for _ in range(b)), pad_id)


TEXTS, IDS = texts(), batches_of_ids()


def key_by_key(rows):
    """(b 1 1 j), from a row of answers for each example."""
    return torch.tensor([[[row]] for row in rows], dtype=torch.bool)


def one_boolean_for_each_key(mask, b, n):
    require(isinstance(mask, torch.Tensor), f"a mask must be a tensor; got {type(mask).__name__}")
    agree(torch.empty(mask.shape), torch.empty(b, 1, 1, n), torch.inf, "the mask", "b 1 1 j")
    require(mask.dtype == torch.bool, f"a mask must be boolean, True where a key is real; got {mask.dtype}")


@given(TEXTS)
def test_padding_is_one_boolean_for_each_key(answer, case):
    """The mask of lengths is boolean, (b 1 1 n): an axis of size 1 for the heads, and one for the queries."""
    one_boolean_for_each_key(answer.padding(torch.tensor(case.lengths), case.n), len(case.lengths), case.n)


@given(IDS)
def test_padding_of_ids_is_one_boolean_for_each_key(answer, case):
    """The mask of ids is boolean, (b 1 1 n): an axis of size 1 for the heads, and one for the queries."""
    one_boolean_for_each_key(answer.padding_of_ids(case.tensor(), case.pad_id), len(case.ids), case.n)


@given(TEXTS)
def test_the_first_keys_are_real(answer, case):
    """The first lengths[b] keys of example b are real, and no others."""
    expected = key_by_key([[j < length for j in range(case.n)] for length in case.lengths])
    agree(answer.padding(torch.tensor(case.lengths), case.n), expected, 0.0, "padding(lengths, n)", "b 1 1 j")


@given(TEXTS)
def test_the_lengths_may_be_a_list(answer, case):
    """A list of lengths gives the mask that a tensor gives, and so does a tensor of another whole-number type."""
    expected = answer.padding(torch.tensor(case.lengths), case.n)
    agree(answer.padding(list(case.lengths), case.n), expected, 0.0, "the mask for a list of lengths", "b 1 1 j")
    short = torch.tensor(case.lengths, dtype=torch.int32)
    agree(answer.padding(short, case.n), expected, 0.0, "the mask for lengths in int32", "b 1 1 j")


@given(IDS)
def test_keys_with_another_id_are_real(answer, case):
    """A key is real where its id is not pad_id, wherever it stands and whatever number pad_id is."""
    expected = key_by_key([[token != case.pad_id for token in row] for row in case.ids])
    agree(answer.padding_of_ids(case.tensor(), case.pad_id), expected, 0.0, "padding_of_ids(ids, pad_id)", "b 1 1 j")


@given(TEXTS, st.sampled_from((0, 7, -1)))
def test_lengths_and_ids_say_the_same(answer, case, pad_id):
    """Where real tokens come first and padding follows, the mask of the ids is the mask of the lengths."""
    ids = torch.tensor([[5] * length + [pad_id] * (case.n - length) for length in case.lengths])
    by_length = answer.padding(torch.tensor(case.lengths), case.n)
    agree(answer.padding_of_ids(ids, pad_id), by_length, 0.0, "padding_of_ids, against padding,", "b 1 1 j")


@given(TEXTS, SEEDS)
def test_the_content_of_padding_never_changes_a_real_output(answer, case, seed):
    """Under this mask, attention gives every position the same output, whatever stands in the padding."""
    source, b, n = generator(seed), len(case.lengths), case.n
    h = b  # as many heads as examples: no error tells when the two are confused
    query, key, value = (fill(source, b, h, n, 3) for _ in range(3))
    mask = answer.padding(torch.tensor(case.lengths), n)
    before = attention(query, key, value, mask)
    for text, length in enumerate(case.lengths):
        key[text, :, length:], value[text, :, length:] = fill(source, 2, h, n - length, 3)
    after = attention(query, key, value, mask)
    agree(after, before, EXACT.tolerance, "the output, after a change of keys and values in the padding,", "b h i e")


@given(TEXTS, IDS)
def test_the_inputs_are_left_as_they_are(answer, case, ids):
    """lengths and ids are the caller's: neither their numbers nor their shapes change."""
    lengths, tokens = torch.tensor(case.lengths), ids.tensor()
    answer.padding(lengths, case.n)
    answer.padding_of_ids(tokens, ids.pad_id)
    for name, now, before in (("lengths", lengths, torch.tensor(case.lengths)), ("ids", tokens, ids.tensor())):
        require(now.shape == before.shape, f"the shape of {name} is changed in place, to {tuple(now.shape)}")
        require(torch.equal(now, before), f"{name} are changed in place")
