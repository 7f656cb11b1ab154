"""Wrong answers to e05 that have been seen, each with what it does and what a teacher would say; and right variants."""

import torch
from einops import rearrange

from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = ("attn_lab.masks.padding",)


def lengths_as_column(lengths):
    return torch.as_tensor(lengths)[:, None]


def real_of_lengths(lengths, n):
    """(b n)"""
    return torch.arange(n) < lengths_as_column(lengths)


def keys(real):
    """(b n) on the axes of the scores."""
    return rearrange(real, "b n -> b 1 1 n")


def lengths_inverted(lengths, n):
    return keys(~real_of_lengths(lengths, n))


def ids_inverted(ids, pad_id):
    return keys(ids == pad_id)


def one_key_too_many(lengths, n):
    return keys(torch.arange(n) <= lengths_as_column(lengths))


def one_key_too_few(lengths, n):
    return keys(torch.arange(n) < lengths_as_column(lengths) - 1)


def at_the_end(lengths, n):
    return keys(torch.arange(n) >= n - lengths_as_column(lengths))


def lengths_of_the_padding(lengths, n):
    return keys(torch.arange(n) < n - lengths_as_column(lengths))


def longest_for_all(lengths, n):
    lengths = torch.as_tensor(lengths)
    return keys(real_of_lengths(lengths.max().expand(len(lengths)), n))


def first_for_all(lengths, n):
    return keys(real_of_lengths(lengths, n)[:1].expand(len(lengths), n))


def queries_of_lengths(lengths, n):
    return rearrange(real_of_lengths(lengths, n), "b n -> b 1 n 1")


def queries_of_ids(ids, pad_id):
    return rearrange(ids != pad_id, "b n -> b 1 n 1")


def flat_lengths(lengths, n):
    return real_of_lengths(lengths, n)


def flat_ids(ids, pad_id):
    return ids != pad_id


def heads_of_lengths(lengths, n):
    return rearrange(real_of_lengths(lengths, n), "b n -> 1 b 1 n")


def heads_of_ids(ids, pad_id):
    return rearrange(ids != pad_id, "b n -> 1 b 1 n")


def floats_of_lengths(lengths, n):
    return keys(real_of_lengths(lengths, n)).float()


def floats_of_ids(ids, pad_id):
    return keys(ids != pad_id).float()


def whole_numbers_of_lengths(lengths, n):
    return keys(real_of_lengths(lengths, n)).long()


def whole_numbers_of_ids(ids, pad_id):
    return keys(ids != pad_id).long()


def additive_of_lengths(lengths, n):
    real = keys(real_of_lengths(lengths, n))
    return torch.zeros(real.shape).masked_fill(~real, -torch.inf)


def additive_of_ids(ids, pad_id):
    real = keys(ids != pad_id)
    return torch.zeros(real.shape).masked_fill(~real, -torch.inf)


def list_crashes(lengths, n):
    return keys(torch.arange(n) < lengths[:, None])


def lengths_reshaped_in_place(lengths, n):
    return keys(torch.arange(n) < torch.as_tensor(lengths).unsqueeze_(1))


def counted_from_the_front(ids, pad_id):
    return keys(real_of_lengths((ids != pad_id).sum(1), ids.shape[1]))


def ends_at_the_first(ids, pad_id):
    return keys((ids == pad_id).cumsum(1) == 0)


def ends_after_the_last(ids, pad_id):
    return keys((ids != pad_id).flip(1).cumsum(1).flip(1) > 0)


def zero_is_padding(ids, pad_id):
    return keys(ids != 0)


def larger_ids(ids, pad_id):
    return keys(ids > pad_id)


def last_id_is_padding(ids, pad_id):
    return keys(ids != ids[:, -1:])


def queries_and_keys_of_lengths(lengths, n):
    real = real_of_lengths(lengths, n)
    return real[:, None, :, None] & real[:, None, None, :]


def queries_and_keys_of_ids(ids, pad_id):
    real = ids != pad_id
    return real[:, None, :, None] & real[:, None, None, :]


