"""Wrong answers to e02 that have been seen, each with what it does and what a teacher would say; and right variants."""

import math

import torch
import torch.nn.functional as F

from attn_lab.checks.cases import AttentionCase
from attn_lab.course.behaviour import behaviour
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = (
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.functional.multi_head_attention_forward",
    "attn_lab.attention",
    "attn_lab.fused_attention",
)


def finish(scores, value, mask, dropout, fill=-math.inf):
    """The rest of a right answer, from its scores."""
    if mask is not None:
        scores = scores.masked_fill(~mask, fill)
    weights = scores.softmax(-1)
    return (weights if dropout is None else dropout(weights)) @ value


def scores_of(query, key, scale=None):
    return query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)


def no_scale(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key, 1.0), value, mask, dropout)


def scale_by_width(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key, 1 / query.shape[-1]), value, mask, dropout)


def scale_by_value_width(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key, value.shape[-1] ** -0.5), value, mask, dropout)


def scale_by_length(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key, key.shape[-2] ** -0.5), value, mask, dropout)


def scale_multiplied(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key, query.shape[-1] ** 0.5), value, mask, dropout)


def softmax_over_queries(query, key, value, mask=None, dropout=None):
    scores = scores_of(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(-2)
    return (weights if dropout is None else dropout(weights)) @ value


def softmax_over_heads(query, key, value, mask=None, dropout=None):
    scores = scores_of(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(1)
    return (weights if dropout is None else dropout(weights)) @ value


def no_softmax(query, key, value, mask=None, dropout=None):
    weights = scores_of(query, key)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    return (weights if dropout is None else dropout(weights)) @ value


def mask_inverted(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, None if mask is None else ~mask, dropout)


def mask_after_softmax(query, key, value, mask=None, dropout=None):
    weights = scores_of(query, key).softmax(-1)
    if mask is not None:
        weights = weights * mask
    return (weights if dropout is None else dropout(weights)) @ value


def masked_scores_zero(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, mask, dropout, fill=0.0)


def fill_of_minus_100(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, mask, dropout, fill=-100.0)


def mask_ignored(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, None, dropout)


def no_mask_crashes(query, key, value, mask=None, dropout=None):
    weights = scores_of(query, key).masked_fill(~mask, -math.inf).softmax(-1)
    return (weights if dropout is None else dropout(weights)) @ value


def no_dropout_crashes(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, mask, lambda weights: dropout(weights))


def output_detached(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, mask, dropout).detach()


def weights_detached(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key).detach(), value, mask, dropout)


def query_scaled_in_place(query, key, value, mask=None, dropout=None):
    query /= math.sqrt(query.shape[-1])
    return finish(scores_of(query, key, 1.0), value, mask, dropout)


def dropout_on_scores(query, key, value, mask=None, dropout=None):
    scores = scores_of(query, key)
    return finish(scores if dropout is None else dropout(scores), value, mask, None)


def dropout_on_output(query, key, value, mask=None, dropout=None):
    output = finish(scores_of(query, key), value, mask, None)
    return output if dropout is None else dropout(output)


def dropout_ignored(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, mask, None)


def dropout_in_eval(query, key, value, mask=None, dropout=None):
    p = getattr(dropout, "p", None)
    return finish(scores_of(query, key), value, mask, dropout if p is None else lambda weights: F.dropout(weights, p))


def scale_of_nothing(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key, 0.0), value, mask, dropout)


