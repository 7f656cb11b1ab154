"""Wrong answers to e08 that have been seen, each with what it does and what a teacher would say; and right variants."""

import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import nn

import attn_lab
from attn_lab.checks.cases import MultiHeadCase, fill, generator
from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = (
    "torch.nn.MultiheadAttention",
    "torch.nn.functional.multi_head_attention_forward",
    "torch.nn.functional.scaled_dot_product_attention",
    "attn_lab.MultiHeadSelfAttention",
)


class Heads(nn.Module):
    """A right answer, in steps that can each go wrong."""

    def __init__(self, dim, n_heads, dropout=None, *, attention=attn_lab.attention):
        super().__init__()
        self.n_heads, self.attention = n_heads, attention
        self.linear_query, self.linear_key, self.linear_value = (nn.Linear(dim, dim) for _ in range(3))
        self.linear_cat_attn = nn.Linear(dim, dim)
        self.dropout = self.drop(dropout)

    def drop(self, p):
        return None if p is None else nn.Dropout(p)

    def project(self, query, key, value):
        return self.linear_query(query), self.linear_key(key), self.linear_value(value)

    def split(self, x):
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def masked(self, mask):
        return mask[:, None] if mask is not None and mask.ndim == 3 else mask

    def attend(self, queries, keys, values, mask):
        return self.attention(queries, keys, values, mask, self.dropout)

    def merge(self, heads):
        return heads.transpose(1, 2).flatten(2)

    def back(self, x):
        return self.linear_cat_attn(x)

    def forward(self, query, key, value, mask=None):
        queries, keys, values = (self.split(x) for x in self.project(query, key, value))
        return self.back(self.merge(self.attend(queries, keys, values, self.masked(mask))))


class OneProjection(Heads):
    def project(self, query, key, value):
        return self.linear_query(query), self.linear_query(key), self.linear_query(value)


class KeyProjectionForValues(Heads):
    def project(self, query, key, value):
        return self.linear_query(query), self.linear_key(key), self.linear_key(value)


class ValuesOfKeys(Heads):
    def project(self, query, key, value):
        return self.linear_query(query), self.linear_key(key), self.linear_value(key)


class QueryForAll(Heads):
    def project(self, query, key, value):
        return super().project(query, query, query)


class QueryAndKeySwapped(Heads):
    def project(self, query, key, value):
        return super().project(key, query, value)


class KeyAndValueSwapped(Heads):
    def project(self, query, key, value):
        return super().project(query, value, key)


class ScaledTwice(Heads):
    def attend(self, queries, keys, values, mask):
        return super().attend(queries / math.sqrt(queries.shape[-1]), keys, values, mask)


