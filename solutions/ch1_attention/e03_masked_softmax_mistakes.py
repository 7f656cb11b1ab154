"""Wrong answers to e03 that have been seen, each with what it does and what a teacher would say; and right variants."""

import math

import torch

from attn_lab.checks.cases import AttentionCase, fill, generator
from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = (
    "torch.masked.softmax",
    "attn_lab.scaled_dot_product.masked_softmax",
    "attn_lab.attention",
    "attn_lab.fused_attention",
)


def hide(scores, mask, fill=-math.inf):
    return scores if mask is None else scores.masked_fill(~mask, fill)


def zero(weights, mask):
    return weights if mask is None else weights.masked_fill(~mask, 0.0)


def allowed_in(scores, mask):
    """The mask at full size."""
    return torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand(scores.shape)


def shares(powers, dim):
    """Powers divided by their sum; zeros stay zeros."""
    total = powers.sum(dim, keepdim=True)
    return powers / total.masked_fill(total == 0, 1.0)


def nan_row(scores, mask=None, dim=-1):
    return hide(scores, mask).softmax(dim)


def uniform_row(scores, mask=None, dim=-1):
    return hide(scores, mask, -1e9).softmax(dim)


def opened_row(scores, mask=None, dim=-1):
    allowed = allowed_in(scores, mask)
    return hide(scores, allowed | ~allowed.any(dim, keepdim=True)).softmax(dim)


def nan_gradient(scores, mask=None, dim=-1):
    if mask is not None:
        scores = scores + torch.zeros_like(scores).masked_fill(~mask, -math.inf)
    return scores.softmax(dim).nan_to_num(0.0)


def whole_mask_asked(scores, mask=None, dim=-1):
    if mask is not None and not mask.any():
        return scores * 0
    return nan_row(scores, mask, dim)


def own_axes_of_the_mask(scores, mask=None, dim=-1):
    weights = nan_row(scores, mask, dim)
    return weights if mask is None else weights.masked_fill(~mask.any(dim, keepdim=True), 0.0)


def overflow(scores, mask=None, dim=-1):
    return shares(zero(scores.exp(), mask), dim)


def overflow_and_nan_row(scores, mask=None, dim=-1):
    powers = scores.exp() if mask is None else scores.exp() * mask
    return powers / powers.sum(dim, keepdim=True)


def largest_of_all(scores, mask=None, dim=-1):
    largest = hide(scores, mask).max().nan_to_num(neginf=0.0)
    return shares(zero((hide(scores, mask) - largest).exp(), mask), dim)


def hidden_divided_out(scores, mask=None, dim=-1):
    return shares(zero(scores.softmax(dim), mask), dim)


def hidden_divided_out_or_nan(scores, mask=None, dim=-1):
    weights = zero(scores.softmax(dim), mask)
    return weights / weights.sum(dim, keepdim=True)


def small_number_added(scores, mask=None, dim=-1):
    scores = hide(scores, mask)
    powers = (scores - scores.detach().amax(dim, keepdim=True).nan_to_num(neginf=0.0)).exp()
    return powers / (powers.sum(dim, keepdim=True) + 1e-9)


def mask_after_softmax(scores, mask=None, dim=-1):
    return zero(scores.softmax(dim), mask)


def hidden_scores_zero(scores, mask=None, dim=-1):
    return hide(scores, mask, 0.0).softmax(dim)


def hidden_scores_zero_then_zeroed(scores, mask=None, dim=-1):
    return zero(hide(scores, mask, 0.0).softmax(dim), mask)


def fill_of_minus_100(scores, mask=None, dim=-1):
    return zero(hide(scores, mask, -100.0).softmax(dim), mask)


def fill_of_minus_10000(scores, mask=None, dim=-1):
    return zero(hide(scores, mask, -10000.0).softmax(dim), mask)


def dim_ignored(scores, mask=None, dim=-1):
    return zero(nan_row(scores, mask), mask)


def mask_inverted(scores, mask=None, dim=-1):
    hidden = None if mask is None else ~mask
    return zero(nan_row(scores, hidden, dim), hidden)


def no_mask_crashes(scores, mask=None, dim=-1):
    return scores.masked_fill(~mask, -math.inf).softmax(dim).masked_fill(~mask, 0.0)


def detached(scores, mask=None, dim=-1):
    return zero(nan_row(scores, mask, dim), mask).detach()


def in_place(scores, mask=None, dim=-1):
    if mask is not None:
        scores.masked_fill_(~mask, -math.inf)
    return zero(scores.softmax(dim), mask)


def weights_in_place(scores, mask=None, dim=-1):
    weights = nan_row(scores, mask, dim)
    return weights if mask is None else weights.masked_fill_(~mask, 0.0)


def always_float32(scores, mask=None, dim=-1):
    return zero(hide(scores, mask).softmax(dim, dtype=torch.float32), mask)


