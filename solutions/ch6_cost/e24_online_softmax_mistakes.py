"""Wrong answers to e24 that have been seen, each with what it does and what a teacher would say; and right variants."""

import math

import torch
import torch.nn.functional as F

from attn_lab.checks.cases import AttentionCase, fill, generator
from attn_lab.checks.largest_tensor import LargestTensor
from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = (
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.functional.multi_head_attention_forward",
    "attn_lab.attention",
    "attn_lab.fused_attention",
    "attn_lab.efficient.online.online_attention",
)


def starting(query, value, lowest=None):
    """The largest score, the sum and the weighted sum before the first block."""
    low = torch.finfo(query.dtype).min if lowest is None else lowest
    largest = query.new_full((*query.shape[:-1], 1), low)
    return largest, torch.zeros_like(largest), query.new_zeros(*query.shape[:-1], value.shape[-1])


def scores_of(query, key, mask, keys, scale=None):
    scores = query @ key[:, :, keys].mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    return scores if mask is None else scores.masked_fill(~mask[..., keys], -math.inf)


def blocks(j, block):
    return [slice(start, min(start + block, j)) for start in range(0, j, block)]


def run(query, key, value, mask, block, *, lowest=None, scores_of=scores_of, cut=blocks, step=None, end=None):
    """A right answer, in steps that can each go wrong."""
    state = starting(query, value, lowest)
    for keys in cut(key.shape[-2], block):
        state = (step or right_step)(*state, scores_of(query, key, mask, keys), value[:, :, keys])
    _, total, summed = state
    return summed / total if end is None else end(total, summed)


def highest(scores):
    return scores.detach().amax(-1, keepdim=True)


def right_step(largest, total, summed, scores, v):
    new = torch.maximum(largest, highest(scores))
    weights, shrink = (scores - new).exp(), (largest - new).exp()
    return new, shrink * total + weights.sum(-1, keepdim=True), shrink * summed + weights @ v


def answer_with(**changes):
    def online_attention(query, key, value, mask=None, *, block=128):
        return run(query, key, value, mask, block, **changes)

    return online_attention


def nothing_rescaled(largest, total, summed, scores, v):
    new = torch.maximum(largest, highest(scores))
    weights = (scores - new).exp()
    return new, total + weights.sum(-1, keepdim=True), summed + weights @ v


def each_block_by_itself(largest, total, summed, scores, v):
    weights = (scores - highest(scores).clamp(min=torch.finfo(scores.dtype).min)).exp()
    return largest, total + weights.sum(-1, keepdim=True), summed + weights @ v


def sum_alone_rescaled(largest, total, summed, scores, v):
    new, total, _ = right_step(largest, total, summed, scores, v)
    return new, total, summed + (scores - new).exp() @ v


def values_alone_rescaled(largest, total, summed, scores, v):
    new, _, after = right_step(largest, total, summed, scores, v)
    return new, total + (scores - new).exp().sum(-1, keepdim=True), after


def rescaled_the_other_way(largest, total, summed, scores, v):
    new = torch.maximum(largest, highest(scores))
    weights = (scores - new).exp()
    grow = torch.where(total > 0, (new - largest).exp(), torch.ones_like(total))
    return new, grow * total + weights.sum(-1, keepdim=True), grow * summed + weights @ v


def maximum_of_the_first_block(largest, total, summed, scores, v):
    first = largest == torch.finfo(scores.dtype).min
    new = torch.where(first, torch.maximum(largest, highest(scores)), largest)
    weights = (scores - new).exp()
    return new, total + weights.sum(-1, keepdim=True), summed + weights @ v


def maximum_of_this_block(largest, total, summed, scores, v):
    new = highest(scores).clamp(min=torch.finfo(scores.dtype).min)
    weights, shrink = (scores - new).exp(), (largest - new).exp()
    return new, shrink * total + weights.sum(-1, keepdim=True), shrink * summed + weights @ v


def maximum_of_all_queries(largest, total, summed, scores, v):
    new = torch.maximum(largest, scores.detach().amax())
    weights, shrink = (scores - new).exp(), (largest - new).exp()
    return new, shrink * total + weights.sum(-1, keepdim=True), shrink * summed + weights @ v


def no_maximum(largest, total, summed, scores, v):
    weights = scores.exp()
    return largest, total + weights.sum(-1, keepdim=True), summed + weights @ v


def divided_in_every_block(largest, total, summed, scores, v):
    new, total, summed = right_step(largest, total, summed, scores, v)
    return new, total, summed / total


