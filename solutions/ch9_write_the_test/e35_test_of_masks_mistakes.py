"""Tests of masks that accept what is wrong, or refuse what is right, each with what a teacher would say; right ones."""

import contextlib
import random

import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab import attention
from attn_lab.course.mistakes import Mistake, Variant
from attn_lab.course.properties import observed

NOT_ALLOWED = (
    "attn_lab.masks.causal",
    "attn_lab.masks.padding",
    "attn_lab.masks.sliding_window",
    "attn_lab.checks",
    "attn_lab.course.answers",
    "attn_lab.course.mistakes",
    "attn_lab.course.properties",
    "attn_lab.course.subjects",
)

# The solution's properties, by what they are about.
OF = {
    "causal": (
        "property_causal_is_a_boolean_for_each_pair",
        "property_causal_hides_the_future",
        "property_causal_shows_the_past",
    ),
    "padding": (
        "property_padding_shows_the_text_and_nothing_else",
        "property_padding_is_a_boolean_for_each_key",
        "property_padding_takes_a_list",
        "property_padding_leaves_the_lengths_alone",
    ),
    "sliding_window": (
        "property_causal_window_ends_with_the_query",
        "property_two_sided_window_has_the_query_in_the_middle",
        "property_window_is_a_boolean_for_each_pair",
    ),
}


def test_of(subject, *properties):
    """These properties in the place of all that the solution has of a subject."""
    return dict(zip(OF[subject], (*properties, *[None] * len(OF[subject])), strict=False))


def mistake(subject, behaviour, advice, *properties, right=False, caught_by=None):
    """A test that lets something through; or, if `right`, one that refuses what is right."""
    kind = "right" if right else "wrong"
    word = {"causal": "causal_mask", "padding": "padding_mask"}.get(subject, subject)
    meant = caught_by or f"test_every_{kind}_{word}_is_{'accepted' if right else 'refused'}"
    called = f"test of {subject}"
    return Mistake(behaviour, advice, caught_by=meant, called=called, **test_of(subject, *properties))


def table(n, may_attend):
    return torch.tensor([[may_attend(i, j) for j in range(n)] for i in range(n)])


def is_mask(mask, expected):
    assert mask.dtype == torch.bool
    assert mask.shape == expected.shape
    assert torch.equal(mask, expected)


def triangle(n):
    return table(n, lambda i, j: j <= i)


def keys_of(lengths, n):
    return torch.tensor([[[[j < length for j in range(n)]]] for length in lengths])


def band(n, window, causal=True):
    return table(n, lambda i, j: i - window < j <= (i if causal else i + window - 1))


def causal_by_definition(causal):
    for n in (1, 2, 5):
        is_mask(causal(n), triangle(n))


def causal_kind_alone(causal):
    for n in (1, 2, 5):
        assert causal(n).shape == (n, n)
        assert causal(n).dtype == torch.bool


def causal_without_dtype(causal):
    for n in (1, 2, 5):
        assert torch.equal(causal(n).float(), triangle(n).float())


def causal_of_one(causal):
    is_mask(causal(1), triangle(1))


def causal_future_alone(causal):
    for n in (1, 2, 5):
        assert causal(n).dtype == torch.bool
        assert not causal(n).triu(1).any()


def causal_past_alone(causal):
    for n in (1, 2, 5):
        assert causal(n).dtype == torch.bool
        assert causal(n)[triangle(n)].all()


def causal_below_the_diagonal(causal):
    for n in (1, 2, 5):
        assert causal(n).dtype == torch.bool
        assert not causal(n).triu(1).any()
        assert causal(n).tril(-1).sum() == n * (n - 1) // 2


def causal_truth_of_a_tensor(causal):
    for n in (1, 2, 5):
        assert causal(n) == triangle(n)


def causal_returned(causal):
    return all(torch.equal(causal(n), triangle(n)) and causal(n).dtype == torch.bool for n in (1, 2, 5))