MISTAKES = (
    Mistake(
        "gives NaN to a row in which nothing is allowed",
        "A softmax of nothing but -inf divides 0 by 0: set the weights of hidden entries to 0 afterwards.",
        caught_by="test_nothing_allowed_is_zeros",
        masked_softmax=nan_row,
    ),
    Mistake(
        "hides by a large negative number such as -1e9, so that a row in which nothing is allowed gets equal shares",
        "Where every score is -1e9 no entry is worse than another: use -inf, and set hidden weights to 0 afterwards.",
        caught_by="test_nothing_allowed_is_zeros",
        masked_softmax=uniform_row,
    ),
    Mistake(
        "gives a row in which nothing is allowed the weights that it would have without a mask",
        "That keeps NaN away, but nothing may be seen there: set the weights of hidden entries to 0 afterwards.",
        caught_by="test_nothing_allowed_is_zeros",
        masked_softmax=opened_row,
    ),
    Mistake(
        "adds -inf and takes the NaN out of the weights only: it is still in the gradient",
        "nan_to_num mends the output, not the way back: hide by masked_fill or where, which let no gradient through to "
        "a hidden score.",
        caught_by="test_nothing_allowed_has_no_gradient",
        masked_softmax=nan_gradient,
    ),
    Mistake(
        "asks whether the whole mask is empty, and not each row",
        "One row can be empty while the others are not: set hidden weights to 0 in every row.",
        caught_by="test_nothing_allowed_is_zeros",
        masked_softmax=whole_mask_asked,
    ),
    Mistake(
        "looks for empty rows along the mask's own axes, before it is broadcast to the scores",
        "`dim` counts the axes of the scores, and the mask may have fewer: expand the mask first, or zero the hidden "
        "weights themselves.",
        caught_by="test_the_rows_run_along_any_axis",
        masked_softmax=own_axes_of_the_mask,
    ),
    Mistake(
        "takes exp of the scores as they are: large ones overflow",
        "exp(1000) is infinite: subtract the row's largest allowed score first, which changes no weight.",
        caught_by="test_huge_scores_do_no_harm",
        masked_softmax=overflow,
    ),
    Mistake(
        "divides exp of the scores by their sum: large ones overflow, and where nothing is allowed it is 0 / 0",
        "Subtract the row's largest allowed score before exp, and divide by 1 where the sum is 0.",
        caught_by="test_nothing_allowed_is_zeros",
        masked_softmax=overflow_and_nan_row,
    ),
    Mistake(
        "subtracts the largest score of all rows, so that rows with small scores vanish",
        "exp(-1000) is 0: each row needs its own largest score, amax(dim, keepdim=True).",
        caught_by="test_huge_scores_do_no_harm",
        masked_softmax=largest_of_all,
    ),
    Mistake(
        "lets hidden scores take part, and divides them out afterwards",
        "Beside a hidden score of 1000 the allowed ones are rounded to 0, and cannot be scaled up again: hide first.",
        caught_by="test_huge_scores_do_no_harm",
        masked_softmax=hidden_divided_out,
    ),
    Mistake(
        "lets hidden scores take part and divides them out afterwards, by 0 where nothing is allowed",
        "Hide the scores before the softmax, and set hidden weights to 0 after it: then nothing need be divided again.",
        caught_by="test_nothing_allowed_is_zeros",
        masked_softmax=hidden_divided_out_or_nan,
    ),
    Mistake(
        "adds a small number to the sum that it divides by",
        "The weights then sum to a little less than 1: where anything is allowed the sum is 1 or more anyway.",
        caught_by="test_each_row_sums_to_one",
        masked_softmax=small_number_added,
    ),
    Mistake(
        "applies the mask after the softmax, so that rows no longer sum to 1",
        "Hide the scores before the softmax: the allowed ones then share the whole among them.",
        caught_by="test_each_row_sums_to_one",
        masked_softmax=mask_after_softmax,
    ),
    Mistake(
        "sets hidden scores to 0",
        "A score of 0 is a score like any other, exp(0) = 1: only -inf has no weight.",
        caught_by="test_hidden_entries_get_no_weight",
        masked_softmax=hidden_scores_zero,
    ),
    Mistake(
        "sets hidden scores to 0 before the softmax and hidden weights to 0 after it",
        "In between the hidden entries take their share, exp(0) = 1 each, and it is lost: hide them by -inf.",
        caught_by="test_each_row_sums_to_one",
        masked_softmax=hidden_scores_zero_then_zeroed,
    ),
    Mistake(
        "sets hidden scores to -100, and their weights to 0 afterwards",
        "Beside scores of -1000 one of -100 takes everything: only -inf is below whatever comes.",
        caught_by="test_huge_scores_do_no_harm",
        masked_softmax=fill_of_minus_100,
    ),
    Mistake(
        "sets hidden scores to -10000, and their weights to 0 afterwards",
        "Beside scores of -1000000 one of -10000 takes everything: only -inf is below whatever comes.",
        caught_by="test_no_allowed_score_is_too_low",
        masked_softmax=fill_of_minus_10000,
    ),
    Mistake(
        "ignores `dim`, and always takes the last axis",
        "Hand `dim` on to every step that goes along a row: softmax, amax, sum.",
        caught_by="test_the_rows_run_along_any_axis",
        masked_softmax=dim_ignored,
    ),
    Mistake(
        "reads the mask the other way round",
        "In a mask True means allowed: hide the scores where it is False.",
        caught_by="test_hidden_entries_get_no_weight",
        masked_softmax=mask_inverted,
    ),
    Mistake(
        "crashes when there is no mask",
        "mask=None means that everything is allowed: ask for it before you use the mask.",
        caught_by="test_without_a_mask_it_is_the_softmax",
        masked_softmax=no_mask_crashes,
    ),
    Mistake(
        "cuts the weights off from the scores",
        "Without a gradient nothing is learned: detach nothing but the number that is subtracted.",
        caught_by="test_without_a_mask_it_is_the_softmax",
        masked_softmax=detached,
    ),
    Mistake(
        "writes -inf into the caller's scores",
        "The scores are the caller's: masked_fill makes a new tensor, masked_fill_ changes the old one.",
        caught_by="test_the_inputs_are_left_as_they_are",
        masked_softmax=in_place,
    ),
    Mistake(
        "sets hidden weights to 0 in place, and the gradient cannot be taken any more",
        "softmax needs its output for the way back: masked_fill makes a new tensor; masked_fill_ and weights[…] = 0 "
        "spoil the old one.",
        caught_by="test_equals_the_softmax_of_what_is_allowed",
        masked_softmax=weights_in_place,
    ),
    Mistake(
        "returns float32 whatever comes in",
        "At least float32, not at most: float64 scores keep their digits.",
        caught_by="test_a_weight_for_each_score",
        masked_softmax=always_float32,
    ),
)


