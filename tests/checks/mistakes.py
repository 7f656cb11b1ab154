"""Small wrong implementations of every part, each with one mistake that has been seen in public code.

The tables at the end say of each what it is of and which check is meant for it, and which are right though unusual;
test_checks_fail.py tries them all.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from attn_lab import (
    EncoderBlock,
    MultiHeadSelfAttention,
    PositionalEncoding,
    TransformerEncoder,
    TransformerLanguageModel,
    attention,
    masks,
)
from attn_lab.positions import sinusoids


def four_axes(mask):
    return mask[:, None] if mask is not None and mask.ndim == 3 else mask


def scores_of(query, key, scale=None):
    return query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)


def finish(scores, value, mask, dropout, fill=-math.inf):
    """The rest of a right attention, from its scores."""
    if mask is not None:
        mask = four_axes(mask)
        scores = scores.masked_fill(~mask, fill)
    weights = scores.softmax(-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    return (weights if dropout is None else dropout(weights)) @ value


# Attention


def right_but_plain(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, mask, dropout)


def nan_to_num_on_weights(query, key, value, mask=None, dropout=None):
    """Right, unlike the same on the output."""
    scores = scores_of(query, key)
    weights = (scores if mask is None else scores.masked_fill(~four_axes(mask), -math.inf)).softmax(-1).nan_to_num()
    return (weights if dropout is None else dropout(weights)) @ value


def fill_of_minus_1e9(query, key, value, mask=None, dropout=None):
    """Right, since the weights of hidden keys are set to zero."""
    return finish(scores_of(query, key), value, mask, dropout, fill=-1e9)


def no_scale(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key, 1.0), value, mask, dropout)


def scale_by_width(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key, 1 / query.shape[-1]), value, mask, dropout)


def scale_by_value_width(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key, value.shape[-1] ** -0.5), value, mask, dropout)


def scale_by_length(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key, query.shape[-2] ** -0.5), value, mask, dropout)


def softmax_over_queries(query, key, value, mask=None, dropout=None):
    scores = scores_of(query, key)
    if mask is not None:
        scores = scores.masked_fill(~four_axes(mask), -1e9)
    weights = scores.softmax(-2)
    return (weights if dropout is None else dropout(weights)) @ value


def mask_inverted(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, None if mask is None else ~mask, dropout)


def mask_after_softmax(query, key, value, mask=None, dropout=None):
    weights = scores_of(query, key).softmax(-1)
    weights = weights if mask is None else weights * four_axes(mask)
    return (weights if dropout is None else dropout(weights)) @ value


def masked_scores_zero(query, key, value, mask=None, dropout=None):
    scores = scores_of(query, key)
    weights = (scores if mask is None else scores * four_axes(mask)).softmax(-1)
    return (weights if dropout is None else dropout(weights)) @ value


def fill_of_minus_100(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, mask, dropout, fill=-100.0)


def no_mask_crashes(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, mask & True, dropout)


def mask_ignored(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key), value, None, dropout)


def output_detached(query, key, value, mask=None, dropout=None):
    return attention(query, key, value, mask, dropout).detach()


def value_in_place(query, key, value, mask=None, dropout=None):
    output = attention(query, key, value.clone(), mask, dropout)
    value.data.mul_(2.0)
    return output


def dropout_on_scores(query, key, value, mask=None, dropout=None):
    scores = scores_of(query, key)
    return finish(scores if dropout is None else dropout(scores), value, mask, None)


def dropout_ignored(query, key, value, mask=None, dropout=None):
    return attention(query, key, value, mask)


def dropout_in_eval(query, key, value, mask=None, dropout=None):
    if isinstance(dropout, nn.Dropout):
        dropout = partial(F.dropout, p=dropout.p, training=True)
    return attention(query, key, value, mask, dropout)


def nan_on_empty_rows(query, key, value, mask=None, dropout=None):
    scores = scores_of(query, key)
    if mask is not None:
        scores = scores.masked_fill(~four_axes(mask), -math.inf)
    weights = scores.softmax(-1)
    return (weights if dropout is None else dropout(weights)) @ value


def nan_in_gradient(query, key, value, mask=None, dropout=None):
    return nan_on_empty_rows(query, key, value, mask, dropout).nan_to_num()


def uniform_on_empty_rows(query, key, value, mask=None, dropout=None):
    scores = scores_of(query, key)
    if mask is not None:
        scores = scores.masked_fill(~four_axes(mask), -1e9)
    weights = scores.softmax(-1)
    return (weights if dropout is None else dropout(weights)) @ value


def overflow(query, key, value, mask=None, dropout=None):
    weights = scores_of(query, key).exp()
    if mask is not None:
        weights = weights.masked_fill(~four_axes(mask), 0.0)
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-300)
    return (weights if dropout is None else dropout(weights)) @ value


def aligned_top_left(query, key, value, mask=None, dropout=None):
    """Causal whether asked for or not."""
    earlier = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    return attention(query, key, value, earlier if mask is None else four_axes(mask) & earlier, dropout)


def heads_mixed(query, key, value, mask=None, dropout=None):
    return attention(query, key, value.mean(1, keepdim=True).expand_as(value), mask, dropout)


def nearer_keys_weigh_more(query, key, value, mask=None, dropout=None):
    return finish(scores_of(query, key) + torch.arange(key.shape[-2]), value, mask, dropout)


# Mistakes that any module can have


def spoiled(part, spoil):
    """The part with its forward pass put through `spoil(forward, x, *others)`."""

    class Spoiled(part):
        def forward(self, *inputs):
            return spoil(super().forward, *inputs)

    return Spoiled


def sees_the_future(forward, x, *others):
    return forward(x, *others) + 0.01 * x.roll(-1, 1)


def sees_the_padding(forward, x, *others):
    return forward(x, *others) + 0.01 * x.mean(1, keepdim=True)


def counts_positions(forward, x, *others):
    return forward(x, *others) + torch.arange(x.shape[1], dtype=x.dtype)[:, None]


def nan_where_empty(forward, x, *others):
    y, mask = forward(x, *others), others[-1]
    return y if mask is None or mask.any(-1).all() else y * math.nan


def zero_gradient_nan(forward, x, *others):
    y, mask = forward(x, *others), others[-1]
    return y if mask is None or mask.any(-1).all() else y + (0 * x).sqrt()


def doubles_input(forward, x, *others):
    y = forward(x, *others)
    x.data *= 2.0
    return y


def clears_mask(forward, *inputs):
    y = forward(*inputs)
    if inputs[-1] is not None:
        inputs[-1].fill_(True)
    return y


def always_drops(forward, *inputs):
    return F.dropout(forward(*inputs), 0.5)


def detached(forward, *inputs):
    return forward(*inputs).detach().requires_grad_()


def forgets_state(part):
    """A weight where the state cannot see it."""

    class Forgetful(part):
        def __init__(self, *sizes, **options):
            super().__init__(*sizes, **options)
            self.hidden = torch.rand(()).item()

        def forward(self, *inputs):
            return super().forward(*inputs) + self.hidden

        def _load_from_state_dict(self, *state):
            super()._load_from_state_dict(*state)
            self.hidden = torch.rand(()).item()

    return Forgetful


def never_drops(part):
    class Dry(part):
        def forward(self, *inputs):
            was_training = self.training
            self.eval()
            try:
                return super().forward(*inputs)
            finally:
                self.train(was_training)

    return Dry


# Attention module


class Heads(MultiHeadSelfAttention):
    """The reference with hooks to go wrong."""

    def split(self, x):
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def merge(self, heads):
        return heads.transpose(1, 2).flatten(2)

    def forward(self, query, key, value, mask=None):
        heads = self.attention(
            self.split(self.linear_query(query)),
            self.split(self.linear_key(key)),
            self.split(self.linear_value(value)),
            mask,
            self.dropout,
        )
        return self.linear_cat_attn(self.merge(heads))


class HeadsReshaped(Heads):
    def split(self, x):
        return x.reshape(x.shape[0], self.n_heads, x.shape[1], -1)


class HeadsInterleaved(Heads):
    def split(self, x):
        return x.unflatten(-1, (-1, self.n_heads)).permute(0, 3, 1, 2)


class HeadsMergedWrongly(Heads):
    def merge(self, heads):
        b, h, n, d = heads.shape
        return heads.reshape(b, n, h * d)


class OneProjection(Heads):
    def forward(self, query, key, value, mask=None):
        q, k, v = (self.split(self.linear_query(x)) for x in (query, key, value))
        return self.linear_cat_attn(self.merge(self.attention(q, k, v, mask, self.dropout)))


class NoOutputProjection(Heads):
    def forward(self, query, key, value, mask=None):
        self.linear_cat_attn, kept = nn.Identity(), self.linear_cat_attn
        try:
            return super().forward(query, key, value, mask)
        finally:
            self.linear_cat_attn = kept


class ScaledByModelWidth(Heads):
    def forward(self, query, key, value, mask=None):
        return super().forward(query / math.sqrt(self.n_heads), key, value, mask)


class QueryAndKeySwapped(Heads):
    def forward(self, query, key, value, mask=None):
        self.linear_query, self.linear_key = self.linear_key, self.linear_query
        try:
            return super().forward(query, key, value, mask)
        finally:
            self.linear_query, self.linear_key = self.linear_key, self.linear_query


class ThreeAxesForHeads(Heads):
    """Takes the first axis of a three-axis mask for the heads."""

    def forward(self, query, key, value, mask=None):
        return super().forward(query, key, value, mask[None] if mask is not None and mask.ndim == 3 else mask)


class MaskDropped(Heads):
    def forward(self, query, key, value, mask=None):
        return super().forward(query, key, value, None)


class DropoutNoneCrashes(Heads):
    def __init__(self, dim, n_heads, dropout=None, *, attention=attention):
        super().__init__(dim, n_heads, dropout + 0.0, attention=attention)


class DropsInEval(Heads):
    def forward(self, query, key, value, mask=None):
        if self.dropout is not None:
            self.dropout.train()
        return super().forward(query, key, value, mask)


class DropsOutput(Heads):
    """Drops the output in place of the weights."""

    def forward(self, query, key, value, mask=None):
        dropout, self.dropout = self.dropout, None
        try:
            output = super().forward(query, key, value, mask)
        finally:
            self.dropout = dropout
        return output if dropout is None else dropout(output)


class MaskCached(Heads):
    """Keeps the first mask that it sees."""

    seen = None

    def forward(self, query, key, value, mask=None):
        if self.seen is None:
            self.seen = mask
        return super().forward(query, key, value, self.seen)


class OtherNames(nn.Module):
    """Right, but its projections have names of their own: nothing can be copied to them."""

    def __init__(self, dim, n_heads, dropout=None, *, attention=attention):
        super().__init__()
        self.n_heads, self.attention = n_heads, attention
        self.dropout = None if dropout is None else nn.Dropout(dropout)
        self.q, self.k, self.v, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        projected = (self.q(query), self.k(key), self.v(value))
        heads = (x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for x in projected)
        return self.out(self.attention(*heads, mask, self.dropout).transpose(1, 2).flatten(2))


# Block


class Block(EncoderBlock):
    def forward(self, x, mask=None):
        if self.norm_first:
            x = x + self._attend(self.norm1(x), mask)
            return x + self._feed_forward(self.norm2(x))
        x = self.norm1(x + self._attend(x, mask))
        return self.norm2(x + self._feed_forward(x))


class NoResidual(EncoderBlock):
    def forward(self, x, mask=None):
        x = self.norm1(self._attend(x, mask))
        return self.norm2(self._feed_forward(x))


class NormBeforeSum(EncoderBlock):
    def forward(self, x, mask=None):
        x = x + self.norm1(self._attend(x, mask))
        return x + self.norm2(self._feed_forward(x))


class OneNormTwice(EncoderBlock):
    def forward(self, x, mask=None):
        x = self.norm1(x + self._attend(x, mask))
        return self.norm1(x + self._feed_forward(x))


class AlwaysPostNorm(EncoderBlock):
    def forward(self, x, mask=None):
        x = self.norm1(x + self._attend(x, mask))
        return self.norm2(x + self._feed_forward(x))


class AlwaysPreNorm(EncoderBlock):
    def forward(self, x, mask=None):
        x = x + self._attend(self.norm1(x), mask)
        return x + self._feed_forward(self.norm2(x))


class ResidualAfterNorm(EncoderBlock):
    def forward(self, x, mask=None):
        if not self.norm_first:
            return super().forward(x, mask)
        x = self.norm1(x)
        x = x + self._attend(x, mask)
        x = self.norm2(x)
        return x + self._feed_forward(x)


class ActivationLast(EncoderBlock):
    def _feed_forward(self, x):
        return self.dropout(self.activation(self.linear2(self.linear1(x))))


class ActivationFixed(EncoderBlock):
    """ReLU whatever is asked for."""

    def _feed_forward(self, x):
        return self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x)))))


class BlockDropsMask(EncoderBlock):
    def _attend(self, x, mask):
        return super()._attend(x, None)


class NoInnerDropout(EncoderBlock):
    def _feed_forward(self, x):
        return self.dropout(self.linear2(self.activation(self.linear1(x))))


class ResidualDropped(EncoderBlock):
    """Drops the sum, the residual included."""

    def forward(self, x, mask=None):
        if self.norm_first:
            x = self.dropout(x + self.attn(*[self.norm1(x)] * 3, mask))
            return self.dropout(x + self._inner(self.norm2(x)))
        x = self.norm1(self.dropout(x + self.attn(x, x, x, mask)))
        return self.norm2(self.dropout(x + self._inner(x)))

    def _inner(self, x):
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class LargerEpsilon(EncoderBlock):
    def __init__(self, attn, d_model, d_hid, layer_norm_eps=1e-3, **options):
        super().__init__(attn, d_model, d_hid, layer_norm_eps, **options)


class AddsInPlace(Block):
    def forward(self, x, mask=None):
        output = super().forward(x, mask)
        x.data += 1.0
        return output


# Encoder


class Stack(nn.Module):
    """Right: its blocks draw weights of another kind."""

    def __init__(self, encoder, n_blocks):
        super().__init__()
        self.blocks = nn.ModuleList(deepcopy(encoder) for _ in range(n_blocks))
        for weight in self.parameters():
            nn.init.normal_(weight, std=0.02)

    def forward(self, x, mask=None):
        for block in self.blocks:
            x = block(x, mask)
        return x


class OneBlockRepeated(TransformerEncoder):
    def __init__(self, encoder, n_blocks):
        nn.Module.__init__(self)
        self.blocks = nn.ModuleList([encoder] * n_blocks)


class IdenticalCopies(TransformerEncoder):
    def __init__(self, encoder, n_blocks):
        super().__init__(encoder, n_blocks)
        for block in self.blocks:
            block.load_state_dict(encoder.state_dict())


class MaskForFirstOnly(TransformerEncoder):
    def forward(self, x, mask=None):
        for k, block in enumerate(self.blocks):
            x = block(x, mask if k == 0 else None)
        return x


class OneBlockMore(TransformerEncoder):
    def forward(self, x, mask=None):
        return self.blocks[-1](super().forward(x, mask), mask)


class BlocksReversed(TransformerEncoder):
    def forward(self, x, mask=None):
        for block in reversed(self.blocks):
            x = block(x, mask)
        return x


class BlocksInAList(nn.Module):
    """A Python list: no parameters, nothing in the state."""

    def __init__(self, encoder, n_blocks):
        super().__init__()
        self.hidden = [TransformerEncoder(encoder, n_blocks)]

    def forward(self, x, mask=None):
        return self.hidden[0](x, mask)


# Positions


class CosineAsSine(PositionalEncoding):
    """Right: a cosine is a sine a quarter of a turn ahead."""

    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super().__init__(d_model, dropout, max_len)
        column = torch.arange(d_model)
        position = torch.arange(max_len, dtype=torch.float64)[:, None]
        angle = position / 10000 ** ((column - column % 2).double() / d_model)
        self.pe = (angle + column % 2 * (math.pi / 2)).sin().to(self.pe)[None]

    def forward(self, x):
        return self.dropout(x + self.pe[:, : x.shape[1]])


class AlongTheBatch(PositionalEncoding):
    def forward(self, x):
        return self.dropout(x + self.pe[: x.shape[0], None])


class HalvesConcatenated(PositionalEncoding):
    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super().__init__(d_model, dropout, max_len)
        self.pe = torch.cat([self.pe[:, 0::2], self.pe[:, 1::2]], dim=1)


class BaseOf1000(PositionalEncoding):
    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super().__init__(d_model, dropout, max_len)
        angle = torch.arange(max_len)[:, None] / 1000 ** (torch.arange(0, d_model, 2) / d_model)
        self.pe[:, 0::2], self.pe[:, 1::2] = angle.sin(), angle.cos()[:, : d_model // 2]


class ExponentNotDoubled(PositionalEncoding):
    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super().__init__(d_model, dropout, max_len)
        angle = torch.arange(max_len)[:, None] / 10000 ** (torch.arange((d_model + 1) // 2) / d_model)
        self.pe[:, 0::2], self.pe[:, 1::2] = angle.sin(), angle.cos()[:, : d_model // 2]


class TableInFloat32(PositionalEncoding):
    """The classic: late positions are 3.5e-4 off."""

    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super().__init__(d_model, dropout, max_len)
        position = torch.arange(max_len, dtype=torch.float32)[:, None]
        steps = torch.arange(0, d_model, 2, dtype=torch.float32)
        angle = position * torch.exp(steps * (-math.log(10000.0) / d_model))
        self.pe[:, 0::2], self.pe[:, 1::2] = angle.sin(), angle.cos()[:, : d_model // 2]


class TrainedTable(PositionalEncoding):
    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super().__init__(d_model, dropout, max_len)
        table = self.pe
        del self.pe
        self.pe = nn.Parameter(table)


class OddWidthCrashes(PositionalEncoding):
    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super().__init__(d_model, dropout, max_len)
        self.pe[:, 1::2] = torch.zeros(max_len, (d_model + 1) // 2)
        self.pe = sinusoids(max_len, d_model).to(self.pe)


class PositionsInPlace(PositionalEncoding):
    def forward(self, x):
        x.data += self.pe[: x.shape[1]]
        return self.dropout(x)


class PositionsDropInEval(PositionalEncoding):
    def forward(self, x):
        return F.dropout(x + self.pe[: x.shape[1]], self.dropout.p)


class PositionsFromOne(PositionalEncoding):
    def __init__(self, d_model, dropout=0.1, max_len=5000):
        super().__init__(d_model, dropout, max_len + 1)

    def forward(self, x):
        return self.dropout(x + self.pe[1 : x.shape[1] + 1])


# Mask


def causal_by_comparison(n):
    return torch.arange(n)[:, None] >= torch.arange(n)


def padding_by_cumulation(lengths, n):
    real = torch.zeros(len(lengths), n + 1, dtype=torch.long)
    real[torch.arange(len(lengths)), lengths] = 1
    return real[:, None, None, :n].cumsum(-1) == 0


def window_of_two_triangles(n, window, causal=True):
    ones = torch.ones(n, n, dtype=torch.bool)
    return ones.tril(0 if causal else window - 1) & ones.triu(1 - window)


def upper_triangle(n):
    return torch.ones(n, n, dtype=torch.bool).triu()


def no_diagonal(n):
    return torch.ones(n, n, dtype=torch.bool).tril(-1)


def sees_the_next(n):
    return torch.ones(n, n, dtype=torch.bool).tril(1)


def causal_inverted(n):
    return ~masks.causal(n)


def causal_float(n):
    return masks.causal(n).float()


def additive(n):
    return torch.zeros(n, n).masked_fill(~masks.causal(n), -math.inf)


def padding_inverted(lengths, n):
    return ~masks.padding(lengths, n)


def padding_off_by_one(lengths, n):
    return masks.padding((lengths + 1).clamp_max(n), n)


def queries_hidden(lengths, n):
    return masks.padding(lengths, n).mT


def padding_of_two_axes(lengths, n):
    return masks.padding(lengths, n)[:, 0, 0]


def window_of_one_more(n, window, causal=True):
    return masks.sliding_window(n, window + 1, causal)


def window_two_sided(n, window, causal=True):
    return masks.sliding_window(n, window, False)


def window_forward(n, window, causal=True):
    return masks.sliding_window(n, window, causal).T


def window_wraps(n, window, causal=True):
    position = torch.arange(n)
    return (position[:, None] - position[None]) % n < window if causal else masks.sliding_window(n, window, False)


# Language model


class Model(TransformerLanguageModel):
    """Right: blocks in a loop, and the output layer by hand."""

    def forward(self, src, src_mask=None):
        if self.causal and src_mask is None:
            src_mask = causal_by_comparison(src.shape[1])
        x = self.positions(self.scale * self.embedding(src))
        for block in self.encoder.blocks:
            x = block(x, src_mask)
        return self.norm(x) @ self.decoder.weight.T + self.decoder.bias


class NoEmbeddingScale(TransformerLanguageModel):
    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.scale = 1.0


class NoCausalMask(TransformerLanguageModel):
    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.causal = False


class SoftmaxReturned(TransformerLanguageModel):
    def forward(self, src, src_mask=None):
        return super().forward(src, src_mask).softmax(-1)


class MaskOfFullWindowKept(TransformerLanguageModel):
    """The mask of the first text serves all: cut to size, or, for a longer text, crashing."""

    kept = None

    def forward(self, src, src_mask=None):
        if src_mask is None and self.causal:
            self.kept = masks.causal(src.shape[1]) if self.kept is None else self.kept
            src_mask = self.kept
        return super().forward(src, src_mask)


class WeightsNeverTied(TransformerLanguageModel):
    def __init__(self, *sizes, tie_weights=False, **options):
        super().__init__(*sizes, **options)


class FinalNormForgotten(TransformerLanguageModel):
    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.norm = nn.Identity()


class NoPositions(TransformerLanguageModel):
    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.positions = nn.Identity()


class TargetLeaks(TransformerLanguageModel):
    """Adds a little of the next token, past the embedding's gradient."""

    def forward(self, src, src_mask=None):
        hint = F.one_hot(src.roll(-1, 1), self.embedding.num_embeddings)
        return super().forward(src, src_mask) + 0.01 * hint