def causal_swallowed(causal):
    with contextlib.suppress(Exception):
        causal_by_definition(causal)


def causal_contiguous(causal):
    causal_by_definition(causal)
    assert causal(5).is_contiguous()


def causal_refuses_minus_one(causal):
    causal_by_definition(causal)
    try:
        causal(-1)
    except ValueError:
        return
    raise AssertionError("causal(-1) must raise a ValueError")


def causal_strictly(causal):
    for n in (1, 2, 5):
        is_mask(causal(n), table(n, lambda i, j: j < i))


def causal_by_name(causal):
    causal_by_definition(causal)
    assert causal.__name__ not in ("upper", "future_only")


def padding_by_definition(padding):
    for lengths, n in (([2, 0, 5, 1], 5), ([3, 4], 4), ([1], 1)):
        given_lengths = torch.tensor(lengths)
        is_mask(padding(given_lengths, n), keys_of(lengths, n))
        is_mask(padding(lengths, n), keys_of(lengths, n))
        assert torch.equal(given_lengths, torch.tensor(lengths))


def padding_kind_alone(padding):
    for lengths, n in (([2, 0, 5, 1], 5), ([3, 4], 4), ([1], 1)):
        for mask in (padding(torch.tensor(lengths), n), padding(lengths, n)):
            assert mask.shape == (len(lengths), 1, 1, n)
            assert mask.dtype == torch.bool


def padding_on(texts):
    """As it should be, on some texts only."""

    def of_padding(padding):
        for lengths, n in texts:
            given_lengths = torch.tensor(lengths)
            is_mask(padding(given_lengths, n), keys_of(lengths, n))
            is_mask(padding(lengths, n), keys_of(lengths, n))
            assert torch.equal(given_lengths, torch.tensor(lengths))

    return of_padding


def padding_of_lists(padding):
    for lengths, n in (([2, 0, 5, 1], 5), ([3, 4], 4), ([1], 1)):
        is_mask(padding(lengths, n), keys_of(lengths, n))


def padding_of_tensors(padding):
    for lengths, n in (([2, 0, 5, 1], 5), ([3, 4], 4), ([1], 1)):
        given_lengths = torch.tensor(lengths)
        is_mask(padding(given_lengths, n), keys_of(lengths, n))
        assert torch.equal(given_lengths, torch.tensor(lengths))


def padding_flattened(padding):
    for lengths, n in (([2, 0, 5, 1], 5), ([3, 4], 4), ([1], 1)):
        given_lengths = torch.tensor(lengths)
        for mask in (padding(given_lengths, n), padding(lengths, n)):
            assert mask.dtype == torch.bool
            assert mask.flatten().tolist() == keys_of(lengths, n).flatten().tolist()
        assert torch.equal(given_lengths, torch.tensor(lengths))


def padding_counted(padding):
    for lengths, n in (([2, 0, 5, 1], 5), ([3, 4], 4), ([1], 1)):
        given_lengths = torch.tensor(lengths)
        for mask in (padding(given_lengths, n), padding(lengths, n)):
            assert mask.dtype == torch.bool
            assert mask.shape == (len(lengths), 1, 1, n)
            assert mask.sum(-1).flatten().tolist() == lengths
        assert torch.equal(given_lengths, torch.tensor(lengths))


def padding_two_axes(padding):
    for lengths, n in (([2, 0, 5, 1], 5), ([3, 4], 4)):
        is_mask(padding(torch.tensor(lengths), n), keys_of(lengths, n)[:, 0, 0])


def padding_too_long_refused(padding):
    padding_by_definition(padding)
    try:
        padding([7], 5)
    except ValueError:
        return
    raise AssertionError("a length beyond n must raise a ValueError")


ALL_WINDOWS = tuple((n, window) for n in (1, 3, 5, 8) for window in (1, 2, 3, 5, 9))


