"""Wrong answers to e23 that have been seen, each with what it does and what a teacher would say; and right variants."""

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import attn_lab
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.largest_tensor import LargestTensor
from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = (
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.functional.multi_head_attention_forward",
    "attn_lab.efficient.local.LocalAttention",
    "attn_lab.efficient.blocks.by_blocks",
    "attn_lab.efficient.banded.banded_attention",
)


def cut(x, w):
    """(b h (k w) d) in blocks, (b k h w d)."""
    return x.unflatten(2, (-1, w)).transpose(1, 2)


def before(x):
    """Each block's block before, zeros for the first."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)


def filled(x, w):
    return F.pad(x, (0, 0, 0, -x.shape[2] % w))


def distances(w):
    return torch.arange(w, 2 * w)[:, None] - torch.arange(2 * w)


def causal_band(w):
    return (distances(w) >= 0) & (distances(w) < w)


def pair(earlier, own):
    return torch.cat([earlier, own], dim=3)


def answer_with(*, fill_up=filled, before=before, band=causal_band, pair=pair, first=True, mixed=False):
    """A right answer, in steps that can each go wrong."""

    def local_attention(query, key, value, window, *, attention=attn_lab.attention):
        w, n = window, query.shape[2]
        q, k, v = (cut(fill_up(x, w), w) for x in (query, key, value))
        b, blocks = q.shape[:2]
        allowed = band(w).repeat(blocks, 1, 1)
        if first:
            allowed[0, :, :w] = False
        keys, values = (pair(before(x), x) for x in (k, v))
        if mixed:
            keys, values = keys.transpose(0, 1), values.transpose(0, 1)
        mask = allowed.repeat(b, 1, 1)[:, None]
        output = attention(q.flatten(0, 1), keys.flatten(0, 1), values.flatten(0, 1), mask)
        return output.unflatten(0, (b, blocks)).transpose(1, 2).flatten(2, 3)[:, :, :n]

    return local_attention


def own_block_alone(w):
    return causal_band(w) & (torch.arange(2 * w) >= w) | (distances(w) == 0)


def future_in_the_block(w):
    return distances(w).abs() < w


def all_of_the_block_before(w):
    return distances(w) >= 0


def one_too_many(w):
    return (distances(w) >= 0) & (distances(w) <= w)


def one_too_few(w):
    return (distances(w) >= 0) & (distances(w) < max(1, w - 1))


def rolled(x):
    return x.roll(1, dims=1)


def block_after(x):
    return torch.cat([x[:, 1:], torch.zeros_like(x[:, :1])], dim=1)


def sliding(n, window):
    distance = torch.arange(n)[:, None] - torch.arange(n)
    return (distance >= 0) & (distance < window)


def banded_dense(query, key, value, window, *, attention=attn_lab.attention):
    return attention(query, key, value, sliding(query.shape[2], window))


def mask_of_the_whole_text(query, key, value, window, *, attention=attn_lab.attention):
    n, rows = query.shape[2], []
    mask = sliding(n, window)
    for start in range(0, n, window):
        q, k = slice(start, start + window), slice(max(0, start - window), start + window)
        rows.append(attention(query[:, :, q], key[:, :, k], value[:, :, k], mask[q, k]))
    return torch.cat(rows, dim=2)


def every_block_over_all_keys(query, key, value, window, *, attention=attn_lab.attention):
    n, rows = query.shape[2], []
    for start in range(0, n, window):
        place = torch.arange(start, min(n, start + window))[:, None]
        seen = (torch.arange(n) <= place) & (torch.arange(n) > place - window)
        rows.append(attention(query[:, :, start : start + window], key, value, seen))
    return torch.cat(rows, dim=2)


@torch.no_grad()
def no_gradient(query, key, value, window, *, attention=attn_lab.attention):
    return answer_with()(query, key, value, window, attention=attention)


MISTAKES = (
    Mistake(
        "sees the keys of the query's own block alone",
        "A block's first query looks back w - 1 keys, and they lie in the block before: give each block both.",
        caught_by="test_equals_pytorch_where_the_window_divides_the_text",
        local_attention=answer_with(band=own_block_alone),
    ),
    Mistake(
        "lets the first block see the last one",
        "torch.roll makes a ring of the text: there is no block before the first, so hide it there.",
        caught_by="test_equals_pytorch_where_the_window_divides_the_text",
        local_attention=answer_with(before=rolled, first=False),
    ),
    Mistake(
        "lets the first block see the zeros in front of the text",
        "A key of zeros has the score 0 and the weight exp(0): hide from the first block what does not exist.",
        caught_by="test_equals_pytorch_where_the_window_divides_the_text",
        local_attention=answer_with(first=False),
    ),
    Mistake(
        "lets a query see the future inside its block",
        "It is causal inside a block too: the distance from query to key must be 0 or more.",
        caught_by="test_equals_pytorch_where_the_window_divides_the_text",
        local_attention=answer_with(band=future_in_the_block),
    ),
    Mistake(
        "sees all of the block before",
        "Only a block's first query looks back so far: hide keys at a distance of window and more.",
        caught_by="test_equals_pytorch_where_the_window_divides_the_text",
        local_attention=answer_with(band=all_of_the_block_before),
    ),
    Mistake(
        "sees one key too many",
        "The own position counts: the distances are 0 to window - 1, less than window.",
        caught_by="test_a_window_of_one_hands_back_the_values",
        local_attention=answer_with(band=one_too_many),
    ),
    Mistake(
        "sees one key too few",
        "The distances are 0 to window - 1, both included: window keys in all.",
        caught_by="test_equals_pytorch_where_the_window_divides_the_text",
        local_attention=answer_with(band=one_too_few),
    ),
    Mistake(
        "joins each block to the block after it",
        "The past lies in the block before: shift the blocks by one to the right, not to the left.",
        caught_by="test_equals_pytorch_where_the_window_divides_the_text",
        local_attention=answer_with(before=block_after),
    ),
    Mistake(
        "puts a block's own keys in front of those of the block before",
        "The mask counts places from the left: first the block before, then the block itself.",
        caught_by="test_equals_pytorch_where_the_window_divides_the_text",
        local_attention=answer_with(pair=lambda earlier, own: torch.cat([own, earlier], dim=3)),
    ),
    Mistake(
        "mixes up examples and blocks",
        "If queries are rearranged to (b k), keys and values must be too, in the same order, not to (k b).",
        caught_by="test_equals_pytorch_where_the_window_divides_the_text",
        local_attention=answer_with(mixed=True),
    ),
    Mistake(
        "crashes unless the window divides the length",
        "Fill up the last block with rows of zeros, and cut them off the output at the end.",
        caught_by="test_each_query_gets_a_vector_of_the_values_width",
        local_attention=answer_with(fill_up=lambda x, w: x),
    ),
    Mistake(
        "computes all n x n scores and hides most of them",
        "A mask saves nothing: what lies outside the window must never be computed. Cut the text into blocks.",
        caught_by="test_no_tensor_has_n_times_n_numbers",
        local_attention=banded_dense,
    ),
    Mistake(
        "makes a mask of n x n for its blocks",
        "The mask of a block needs no table of the whole text: the same small band serves all blocks.",
        caught_by="test_no_tensor_has_n_times_n_numbers",
        local_attention=mask_of_the_whole_text,
    ),
    Mistake(
        "compares every block of queries with all the keys",
        "The memory is spared and the work is not: take only the keys of the block before and of the block itself.",
        caught_by="test_the_work_grows_with_the_window_not_with_the_text",
        local_attention=every_block_over_all_keys,
    ),
    Mistake(
        "cuts the output off from its inputs",
        "Without a gradient nothing is learned: no torch.no_grad(), no .data on the way.",
        caught_by="test_equals_pytorch_where_the_window_divides_the_text",
        local_attention=no_gradient,
    ),
)


def block_by_block(query, key, value, window, *, attention=attn_lab.attention):
    n, rows = query.shape[2], []
    for start in range(0, n, window):
        end, first = min(n, start + window), max(0, start - window + 1)
        distance = torch.arange(start, end)[:, None] - torch.arange(first, end)
        seen = (distance >= 0) & (distance < window)
        rows.append(attention(query[:, :, start:end], key[:, :, first:end], value[:, :, first:end], seen))
    return torch.cat(rows, dim=2)


def query_by_query(query, key, value, window, *, attention=attn_lab.attention):
    """Each query's own keys, picked by unfold."""
    b, h, n, _ = query.shape
    keys, values = (F.pad(x, (0, 0, window - 1, 0)).unfold(2, window, 1).mT for x in (key, value))
    seen = torch.arange(n)[:, None] - torch.arange(window - 1, -1, -1) >= 0
    q, k, v = (x.flatten(0, 2)[:, None] for x in (query[..., None, :], keys, values))
    return attention(q, k, v, seen.repeat(b * h, 1)[:, None, None]).view(b, h, n, -1)