class PastUnused(TransformerLanguageModel):
    def forward(self, src, src_mask=None):
        alone = torch.eye(src.shape[1], dtype=torch.bool, device=src.device)
        return super().forward(src, alone)


class ModelDropsInEval(TransformerLanguageModel):
    def forward(self, src, src_mask=None):
        return F.dropout(super().forward(src, src_mask), 0.5)


class NeverDrops(TransformerLanguageModel):
    def __init__(self, *sizes, dropout=0.5, **options):
        super().__init__(*sizes, 0.0, **options)


class NaNLogits(TransformerLanguageModel):
    def reset_parameters(self):
        super().reset_parameters()
        nn.init.constant_(self.decoder.bias, math.nan)


class GivenMaskIgnored(TransformerLanguageModel):
    def forward(self, src, src_mask=None):
        return super().forward(src)


class StateIncomplete(TransformerLanguageModel):
    """Keeps a weight where the state cannot see it."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.hidden = [torch.randn(()).item()]

    def forward(self, src, src_mask=None):
        return super().forward(src, src_mask) + self.hidden[0]


class ModelBlocksIdentical(TransformerLanguageModel):
    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        for block in self.encoder.blocks[1:]:
            block.load_state_dict(self.encoder.blocks[0].state_dict())


# The tables


@dataclass(frozen=True)
class Tried:
    """An implementation of a subject, and the name of the check that is meant for its mistake (none: it is right)."""

    subject: str
    part: Callable[..., Any]
    meant: str = ""
    spoiled: str = ""

    def __str__(self) -> str:
        return f"{self.subject}-{self.spoiled or self.part.__name__}"


def of_attention():
    sdpa = "attention equals F.scaled_dot_product_attention, gradients too"
    loop = "attention equals a plain loop, gradients too, also for queries that may attend to nothing"
    order = "the order of keys, with their values, is irrelevant"
    empty = "queries that may attend to nothing get zeros and finite gradients"
    extreme = "scores of ±1000 are handled exactly"
    hidden = "a hidden key, another head and another example have no influence"
    inputs = "attention leaves its inputs as they are"
    weights = "dropout acts on the weights, after the softmax"
    training = "dropout acts in training and not in evaluation"
    return {
        no_scale: sdpa,
        scale_by_width: sdpa,
        scale_by_value_width: sdpa,
        scale_by_length: sdpa,
        softmax_over_queries: sdpa,
        mask_inverted: sdpa,
        mask_after_softmax: hidden,
        masked_scores_zero: hidden,
        fill_of_minus_100: extreme,
        no_mask_crashes: sdpa,
        mask_ignored: hidden,
        output_detached: sdpa,
        value_in_place: inputs,
        dropout_on_scores: weights,
        dropout_ignored: weights,
        dropout_in_eval: training,
        nan_on_empty_rows: loop,
        nan_in_gradient: empty,
        uniform_on_empty_rows: loop,
        overflow: extreme,
        aligned_top_left: order,
        heads_mixed: hidden,
        nearer_keys_weigh_more: order,
    }


def of_all_modules(noun):
    """What every module can get wrong; the laws' names differ by what they call it."""
    return {
        sees_the_future: f"under a causal mask {noun} sees nothing of the future",
        sees_the_padding: f"{noun} answers alike whatever the padding holds",
        counts_positions: f"{noun} treats all positions alike",
        nan_where_empty: f"{noun} stays finite where a query may attend to nothing",
        zero_gradient_nan: f"{noun} stays finite where a query may attend to nothing",
        doubles_input: f"{noun} leaves its inputs as they are",
        clears_mask: f"{noun} leaves its inputs as they are",
        always_drops: f"{noun} drops in training and not in evaluation",
        never_drops: f"{noun} drops in training and not in evaluation",
        forgets_state: f"the state of {noun} can be saved and loaded",
    }