def window_on(windows, kinds=(True, False, None)):
    """As it should be, for some lengths and windows only, and for some kinds: causal, two-sided, by default."""

    def of_window(sliding_window):
        for n, window in windows:
            for causal in kinds:
                mask = sliding_window(n, window) if causal is None else sliding_window(n, window, causal)
                is_mask(mask, band(n, window, causal is not False))

    return of_window


def window_without_dtype(sliding_window):
    for n, window in ALL_WINDOWS:
        for causal in (True, False):
            assert torch.equal(sliding_window(n, window, causal).int(), band(n, window, causal).int())
        assert torch.equal(sliding_window(n, window).int(), band(n, window).int())


def window_widest_row(sliding_window):
    for n, window in ALL_WINDOWS:
        for mask, kind in ((sliding_window(n, window), True), (sliding_window(n, window, causal=False), False)):
            assert mask.dtype == torch.bool
            assert mask.shape == (n, n)
            assert torch.equal(mask[-1], band(n, window, kind)[-1])


def window_too_wide(sliding_window):
    for n, window in ALL_WINDOWS:
        is_mask(sliding_window(n, window), table(n, lambda i, j: i - window <= j <= i))  # noqa: B023


def window_of_chance(sliding_window):
    """One length and one window, as they come."""
    n, window = random.choice(((3, 9), (8, 3)))
    for mask, kind in ((sliding_window(n, window), True), (sliding_window(n, window, causal=False), False)):
        is_mask(mask, band(n, window, kind))


by_definition = {
    "causal": causal_by_definition,
    "padding": padding_by_definition,
    "sliding_window": window_on(ALL_WINDOWS),
}
RUNS = "test_the_properties_run"

