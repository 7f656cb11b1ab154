"""Wrong answers to e27 that have been seen, each with what it does and what a teacher would say; and right variants."""

import torch
from einops import einsum, rearrange
from torch import nn

import attn_lab
from attn_lab.checks.cases import AttentionCase, fill, generator
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = (
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.functional.multi_head_attention_forward",
    "attn_lab.fused_attention",
    "torch.nn.MultiheadAttention",
    "attn_lab.MultiHeadSelfAttention",
    "attn_lab.variants.grouped_query",
)

# grouped_attention


def share_of(query, key):
    return query.shape[1] // key.shape[1]


def right(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    share = share_of(query, key)
    return attention(query, key.repeat_interleave(share, 1), value.repeat_interleave(share, 1), mask, dropout)


def dealt_out(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    share = share_of(query, key)
    return attention(query, key.repeat(1, share, 1, 1), value.repeat(1, share, 1, 1), mask, dropout)


def keys_dealt_out(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    share = share_of(query, key)
    return attention(query, key.repeat(1, share, 1, 1), value.repeat_interleave(share, 1), mask, dropout)


def values_dealt_out(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    share = share_of(query, key)
    return attention(query, key.repeat_interleave(share, 1), value.repeat(1, share, 1, 1), mask, dropout)


def not_repeated(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    return attention(query, key, value, mask, dropout)


def first_group_for_all(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    h = query.shape[1]
    key, value = (x[:, :1].expand(-1, h, -1, -1) for x in (key, value))
    return attention(query, key, value, mask, dropout)


def mean_for_all(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    h = query.shape[1]
    key, value = (x.mean(1, keepdim=True).expand(-1, h, -1, -1) for x in (key, value))
    return attention(query, key, value, mask, dropout)


def groups_as_share(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    """k // g in place of k // (h / g)."""
    h, g = query.shape[1], key.shape[1]
    groups = [k // g for k in range(h)]
    return attention(query, key[:, groups], value[:, groups], mask, dropout)


def queries_averaged(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    share = share_of(query, key)
    query = query.unflatten(1, (-1, share)).mean(2).repeat_interleave(share, 1)
    return right(query, key, value, mask, dropout, attention=attention)


def repeated_as_positions(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    """Copied along the positions, then cut into heads: the memory of one group is scattered over heads."""
    b, _, j, _ = key.shape
    share, h = share_of(query, key), query.shape[1]
    key, value = (x.repeat_interleave(share, 2).reshape(b, h, j, x.shape[-1]) for x in (key, value))
    return attention(query, key, value, mask, dropout)


def repeats_detached(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    return right(query, key.detach(), value.detach(), mask, dropout, attention=attention)


def one_head_learns(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    share = share_of(query, key)

    def copies(x):
        rest = [x.detach()] * (share - 1)
        return torch.stack([x, *rest], 2).flatten(1, 2)

    return attention(query, copies(key), copies(value), mask, dropout)


def mask_forgotten(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    return right(query, key, value, None, dropout, attention=attention)


def dropout_forgotten(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    return right(query, key, value, mask, None, attention=attention)


def own_attention(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    return right(query, key, value, mask, dropout)


def divided_by_share(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    return right(query, key, value / share_of(query, key), mask, dropout, attention=attention)


# GroupedQueryAttention


class Right(nn.Module):
    """A right one in pieces, of which a mistake replaces one."""

    bias, dropped = True, True

    def __init__(self, dim, n_heads, dropout=None, *, n_groups, attention=attn_lab.attention):
        super().__init__()
        if n_heads < 1 or dim % n_heads or n_groups < 1 or n_heads % n_groups:
            raise ValueError("the sizes do not fit")
        self.n_heads, self.n_groups, self.d_head = n_heads, n_groups, dim // n_heads
        self.attention = attention
        self.dropout = None if dropout is None else nn.Dropout(dropout)
        self.linear_query = nn.Linear(dim, dim)
        self.linear_key = nn.Linear(dim, self.narrow(), bias=self.bias)
        self.linear_value = nn.Linear(dim, self.narrow(), bias=self.bias)
        self.linear_cat_attn = nn.Linear(dim, dim)

    def narrow(self):
        return self.n_groups * self.d_head

    def split(self, x, heads):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    def project(self, query, key, value):
        return self.linear_query(query), self.linear_key(key), self.linear_value(value)

    def heads(self, query, key, value):
        query, key, value = self.project(query, key, value)
        return self.split(query, self.n_heads), self.split(key, self.n_groups), self.split(value, self.n_groups)

    def forward(self, query, key, value, mask=None):
        queries, keys, values = self.heads(query, key, value)
        heads = right(queries, keys, values, mask, self.dropout, attention=self.attention)
        return self.linear_cat_attn(heads.transpose(1, 2).flatten(2))


class AllHeadsKept(Right):
    """As wide as in multi-head attention; only the first groups' heads are used."""

    def narrow(self):
        return self.n_heads * self.d_head

    def heads(self, query, key, value):
        query, key, value = self.project(query, key, value)
        keys, values = (self.split(x, self.n_heads)[:, : self.n_groups] for x in (key, value))
        return self.split(query, self.n_heads), keys, values


class AllHeadsAveraged(AllHeadsKept):
    def heads(self, query, key, value):
        query, key, value = self.project(query, key, value)
        keys, values = (self.split(x, self.n_heads).unflatten(1, (self.n_groups, -1)).mean(2) for x in (key, value))
        return self.split(query, self.n_heads), keys, values


class WideHeads(Right):
    """As wide as the model, cut into n_groups heads: they do not fit the queries."""

    def narrow(self):
        return self.n_heads * self.d_head


class NoBias(Right):
    bias = False


class SharedProjection(Right):
    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.linear_value = self.linear_key


class Viewed(Right):
    """Rows and heads mixed up: view where a transpose is needed."""

    def split(self, x, heads):
        b, n, _ = x.shape
        return x.reshape(b, heads, n, -1)


class KeysViewed(Right):
    def heads(self, query, key, value):
        query, key, value = self.project(query, key, value)
        b, j, _ = key.shape
        keys, values = (x.reshape(b, self.n_groups, j, self.d_head) for x in (key, value))
        return self.split(query, self.n_heads), keys, values


class HeadsWithin(Right):
    """ "(d heads)": a head's features lie scattered."""

    def split(self, x, heads):
        return rearrange(x, "b n (d heads) -> b heads n d", heads=heads)


class KeysHeadsWithin(Right):
    def heads(self, query, key, value):
        query, key, value = self.project(query, key, value)
        keys, values = (rearrange(x, "b n (d heads) -> b heads n d", heads=self.n_groups) for x in (key, value))
        return self.split(query, self.n_heads), keys, values


class MaskForgotten(Right):
    def forward(self, query, key, value, mask=None):
        return super().forward(query, key, value)


class DropoutForgotten(Right):
    def forward(self, query, key, value, mask=None):
        heads = right(*self.heads(query, key, value), mask, attention=self.attention)
        return self.linear_cat_attn(heads.transpose(1, 2).flatten(2))


class OwnAttention(Right):
    def forward(self, query, key, value, mask=None):
        heads = right(*self.heads(query, key, value), mask, self.dropout)
        return self.linear_cat_attn(heads.transpose(1, 2).flatten(2))


class HeadsViewed(Right):
    def forward(self, query, key, value, mask=None):
        heads = right(*self.heads(query, key, value), mask, self.dropout, attention=self.attention)
        return self.linear_cat_attn(heads.reshape(query.shape))


class NoWayBack(Right):
    def forward(self, query, key, value, mask=None):
        heads = right(*self.heads(query, key, value), mask, self.dropout, attention=self.attention)
        return heads.transpose(1, 2).flatten(2)


class DealtOut(Right):
    def forward(self, query, key, value, mask=None):
        heads = dealt_out(*self.heads(query, key, value), mask, self.dropout, attention=self.attention)
        return self.linear_cat_attn(heads.transpose(1, 2).flatten(2))


class ValueFromKey(Right):
    def project(self, query, key, value):
        return self.linear_query(query), self.linear_key(key), self.linear_value(key)


class KeyFromQuery(Right):
    def project(self, query, key, value):
        return self.linear_query(query), self.linear_key(query), self.linear_value(query)


class Swapped(Right):
    def project(self, query, key, value):
        return self.linear_query(query), self.linear_value(key), self.linear_key(value)


SIDE, LOOP = "test_heads_of_a_group_stand_side_by_side", "test_equals_a_loop_over_heads"
NARROW, MODULE = "test_keys_and_values_are_narrow", "test_the_module_equals_a_loop_over_heads"


class NarrowKeyHeads(Right):
    """Keys and values cut into as many heads as the queries, each narrower than theirs."""

    def heads(self, query, key, value):
        query, key, value = self.project(query, key, value)
        return self.split(query, self.n_heads), self.split(key, self.n_heads), self.split(value, self.n_heads)


MISTAKES = (
    Mistake(
        "deals the groups out in turn, so that head k reads group k % g",
        "Heads that share stand side by side, 0 0 0 1 1 1: repeat_interleave, or '(g share)', and not repeat.",
        caught_by=SIDE,
        grouped_attention=dealt_out,
    ),
    Mistake(
        "deals the keys out in turn, and the values side by side",
        "Keys and values of a head come from one group: repeat both the same way, side by side.",
        caught_by=LOOP,
        grouped_attention=keys_dealt_out,
    ),
    Mistake(
        "deals the values out in turn, and the keys side by side",
        "Keys and values of a head come from one group: repeat both the same way, side by side.",
        caught_by=SIDE,
        grouped_attention=values_dealt_out,
    ),
    Mistake(
        "hands on keys and values with g heads",
        "The attention wants as many heads of keys as of queries: repeat each group for the h / g heads that share it.",
        caught_by="test_every_head_of_queries_gets_an_output",
        grouped_attention=not_repeated,
    ),
    Mistake(
        "lets every head read the first group",
        "Only with g = 1 do all heads share one: head k reads group k // (h / g).",
        caught_by=SIDE,
        grouped_attention=first_group_for_all,
    ),
    Mistake(
        "lets every head read the mean of the groups",
        "Groups are not mixed: head k reads group k // (h / g).",
        caught_by=SIDE,
        grouped_attention=mean_for_all,
    ),
    Mistake(
        "reads group k // g",
        "A group serves h / g heads, not g: divide k by that.",
        caught_by=SIDE,
        grouped_attention=groups_as_share,
    ),
    Mistake(
        "averages the queries of a group",
        "Each head still asks its own question: keys and values are shared, queries are not.",
        caught_by=LOOP,
        grouped_attention=queries_averaged,
    ),
    Mistake(
        "repeats along the positions and cuts that into heads",
        "Repeat along the axis of the heads, dim 1: along the positions, a head gets copies of a few keys.",
        caught_by=LOOP,
        grouped_attention=repeated_as_positions,
    ),
    Mistake(
        "cuts keys and values off from their gradients",
        "The gradients of all heads of a group must reach its key and value: no detach().",
        caught_by=LOOP,
        grouped_attention=repeats_detached,
    ),
    Mistake(
        "lets only the first head of a group teach the shared key and value",
        "All copies are the same tensor: repeat or expand it, so that the gradients of all heads add up.",
        caught_by=LOOP,
        grouped_attention=one_head_learns,
    ),
    Mistake(
        "divides the values by the number of heads that share them",
        "Each head gets its group's values whole: sharing is reading, nothing is used up.",
        caught_by=SIDE,
        grouped_attention=divided_by_share,
    ),
    Mistake(
        "forgets the mask",
        "Hand the mask on to the attention; it has h heads already, or one for all.",
        caught_by=LOOP,
        grouped_attention=mask_forgotten,
    ),
    Mistake(
        "forgets dropout",
        "Hand dropout on to the attention, as its last argument.",
        caught_by="test_dropout_reaches_the_attention",
        grouped_attention=dropout_forgotten,
    ),
    Mistake(
        "calls an attention of its own",
        "Call the `attention` that you are given: it may be the fused one, or one with rotary positions.",
        caught_by="test_the_given_attention_attends",
        grouped_attention=own_attention,
    ),
    Mistake(
        "projects n_heads heads of keys and values, and uses the first n_groups",
        "Fewer heads are the point: linear_key and linear_value make n_groups * d features, not dim.",
        caught_by=NARROW,
        GroupedQueryAttention=AllHeadsKept,
    ),
    Mistake(
        "projects n_heads heads of keys and values, and averages them by groups",
        "Fewer heads are the point: linear_key and linear_value make n_groups * d features, not dim.",
        caught_by=NARROW,
        GroupedQueryAttention=AllHeadsAveraged,
    ),
    Mistake(
        "projects keys and values to dim features, and cuts them into n_groups wide heads",
        "A head is d = dim / n_heads wide in keys and values too: their projections make n_groups * d features.",
        caught_by=NARROW,
        GroupedQueryAttention=WideHeads,
    ),
    Mistake(
        "cuts keys and values into n_heads heads, narrower than those of the queries",
        "Keys and values have n_groups heads, as wide as those of the queries: split by the width of a head.",
        caught_by=MODULE,
        GroupedQueryAttention=NarrowKeyHeads,
    ),
    Mistake(
        "has no bias in the projections of keys and values",
        "Every projection has a bias here, as nn.Linear makes it.",
        caught_by=NARROW,
        GroupedQueryAttention=NoBias,
    ),
    Mistake(
        "has one projection for keys and values together",
        "Keys and values share heads, not weights: each has a projection of its own.",
        caught_by=MODULE,
        GroupedQueryAttention=SharedProjection,
    ),
    Mistake(
        "cuts positions and heads apart by a view",
        "Split the features, (b n heads d), and only then move the heads forward, by a transpose or rearrange.",
        caught_by=MODULE,
        GroupedQueryAttention=Viewed,
    ),
    Mistake(
        "cuts positions and heads of keys and values apart by a view",
        "Split the features of keys and values as those of the queries: (b n heads d), then heads forward.",
        caught_by=MODULE,
        GroupedQueryAttention=KeysViewed,
    ),
    Mistake(
        "scatters the features of a head",
        "The features of a head lie next to each other: '(heads d)', not '(d heads)'.",
        caught_by=MODULE,
        GroupedQueryAttention=HeadsWithin,
    ),
    Mistake(
        "scatters the features of a head of keys and values",
        "The features of a head lie next to each other in keys and values too: '(heads d)', not '(d heads)'.",
        caught_by=MODULE,
        GroupedQueryAttention=KeysHeadsWithin,
    ),
    Mistake(
        "projects the values from the key",
        "linear_value gets the value: only in self-attention are the two the same.",
        caught_by=MODULE,
        GroupedQueryAttention=ValueFromKey,
    ),
    Mistake(
        "projects keys and values from the query",
        "linear_key gets the key and linear_value the value: only in self-attention are they all the same.",
        caught_by=MODULE,
        GroupedQueryAttention=KeyFromQuery,
    ),
    Mistake(
        "projects the keys by linear_value, and the values by linear_key",
        "Names matter where weights are borrowed: linear_key is for keys, linear_value for values.",
        caught_by=MODULE,
        GroupedQueryAttention=Swapped,
    ),
    Mistake(
        "hands no mask on",
        "Hand the mask on to grouped_attention.",
        caught_by=MODULE,
        GroupedQueryAttention=MaskForgotten,
    ),
    Mistake(
        "hands no dropout on",
        "Hand self.dropout on to grouped_attention.",
        caught_by="test_the_module_hands_on_attention_and_dropout",
        GroupedQueryAttention=DropoutForgotten,
    ),
    Mistake(
        "forgets its attention",
        "Hand self.attention on to grouped_attention, as attention=….",
        caught_by="test_the_module_hands_on_attention_and_dropout",
        GroupedQueryAttention=OwnAttention,
    ),
    Mistake(
        "merges the heads by a view",
        "Move the heads back beside their features first, (b i h d), then merge the two: the way in, read backwards.",
        caught_by=MODULE,
        GroupedQueryAttention=HeadsViewed,
    ),
    Mistake(
        "does not project back",
        "linear_cat_attn comes last: it mixes what the heads found.",
        caught_by=MODULE,
        GroupedQueryAttention=NoWayBack,
    ),
    Mistake(
        "deals the groups out in turn",
        "Heads that share stand side by side, 0 0 0 1 1 1: repeat_interleave, or '(g share)', and not repeat.",
        caught_by=MODULE,
        GroupedQueryAttention=DealtOut,
    ),
)


def by_index(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    groups = torch.arange(query.shape[1]) // share_of(query, key)
    return attention(query, key[:, groups], value[:, groups], mask, dropout)


def by_expand(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    share = share_of(query, key)
    key, value = (x[:, :, None].expand(-1, -1, share, -1, -1).flatten(1, 2) for x in (key, value))
    return attention(query, key, value, mask=mask, dropout=dropout)


def by_einsum(query, key, value, mask=None, dropout=None, *, attention=attn_lab.attention):
    h, g = query.shape[1], key.shape[1]
    belongs = torch.eye(g, dtype=query.dtype).repeat_interleave(h // g, 0)
    key, value = (einsum(belongs, x, "h g, b g j d -> b h j d") for x in (key, value))
    return attention(query, key, value, mask, dropout)


class Loops(Right):
    """A head at a time."""

    def split(self, x, heads):
        return torch.stack(x.split(x.shape[-1] // heads, -1), 1)


VARIANTS = (
    Variant("repeat_interleave", grouped_attention=right),
    Variant("an index for each head", grouped_attention=by_index),
    Variant("a new axis, expanded and flattened", grouped_attention=by_expand),
    Variant("a table of which head belongs to which group", grouped_attention=by_einsum),
    Variant("unflatten and transpose", GroupedQueryAttention=Right),
    Variant("a piece for each head", GroupedQueryAttention=Loops),
)


def doubling(query, key, value, mask=None, dropout=None):
    return 2 * attn_lab.attention(query, key, value, mask, dropout)


def drop(weights):
    return 2.0 * weights * (torch.arange(weights.numel()) % 3 > 0).view(weights.shape)


class Halving(nn.Module):
    """Dropout without chance, that knows its mode as nn.Dropout does."""

    def forward(self, weights):
        return drop(weights) if self.training else weights


N_PROBES = 16


def observe(answer, seed):
    """h and g of every kind, equal and unequal lengths, masks or none; the module with other inputs and all weights."""
    h, g = ((4, 2), (6, 3), (6, 2), (3, 1), (2, 2), (9, 3))[seed % 6]
    masks = (None, "i j", "b 1 1 j", "b h i j")
    b, i, j, d, e = ((2, 3, 5, 4, 6), (2, 4, 4, 4, 4), (1, 6, 2, 3, 2))[seed % 3]
    case = AttentionCase(b, h, i, j, d, e, masks[seed % 4], 0.7, empty_rows=False, seed=seed)
    query, key, value, mask = case.tensors()
    options = {"attention": doubling} if seed % 5 == 4 else {}
    dropout = (None, drop)[seed % 3 % 2]
    source = generator(seed)
    x, y, z = (fill(source, b, n, h * d) for n in (i, j, j))

    seen = {"function": behaviour(answer.grouped_attention, query, key[:, :g], value[:, :g], mask, dropout, **options)}
    try:
        module = fill_parameters(answer.GroupedQueryAttention(h * d, h, n_groups=g, **options).double(), seed)
    except Exception as error:
        return seen | {"module": {"raises": type(error).__name__}}
    module.dropout = Halving().train(seed % 2 == 0) if seed % 3 == 2 else None
    shapes = {name: tuple(weight.shape) for name, weight in module.state_dict().items()}
    return seen | {"module": behaviour(module, x, y, z, mask) | {"holds": shapes}}