def softmax_over_heads_and_keys(query, key, value, mask=None, dropout=None):
    scores = scores_of(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    b, h, i, j = scores.shape
    weights = scores.transpose(1, 2).flatten(2).softmax(-1).view(b, i, h, j).transpose(1, 2)
    return (weights if dropout is None else dropout(weights)) @ value


def mask_added(query, key, value, mask=None, dropout=None):
    scores = scores_of(query, key)
    return finish(scores if mask is None else scores + mask, value, None, dropout)


def mask_asked_for_truth(query, key, value, mask=None, dropout=None):
    scores = scores_of(query, key)
    if mask:
        scores = scores.masked_fill(~mask, -math.inf)
    return finish(scores, value, None, dropout)


def fill_of_minus_1e4(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, mask, dropout, fill=-1e4)


MISTAKES = (
    Mistake(
        "does not scale the scores",
        "Divide the scores by √d: a dot product of d terms spreads like √d, and of large scores softmax picks one key.",
        caught_by="test_equals_pytorch",
        attention=no_scale,
    ),
    Mistake(
        "divides the scores by d, not by √d",
        "The scale is the square root of d, since a sum of d terms spreads like √d, not like d.",
        caught_by="test_equals_pytorch",
        attention=scale_by_width,
    ),
    Mistake(
        "scales by the width of the values",
        "The scale belongs to the dot product of query and key: take d from them, not e from the values.",
        caught_by="test_equals_pytorch",
        attention=scale_by_value_width,
    ),
    Mistake(
        "scales by the number of keys",
        "The scale is √d, the width of query and key; how many keys there are is the softmax's business.",
        caught_by="test_equals_pytorch",
        attention=scale_by_length,
    ),
    Mistake(
        "multiplies the scores by √d",
        "Divide by √d: the scale is there to make the scores smaller.",
        caught_by="test_equals_pytorch",
        attention=scale_multiplied,
    ),
    Mistake(
        "multiplies the scores by 0, so that every key weighs the same",
        "The scale is 1 / √d, from the query's own width: a scale of 0 wipes out what query and key have to say.",
        caught_by="test_equals_pytorch",
        attention=scale_of_nothing,
    ),
    Mistake(
        "applies softmax over the queries",
        "Each query's weights must sum to 1 over the keys: the softmax runs over j, the last axis.",
        caught_by="test_equal_values_come_back",
        attention=softmax_over_queries,
    ),
    Mistake(
        "applies softmax over the heads",
        "Heads do not compete: in each of them the softmax runs over the keys, the last axis.",
        caught_by="test_equal_values_come_back",
        attention=softmax_over_heads,
    ),
    Mistake(
        "shares one softmax among the keys of all heads",
        "Heads do not compete: in each of them the weights sum to 1 over the keys, the last axis alone.",
        caught_by="test_equal_values_come_back",
        attention=softmax_over_heads_and_keys,
    ),
    Mistake(
        "leaves out the softmax",
        "Scores are not weights: the softmax over the keys makes them positive and lets them sum to 1.",
        caught_by="test_equal_values_come_back",
        attention=no_softmax,
    ),
    Mistake(
        "reads the mask the other way round",
        "In a mask True means that the query may attend: hide the scores where it is False.",
        caught_by="test_equals_pytorch_under_a_mask",
        attention=mask_inverted,
    ),
    Mistake(
        "applies the mask after the softmax",
        "Hide the scores before the softmax, so that the weights that stay sum to 1.",
        caught_by="test_equals_pytorch_under_a_mask",
        attention=mask_after_softmax,
    ),
    Mistake(
        "sets hidden scores to 0",
        "A score of 0 still gets the weight exp(0) = 1 before it is normalised; only -inf gets none.",
        caught_by="test_equals_pytorch_under_a_mask",
        attention=masked_scores_zero,
    ),
    Mistake(
        "sets hidden scores to -100",
        "-100 is not far away where scores are -1000: only -inf stays hidden whatever the scores are.",
        caught_by="test_hidden_keys_stay_hidden_however_large_the_scores",
        attention=fill_of_minus_100,
    ),
    Mistake(
        "sets hidden scores to a number such as -1e4, which large scores undercut",
        "A model can learn scores below -10,000, and then looks past its mask: only -inf is below all of them.",
        caught_by="test_hidden_keys_stay_hidden_however_large_the_scores",
        attention=fill_of_minus_1e4,
    ),
    Mistake(
        "ignores the mask",
        "Where the mask is False the score must become -inf, so that the key gets the weight 0.",
        caught_by="test_equals_pytorch_under_a_mask",
        attention=mask_ignored,
    ),
    Mistake(
        "adds the mask to the scores as ones and zeros",
        "True is 1 and False is 0, which hides nothing: a hidden score becomes -inf, by where or masked_fill.",
        caught_by="test_equals_pytorch_under_a_mask",
        attention=mask_added,
    ),
    Mistake(
        "crashes when there is no mask",
        "mask=None means that every query may attend to every key: ask for it before you use the mask.",
        caught_by="test_equals_pytorch",
        attention=no_mask_crashes,
    ),
    Mistake(
        "asks `if mask:`, which has no answer for many numbers at once",
        "Ask whether there is a mask, `if mask is not None:`; a tensor as a whole is neither true nor false.",
        caught_by="test_equals_pytorch_under_a_mask",
        attention=mask_asked_for_truth,
    ),
    Mistake(
        "crashes when there is no dropout",
        "dropout=None means that nothing is dropped: ask for it before you call it.",
        caught_by="test_equals_pytorch",
        attention=no_dropout_crashes,
    ),
    Mistake(
        "cuts the output off from its inputs",
        "Without a gradient nothing is learned: no detach(), no .data, no NumPy on the way.",
        caught_by="test_equals_pytorch",
        attention=output_detached,
    ),
    Mistake(
        "cuts the weights off from query and key",
        "The gradient must flow through the weights too, else query and key never learn.",
        caught_by="test_equals_pytorch",
        attention=weights_detached,
    ),
    Mistake(
        "changes the query in place",
        "The inputs are the caller's: write query = query / √d, which makes a new tensor, not query /= √d.",
        caught_by="test_the_inputs_are_left_as_they_are",
        attention=query_scaled_in_place,
    ),
    Mistake(
        "applies dropout to the scores",
        "A score of 0 is not a weight of 0: dropout comes after the softmax.",
        caught_by="test_dropout_acts_on_the_weights",
        attention=dropout_on_scores,
    ),
    Mistake(
        "applies dropout to the output",
        "Dropout takes out whole keys for a query: it acts on the weights, before they meet the values.",
        caught_by="test_dropout_acts_on_the_weights",
        attention=dropout_on_output,
    ),
    Mistake(
        "ignores dropout",
        "Call dropout(weights) where it is not None.",
        caught_by="test_dropout_acts_on_the_weights",
        attention=dropout_ignored,
    ),
    Mistake(
        "drops in evaluation too",
        "Call the module that you are given: it knows whether it is in training; F.dropout(x, p) always drops.",
        caught_by="test_dropout_is_for_training",
        attention=dropout_in_eval,
    ),
)


def by_matmul(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, mask, dropout)


def query_scaled_first(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query / query.shape[-1] ** 0.5, key, 1.0), value, mask, dropout)


