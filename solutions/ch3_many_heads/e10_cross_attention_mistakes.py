"""Wrong answers to e10 that have been seen, each with what it does and what a teacher would say; and right variants."""

import math

import torch
import torch.nn.functional as F
from torch import nn

import attn_lab
from attn_lab import masks
from attn_lab.checks.cases import MultiHeadCase, fill, generator
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = (
    "torch.nn.MultiheadAttention",
    "torch.nn.functional.multi_head_attention_forward",
    "torch.nn.functional.scaled_dot_product_attention",
    "attn_lab.MultiHeadSelfAttention",
)


class Cross(nn.Module):
    """A right answer, in steps that can each go wrong."""

    def __init__(self, dim, n_heads, *, attention=attn_lab.attention):
        super().__init__()
        self.n_heads, self.attention = n_heads, attention
        self.linear_query, self.linear_key, self.linear_value = (nn.Linear(dim, dim) for _ in range(3))
        self.linear_cat_attn = nn.Linear(dim, dim)

    def project(self, x, memory):
        return self.linear_query(x), self.linear_key(memory), self.linear_value(memory)

    def split(self, queries, keys, values):
        return (y.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for y in (queries, keys, values))

    def masked(self, mask, i, j):
        return mask

    def attend(self, queries, keys, values, mask):
        return self.attention(queries, keys, values, mask)

    def merge(self, heads):
        return heads.transpose(1, 2).flatten(2)

    def back(self, merged):
        return self.linear_cat_attn(merged)

    def forward(self, x, memory, mask=None):
        queries, keys, values = self.split(*self.project(x, memory))
        mask = self.masked(mask, x.shape[1], memory.shape[1])
        return self.back(self.merge(self.attend(queries, keys, values, mask)))


class RolesSwapped(Cross):
    def project(self, x, memory):
        return super().project(memory, x)


class KeysOfX(Cross):
    def project(self, x, memory):
        return self.linear_query(x), self.linear_key(x), self.linear_value(memory)


class ValuesOfX(Cross):
    def project(self, x, memory):
        return self.linear_query(x), self.linear_key(memory), self.linear_value(x)


class SelfAttention(Cross):
    def project(self, x, memory):
        return super().project(x, x)


class MemoryAttendsToItself(Cross):
    def project(self, x, memory):
        return super().project(memory, memory)


class BothAsked(Cross):
    def forward(self, x, memory, mask=None):
        if mask is not None:
            mask = F.pad(mask, (x.shape[1], 0), value=True)
        return super().forward(x, torch.cat((x, memory), dim=1), mask)


class OneProjectionForEachSequence(Cross):
    def project(self, x, memory):
        return self.linear_query(x), self.linear_key(memory), self.linear_key(memory)


class OneProjection(Cross):
    def project(self, x, memory):
        return self.linear_query(x), self.linear_query(memory), self.linear_query(memory)


class ProjectionsSwapped(Cross):
    def project(self, x, memory):
        return self.linear_query(x), self.linear_value(memory), self.linear_key(memory)


class MemoryCutOff(Cross):
    def forward(self, x, memory, mask=None):
        return super().forward(x, memory.detach(), mask)


class FirstMemoryKept(Cross):
    kept = None

    def project(self, x, memory):
        queries, keys, values = super().project(x, memory)
        if self.kept is None:
            self.kept = keys, values
        return queries, *self.kept