MISTAKES = (
    Mistake(
        "says True where a key is padding, as nn.MultiheadAttention's key_padding_mask does",
        "In this course True means that a key may be attended to: real keys are True.",
        caught_by="test_the_first_keys_are_real",
        padding=lengths_inverted,
        padding_of_ids=ids_inverted,
    ),
    Mistake(
        "says True where a key is padding",
        "In this course True means that a key may be attended to: real is what lies before the length.",
        caught_by="test_the_first_keys_are_real",
        padding=lengths_inverted,
    ),
    Mistake(
        "says True where the id is pad_id",
        "In this course True means that a key may be attended to: ask where the id is not pad_id, ids != pad_id.",
        caught_by="test_keys_with_another_id_are_real",
        padding_of_ids=ids_inverted,
    ),
    Mistake(
        "lets one key of the padding through",
        "Positions count from 0: a text of 3 fills 0, 1 and 2, so real is position < length, not <=.",
        caught_by="test_the_first_keys_are_real",
        padding=one_key_too_many,
    ),
    Mistake(
        "hides the last real key",
        "Positions count from 0: a text of 3 fills 0, 1 and 2, so real is position < length, with nothing subtracted.",
        caught_by="test_the_first_keys_are_real",
        padding=one_key_too_few,
    ),
    Mistake(
        "pads in front: it takes the last keys for the real ones",
        "Here each text begins at position 0 and padding follows: real is position < length.",
        caught_by="test_the_first_keys_are_real",
        padding=at_the_end,
    ),
    Mistake(
        "takes the lengths for those of the padding",
        "lengths[b] says how many keys are real, not how many are missing.",
        caught_by="test_the_first_keys_are_real",
        padding=lengths_of_the_padding,
    ),
    Mistake(
        "pads every text as far as the longest",
        "Each text has a length of its own: compare the row of positions with a column of lengths.",
        caught_by="test_the_content_of_padding_never_changes_a_real_output",
        padding=longest_for_all,
    ),
    Mistake(
        "gives every text the length of the first",
        "Each text has a length of its own: compare the row of positions with a column of lengths.",
        caught_by="test_the_first_keys_are_real",
        padding=first_for_all,
    ),
    Mistake(
        "hides the queries of the padding, and none of its keys",
        "Scores are (b h i j), and the keys are j: the mask's last axis, (b 1 1 n). As (b 1 n 1) it empties rows, and "
        "every real query still sees the padding.",
        caught_by="test_padding_is_one_boolean_for_each_key",
        padding=queries_of_lengths,
        padding_of_ids=queries_of_ids,
    ),
    Mistake(
        "hides the queries beyond each length, and none of the keys",
        "Scores are (b h i j), and the keys are j: the mask's last axis, (b 1 1 n). As (b 1 n 1) it empties rows, and "
        "every real query still sees the padding.",
        caught_by="test_padding_is_one_boolean_for_each_key",
        padding=queries_of_lengths,
    ),
    Mistake(
        "hides the queries whose id is pad_id, and none of the keys",
        "Scores are (b h i j), and the keys are j: the mask's last axis, (b 1 1 n). As (b 1 n 1) it empties rows, and "
        "every real query still sees the padding.",
        caught_by="test_padding_of_ids_is_one_boolean_for_each_key",
        padding_of_ids=queries_of_ids,
    ),
    Mistake(
        "hides the queries beyond each length too: (b 1 n n)",
        "Padding must not be seen, but it may see: a row in which all is hidden has no weights. Hide keys, (b 1 1 n).",
        caught_by="test_padding_is_one_boolean_for_each_key",
        padding=queries_and_keys_of_lengths,
    ),
    Mistake(
        "hides the queries whose id is pad_id too: (b 1 n n)",
        "Padding must not be seen, but it may see: a row in which all is hidden has no weights. Hide keys, (b 1 1 n).",
        caught_by="test_padding_of_ids_is_one_boolean_for_each_key",
        padding_of_ids=queries_and_keys_of_ids,
    ),
    Mistake(
        "returns (b n), which broadcasts as if examples were queries",
        "Axes are matched from the right: with (b 1 1 n) the examples stand where the scores (b h i j) have them.",
        caught_by="test_padding_is_one_boolean_for_each_key",
        padding=flat_lengths,
        padding_of_ids=flat_ids,
    ),
    Mistake(
        "puts the examples on the heads' axis: (1 b 1 n)",
        "The scores are (b h i j): examples come first, then an axis of size 1 for the heads, (b 1 1 n).",
        caught_by="test_padding_is_one_boolean_for_each_key",
        padding=heads_of_lengths,
        padding_of_ids=heads_of_ids,
    ),
    Mistake(
        "returns the numbers 1.0 and 0.0, not True and False",
        "A mask is boolean: return the comparison itself.",
        caught_by="test_padding_is_one_boolean_for_each_key",
        padding=floats_of_lengths,
        padding_of_ids=floats_of_ids,
    ),
    Mistake(
        "returns whole numbers 1 and 0, not True and False",
        "A mask is boolean: return the comparison itself.",
        caught_by="test_padding_is_one_boolean_for_each_key",
        padding=whole_numbers_of_lengths,
        padding_of_ids=whole_numbers_of_ids,
    ),
    Mistake(
        "returns 0 and -inf, to be added to the scores",
        "A mask here is boolean, True = may attend; turning it into -inf is the softmax's business (e03).",
        caught_by="test_padding_is_one_boolean_for_each_key",
        padding=additive_of_lengths,
        padding_of_ids=additive_of_ids,
    ),
    Mistake(
        "takes a tensor of lengths and crashes on a list",
        "`lengths` may be a list too: begin with torch.as_tensor(lengths), which takes both.",
        caught_by="test_the_lengths_may_be_a_list",
        padding=list_crashes,
    ),
    Mistake(
        "gives the caller's tensor of lengths another shape",
        "The lengths are the caller's: unsqueeze returns a new view, unsqueeze_ changes the tensor itself.",
        caught_by="test_the_inputs_are_left_as_they_are",
        padding=lengths_reshaped_in_place,
    ),
    Mistake(
        "counts the real ids and takes as many keys from the front",
        "That is right only where all padding comes last: ask each id on its own, ids != pad_id.",
        caught_by="test_keys_with_another_id_are_real",
        padding_of_ids=counted_from_the_front,
    ),
    Mistake(
        "ends a text at its first pad_id",
        "Padding may also stand in front, and then nothing would be left: ask each id on its own, ids != pad_id.",
        caught_by="test_keys_with_another_id_are_real",
        padding_of_ids=ends_at_the_first,
    ),
    Mistake(
        "counts only the padding at the end",
        "Padding may also stand in front: ask each id on its own, ids != pad_id.",
        caught_by="test_keys_with_another_id_are_real",
        padding_of_ids=ends_after_the_last,
    ),
    Mistake(
        "takes 0 for the padding's id, whatever pad_id is",
        "Which id stands for padding is the vocabulary's affair: compare with pad_id.",
        caught_by="test_keys_with_another_id_are_real",
        padding_of_ids=zero_is_padding,
    ),
    Mistake(
        "takes ids below pad_id for padding too",
        "Ids have no order: padding is what equals pad_id, and nothing else.",
        caught_by="test_keys_with_another_id_are_real",
        padding_of_ids=larger_ids,
    ),
    Mistake(
        "takes the last id of each text for padding",
        "The longest text has no padding at its end: compare with pad_id.",
        caught_by="test_keys_with_another_id_are_real",
        padding_of_ids=last_id_is_padding,
    ),
)