class ScaledInPlace(Heads):
    def project(self, query, key, value):
        query /= math.sqrt(query.shape[-1] // self.n_heads)
        return super().project(query, key, value)


class ScaledByModelWidth(Heads):
    def attend(self, queries, keys, values, mask):
        return super().attend(queries / math.sqrt(self.n_heads), keys, values, mask)


class SplitReshaped(Heads):
    def split(self, x):
        return x.reshape(x.shape[0], self.n_heads, x.shape[1], -1)


class SplitInterleaved(Heads):
    def split(self, x):
        return x.unflatten(-1, (-1, self.n_heads)).permute(0, 3, 1, 2)


class SplitAndMergedInterleaved(SplitInterleaved):
    def merge(self, heads):
        return heads.permute(0, 2, 3, 1).flatten(2)


class MergedInterleaved(Heads):
    def merge(self, heads):
        return heads.permute(0, 2, 3, 1).flatten(2)


class MergedReshaped(Heads):
    def merge(self, heads):
        b, h, n, d = heads.shape
        return heads.reshape(b, n, h * d)


class SplitAndMergedReshaped(SplitReshaped):
    def merge(self, heads):
        b, h, n, d = heads.shape
        return heads.reshape(b, n, h * d)


class NotProjectedBack(Heads):
    def back(self, x):
        return x


class ResidualAdded(Heads):
    def forward(self, query, key, value, mask=None):
        return query + super().forward(query, key, value, mask)


class MaskAsItIs(Heads):
    def masked(self, mask):
        return mask


class HeadAxisInFront(Heads):
    def masked(self, mask):
        return mask[None] if mask is not None and mask.ndim == 3 else mask


class HeadAxisAlways(Heads):
    def masked(self, mask):
        return None if mask is None else mask.unsqueeze(1)


class HeadAxisForTwoAndThree(Heads):
    def masked(self, mask):
        return mask.unsqueeze(1) if mask is not None and mask.ndim < 4 else mask


class MaskForgotten(Heads):
    def masked(self, mask):
        return None


class MaskInverted(Heads):
    def masked(self, mask):
        return None if mask is None else ~super().masked(mask)


class MaskWanted(Heads):
    def masked(self, mask):
        return mask[:, None] if mask.ndim == 3 else mask


class FirstMaskKept(Heads):
    kept = None

    def masked(self, mask):
        if self.kept is None:
            self.kept = super().masked(mask)
        return self.kept


class OwnAttention(Heads):
    def attend(self, queries, keys, values, mask):
        return attn_lab.attention(queries, keys, values, mask, self.dropout)


class DropoutOfNone(Heads):
    def drop(self, p):
        return nn.Dropout(p)


class DropoutAsANumber(Heads):
    def drop(self, p):
        return p


class DropoutForgotten(Heads):
    def attend(self, queries, keys, values, mask):
        return self.attention(queries, keys, values, mask)


class DropoutOfOutput(Heads):
    def attend(self, queries, keys, values, mask):
        return self.attention(queries, keys, values, mask)

    def back(self, x):
        x = super().back(x)
        return x if self.dropout is None else self.dropout(x)


class DropoutOfBoth(Heads):
    def back(self, x):
        x = super().back(x)
        return x if self.dropout is None else self.dropout(x)


class DropoutInEval(Heads):
    def drop(self, p):
        return None if p is None else lambda weights: F.dropout(weights, p)


class DropoutOfHalf(Heads):
    def drop(self, p):
        return None if p is None else nn.Dropout()


class DropoutByDefault(Heads):
    def __init__(self, dim, n_heads, dropout=0.1, *, attention=attn_lab.attention):
        super().__init__(dim, n_heads, dropout, attention=attention)


class NoBias(Heads):
    def __init__(self, dim, n_heads, dropout=None, *, attention=attn_lab.attention):
        super().__init__(dim, n_heads, dropout, attention=attention)
        self.linear_query, self.linear_key, self.linear_value = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.linear_cat_attn = nn.Linear(dim, dim, bias=False)


def mistake(behaviour, advice, caught_by, module):
    return Mistake(behaviour, advice, caught_by=caught_by, MultiHeadSelfAttention=module)


FEATURES = "test_each_head_gets_its_own_features"
MERGED = "test_the_heads_are_put_side_by_side_and_projected"
MASK = "test_equals_pytorch_under_a_mask"
WEIGHTS = "test_four_projections_hold_all_the_weights"
DROPOUT = "test_attention_gets_the_dropout"


class MasksInAnotherOrder(Heads):
    """Repeated by `repeat`, which puts all examples one behind the other, and not all heads of an example."""

    def masked(self, mask):
        if mask is None or mask.ndim != 3:
            return mask
        return mask.repeat(self.n_heads, 1, 1).view(mask.shape[0], self.n_heads, *mask.shape[1:])


class AlongTheBatch(Heads):
    """Takes the first axis for the text, and the second for the batch."""

    def split(self, x):
        return super().split(x.transpose(0, 1))

    def merge(self, heads):
        return super().merge(heads).transpose(0, 1)


MISTAKES = (
    mistake(
        "uses one projection for query, key and value",
        "Asking, being found and handing over are three roles: linear_query, linear_key, linear_value.",
        FEATURES,
        OneProjection,
    ),
    mistake(
        "projects the values by linear_key",
        "What a position is found by is not what it hands over: the values have linear_value of their own.",
        FEATURES,
        KeyProjectionForValues,
    ),
    mistake(
        "takes the values from the key",
        "Three inputs, three projections: linear_value(value). Only in self-attention are they the same tensor.",
        FEATURES,
        ValuesOfKeys,
    ),
    mistake(
        "takes keys and values from the query",
        "Three inputs, three projections: linear_key(key), linear_value(value). They may be three different tensors.",
        FEATURES,
        QueryForAll,
    ),
    mistake(
        "takes the queries from the key, and the keys from the query",
        "linear_query belongs to query, linear_key to key: each query gets a row of the output.",
        FEATURES,
        QueryAndKeySwapped,
    ),
    mistake(
        "takes the keys from the value, and the values from the key",
        "linear_key belongs to key, linear_value to value; forward's order is query, key, value.",
        FEATURES,
        KeyAndValueSwapped,
    ),
    mistake(
        "divides the queries by √d, which attention does already",
        "The attention function scales the scores by itself: hand it the queries as they are projected.",
        FEATURES,
        ScaledTwice,
    ),
    mistake(
        "divides the query by √d, and the caller's own tensor at that",
        "The inputs are the caller's, so no /= on them; and the scale is the attention function's business.",
        "test_the_inputs_are_left_as_they_are",
        ScaledInPlace,
    ),
    mistake(
        "scales the scores by √dim in the end, not by √d",
        "The scale is that of a head's own dot product, √d, and attention sees to it: leave the queries alone.",
        FEATURES,
        ScaledByModelWidth,
    ),
    mistake(
        "splits the heads by a reshape alone, which mixes positions",
        "(b n (h d)) has positions before heads: make it (b n h d) first, then swap n and h.",
        FEATURES,
        SplitReshaped,
    ),
    mistake(
        "splits the features as (d h): every h-th one goes to the same head",
        "A head's features lie next to each other: the pattern is (h d), head first.",
        FEATURES,
        SplitInterleaved,
    ),
    Mistake(
        "attends along the batch, not along the text",
        "The batch comes first: (b n dim). Positions are the second axis, and examples know nothing of each other.",
        caught_by="test_each_query_gets_a_vector_of_the_models_width",
        MultiHeadSelfAttention=AlongTheBatch,
    ),
    mistake(
        "splits and merges the features as (d h)",
        "That is multi-head attention too, but not with these weights: head k owns d neighbouring features, (h d).",
        FEATURES,
        SplitAndMergedInterleaved,
    ),
    mistake(
        "splits and merges the heads by a reshape alone, which mixes positions",
        "A reshape keeps the numbers in their order: swap n and h after the split, and back before the merge.",
        FEATURES,
        SplitAndMergedReshaped,
    ),
    mistake(
        "merges the heads by a reshape alone, which mixes positions",
        "Heads come back as (b h n d): swap h and n before you join h and d.",
        MERGED,
        MergedReshaped,
    ),
    mistake(
        "merges the heads as (d h), though they were split as (h d)",
        "The way back mirrors the way in: b h n d -> b n (h d).",
        MERGED,
        MergedInterleaved,
    ),
    mistake(
        "returns the heads side by side, without the projection back",
        "Only linear_cat_attn lets the heads' findings meet: apply it to the merged heads.",
        MERGED,
        NotProjectedBack,
    ),
    mistake(
        "adds the query to the output",
        "The residual is the block's business (e13): return the projection of the merged heads alone.",
        MERGED,
        ResidualAdded,
    ),
    mistake(
        "hands on a mask of three axes as it is, so that its examples are taken for heads",
        "Axes are matched from the right: (b i j) needs an axis for the heads, (b 1 i j), before attention gets it.",
        MASK,
        MaskAsItIs,
    ),
    mistake(
        "puts the heads' axis of a three-axis mask in front, so that its examples are taken for heads",
        "The scores are (b h i j): the new axis comes second, (b 1 i j), not first.",
        MASK,
        HeadAxisInFront,
    ),
    mistake(
        "inserts an axis for the heads into every mask",
        "Only (b i j) lacks it: (i j) broadcasts as it is, and a mask of four axes has one already.",
        MASK,
        HeadAxisAlways,
    ),
    mistake(
        "inserts an axis for the heads into (i j) too, where it lands between query and key",
        "(i j) broadcasts to (b h i j) as it is: only a mask of three axes needs the heads' axis.",
        MASK,
        HeadAxisForTwoAndThree,
    ),
    Mistake(
        "repeats the masks for the heads in another order than the heads, so that examples get each other's",
        "Repeat nothing: a mask (b 1 i j) broadcasts over the heads by itself, and each example keeps its own.",
        caught_by="test_equals_pytorch_under_a_mask",
        MultiHeadSelfAttention=MasksInAnotherOrder,
    ),
    mistake(
        "does not hand the mask on",
        "The mask is attention's business: hand it over with the heads.",
        MASK,
        MaskForgotten,
    ),
    mistake(
        "turns the mask around",
        "In this course True means may attend, for the module as for attention: hand it on without ~.",
        MASK,
        MaskInverted,
    ),
    mistake(
        "crashes when there is no mask",
        "mask=None means that all may attend: ask for None before you ask for mask.ndim.",
        "test_equals_pytorch",
        MaskWanted,
    ),
    mistake(
        "keeps the mask of its first call",
        "Each call brings its own mask: keep nothing on self that belongs to one call.",
        "test_each_call_stands_alone",
        FirstMaskKept,
    ),
    mistake(
        "calls attn_lab.attention, whatever attention function it was given",
        "Call self.attention: so that another one, perhaps yours, can take its place.",
        FEATURES,
        OwnAttention,
    ),
    mistake(
        "crashes when there is no dropout",
        "dropout=None means that nothing is dropped: make an nn.Dropout only where there is a probability.",
        "test_equals_pytorch",
        DropoutOfNone,
    ),
    mistake(
        "hands attention the probability, not a dropout module",
        "Attention calls what it gets on the weights: give it nn.Dropout(dropout), which knows train and eval.",
        DROPOUT,
        DropoutAsANumber,
    ),
    mistake(
        "does not hand the dropout on",
        "Attention drops weights only if it gets the module: self.attention(…, mask, self.dropout).",
        DROPOUT,
        DropoutForgotten,
    ),
    mistake(
        "drops the output, not the weights",
        "Hand the dropout to attention, which applies it to the weights; the output's own is the block's business.",
        "test_nothing_but_weights_is_dropped",
        DropoutOfOutput,
    ),
    mistake(
        "drops the output as well as the weights",
        "The weights are enough here: the dropout of the output is the block's business.",
        "test_nothing_but_weights_is_dropped",
        DropoutOfBoth,
    ),
    mistake(
        "drops in evaluation too",
        "F.dropout(x, p) always drops: keep an nn.Dropout on self, then eval() reaches it.",
        DROPOUT,
        DropoutInEval,
    ),
    mistake(
        "drops half of the weights, whatever the probability is",
        "nn.Dropout() has a probability of its own, 0.5: write nn.Dropout(dropout).",
        DROPOUT,
        DropoutOfHalf,
    ),
    mistake(
        "drops though nobody asked for it",
        "Without an argument nothing is dropped: dropout=None in the signature.",
        "test_no_dropout_unless_it_is_asked_for",
        DropoutByDefault,
    ),
    mistake(
        "has no biases",
        "All four projections have a bias here, as nn.MultiheadAttention's: leave nn.Linear at its default.",
        WEIGHTS,
        NoBias,
    ),
)


class ByView(Heads):
    def split(self, x):
        b, n, dim = x.shape
        return x.view(b, n, self.n_heads, dim // self.n_heads).transpose(1, 2)

    def merge(self, heads):
        b, h, n, d = heads.shape
        return heads.transpose(1, 2).contiguous().view(b, n, h * d)


class ByChunks(Heads):
    def split(self, x):
        return torch.stack(x.chunk(self.n_heads, dim=-1), dim=1)

    def merge(self, heads):
        return torch.cat(heads.unbind(dim=1), dim=-1)


class ByWeightsOfEachHead(Heads):
    def project(self, query, key, value):
        return self.of_heads(self.linear_query, query), self.of_heads(self.linear_key, key), self.of_values(value)

    def of_heads(self, linear, x):
        weight = linear.weight.unflatten(0, (self.n_heads, -1))
        return torch.einsum("bnc,hdc->bhnd", x, weight) + linear.bias.unflatten(0, (self.n_heads, 1, -1))

    def of_values(self, value):
        return self.of_heads(self.linear_value, value)

    def split(self, x):
        return x


class OneProductForAll(Heads):
    def project(self, query, key, value):
        linears = (self.linear_query, self.linear_key, self.linear_value)
        weight, bias = torch.cat([x.weight for x in linears]), torch.cat([x.bias for x in linears])
        return tuple(F.linear(x, weight, bias).chunk(3, dim=-1)[k] for k, x in enumerate((query, key, value)))


class MaskWithFourAxes(Heads):
    def masked(self, mask):
        if mask is None:
            return None
        return mask[None, None] if mask.ndim == 2 else super().masked(mask)


VARIANTS = (
    Variant("view and transpose in place of einops", MultiHeadSelfAttention=ByView),
    Variant("chunk and stack, unbind and cat", MultiHeadSelfAttention=ByChunks),
    Variant("the weights seen as one matrix for each head", MultiHeadSelfAttention=ByWeightsOfEachHead),
    Variant("the three projections as one product", MultiHeadSelfAttention=OneProductForAll),
    Variant("four axes for every mask", MultiHeadSelfAttention=MaskWithFourAxes),
)


def strict(query, key, value, mask=None, dropout=None):
    """An attention whose mask broadcasts and that is all; its scores are larger than the reference's."""
    scores = 2 * query @ key.mT / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask.expand(scores.shape), -math.inf)
    weights = scores.softmax(-1)
    return (weights if dropout is None else dropout(weights)) @ value


def observe(answer, seed):
    """Equal and unequal sizes, every mask or none, dropout or none in both modes, the default attention or another."""
    b, h, i, j, d = ((2, 3, 5, 4, 3), (2, 2, 4, 4, 2), (3, 1, 3, 3, 4), (2, 2, 1, 3, 3), (1, 4, 2, 2, 1))[seed % 5]
    masks = ("i j", None, "b i j", "b 1 1 j", "b h i j", "b i j", "b 1 i j")
    case = MultiHeadCase(b, h, i, j, d, masks[seed % 7], 0.6, False, True, seed)
    query, key, value, mask = case.tensors()
    p = (None, 0.25, None, 0.4, 0.25)[seed // 3 % 5]
    options = ({}, {"attention": strict})[seed % 2]
    if p is not None or seed % 3 == 0:
        options["dropout"] = p
    torch.default_generator.manual_seed(seed)  # for an answer that draws for itself
    module = fill_parameters(answer.MultiHeadSelfAttention(h * d, h, **options).double(), seed)
    module.train(seed % 4 < 3)
    with nullcontext() if p is None else FixedDropout():
        seen = {"first": behaviour(module, query, key, value, mask)}
        if seed % 4 == 1:
            x, causal = fill(generator(seed), b + 1, j, h * d), torch.ones(j, j, dtype=torch.bool).tril()
            seen["other"] = behaviour(module, x, x, x, causal)
            seen["again"] = behaviour(module, query, key, value, mask)
    return seen | {
        "saved": [(name, tuple(tensor.shape)) for name, tensor in sorted(module.state_dict().items())],
        "kept": kept_by(answer, options, seed),
    }


def kept_by(answer, options, seed):
    """The largest of many weights of 1 after the dropout that attention gets, and the smallest, in the same mode."""
    got = []

    def ask(query, key, value, mask=None, dropout=None):
        if dropout is not None and not callable(dropout):
            got.append(repr(dropout))
            return value
        torch.default_generator.manual_seed(0)
        weights = torch.ones(200) if dropout is None else dropout(torch.ones(200))
        got.extend((float(weights.max()), float(weights.min())))
        return value

    module = answer.MultiHeadSelfAttention(2, 1, **options | {"attention": ask}).train(seed % 4 < 3)
    x = torch.zeros(1, 1, 2)
    with torch.no_grad():
        return [behaviour(module, x, x, x).get("raises"), *got]