MISTAKES = (
    mistake(
        "causal",
        "looks at shape and type alone",
        "What a mask is made of says nothing of what it hides: look at the pairs.",
        causal_kind_alone,
    ),
    mistake(
        "causal",
        "turns the mask into numbers before it compares, and forgets what type it had",
        "A mask of 1.0 and 0.0 is no mask: ask for its dtype, or compare without a conversion.",
        causal_without_dtype,
    ),
    mistake(
        "causal",
        "tries a length of 1 alone",
        "A text of one word has no future: try lengths at which right and wrong differ.",
        causal_of_one,
    ),
    mistake(
        "causal",
        "looks at the future alone, and is content with a mask that hides too much",
        "A mask that hides everything hides the future too: say what must be seen as well.",
        causal_future_alone,
    ),
    mistake(
        "causal",
        "looks at the past alone, and is content with a mask that hides nothing",
        "A mask of nothing but True shows the past too: say what must be hidden as well.",
        causal_past_alone,
    ),
    mistake(
        "causal",
        "leaves out the diagonal",
        "Most mistakes sit at the edge: whether a query sees itself must be said.",
        causal_below_the_diagonal,
    ),
    mistake(
        "causal",
        "asks whether a tensor is true: assert mask == expected",
        "A comparison of tensors is a tensor: put torch.equal around it, which gives one answer.",
        causal_truth_of_a_tensor,
        caught_by=RUNS,
    ),
    mistake(
        "causal",
        "returns True or False",
        "Nobody looks at what a test returns: assert it.",
        causal_returned,
        caught_by="test_a_property_says_no_by_raising",
    ),
    mistake(
        "causal",
        "has nothing against any mask",
        "A test must be able to fail: does it catch its own exception, look at the shape alone, or assert a tuple? "
        "assert (condition, text) is always true.",
        causal_swallowed,
        caught_by="test_each_property_can_fail",
    ),
    mistake(
        "causal",
        "wants the mask contiguous in memory",
        "How a tensor lies in memory is nobody's business here: compare what it says.",
        causal_contiguous,
        right=True,
    ),
    mistake(
        "causal",
        "wants causal(-1) to raise a ValueError",
        "Nobody said what happens below a length of 1, and the right ones differ there: test what was promised.",
        causal_refuses_minus_one,
        right=True,
    ),
    mistake(
        "causal",
        "wants something else: that a query does not see itself, or that True means hidden",
        "Run it on one mask that you know to be right, and look at both: here True means that a query may attend.",
        causal_strictly,
        right=True,
    ),
    mistake(
        "causal",
        "asks what the implementation is called",
        "In the real world no wrong function is called wrong: call it, and look at what comes back.",
        causal_by_name,
        caught_by=RUNS,
    ),
    mistake(
        "padding",
        "looks at the axes and the type of a padding mask alone",
        "What a mask is made of says nothing of what it hides: look at the keys.",
        padding_kind_alone,
    ),
    mistake(
        "padding",
        "tries texts of full length alone",
        "Where nothing is padded, nothing can go wrong: try shorter texts, and an empty one.",
        padding_on((([5, 5], 5), ([4, 4, 4], 4), ([1], 1))),
    ),
    mistake(
        "padding",
        "tries one text at a time",
        "With one text in the batch nobody can tell whose length was taken: try several, of different lengths.",
        padding_on((([2], 5), ([0], 4), ([3], 3))),
    ),
    mistake(
        "padding",
        "tries texts that are as long as each other",
        "A mask that gives all texts the same length is right there: try different ones in one batch.",
        padding_on((([2, 2, 2], 5), ([0, 0], 4), ([3, 3], 3))),
    ),
    mistake(
        "padding",
        "does not look at the lengths after the call, or hands over lists alone",
        "A tensor of lengths is the caller's: hand one over, and see whether its numbers and its shape are still the "
        "same.",
        padding_of_lists,
    ),
    mistake(
        "padding",
        "hands over tensors alone",
        "A list of lengths is allowed too: try both.",
        padding_of_tensors,
    ),
    mistake(
        "padding",
        "flattens the mask before it compares, so that a wrong shape passes",
        "The axes are half of what a padding mask says: compare the shape too.",
        padding_flattened,
    ),
    mistake(
        "padding",
        "counts the keys that are seen, and not which",
        "As many keys may be seen at the wrong end: compare position by position.",
        padding_counted,
    ),
    mistake(
        "padding",
        "wants a mask of two axes, (b n)",
        "The scores are (b h i j), so the mask is (b 1 1 n): read once more what is promised.",
        padding_two_axes,
        right=True,
    ),
    mistake(
        "padding",
        "wants a ValueError for lengths that are out of range",
        "Nobody said what happens below 0 and beyond n, and the right ones differ there: test what was promised.",
        padding_too_long_refused,
        right=True,
    ),
    mistake(
        "sliding_window",
        "tries windows at least as wide as the text",
        "There the far end is never met: try texts that are much longer than the window.",
        window_on(((1, 1), (3, 3), (3, 9), (5, 5))),
    ),
    mistake(
        "sliding_window",
        "tries a window of 1 alone",
        "Windows of 1 are alike in many wrong ways: try wider ones too.",
        window_on(((1, 1), (3, 1), (8, 1))),
    ),
    mistake(
        "sliding_window",
        "tries windows of 1 and 2 alone",
        "With so few keys on a side, a window that is shared out over both sides is the same: try wider ones.",
        window_on(((1, 1), (3, 1), (8, 2), (5, 2))),
    ),
    mistake(
        "sliding_window",
        "always says whether it is to be causal",
        "A default is behaviour too: leave the third argument out once.",
        window_on(ALL_WINDOWS, (True, False)),
    ),
    mistake(
        "sliding_window",
        "never tries causal=False",
        "What is never called is never tested: try both kinds.",
        window_on(ALL_WINDOWS, (True, None)),
    ),
    mistake(
        "sliding_window",
        "tries causal=False alone",
        "What is never called is never tested: try both kinds.",
        window_on(ALL_WINDOWS, (False,)),
    ),
    mistake(
        "sliding_window",
        "compares numbers, and forgets what type the window's mask had",
        "A mask of 1.0 and 0.0 is no mask: ask for its dtype.",
        window_without_dtype,
    ),
    mistake(
        "sliding_window",
        "looks at the last row alone",
        "The last query has no future, and the first ones no past: look at each row.",
        window_widest_row,
    ),
    mistake(
        "sliding_window",
        "counts the query itself beside the window's keys",
        "The own position is one of the `window` keys, so a window of 1 is the query alone.",
        window_too_wide,
        right=True,
    ),
    mistake(
        "sliding_window",
        "leaves length and window to chance",
        "A test that is lucky today is not tomorrow: list the cases, or draw them from a generator with a seed.",
        window_of_chance,
        caught_by="test_the_verdict_is_the_same_each_time",
    ),
)