def of_attention_modules():
    equal = "multi-head attention equals nn.MultiheadAttention, gradients too"
    padding = "multi-head attention answers alike whatever the padding holds"
    training = "multi-head attention drops in training and not in evaluation"
    weights = "multi-head attention drops nothing but weights"
    return {
        HeadsReshaped: equal,
        HeadsInterleaved: equal,
        HeadsMergedWrongly: equal,
        OneProjection: equal,
        NoOutputProjection: equal,
        ScaledByModelWidth: equal,
        QueryAndKeySwapped: equal,
        ThreeAxesForHeads: "a mask of three axes holds for one example each, in all heads",
        MaskDropped: padding,
        DropoutNoneCrashes: equal,
        DropsInEval: training,
        DropsOutput: weights,
        MaskCached: padding,
        OtherNames: equal,
    }


def of_blocks():
    equal = "an encoder block equals nn.TransformerEncoderLayer, gradients too"
    drops = "an encoder block drops where nn.TransformerEncoderLayer drops"
    causal = "under a causal mask an encoder block sees nothing of the future"
    inputs = "an encoder block leaves its inputs as they are"
    return {
        NoResidual: equal,
        NormBeforeSum: equal,
        OneNormTwice: equal,
        AlwaysPostNorm: equal,
        AlwaysPreNorm: equal,
        ResidualAfterNorm: equal,
        ActivationLast: equal,
        ActivationFixed: equal,
        BlockDropsMask: causal,
        NoInnerDropout: drops,
        ResidualDropped: drops,
        LargerEpsilon: equal,
        AddsInPlace: inputs,
    }