class LengthOfX(Cross):
    def split(self, queries, keys, values):
        b, i, dim = queries.shape
        shape = (b, i, self.n_heads, dim // self.n_heads)
        return (y.reshape(shape).transpose(1, 2) for y in (queries, keys, values))


class SplitReshaped(Cross):
    def split(self, queries, keys, values):
        return (y.reshape(y.shape[0], self.n_heads, y.shape[1], -1) for y in (queries, keys, values))


class MergedReshaped(Cross):
    def merge(self, heads):
        b, h, i, d = heads.shape
        return heads.reshape(b, i, h * d)


class SquareCausal(Cross):
    def masked(self, mask, i, j):
        own = masks.causal(i)
        return own if mask is None else own & mask


class SquareCausalWithoutMask(Cross):
    def masked(self, mask, i, j):
        return masks.causal(i) if mask is None else mask


class RectangularCausal(Cross):
    def masked(self, mask, i, j):
        own = torch.ones(i, j, dtype=torch.bool).tril()
        return own if mask is None else own & mask


class MaskForgotten(Cross):
    def masked(self, mask, i, j):
        return None


class MaskInverted(Cross):
    def masked(self, mask, i, j):
        return None if mask is None else ~mask


class MaskTransposed(Cross):
    def masked(self, mask, i, j):
        return None if mask is None else mask.mT


class MaskCutToX(Cross):
    def masked(self, mask, i, j):
        return None if mask is None else mask[..., :i]


class MaskWanted(Cross):
    def masked(self, mask, i, j):
        return mask.expand(mask.shape)


class OwnAttention(Cross):
    def attend(self, queries, keys, values, mask):
        return attn_lab.attention(queries, keys, values, mask)


class ScaledTwice(Cross):
    def attend(self, queries, keys, values, mask):
        return super().attend(queries / math.sqrt(queries.shape[-1]), keys, values, mask)


class NotProjectedBack(Cross):
    def back(self, merged):
        return merged


class ResidualAdded(Cross):
    def forward(self, x, memory, mask=None):
        return x + super().forward(x, memory, mask)


class ResidualInPlace(Cross):
    def forward(self, x, memory, mask=None):
        x += super().forward(x, memory, mask)
        return x


def mistake(behaviour, advice, caught_by, module):
    return Mistake(behaviour, advice, caught_by=caught_by, CrossAttention=module)


SHAPE = "test_each_position_of_x_gets_an_answer"
ROLES = "test_x_asks_and_the_memory_answers"
BACK = "test_the_heads_are_put_side_by_side_and_projected"
ALONE = "test_each_question_is_answered_on_its_own"
MASK = "test_equals_pytorch_under_a_mask"

MISTAKES = (
    mistake(
        "takes the queries from the memory, and keys and values from x",
        "Who asks gets the answers: x has a row in the output for each of its positions, so the queries are x's.",
        SHAPE,
        RolesSwapped,
    ),
    mistake(
        "takes queries, keys and values from the memory",
        "x asks: the queries are linear_query(x), and the output is as long as x.",
        SHAPE,
        MemoryAttendsToItself,
    ),
    mistake(
        "takes queries, keys and values from x, and never looks at the memory",
        "The memory is what is asked: linear_key(memory) and linear_value(memory).",
        ROLES,
        SelfAttention,
    ),
    mistake(
        "takes the keys from x, and only the values from the memory",
        "A key says which value is found by it: both come from the same position, and so both from the memory.",
        ROLES,
        KeysOfX,
    ),
    mistake(
        "takes the values from x, and only the keys from the memory",
        "A key says which value is found by it: both come from the same position, and so both from the memory.",
        ROLES,
        ValuesOfX,
    ),
    mistake(
        "asks x and the memory together, one after the other",
        "x does not look at itself here (self-attention does that before): keys and values are the memory's alone.",
        ALONE,
        BothAsked,
    ),
    mistake(
        "projects the values by linear_key",
        "What a position is found by is not what it hands over: the values have linear_value of their own.",
        ROLES,
        OneProjectionForEachSequence,
    ),
    mistake(
        "uses linear_query for queries, keys and values",
        "Asking, being found and handing over are three roles: linear_query, linear_key, linear_value.",
        ROLES,
        OneProjection,
    ),
    mistake(
        "makes the keys by linear_value, and the values by linear_key",
        "The layers' names say it: linear_key(memory) for the keys, linear_value(memory) for the values.",
        ROLES,
        ProjectionsSwapped,
    ),
    mistake(
        "gives the memory the length of x when it splits the heads",
        "Two sequences, two lengths: each tensor has its own n in the pattern, i for x and j for the memory.",
        ROLES,
        LengthOfX,
    ),
    mistake(
        "splits the heads by a reshape alone, which mixes positions",
        "(b n (h d)) has positions before heads: make it (b n h d) first, then swap n and h.",
        ROLES,
        SplitReshaped,
    ),
    mistake(
        "divides the queries by √d, which attention does already",
        "The attention function scales the scores by itself: hand it the queries as they are projected.",
        ROLES,
        ScaledTwice,
    ),
    mistake(
        "calls attn_lab.attention, whatever attention function it was given",
        "Call self.attention: so that another one, perhaps yours, can take its place.",
        ROLES,
        OwnAttention,
    ),
    mistake(
        "merges the heads by a reshape alone, which mixes positions",
        "Heads come back as (b h i d): swap h and i before you join h and d.",
        BACK,
        MergedReshaped,
    ),
    mistake(
        "returns the heads side by side, without the projection back",
        "Only linear_cat_attn lets the heads' findings meet: apply it to the merged heads.",
        BACK,
        NotProjectedBack,
    ),
    mistake(
        "adds x to the output",
        "The residual is the block's business: return the projection of the merged heads alone.",
        BACK,
        ResidualAdded,
    ),
    mistake(
        "adds the output to the caller's x, in place",
        "The inputs are the caller's; and the residual is the block's business: return the projection alone.",
        "test_the_inputs_are_left_as_they_are",
        ResidualInPlace,
    ),
    mistake(
        "adds a causal mask of its own, built for i times i",
        "The scores are a rectangle, (i j), and nothing in it is causal: the memory is there in full before x asks.",
        MASK,
        SquareCausal,
    ),
    mistake(
        "takes a causal mask, built for i times i, where it gets none",
        "mask=None means that all may attend; and the scores are a rectangle, (i j), in which nothing is causal.",
        ALONE,
        SquareCausalWithoutMask,
    ),
    mistake(
        "hides from position i of x what stands behind position i of the memory",
        "Places in x and places in the memory do not correspond: only the mask that you are given says what is hidden.",
        ALONE,
        RectangularCausal,
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
        "transposes the mask: columns for x, rows for the memory",
        "The mask has the scores' axes, (i j), as it comes: rows are positions of x, columns those of the memory.",
        MASK,
        MaskTransposed,
    ),
    mistake(
        "cuts the mask to x's length, as if the memory were as long",
        "The last axis of the mask is the memory's, with j entries: hand the mask on as it is.",
        MASK,
        MaskCutToX,
    ),
    mistake(
        "crashes when there is no mask",
        "mask=None means that all may attend: ask for None before you use the mask.",
        "test_equals_pytorch",
        MaskWanted,
    ),
    mistake(
        "cuts the memory off: no gradient reaches it",
        "The memory is learned through this layer: no detach() on the way.",
        "test_equals_pytorch",
        MemoryCutOff,
    ),
    mistake(
        "keeps the keys and values of its first memory",
        "The next text brings another memory: keep nothing on self that belongs to one call.",
        "test_each_call_stands_alone",
        FirstMemoryKept,
    ),
)


class ByView(Cross):
    def split(self, queries, keys, values):
        d = queries.shape[-1] // self.n_heads
        return (y.view(*y.shape[:2], self.n_heads, d).transpose(1, 2) for y in (queries, keys, values))

    def merge(self, heads):
        b, h, i, d = heads.shape
        return heads.transpose(1, 2).contiguous().view(b, i, h * d)


class OneProductForTheMemory(Cross):
    def project(self, x, memory):
        weight = torch.cat((self.linear_key.weight, self.linear_value.weight))
        bias = torch.cat((self.linear_key.bias, self.linear_value.bias))
        return self.linear_query(x), *F.linear(memory, weight, bias).chunk(2, dim=-1)


class WeightsOfEachHead(Cross):
    def project(self, x, memory):
        return self.of_heads(self.linear_query, x), *(
            self.of_heads(linear, memory) for linear in (self.linear_key, self.linear_value)
        )

    def of_heads(self, linear, y):
        weight = linear.weight.unflatten(0, (self.n_heads, -1))
        return torch.einsum("bnc,hdc->bhnd", y, weight) + linear.bias.unflatten(0, (self.n_heads, 1, -1))

    def split(self, queries, keys, values):
        return queries, keys, values


class MaskInFull(Cross):
    def forward(self, x, memory, mask=None):
        full = (x.shape[0], self.n_heads, x.shape[1], memory.shape[1])
        mask = torch.ones(full, dtype=torch.bool) if mask is None else mask.expand(full)
        return super().forward(x, memory, mask)


VARIANTS = (
    Variant("view and transpose in place of einops", CrossAttention=ByView),
    Variant("keys and values as one product", CrossAttention=OneProductForTheMemory),
    Variant("the weights seen as one matrix for each head", CrossAttention=WeightsOfEachHead),
    Variant("a mask of all four axes in every case", CrossAttention=MaskInFull),
)


def strict(query, key, value, mask=None, dropout=None):
    """An attention whose mask broadcasts and that is all; its scores are larger than the reference's."""
    scores = 2 * query @ key.mT / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask.expand(scores.shape), -math.inf)
    return scores.softmax(-1) @ value


def observe(answer, seed):
    """A memory longer than x, as long and shorter, every kind of mask or none, the default attention or another."""
    b, h, i, j, d = ((2, 3, 5, 4, 3), (2, 2, 4, 4, 2), (3, 1, 3, 5, 4), (2, 2, 1, 3, 3), (1, 4, 2, 2, 1))[seed % 5]
    axes = ("i j", None, "b 1 1 j", None, "b h i j", "b 1 i j", "i j")
    case = MultiHeadCase(b, h, i, j, d, axes[seed % 7], 0.6, False, True, seed)
    x, memory, _, mask = case.tensors()
    options = ({}, {"attention": strict})[seed % 2]
    module = fill_parameters(answer.CrossAttention(h * d, h, **options).double(), seed)
    seen = {"first": behaviour(module, x, memory, mask)}
    if seed % 4 == 1:
        other = fill(generator(seed), *memory.shape)
        seen["another memory"] = behaviour(module, x, other, mask)
    return seen