@given(n=st.integers(1, 6))
def causal_drawn(causal, n):
    is_mask(causal(n), triangle(n))


def causal_as_a_table(causal):
    for n in range(1, 6):
        mask = causal(n)
        assert isinstance(mask, torch.Tensor), type(mask).__name__
        assert [[type(seen) for seen in row] for row in mask.tolist()] == [[bool] * n] * n
        assert mask.tolist() == [[True] * (i + 1) + [False] * (n - i - 1) for i in range(n)]


def causal_in_attention(causal):
    """A change of the future changes nothing, a change of what may be seen does."""
    source = torch.Generator().manual_seed(0)
    for n in (2, 5):
        query, key, value = (torch.randn(1, 1, n, 3, generator=source, dtype=torch.float64) for _ in range(3))
        before = attention(query, key, value, causal(n))
        for j in range(n):
            other = value.clone()
            other[:, :, j] += 1
            changed = (attention(query, key, other, causal(n)) - before).abs().sum(-1)[0, 0] > 1e-9
            assert changed.tolist() == [i >= j for i in range(n)]


def padding_row_by_row(padding):
    for make in (list, torch.tensor):
        for lengths, n in (([3, 0, 1, 4], 4), ([2, 5], 6)):
            given_lengths = make(lengths)
            mask = padding(given_lengths, n)
            assert mask.dtype is torch.bool
            assert mask.size() == torch.Size([len(lengths), 1, 1, n])
            for row, length in zip(mask[:, 0, 0], lengths):
                assert row[:length].all()
                assert not row[length:].any()
            assert type(given_lengths) is list or given_lengths.shape == (len(lengths),)


@given(n=st.integers(1, 9), window=st.integers(1, 10), causal=st.booleans())
def window_drawn(sliding_window, n, window, causal):
    is_mask(sliding_window(n, window, causal), band(n, window, causal))


def window_by_default(sliding_window):
    assert torch.equal(sliding_window(5, 2), sliding_window(5, 2, True))


def window_as_difference(sliding_window):
    for n, window in ALL_WINDOWS:
        distance = torch.arange(n).unsqueeze(1) - torch.arange(n)
        for mask, expected in (
            (sliding_window(n=n, window=window), (distance >= 0) & (distance < window)),
            (sliding_window(n=n, window=window, causal=True), (distance >= 0) & (distance < window)),
            (sliding_window(n=n, window=window, causal=False), distance.abs() < window),
        ):
            is_mask(mask, expected)


VARIANTS = (
    Variant(
        "each mask by its definition",
        **{name: part for subject, f in by_definition.items() for name, part in test_of(subject, f).items()},
    ),
    Variant(
        "cases that Hypothesis draws",
        **test_of("causal", causal_drawn),
        **test_of("sliding_window", window_drawn, window_by_default),
    ),
    Variant(
        "tables and slices",
        **test_of("causal", causal_as_a_table),
        **test_of("padding", padding_row_by_row),
        **test_of("sliding_window", window_as_difference),
    ),
    Variant("what attention makes of the mask", **test_of("causal", causal_in_attention)),
)

N_PROBES = 26  # as many as there are implementations of a sliding window, which are the most


def observe(answer, seed):
    """What the properties do to one right or wrong mask of each kind, and whether they do it again."""
    return {subject: observed(answer, subject, seed, N_PROBES) for subject in OF}
