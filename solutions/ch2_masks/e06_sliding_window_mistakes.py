"""Wrong answers to e06 that have been seen, each with what it does and what a teacher would say; and right variants."""

import torch

from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = ("attn_lab.masks.sliding_window",)


def distance_of(n):
    """i - j for every pair."""
    return torch.arange(n)[:, None] - torch.arange(n)


def band(distance, window, causal):
    """A right answer, from the distances."""
    return (distance.abs() < window) & ((distance >= 0) | (not causal))


def one_key_too_many(n, window, causal=True):
    return band(distance_of(n), window + 1, causal)


def one_key_too_few(n, window, causal=True):
    return band(distance_of(n), window - 1, causal)


def own_position_hidden(n, window, causal=True):
    return band(distance_of(n), window + 1, causal) & ~torch.eye(n, dtype=torch.bool)


def always_two_sided(n, window, causal=True):
    return band(distance_of(n), window, causal=False)


def always_causal(n, window, causal=True):
    return band(distance_of(n), window, causal=True)


def two_sided_by_default(n, window, causal=False):
    return band(distance_of(n), window, causal)


def forward(n, window, causal=True):
    return band(-distance_of(n), window, causal)


def far_past_not_hidden(n, window, causal=True):
    return distance_of(n) > (-1 if causal else -window)


def window_ignored(n, window, causal=True):
    return band(distance_of(n), n, causal)


def future_not_hidden(n, window, causal=True):
    return distance_of(n) < window if causal else band(distance_of(n), window, causal)


def wraps_around(n, window, causal=True):
    ahead = distance_of(n) % n
    return ahead < window if causal else torch.minimum(ahead, -distance_of(n) % n) < window


def negative_start(n, window, causal=True):
    mask = torch.zeros(n, n, dtype=torch.bool)
    for i in range(n):
        mask[i, i - window + 1 : i + 1 if causal else i + window] = True
    return mask


def window_shared_out(n, window, causal=True):
    distance = distance_of(n)
    return band(distance, window, causal) if causal else distance.abs() <= window // 2


def window_shared_out_rounding_down(n, window, causal=True):
    distance = distance_of(n)
    return band(distance, window, causal) if causal else distance.abs() <= (window - 1) // 2


def inverted(n, window, causal=True):
    return ~band(distance_of(n), window, causal)


def blocks(n, window, causal=True):
    block = torch.arange(n) // window
    same = block[:, None] == block
    return same.tril() if causal else same


def numbers(n, window, causal=True):
    return band(distance_of(n), window, causal).float()


def additive(n, window, causal=True):
    return torch.zeros(n, n).masked_fill(~band(distance_of(n), window, causal), -torch.inf)


def one_key_too_many_when_causal(n, window, causal=True):
    distance = distance_of(n)
    return (distance >= 0) & (distance <= window) if causal else band(distance, window, causal)