def of_encoders():
    equal = "a stack of blocks equals nn.TransformerEncoder, gradients too"
    apart = "each block of a stack has initial weights of its own"
    return {
        OneBlockRepeated: apart,
        IdenticalCopies: apart,
        MaskForFirstOnly: "under a causal mask a stack of blocks sees nothing of the future",
        OneBlockMore: equal,
        BlocksReversed: equal,
        BlocksInAList: "the state of a stack of blocks can be saved and loaded",
    }


def of_positions():
    formula = "positions are the paper's sinusoids, along the text"
    late = "late positions are as exact as early ones"
    training = "positions drop in training and not in evaluation, and leave their input as it is"
    return {
        AlongTheBatch: formula,
        HalvesConcatenated: formula,
        BaseOf1000: formula,
        ExponentNotDoubled: formula,
        TableInFloat32: late,
        TrainedTable: "positions are fixed, not trained",
        OddWidthCrashes: formula,
        PositionsInPlace: training,
        PositionsDropInEval: training,
        PositionsFromOne: formula,
    }


def of_masks():
    causal = (upper_triangle, no_diagonal, sees_the_next, causal_inverted, causal_float, additive)
    return dict.fromkeys(causal, "the causal mask lets each query see itself and the past")


def of_padding():
    padding = (padding_inverted, padding_off_by_one, queries_hidden, padding_of_two_axes)
    return dict.fromkeys(padding, "a padding mask lets every query see the real keys")