VARIANTS = (
    Variant("cat of shifted blocks, without einops", local_attention=answer_with()),
    Variant("a loop over the blocks", local_attention=block_by_block),
    Variant("the window of each query, by unfold", local_attention=query_by_query),
)


def observe(answer, seed):
    """Windows that divide the text or do not, narrower and wider; the largest tensor, and the work."""
    b, h, d, e = ((2, 3, 3, 4), (2, 2, 2, 2), (3, 1, 2, 3))[seed % 3]
    n, window = ((6, 3), (8, 2), (7, 3), (9, 4), (12, 4), (5, 1), (3, 5), (1, 2), (2, 2), (4, 3))[seed % 10]
    source = generator(seed)
    query, key, value = fill(source, b, h, n, d), fill(source, b, h, n, d), fill(source, b, h, n, e)
    seen = {"output": behaviour(answer.local_attention, query, key, value, window)}
    if seed == 4:
        long = fill(source, 1, 1, 96, 2)
        with LargestTensor() as watch:
            answer.local_attention(long, long, long, 4)
        with FlopCounterMode(display=False) as counter:
            answer.local_attention(long, long, long, 4)
        seen |= {"square": watch.elements >= 96 * 96, "work": counter.get_total_flops() >= 4 * 96 * 96}
    return seen