def fill_of_minus_1e9(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, mask, dropout, fill=-1e9)


def additive_mask(query, key, value, mask=None, dropout=None):
    scores = scores_of(query, key)
    if mask is not None:
        scores = scores + torch.zeros(mask.shape, dtype=scores.dtype).masked_fill(~mask, -math.inf)
    return finish(scores, value, None, dropout)


def exponentials_by_hand(query, key, value, mask=None, dropout=None):
    scores = scores_of(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    weights = powers / powers.sum(-1, keepdim=True)
    return (weights if dropout is None else dropout(weights)) @ value


VARIANTS = (
    Variant("torch.matmul in place of einsum", attention=by_matmul),
    Variant("the query scaled before the product", attention=query_scaled_first),
    Variant("-1e9 for -inf: the same where each query has a key", attention=fill_of_minus_1e9),
    Variant("a mask of 0 and -inf that is added", attention=additive_mask),
    Variant("a softmax of its own", attention=exponentials_by_hand),
)


class Halving(torch.nn.Module):
    """Dropout without chance, that knows its mode as nn.Dropout does."""

    p = 0.5

    def forward(self, weights):
        kept = (torch.arange(weights.numel()) % 3 > 0).view(weights.shape)
        return 2.0 * weights * kept if self.training else weights


def observe(answer, seed):
    """Shapes with and without equal axes, each kind of mask or none, dropout in its modes or none, large scores."""
    masks = (None, "i j", "b 1 1 j", "b h i j")
    b, h, i, j, d, e = ((2, 3, 5, 4, 6, 7), (2, 2, 4, 4, 3, 3), (1, 2, 3, 7, 4, 2))[seed % 3]
    case = AttentionCase(b, h, i, j, d, e, masks[seed % 4], (0.5, 0.8)[seed % 2], empty_rows=False, seed=seed)
    query, key, value, mask = case.tensors()
    if seed % 5 > 2:
        query = query * (400 if seed % 5 == 4 else 4_000_000)
    dropout = (None, Halving().train(), None, Halving().eval())[seed // 4 % 4]
    torch.manual_seed(seed)  # for an answer that draws for itself
    return behaviour(answer.attention, query, key, value, mask, dropout)
