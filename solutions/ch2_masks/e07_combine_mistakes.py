"""Wrong answers to e07 that have been seen, each with what it does and what a teacher would say; and right variants."""

import torch
from einops import rearrange

from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant
from attn_lab.masks import causal, padding, sliding_window


def three(n, lengths, window):
    """The three masks, on axes that fit each other."""
    return causal(n), sliding_window(n, window), padding(lengths, n)


def joined_by_or(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return past | near | real


def added(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return past.int() + near.int() + real.int()


def joined_by_and(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return past and near and real


def parity(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return past ^ near ^ real


def past_forgotten(n, lengths, window):
    return sliding_window(n, window, causal=False) & padding(lengths, n)


def window_forgotten(n, lengths, window):
    return causal(n) & padding(lengths, n)


def padding_forgotten(n, lengths, window):
    return (causal(n) & sliding_window(n, window)).expand(len(lengths), 1, n, n)


def near_or_real(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return past & (near | real)


def past_and_near_or_real(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return past & near | real


def padding_inverted(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return past & near & ~real


def queries_hidden(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return past & near & real.mT


def longest_for_all(n, lengths, window):
    longest = int(torch.as_tensor(lengths).max())
    return causal(n) & sliding_window(n, window) & padding([longest] * len(lengths), n)


def first_for_all(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return (past & near & real[:1]).expand(len(lengths), 1, n, n)


def no_axis_for_heads(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return past & near & rearrange(real, "b 1 1 j -> b 1 j")


def examples_as_heads(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return past & near & rearrange(real, "b 1 1 j -> 1 b 1 j")


def squeezed(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return past & near & real.squeeze()


def examples_as_queries(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return (past & near & rearrange(real, "b 1 1 j -> b j")).expand(len(lengths), 1, n, n)


def empty_rows_opened(n, lengths, window):
    past, near, real = three(n, lengths, window)
    mask = past & near & real
    return mask | ~mask.any(-1, keepdim=True)


def empty_rows_see_themselves(n, lengths, window):
    past, near, real = three(n, lengths, window)
    mask = past & near & real
    return mask | (~mask.any(-1, keepdim=True) & torch.eye(n, dtype=torch.bool))


def tensor_of_lengths_wanted(n, lengths, window):
    return causal(n) & sliding_window(n, window) & (torch.arange(n) < lengths[:, None, None, None])


MISTAKES = (
    Mistake(
        "joins the masks by `or`: one permission is enough",
        "Every mask must agree: join them by &. Between boolean tensors | and + both mean `or`.",
        caught_by="test_no_query_sees_the_future",
        combine=joined_by_or,
    ),
    Mistake(
        "adds the masks up as numbers",
        "A sum counts the permissions, 0 to 3, and is no mask: join booleans by &, which asks for all of them.",
        caught_by="test_one_boolean_mask_for_all_heads",
        combine=added,
    ),
    Mistake(
        "joins the masks by Python's `and`",
        "`and` asks for the truth of a whole tensor, which it has not; & works entry by entry.",
        caught_by="test_one_boolean_mask_for_all_heads",
        combine=joined_by_and,
    ),
    Mistake(
        "joins the masks by `^`, exclusive or",
        "^ lets a key through where an odd number of masks allow it: & asks for all of them.",
        caught_by="test_no_query_sees_the_future",
        combine=parity,
    ),
    Mistake(
        "leaves out the past: its window is two-sided",
        "The future must be hidden too: & causal(n), or a window that is causal itself.",
        caught_by="test_no_query_sees_the_future",
        combine=past_forgotten,
    ),
    Mistake(
        "leaves out the window",
        "Three conditions must hold: & sliding_window(n, window) as well.",
        caught_by="test_no_query_sees_beyond_the_window",
        combine=window_forgotten,
    ),
    Mistake(
        "leaves out the padding",
        "What lies behind lengths[b] is no text: & padding(lengths, n) as well.",
        caught_by="test_no_query_sees_padding",
        combine=padding_forgotten,
    ),
    Mistake(
        "asks for the past, and for near or real",
        "All three must hold at once: past & near & real.",
        caught_by="test_no_query_sees_padding",
        combine=near_or_real,
    ),
    Mistake(
        "asks for past and near, or else for real",
        "All three must hold at once: past & near & real.",
        caught_by="test_no_query_sees_the_future",
        combine=past_and_near_or_real,
    ),
    Mistake(
        "lets the padding through and hides the text",
        "In this course True means may attend: padding(lengths, n) is True on the real keys, so take it as it is.",
        caught_by="test_no_query_sees_padding",
        combine=padding_inverted,
    ),
    Mistake(
        "empties the rows of padded queries",
        "Padding goes along the keys, (b 1 1 j): what a padded query computes is nobody's input; leave it.",
        caught_by="test_everything_else_is_seen",
        combine=queries_hidden,
    ),
    Mistake(
        "pads every example as far as the longest",
        "Each example has a length of its own: hand all lengths to padding, which gives each a row, (b 1 1 j).",
        caught_by="test_no_query_sees_padding",
        combine=longest_for_all,
    ),
    Mistake(
        "gives every example the padding of the first",
        "Each example has a length of its own: hand all lengths to padding, which gives each a row, (b 1 1 j).",
        caught_by="test_everything_else_is_seen",
        combine=first_for_all,
    ),
    Mistake(
        "has no axis for the heads: (b i j), which broadcasts as if the examples were heads",
        "Axes are matched from the right: keep the axis of size 1 in (b 1 i j), else b stands where h belongs.",
        caught_by="test_it_broadcasts_to_every_head",
        combine=no_axis_for_heads,
    ),
    Mistake(
        "puts the examples on the heads' axis: (1 b i j)",
        "The scores are (b h i j): examples come first, and the axis of size 1 is for the heads, (b 1 i j).",
        caught_by="test_it_broadcasts_to_every_head",
        combine=examples_as_heads,
    ),
    Mistake(
        "squeezes the padding to (b j), so that examples meet queries",
        "Keep (b 1 1 j) as it is: its axes of size 1 hold b and j in the places that they have in the scores.",
        caught_by="test_one_boolean_mask_for_all_heads",
        combine=squeezed,
    ),
    Mistake(
        "lays the lengths along the queries: query i gets the padding of example i",
        "Keep (b 1 1 j) as it is: in (b j) against (i j), the examples would be matched with the queries.",
        caught_by="test_everything_else_is_seen",
        combine=examples_as_queries,
    ),
    Mistake(
        "opens all keys to a query that would see none",
        "Leave the empty row empty: attention gives zeros for it (e03); opened, it looks into the future.",
        caught_by="test_no_query_sees_the_future",
        combine=empty_rows_opened,
    ),
    Mistake(
        "lets a query that would see nothing see itself",
        "Leave the empty row empty: attention gives zeros for it (e03), and padding stays hidden.",
        caught_by="test_no_query_sees_padding",
        combine=empty_rows_see_themselves,
    ),
    Mistake(
        "takes a tensor of lengths and crashes on a list",
        "`lengths` may be a list too: padding(lengths, n) takes both; by hand, begin with torch.as_tensor(lengths).",
        caught_by="test_the_lengths_may_be_a_list",
        combine=tensor_of_lengths_wanted,
    ),
)


def as_products(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return past * near * real


def window_alone(n, lengths, window):
    return sliding_window(n, window) & padding(lengths, n)


def all_of_a_stack(n, lengths, window):
    return torch.stack(torch.broadcast_tensors(*three(n, lengths, window))).all(0)


def example_by_example(n, lengths, window):
    shared = causal(n) & sliding_window(n, window)
    lengths = torch.as_tensor(lengths).tolist()
    return torch.stack([shared & (torch.arange(n) < length) for length in lengths]).unsqueeze(1)


def hidden_by_or(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return ~(~past | ~near | ~real)


def counted(n, lengths, window):
    past, near, real = three(n, lengths, window)
    return past.int() + near.int() + real.int() == 3


VARIANTS = (
    Variant("*, which is & between booleans", combine=as_products),
    Variant("without causal: the window is causal already", combine=window_alone),
    Variant("a stack of three, and all() over it", combine=all_of_a_stack),
    Variant("a mask for each example, stacked", combine=example_by_example),
    Variant("or between what is hidden", combine=hidden_by_or),
    Variant("permissions counted, and three wanted", combine=counted),
)


def observe(answer, seed):
    """As many examples as positions or not, one example, one position, texts without a word; lists and tensors."""
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
    window = (2, 1, 3, 9)[(seed + seed // 8) % 4]
    return {
        "list": behaviour(answer.combine, n, lengths, window),
        "tensor": behaviour(answer.combine, n, torch.tensor(lengths), window),
    }