def softmax_then_zero(scores, mask=None, dim=-1):
    return zero(nan_row(scores, mask, dim), mask)


def nan_to_num_of_weights(scores, mask=None, dim=-1):
    return nan_row(scores, mask, dim).nan_to_num(0.0)


def lowest_number(scores, mask=None, dim=-1):
    return zero(hide(scores, mask, torch.finfo(scores.dtype).min).softmax(dim), mask)


def empty_rows_opened_then_zeroed(scores, mask=None, dim=-1):
    return zero(opened_row(scores, mask, dim), mask)


def by_logsumexp(scores, mask=None, dim=-1):
    hidden = hide(scores, mask)
    empty = ~allowed_in(scores, mask).any(dim, keepdim=True)
    return (hidden - hidden.masked_fill(empty, 0.0).logsumexp(dim, keepdim=True)).exp()


def clamped_sum(scores, mask=None, dim=-1):
    hidden = hide(scores, mask)
    powers = (hidden - hidden.detach().amax(dim, keepdim=True).clamp(min=-1e30)).exp()
    return powers / powers.sum(dim, keepdim=True).clamp(min=1.0)


VARIANTS = (
    Variant("torch.softmax of -inf, then zeros for what is hidden", masked_softmax=softmax_then_zero),
    Variant("nan_to_num on the weights, after masked_fill", masked_softmax=nan_to_num_of_weights),
    Variant("the lowest number that there is in place of -inf, then zeros", masked_softmax=lowest_number),
    Variant("empty rows opened, then zeros: no NaN on the way", masked_softmax=empty_rows_opened_then_zeroed),
    Variant("the logarithm of the sum subtracted", masked_softmax=by_logsumexp),
    Variant("a sum of 1 at least", masked_softmax=clamped_sum),
)


def observe(answer, seed):
    """Each kind of mask or none, rows along each axis, empty rows or none, small, large and huge scores, two dtypes."""
    b, h, i, j = ((2, 3, 5, 4), (3, 3, 4, 4), (1, 2, 3, 6), (2, 2, 1, 5))[seed % 4]
    axes = (None, "i j", "b 1 1 j", "b h i j", "i 1")[seed % 5]
    case = AttentionCase(b, h, i, j, 1, 1, axes, (0.5, 0.3, 0.8)[seed % 3], empty_rows=seed % 7 != 0, seed=seed)
    _, _, _, mask = case.tensors()
    scores = fill(generator(seed), b, h, i, j)
    if seed % 3 == 2:
        scores = 1000.0 * scores.round() + scores
    elif seed % 10 == 3:
        scores = 1e6 * scores.sign()
    if seed % 6 == 5:
        scores = scores.float()
    dim = (-1, 3, 1, -1, -2, -1, 0, -1)[seed % 8]
    return {
        "weights": behaviour(answer.masked_softmax, scores, mask, dim),
        "sums fall short": _sums_fall_short(answer, scores.double(), mask, dim),
    }


def _sums_fall_short(answer, scores, mask, dim):
    """Whether some row that is not empty sums to less than 1, by more than rounding and less than one would see."""
    try:
        total = answer.masked_softmax(scores, mask, dim).double().sum(dim)
        return bool((total < 1 - 1e-13)[allowed_in(scores, mask).any(dim)].any())
    except Exception:
        return None