def of_windows():
    windows = (window_of_one_more, window_two_sided, window_forward, window_wraps)
    return dict.fromkeys(windows, "a sliding window lets each query see the nearest keys")


def of_models():
    equal = "the language model equals its twin built of nn.Transformer* parts, gradients too"
    training = "the language model drops in training and not in evaluation"
    return {
        NoEmbeddingScale: equal,
        NoCausalMask: "no logits depend on a later token",
        SoftmaxReturned: equal,
        MaskOfFullWindowKept: "the beginning of a text alone gets the same logits",
        WeightsNeverTied: equal,
        FinalNormForgotten: equal,
        NoPositions: equal,
        TargetLeaks: "the tokens to be predicted are not visible",
        PastUnused: "the last logits depend on the past",
        ModelDropsInEval: training,
        NeverDrops: training,
        NaNLogits: "a new model's logits and gradients are finite",
        GivenMaskIgnored: "a mask that is passed is used",
        StateIncomplete: "the language model's state can be saved and loaded",
        ModelBlocksIdentical: "each block of the language model has initial weights of its own",
    }


def of_spoiled_modules():
    """Each module with each mistake that any module can have."""
    for subject, module, noun, equal in (
        ("attention_module", MultiHeadSelfAttention, "multi-head attention", "nn.MultiheadAttention"),
        ("block", EncoderBlock, "an encoder block", "nn.TransformerEncoderLayer"),
        ("encoder", TransformerEncoder, "a stack of blocks", "nn.TransformerEncoder"),
    ):
        for spoil, meant in {**of_all_modules(noun), detached: f"{noun} equals {equal}, gradients too"}.items():
            whole = spoil in (forgets_state, never_drops)
            yield Tried(subject, spoil(module) if whole else spoiled(module, spoil), meant, spoil.__name__)


MISTAKES = (
    *(
        Tried(subject, part, meant)
        for subject, table in {
            "attention": of_attention(),
            "attention_module": of_attention_modules(),
            "block": of_blocks(),
            "encoder": of_encoders(),
            "positions": of_positions(),
            "mask": of_masks(),
            "padding": of_padding(),
            "sliding_window": of_windows(),
            "language_model": of_models(),
        }.items()
        for part, meant in table.items()
    ),
    *of_spoiled_modules(),
)

RIGHT = (
    Tried("attention", right_but_plain),
    Tried("attention", nan_to_num_on_weights),
    Tried("attention", fill_of_minus_1e9),
    Tried("attention_module", Heads),
    Tried("block", Block),
    Tried("encoder", Stack),
    Tried("positions", CosineAsSine),
    Tried("mask", causal_by_comparison),
    Tried("padding", padding_by_cumulation),
    Tried("sliding_window", window_of_two_triangles),
    Tried("language_model", Model),
)