MISTAKES = (
    Mistake(
        "lets each query see `window` keys beside its own, one too many",
        "The own position counts: `window` keys are the distances 0 to window - 1, so compare with <, not with <=.",
        caught_by="test_a_window_of_one_is_the_query_alone",
        sliding_window=one_key_too_many,
    ),
    Mistake(
        "lets each query see one key too many when causal, and not when two-sided",
        "Both kinds have the same far end: the distances 0 to window - 1, so compare with < in both.",
        caught_by="test_a_window_of_one_is_the_query_alone",
        sliding_window=one_key_too_many_when_causal,
    ),
    Mistake(
        "lets each query see one key too few",
        "With window = 1 a query must still see itself: the distances 0 to window - 1 are allowed, both ends included.",
        caught_by="test_each_query_sees_itself",
        sliding_window=one_key_too_few,
    ),
    Mistake(
        "hides the query's own position, and takes the next `window` keys",
        "A query sees itself: its own position, at distance 0, is the first of the window's keys.",
        caught_by="test_each_query_sees_itself",
        sliding_window=own_position_hidden,
    ),
    Mistake(
        "looks to both sides, also when causal is asked for",
        "causal=True hides the future: of the near keys only those with j <= i may be seen.",
        caught_by="test_causal_the_window_ends_with_the_query",
        sliding_window=always_two_sided,
    ),
    Mistake(
        "looks back only, also when causal=False",
        "causal=False opens the other side too: then the distance counts whatever its sign is.",
        caught_by="test_two_sided_the_query_is_in_the_middle",
        sliding_window=always_causal,
    ),
    Mistake(
        "is two-sided unless it is told to be causal",
        "A language model is the usual case here: `causal` is True by default.",
        caught_by="test_causal_unless_told_otherwise",
        sliding_window=two_sided_by_default,
    ),
    Mistake(
        "looks forward: its causal window begins with the query and holds the keys after it",
        "Rows are queries and columns are keys: the past of query i is to the left of the diagonal, where j < i.",
        caught_by="test_causal_the_window_ends_with_the_query",
        sliding_window=forward,
    ),
    Mistake(
        "never hides what is far back",
        "A window has a far end too: a key `window` or more positions behind the query must be hidden.",
        caught_by="test_causal_the_window_ends_with_the_query",
        sliding_window=far_past_not_hidden,
    ),
    Mistake(
        "ignores the window, and hides the future alone",
        "Both conditions must hold: not in the future, and fewer than `window` positions away.",
        caught_by="test_a_window_of_one_is_the_query_alone",
        sliding_window=window_ignored,
    ),
    Mistake(
        "hides what is far back, but not the future when causal",
        "i - j < window is true of every later key as well, where i - j is negative: ask for i - j >= 0 too.",
        caught_by="test_causal_the_window_ends_with_the_query",
        sliding_window=future_not_hidden,
    ),
    Mistake(
        "wraps around: the first queries see the last keys",
        "A text is a line, not a ring: before its start there is nothing to see, so use no modulo and no roll.",
        caught_by="test_causal_the_window_ends_with_the_query",
        sliding_window=wraps_around,
    ),
    Mistake(
        "fills slices whose start is negative near the beginning of the text, where Python counts from the end",
        "For the first rows i - window + 1 is below 0: begin the slice at max(0, i - window + 1).",
        caught_by="test_a_window_as_wide_as_the_text_hides_no_near_key",
        sliding_window=negative_start,
    ),
    Mistake(
        "shares a two-sided window out, window // 2 keys to each side",
        "causal=False means `window` keys on each side, the own position in both: every j with |i - j| < window.",
        caught_by="test_two_sided_the_query_is_in_the_middle",
        sliding_window=window_shared_out,
    ),
    Mistake(
        "shares a two-sided window out, (window - 1) // 2 keys to each side",
        "causal=False means `window` keys on each side, the own position in both: every j with |i - j| < window.",
        caught_by="test_two_sided_the_query_is_in_the_middle",
        sliding_window=window_shared_out_rounding_down,
    ),
    Mistake(
        "says True where a key is hidden",
        "In this course True means that the query may attend to the key: turn the mask around with ~.",
        caught_by="test_each_query_sees_itself",
        sliding_window=inverted,
    ),
    Mistake(
        "cuts the text into blocks of `window` keys",
        "A sliding window moves with the query: what counts is the distance i - j, not the block that i and j lie in.",
        caught_by="test_causal_the_window_ends_with_the_query",
        sliding_window=blocks,
    ),
    Mistake(
        "returns the numbers 1 and 0, not True and False",
        "A mask is boolean: return a comparison, or start from torch.ones with dtype=torch.bool.",
        caught_by="test_a_boolean_for_each_pair",
        sliding_window=numbers,
    ),
    Mistake(
        "returns 0 and -inf, to be added to the scores",
        "A mask here is boolean, True = may attend; turning it into -inf is the softmax's business (e03).",
        caught_by="test_a_boolean_for_each_pair",
        sliding_window=additive,
    ),
)


def triangles(n, window, causal=True):
    return torch.ones(n, n, dtype=torch.bool).tril(0 if causal else window - 1).triu(1 - window)


def one_triangle_minus_another(n, window, causal=True):
    ones = torch.ones(n, n, dtype=torch.bool)
    return ones.tril(0 if causal else window - 1) ^ ones.tril(-window)


def row_by_row(n, window, causal=True):
    mask = torch.zeros(n, n, dtype=torch.bool)
    for i in range(n):
        mask[i, max(0, i - window + 1) : i + 1 if causal else i + window] = True
    return mask


def pair_by_pair(n, window, causal=True):
    last = 0 if causal else window - 1
    return torch.tensor([[i - window < j <= i + last for j in range(n)] for i in range(n)])


VARIANTS = (
    Variant("the overlap of two triangles", sliding_window=triangles),
    Variant("what one triangle has and a lower one has not", sliding_window=one_triangle_minus_another),
    Variant("a slice of each row, that begins at 0 at the earliest", sliding_window=row_by_row),
    Variant("Python's own loops", sliding_window=pair_by_pair),
)


def observe(answer, seed):
    """Windows narrower than the text, as wide and wider, in both kinds and by default."""
    n = (5, 3, 7, 1, 6, 2, 8, 4)[seed % 8]
    window = (1, 2, 3, 5, 4, 9)[seed // 8 + seed % 4]
    return {
        "causal": behaviour(answer.sliding_window, n, window, True),
        "two-sided": behaviour(answer.sliding_window, n, window, causal=False),
        "by default": behaviour(answer.sliding_window, n, window),
    }