def softmax_of_each_block(query, key, value, mask=None, *, block=128):
    parts = [(scores_of(query, key, mask, k), value[:, :, k]) for k in blocks(key.shape[-2], block)]
    return sum(scores.softmax(-1) @ v for scores, v in parts) / len(parts)


def whole_blocks(j, block):
    return [slice(k * block, (k + 1) * block) for k in range(j // block)]


def one_block(j, block):
    return [slice(0, block)]


def mask_from_its_start(query, key, mask, keys):
    scores = scores_of(query, key, None, keys)
    return scores if mask is None else scores.masked_fill(~mask[..., : scores.shape[-1]], -math.inf)


def mask_uncut(query, key, mask, keys):
    scores = scores_of(query, key, None, keys)
    return scores if mask is None else scores.masked_fill(~mask, -math.inf)


def mask_inverted(query, key, mask, keys):
    return scores_of(query, key, None if mask is None else ~mask, keys)


def mask_ignored(query, key, mask, keys):
    return scores_of(query, key, None, keys)


def hidden_to_minus_100(query, key, mask, keys):
    scores = scores_of(query, key, None, keys)
    return scores if mask is None else scores.masked_fill(~mask[..., keys], -100.0)


def no_scale(query, key, mask, keys):
    return scores_of(query, key, mask, keys, scale=1.0)


def scale_by_block(query, key, mask, keys):
    return scores_of(query, key, mask, keys, scale=(keys.stop - keys.start) ** -0.5)


def all_scores_first(query, key, value, mask=None, *, block=128):
    scores, state = scores_of(query, key, mask, slice(None)), starting(query, value)
    for keys in blocks(key.shape[-2], block):
        state = right_step(*state, scores[..., keys], value[:, :, keys])
    return state[2] / state[1]


def blocks_of_queries(query, key, value, mask=None, *, block=128):
    rows = []
    for part in blocks(query.shape[-2], block):
        seen = mask if mask is None or mask.shape[-2] == 1 else mask[..., part, :]
        rows.append(scores_of(query[:, :, part], key, seen, slice(None)).softmax(-1) @ value)
    return torch.cat(rows, dim=-2)


def scaled_in_place(query, key, value, mask=None, *, block=128):
    query /= math.sqrt(query.shape[-1])
    return run(query, key, value, mask, block, scores_of=no_scale)


def sums_in_float32(query, key, value, mask=None, *, block=128):
    largest = starting(query, value)[0]
    total, summed = torch.zeros(*query.shape[:-1], 1), torch.zeros(*query.shape[:-1], value.shape[-1])
    for keys in blocks(key.shape[-2], block):
        scores = scores_of(query, key, mask, keys)
        new = torch.maximum(largest, highest(scores))
        weights, shrink = (scores - new).exp(), (largest - new).exp()
        total *= shrink
        total += weights.sum(-1, keepdim=True)
        summed *= shrink
        summed += weights @ value[:, :, keys]
        largest = new
    return summed / total


@torch.no_grad()
def no_gradient(query, key, value, mask=None, *, block=128):
    return run(query, key, value, mask, block)


RESCALE = "What was added up before is relative to the old maximum: multiply {} by exp(old - new) in every block."


def hidden_to_minus_5e4(query, key, mask, keys):
    scores = scores_of(query, key, None, keys)
    return scores if mask is None else scores.masked_fill(~mask[..., keys], -5e4)


def maximum_0_where_all_is_hidden(largest, total, summed, scores, v):
    new = torch.maximum(largest, highest(scores))
    new = torch.where(new == -math.inf, torch.zeros_like(new), new)
    weights, shrink = (scores - new).exp(), (largest - new).exp()
    return new, shrink * total + weights.sum(-1, keepdim=True), shrink * summed + weights @ v


def keys_of_zeros(query, key, value, mask=None, *, block=128):
    rest = -key.shape[-2] % block
    key, value = (F.pad(x, (0, 0, 0, rest)) for x in (key, value))
    return run(query, key, value, None if mask is None else F.pad(mask, (0, rest)), block)


def mask_asked_for_truth(query, key, mask, keys):
    return scores_of(query, key, mask if mask else None, keys)


MISTAKES = (
    Mistake(
        "rescales neither the sum nor the weighted sum when the maximum rises",
        RESCALE.format("both the sum and the weighted sum"),
        caught_by="test_equals_pytorch_whatever_the_block",
        online_attention=answer_with(step=nothing_rescaled),
    ),
    Mistake(
        "adds up blocks that are each relative to their own maximum",
        "Blocks can be added only if all are relative to the same maximum: keep the largest so far, and rescale.",
        caught_by="test_equals_pytorch_whatever_the_block",
        online_attention=answer_with(step=each_block_by_itself),
    ),
    Mistake(
        "rescales the sum and not the weighted sum of the values",
        RESCALE.format("the weighted sum too, not the denominator alone,"),
        caught_by="test_equal_values_come_back",
        online_attention=answer_with(step=sum_alone_rescaled),
    ),
    Mistake(
        "rescales the weighted sum of the values and not the sum",
        RESCALE.format("the denominator too, not the weighted sum alone,"),
        caught_by="test_equal_values_come_back",
        online_attention=answer_with(step=values_alone_rescaled),
    ),
    Mistake(
        "rescales by exp(new - old), the wrong way round",
        "The old terms must shrink when the maximum rises: the factor is exp(old - new), 1 at most.",
        caught_by="test_equals_pytorch_whatever_the_block",
        online_attention=answer_with(step=rescaled_the_other_way),
    ),
    Mistake(
        "keeps the maximum of the first block",
        "A later score may be larger by hundreds, and its exponential overflows: raise the maximum in every block.",
        caught_by="test_large_scores_are_exact_wherever_the_largest_is",
        online_attention=answer_with(step=maximum_of_the_first_block),
    ),
    Mistake(
        "takes the maximum of the block at hand, and forgets those before",
        "Where the scores fall, exp(old - new) overflows: take the larger of the old maximum and the block's.",
        caught_by="test_large_scores_are_exact_wherever_the_largest_is",
        online_attention=answer_with(step=maximum_of_this_block),
    ),
    Mistake(
        "takes one maximum for all queries",
        "A query whose scores all lie far below that has only weights of 0: the maximum is each query's own, over j.",
        caught_by="test_large_scores_are_exact_wherever_the_largest_is",
        online_attention=answer_with(step=maximum_of_all_queries),
    ),
    Mistake(
        "subtracts no maximum",
        "exp(1000) is infinite: subtract the largest score so far before the exponential.",
        caught_by="test_large_scores_are_exact_wherever_the_largest_is",
        online_attention=answer_with(step=no_maximum),
    ),
    Mistake(
        "starts the maximum at 0",
        "If all scores lie far below 0, all exponentials are 0: start lower than any score, at torch.finfo(…).min.",
        caught_by="test_large_scores_are_exact_wherever_the_largest_is",
        online_attention=answer_with(lowest=0.0),
    ),
    Mistake(
        "starts the maximum at -inf",
        "As long as all keys were hidden, old - new is -inf - (-inf), NaN: start at the lowest finite number.",
        caught_by="test_equals_pytorch_under_a_mask",
        online_attention=answer_with(lowest=-math.inf),
    ),
    Mistake(
        "starts the maximum at a number such as -1e4, which large scores undercut",
        "If all scores lie below it, all exponentials are 0: start below any score, at torch.finfo(…).min.",
        caught_by="test_hidden_keys_stay_hidden_however_low_the_others_are",
        online_attention=answer_with(lowest=-5e4),
    ),
    Mistake(
        "starts the maximum at a number such as -1e4, and hides by the same number",
        "Scores may lie below -10,000: start at torch.finfo(…).min, which is below any score, and hide with -inf.",
        caught_by="test_hidden_keys_stay_hidden_however_low_the_others_are",
        online_attention=answer_with(lowest=-5e4, scores_of=hidden_to_minus_5e4),
    ),
    Mistake(
        "takes 0 for the maximum as long as all keys were hidden, and keeps it",
        "0 is a score like any other, and higher than those to come: start at the lowest finite number instead.",
        caught_by="test_hidden_keys_stay_hidden_however_low_the_others_are",
        online_attention=answer_with(lowest=-math.inf, step=maximum_0_where_all_is_hidden),
    ),
    Mistake(
        "divides by the sum in every block",
        "The sum is complete only after the last block: divide once, at the end.",
        caught_by="test_equals_pytorch_whatever_the_block",
        online_attention=answer_with(step=divided_in_every_block),
    ),
    Mistake(
        "takes the softmax of each block and averages the blocks",
        "A block with large scores must weigh more than one with small: add up exponentials, and divide at the end.",
        caught_by="test_equals_pytorch_whatever_the_block",
        online_attention=softmax_of_each_block,
    ),
    Mistake(
        "does not divide by the sum",
        "Exponentials are not weights yet: after the last block divide by their sum.",
        caught_by="test_equal_values_come_back",
        online_attention=answer_with(end=lambda total, summed: summed),
    ),
    Mistake(
        "drops the last block where it is shorter than the others",
        "range(0, j, block) visits the rest as well, and a slice that reaches beyond the end is cut off by itself.",
        caught_by="test_equals_pytorch_whatever_the_block",
        online_attention=answer_with(cut=whole_blocks),
    ),
    Mistake(
        "fills the last block up with keys of zeros, which get weights too",
        "A key of zeros has the score 0, and exp(0) is not 0: let the last block be shorter, or hide what fills it up.",
        caught_by="test_equals_pytorch_whatever_the_block",
        online_attention=keys_of_zeros,
    ),
    Mistake(
        "looks at the first block alone",
        "Go on until all keys have come by: for start in range(0, j, block).",
        caught_by="test_equals_pytorch_whatever_the_block",
        online_attention=answer_with(cut=one_block),
    ),
    Mistake(
        "takes the first columns of the mask for every block",
        "The mask's columns are the keys: cut them as you cut the keys.",
        caught_by="test_equals_pytorch_under_a_mask",
        online_attention=answer_with(scores_of=mask_from_its_start),
    ),
    Mistake(
        "applies the whole mask to the scores of a block",
        "The scores are those of a block of keys: take the same columns of the mask, mask[..., start : start + block].",
        caught_by="test_equals_pytorch_under_a_mask",
        online_attention=answer_with(scores_of=mask_uncut),
    ),
    Mistake(
        "reads the mask the other way round",
        "In a mask True means that the query may attend: hide the scores where it is False.",
        caught_by="test_equals_pytorch_under_a_mask",
        online_attention=answer_with(scores_of=mask_inverted),
    ),
    Mistake(
        "ignores the mask",
        "Where the mask is False the score must become -inf, so that the key gets the weight 0.",
        caught_by="test_equals_pytorch_under_a_mask",
        online_attention=answer_with(scores_of=mask_ignored),
    ),
    Mistake(
        "asks whether the mask is true, `if mask:`, which has no answer for many numbers at once",
        "Ask whether there is a mask, `if mask is not None:`; a tensor as a whole is neither true nor false.",
        caught_by="test_equals_pytorch_under_a_mask",
        online_attention=answer_with(scores_of=mask_asked_for_truth),
    ),
    Mistake(
        "sets hidden scores to -100",
        "-100 is not far away where scores are -1000: only -inf stays hidden whatever the scores are.",
        caught_by="test_hidden_keys_stay_hidden_however_low_the_others_are",
        online_attention=answer_with(scores_of=hidden_to_minus_100),
    ),
    Mistake(
        "sets hidden scores to a number such as -1e4, which large scores undercut",
        "Scores may lie below -10,000, and then hidden keys win: only -inf is below all of them.",
        caught_by="test_hidden_keys_stay_hidden_however_low_the_others_are",
        online_attention=answer_with(scores_of=hidden_to_minus_5e4),
    ),
    Mistake(
        "does not scale the scores",
        "It is scaled dot-product attention still: divide the scores, or the query, by √d.",
        caught_by="test_one_block_is_plain_attention",
        online_attention=answer_with(scores_of=no_scale),
    ),
    Mistake(
        "scales by the number of keys in the block",
        "The scale is √d, the width of query and key; how many keys come at a time must not matter.",
        caught_by="test_one_block_is_plain_attention",
        online_attention=answer_with(scores_of=scale_by_block),
    ),
    Mistake(
        "makes a table of all scores at once",
        "The table is what is to be spared: compute the scores inside the loop, those of a block of keys alone.",
        caught_by="test_no_tensor_is_larger_than_a_block",
        online_attention=all_scores_first,
    ),
    Mistake(
        "cuts the queries into blocks, not the keys",
        "A single query over a long text would have all its scores at once: cut the keys, and carry on what is known.",
        caught_by="test_no_tensor_is_larger_than_a_block",
        online_attention=blocks_of_queries,
    ),
    Mistake(
        "changes the query in place",
        "The inputs are the caller's: write query = query / √d, which makes a new tensor, not query /= √d.",
        caught_by="test_the_inputs_are_left_as_they_are",
        online_attention=scaled_in_place,
    ),
    Mistake(
        "keeps its sums in float32, whatever the inputs are",
        "torch.zeros makes float32: take query.new_zeros or torch.zeros_like, which have the dtype of the inputs.",
        caught_by="test_each_query_gets_a_vector_of_the_values_width",
        online_attention=sums_in_float32,
    ),
    Mistake(
        "cuts the output off from its inputs",
        "Without a gradient nothing is learned: no torch.no_grad(), no .data on the way.",
        caught_by="test_one_block_is_plain_attention",
        online_attention=no_gradient,
    ),
)


def maximum_with_gradient(largest, total, summed, scores, v):
    new = torch.maximum(largest, scores.amax(-1, keepdim=True))
    weights, shrink = (scores - new).exp(), (largest - new).exp()
    return new, shrink * total + weights.sum(-1, keepdim=True), shrink * summed + weights @ v


def always_normalised(query, key, value, mask=None, *, block=128):
    """The output so far and the logarithm of the sum: two blocks are mixed by how much each weighs."""
    lowest = torch.finfo(query.dtype).min
    output, log_sum = torch.zeros(()), None
    for keys in blocks(key.shape[-2], block):
        scores = scores_of(query, key, mask, keys)
        here = torch.logsumexp(scores.clamp(min=lowest / 4), -1, keepdim=True)
        o = (scores.clamp(min=lowest / 4) - here).exp() @ value[:, :, keys]
        if log_sum is None:
            output, log_sum = o, here
            continue
        share = torch.sigmoid(here - log_sum)
        output, log_sum = output + share * (o - output), torch.logaddexp(log_sum, here)
    return output


def two_passes(query, key, value, mask=None, *, block=128):
    parts = blocks(key.shape[-2], block)
    largest = starting(query, value)[0]
    for k in parts:
        largest = torch.maximum(largest, highest(scores_of(query, key, mask, k)))
    total, summed = 0.0, 0.0
    for k in parts:
        weights = (scores_of(query, key, mask, k) - largest).exp()
        total, summed = total + weights.sum(-1, keepdim=True), summed + weights @ value[:, :, k]
    return summed / total


def by_split(query, key, value, mask=None, *, block=128):
    state, start = starting(query / query.shape[-1] ** 0.5, value, -1e30), 0
    for k, v in zip(key.split(block, 2), value.split(block, 2)):
        scores = torch.einsum("bhid,bhjd->bhij", query, k) / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[..., start : start + block], -math.inf)
        state, start = right_step(*state, scores, v), start + block
    return state[2] / state[1]


VARIANTS = (
    Variant("the gradient flows through the maximum too", online_attention=answer_with(step=maximum_with_gradient)),
    Variant("two passes, the largest score first", online_attention=two_passes),
    Variant("the output always normalised, and the logarithm of the sum", online_attention=always_normalised),
    Variant("split() in place of slices, and -1e30 to start with", online_attention=by_split),
)


def observe(answer, seed):
    """Blocks of all kinds, each kind of mask or none, hidden blocks, scores in the thousands; the largest tensor."""
    b, h, i, j, d, e = ((2, 3, 5, 4, 6, 7), (2, 2, 4, 4, 3, 3), (1, 2, 3, 7, 4, 2), (2, 1, 2, 5, 1, 1))[seed % 4]
    masks = ("i j", None, "b 1 1 j", "b h i j", None)
    block = (2, 3, 1, 7, 2, 4, 128)[seed % 7]
    case = AttentionCase(b, h, i, j, d, e, masks[seed % 5], (0.3, 0.6)[seed % 2], empty_rows=False, seed=seed)
    query, key, value, mask = case.tensors()
    if seed % 5 > 2:
        ends = ((-1000, 1000), (1000, -1000), (-748, -746), (1000, 2000), (-2e8, -1e8))[seed // 2 % 5]
        query, key = torch.zeros_like(query), torch.zeros_like(key)
        query[..., 0] = math.sqrt(d) * (1 if ends[0] == -748 else fill(generator(seed), b, h, i))
        key[..., 0] = torch.linspace(*ends, j, dtype=torch.float64)
        block = (2, 1, 3)[seed % 3]
    seen = {"output": behaviour(answer.online_attention, query, key, value, mask, block=block)}
    if seed % 12 == 0:
        long = fill(generator(seed), 1, 2, 40, 3)
        with LargestTensor() as watch:
            answer.online_attention(long[:, :, :8], long, long, block=5)
        seen["larger than a block"] = watch.elements > long.numel()
        with LargestTensor() as watch:
            answer.online_attention(long, long, long, block=5)
        seen["larger than a block of many"] = watch.elements > 2 * 40 * 5
    return seen