def padding_by_none(lengths, n):
    return (torch.arange(n)[None] < torch.as_tensor(lengths)[:, None])[:, None, None]


def padding_by_rows(lengths, n):
    mask = torch.zeros(len(lengths), 1, 1, n, dtype=torch.bool)
    for row, length in zip(mask, lengths):
        row[..., :length] = True
    return mask


def padding_by_pairs(lengths, n):
    return torch.tensor([[[[j < length for j in range(n)]]] for length in lengths])


def padding_by_subtraction(lengths, n):
    after = torch.arange(n) >= torch.as_tensor(lengths).reshape(-1, 1, 1, 1)
    return after.logical_not()


def padding_from_triangle(lengths, n):
    rows = torch.ones(n + 1, n, dtype=torch.bool).tril(-1)
    return rows[torch.as_tensor(lengths)].reshape(-1, 1, 1, n)


VARIANTS = (
    Variant(
        "None for the axes of size 1",
        padding=padding_by_none,
        padding_of_ids=lambda ids, pad_id: ids.ne(pad_id)[:, None, None, :],
    ),
    Variant(
        "a slice of each row",
        padding=padding_by_rows,
        padding_of_ids=lambda ids, pad_id: ~(ids == pad_id).unsqueeze(1).unsqueeze(2),
    ),
    Variant("Python's own loops", padding=padding_by_pairs),
    Variant("what is not behind the end", padding=padding_by_subtraction),
    Variant(
        "rows of a triangle, looked up by length",
        padding=padding_from_triangle,
        padding_of_ids=lambda ids, pad_id: (ids - pad_id).bool().reshape(len(ids), 1, 1, -1),
    ),
)


def observe(answer, seed):
    """As many texts as positions or not, empty texts and full ones, lists and tensors; padding anywhere, other ids."""
    lengths, n = (
        ([2, 3], 4),
        ([4, 1, 0, 2], 4),
        ([3], 5),
        ([1], 1),
        ([0, 1], 1),
        ([2, 5, 3], 5),
        ([3, 1, 2], 3),
        ([0], 2),
    )[seed % 8]
    pad_id = (0, 1, -1, 3, -100)[seed % 5]
    ids = torch.randint(-1, 4, (len(lengths), n), generator=torch.Generator().manual_seed(seed))
    return {
        "list": _padding(answer, lengths, n),
        "tensor": _padding(answer, torch.tensor(lengths), n),
        "int32": _padding(answer, torch.tensor(lengths, dtype=torch.int32), n),
        "ids": behaviour(lambda ids, pad_id: _one_of_a_kind(answer.padding_of_ids(ids, pad_id)), ids, pad_id),
    }


def _padding(answer, lengths, n):
    return behaviour(lambda lengths, n: _one_of_a_kind(answer.padding(lengths, n)), lengths, n)


def _one_of_a_kind(mask):
    """Whole numbers of any width are the same mistake, and so are floats."""
    if not isinstance(mask, torch.Tensor) or mask.dtype == torch.bool:
        return mask
    return mask.double() if mask.is_floating_point() else mask.long()
