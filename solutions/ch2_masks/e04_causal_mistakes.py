"""Wrong answers to e04 that have been seen, each with what it does and what a teacher would say; and right variants."""

import torch

from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = (
    "attn_lab.masks.causal",
    "attn_lab.masks.sliding_window",
    "torch.nn.Transformer.generate_square_subsequent_mask",
)


def ones(n):
    return torch.ones(n, n, dtype=torch.bool)


def upper(n):
    return ones(n).triu()


def future_only(n):
    return ones(n).triu(1)


def past_only(n):
    return ones(n).tril(-1)


def one_ahead(n):
    return ones(n).tril(1)


def everything(n):
    return ones(n)


def own_position_only(n):
    return torch.eye(n, dtype=torch.bool)


def flipped(n):
    return ones(n).tril().flip(0)


def first_hidden(n):
    return torch.arange(n * n).reshape(n, n).tril() != 0


def first_row_and_column_hidden(n):
    position = torch.arange(n)
    return (position[:, None] * position).tril() != 0


def floats(n):
    return torch.ones(n, n).tril()


def whole_numbers(n):
    return ones(n).tril().long()


def additive(n):
    return torch.full((n, n), -torch.inf).triu(1)


MISTAKES = (
    Mistake(
        "shows each query itself and the future: the triangle above the diagonal",
        "Rows are queries and columns are keys: query i sees the keys up to i, the lower triangle (tril).",
        caught_by="test_no_query_sees_the_future",
        causal=upper,
    ),
    Mistake(
        "says True where a key is hidden, as nn.MultiheadAttention's masks do",
        "In this course True means that the query may attend to the key: turn the mask around with ~.",
        caught_by="test_no_query_sees_the_future",
        causal=future_only,
    ),
    Mistake(
        "hides the query's own position",
        "A query may look at itself, j <= i: what it must not see is the next word. Else row 0 has nothing to see.",
        caught_by="test_each_query_sees_itself",
        causal=past_only,
    ),
    Mistake(
        "lets each query see one position ahead",
        "The next word is what the model has to guess: the diagonal is the last that is seen, tril() and not tril(1).",
        caught_by="test_no_query_sees_the_future",
        causal=one_ahead,
    ),
    Mistake(
        "hides nothing",
        "Take the triangle and use what comes back: tril returns a new tensor and leaves the old one as it was.",
        caught_by="test_no_query_sees_the_future",
        causal=everything,
    ),
    Mistake(
        "lets each query see itself alone",
        "The past may be seen, all of it: j <= i, not j == i.",
        caught_by="test_each_query_sees_the_whole_past",
        causal=own_position_only,
    ),
    Mistake(
        "counts the queries from the end: the first row sees everything",
        "Row 0 is the first query and sees key 0 alone: the triangle lies at the lower left.",
        caught_by="test_no_query_sees_the_future",
        causal=flipped,
    ),
    Mistake(
        "takes the triangle of a table of numbers and asks which are not 0: one of them is 0 itself",
        "Which pairs may be seen depends on i and j, not on what stands there: start from ones, or compare positions.",
        caught_by="test_each_query_sees_itself",
        causal=first_hidden,
    ),
    Mistake(
        "derives the mask from products of positions, which are 0 in the first row and column",
        "Which pairs may be seen depends on i and j, not on what stands there: start from ones, or compare positions.",
        caught_by="test_each_query_sees_itself",
        causal=first_row_and_column_hidden,
    ),
    Mistake(
        "returns the numbers 1.0 and 0.0, not True and False",
        "A mask is boolean: return a comparison, or start from torch.ones with dtype=torch.bool.",
        caught_by="test_a_boolean_for_each_pair",
        causal=floats,
    ),
    Mistake(
        "returns whole numbers 1 and 0, not True and False",
        "A mask is boolean: return a comparison, or start from torch.ones with dtype=torch.bool.",
        caught_by="test_a_boolean_for_each_pair",
        causal=whole_numbers,
    ),
    Mistake(
        "returns 0 and -inf, to be added to the scores",
        "A mask here is boolean, True = may attend; turning it into -inf is the softmax's business (e03).",
        caught_by="test_a_boolean_for_each_pair",
        causal=additive,
    ),
)


def lower_triangle(n):
    return ones(n).tril()


def not_the_upper_triangle(n):
    return ~ones(n).triu(1)


def row_by_row(n):
    mask = torch.zeros(n, n, dtype=torch.bool)
    for i in range(n):
        mask[i, : i + 1] = True
    return mask


def pair_by_pair(n):
    return torch.tensor([[j <= i for j in range(n)] for i in range(n)])


def counted(n):
    return torch.eye(n, dtype=torch.long).cumsum(0) > 0


def from_indices(n):
    mask = torch.zeros(n, n, dtype=torch.bool)
    mask[tuple(torch.tril_indices(n, n))] = True
    return mask


VARIANTS = (
    Variant("the lower triangle of ones", causal=lower_triangle),
    Variant("what is not in the upper triangle without its diagonal", causal=not_the_upper_triangle),
    Variant("a slice of each row", causal=row_by_row),
    Variant("Python's own loops", causal=pair_by_pair),
    Variant("the identity, summed up from above", causal=counted),
    Variant("the indices of the triangle", causal=from_indices),
)

N_PROBES = 12


def observe(answer, seed):
    """Lengths from 1 on."""
    n = (4, 1, 3, 7, 2, 5, 6, 8, 9, 12, 17, 33)[seed]
    return behaviour(lambda n: one_of_a_kind(answer.causal(n)), n)


def one_of_a_kind(mask):
    """Whole numbers of any width are the same mistake, and so are floats."""
    if not isinstance(mask, torch.Tensor) or mask.dtype == torch.bool:
        return mask
    return mask.double() if mask.is_floating_point() else mask.long()
