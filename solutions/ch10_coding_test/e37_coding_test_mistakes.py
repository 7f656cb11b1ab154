"""Wrong answers to e37 that have been seen, each with what it does and what a teacher would say; and right variants."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

import attn_lab
from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = (
    "torch.nn.MultiheadAttention",
    "torch.nn.TransformerEncoderLayer",
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.functional.multi_head_attention_forward",
    "attn_lab.attention",
    "attn_lab.fused_attention",
    "attn_lab.MultiHeadSelfAttention",
    "attn_lab.EncoderBlock",
    "attn_lab.masks.causal",
    "attn_lab.masks.sliding_window",
)


N_PROBES = 16


def upside_down(n):
    return torch.ones(n, n, dtype=torch.bool).triu()


def without_diagonal(n):
    return torch.ones(n, n, dtype=torch.bool).tril(-1)


def future_only(n):
    return torch.ones(n, n, dtype=torch.bool).triu(1)


def all_true(n):
    return torch.ones(n, n, dtype=torch.bool)


def float_mask(n):
    return torch.ones(n, n).tril()


def additive(n):
    return torch.full((n, n), -math.inf).triu(1)


class Attention(nn.Module):
    """A right answer in steps, each of which a mistake below takes wrongly."""

    def __init__(self, dim, n_heads, dropout=None):
        super().__init__()
        self.n_heads, self.dim = n_heads, dim
        self.dropout = nn.Dropout(dropout or 0.0)
        self.linear_query, self.linear_key = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.linear_value, self.linear_cat_attn = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def split(self, x):
        return x.view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)

    def merge(self, heads):
        return heads.transpose(1, 2).flatten(2)

    def projected(self, query, key, value):
        return self.linear_query(query), self.linear_key(key), self.linear_value(value)

    def scale(self):
        return math.sqrt(self.dim // self.n_heads)

    def weights(self, scores, mask):
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        return self.dropout(scores.softmax(-1))

    def out(self, merged):
        return self.linear_cat_attn(merged)

    def forward(self, query, key, value, mask=None):
        q, k, v = map(self.split, self.projected(query, key, value))
        return self.out(self.merge(self.weights(q @ k.mT / self.scale(), mask) @ v))


class NoScale(Attention):
    def scale(self):
        return 1.0


class ScaledByModelWidth(Attention):
    def scale(self):
        return math.sqrt(self.dim)


class SoftmaxOverQueries(Attention):
    def weights(self, scores, mask):
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        return self.dropout(scores.softmax(-2))


class MaskInverted(Attention):
    def weights(self, scores, mask):
        return super().weights(scores, None if mask is None else ~mask)


class MaskIgnored(Attention):
    def weights(self, scores, mask):
        return super().weights(scores, None)


class MaskAfterSoftmax(Attention):
    def weights(self, scores, mask):
        weights = super().weights(scores, None)
        return weights if mask is None else weights * mask


class HiddenScoresZero(Attention):
    def weights(self, scores, mask):
        return super().weights(scores if mask is None else scores.masked_fill(~mask, 0.0), None)


class HiddenScoresMinus100(Attention):
    def weights(self, scores, mask):
        return super().weights(scores if mask is None else scores.masked_fill(~mask, -100.0), None)


class HiddenScoresMinus10000(Attention):
    def weights(self, scores, mask):
        return super().weights(scores if mask is None else scores.masked_fill(~mask, -10000.0), None)


class NoMaskCrashes(Attention):
    def weights(self, scores, mask):
        return self.dropout(scores.masked_fill(~mask, -math.inf).softmax(-1))


class NoDropout(Attention):
    def weights(self, scores, mask):
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        return scores.softmax(-1)


class DropoutOnOutput(Attention):
    def weights(self, scores, mask):
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        return scores.softmax(-1)

    def out(self, merged):
        return self.dropout(self.linear_cat_attn(merged))


class DropoutDiesInEval(Attention):
    def weights(self, scores, mask):
        if not self.training:
            self.dropout.p = 0.0
        return super().weights(scores, mask)


class SplitWithoutTranspose(Attention):
    def split(self, x):
        return x.reshape(x.shape[0], self.n_heads, x.shape[1], -1)


class MergedWithoutTranspose(Attention):
    def merge(self, heads):
        return heads.reshape(heads.shape[0], heads.shape[2], -1)


class MergedFeatureFirst(Attention):
    def merge(self, heads):
        return rearrange(heads, "b h n d -> b n (d h)")


class NoOutputProjection(Attention):
    def out(self, merged):
        return merged


class OneProjection(Attention):
    def projected(self, query, key, value):
        return self.linear_query(query), self.linear_query(key), self.linear_query(value)


class KeysFromTheQuery(Attention):
    def projected(self, query, key, value):
        return self.linear_query(query), self.linear_key(query), self.linear_value(query)


class Block(nn.Module):
    """A right answer in steps, as above."""

    def __init__(self, attn, d_model, dim_feedforward, layer_norm_eps=1e-5, dropout=0.1):
        super().__init__()
        self.attn = attn
        self.linear1, self.linear2 = nn.Linear(d_model, dim_feedforward), nn.Linear(dim_feedforward, d_model)
        self.norm1 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.norm2 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def attend(self, x, mask):
        return self.dropout(self.attn(x, x, x, mask))

    def transform(self, x):
        return self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x)))))

    def forward(self, x, mask=None):
        x = self.norm1(x + self.attend(x, mask))
        return self.norm2(x + self.transform(x))


class NoResidual(Block):
    def forward(self, x, mask=None):
        return self.norm2(self.transform(self.norm1(self.attend(x, mask))))


class PreNorm(Block):
    def forward(self, x, mask=None):
        x = x + self.attend(self.norm1(x), mask)
        return x + self.transform(self.norm2(x))


class NormBeforeTheSum(Block):
    def forward(self, x, mask=None):
        x = x + self.norm1(self.attend(x, mask))
        return x + self.norm2(self.transform(x))


class NoNorms(Block):
    def forward(self, x, mask=None):
        x = x + self.attend(x, mask)
        return x + self.transform(x)


class OneNormTwice(Block):
    def forward(self, x, mask=None):
        x = self.norm1(x + self.attend(x, mask))
        return self.norm1(x + self.transform(x))


class ResidualFromTheInput(Block):
    def forward(self, x, mask=None):
        attended = self.norm1(x + self.attend(x, mask))
        return self.norm2(x + self.transform(attended))


class NoActivation(Block):
    def transform(self, x):
        return self.dropout(self.linear2(self.dropout(self.linear1(x))))


class ActivationLast(Block):
    def transform(self, x):
        return self.dropout(F.relu(self.linear2(self.dropout(self.linear1(x)))))


class MaskDropped(Block):
    def attend(self, x, mask):
        return self.dropout(self.attn(x, x, x))


class NoDropoutInside(Block):
    def transform(self, x):
        return self.dropout(self.linear2(F.relu(self.linear1(x))))


class NoDropoutOnSubLayers(Block):
    def attend(self, x, mask):
        return self.attn(x, x, x, mask)

    def transform(self, x):
        return self.linear2(self.dropout(F.relu(self.linear1(x))))


class NoDropoutAtAll(NoDropoutOnSubLayers):
    def transform(self, x):
        return self.linear2(F.relu(self.linear1(x)))


class DropsInEval(Block):
    def attend(self, x, mask):
        return F.dropout(self.attn(x, x, x, mask), self.dropout.p)

    def transform(self, x):
        inner = F.dropout(F.relu(self.linear1(x)), self.dropout.p)
        return F.dropout(self.linear2(inner), self.dropout.p)


class BlocksDropoutDiesInEval(Block):
    def forward(self, x, mask=None):
        if not self.training:
            self.dropout.p = 0.0
        return super().forward(x, mask)


MISTAKES = (
    Mistake(
        "shows the future and hides the past",
        "Rows are queries: query i sees keys 0 to i, the lower triangle, tril.",
        caught_by="test_the_mask_shows_itself_and_the_past",
        causal=upside_down,
    ),
    Mistake(
        "hides each position from itself",
        "A position sees itself and the past: the diagonal is True. Its target is the next token, so nothing leaks.",
        caught_by="test_the_mask_shows_itself_and_the_past",
        causal=without_diagonal,
    ),
    Mistake(
        "marks what is hidden, not what may be seen",
        "In this mask True means that the query may attend; nn.MultiheadAttention's masks mean the opposite.",
        caught_by="test_the_mask_shows_itself_and_the_past",
        causal=future_only,
    ),
    Mistake(
        "hides nothing",
        "Without a mask each position reads the token that it is to predict: keep the lower triangle.",
        caught_by="test_the_mask_shows_itself_and_the_past",
        causal=all_true,
    ),
    Mistake(
        "returns a mask of ones and zeros",
        "A mask is boolean: torch.ones(n, n, dtype=torch.bool).",
        caught_by="test_the_mask_shows_itself_and_the_past",
        causal=float_mask,
    ),
    Mistake(
        "returns a mask of 0 and -inf, to be added",
        "Here a mask is boolean, True where a query may attend; hiding with -inf is the attention's business.",
        caught_by="test_the_mask_shows_itself_and_the_past",
        causal=additive,
    ),
    Mistake(
        "does not scale the scores",
        "Divide the scores by √d, d being the width of a head.",
        caught_by="test_attention_equals_pytorch",
        MultiHeadSelfAttention=NoScale,
    ),
    Mistake(
        "scales by the width of the model, not of a head",
        "A score adds up d products, the features of one head: √d, with d = dim / n_heads.",
        caught_by="test_attention_equals_pytorch",
        MultiHeadSelfAttention=ScaledByModelWidth,
    ),
    Mistake(
        "applies softmax over the queries",
        "Each query's weights must sum to 1 over the keys: the last axis.",
        caught_by="test_attention_equals_pytorch",
        MultiHeadSelfAttention=SoftmaxOverQueries,
    ),
    Mistake(
        "reads the mask the other way round",
        "In a mask True means that the query may attend: hide the scores where it is False.",
        caught_by="test_attention_equals_pytorch",
        MultiHeadSelfAttention=MaskInverted,
    ),
    Mistake(
        "ignores the mask",
        "Where the mask is False the score must become -inf, so that the key gets the weight 0.",
        caught_by="test_attention_equals_pytorch",
        MultiHeadSelfAttention=MaskIgnored,
    ),
    Mistake(
        "applies the mask after the softmax",
        "Hide the scores before the softmax, so that the weights that stay sum to 1.",
        caught_by="test_attention_equals_pytorch",
        MultiHeadSelfAttention=MaskAfterSoftmax,
    ),
    Mistake(
        "sets hidden scores to 0",
        "A score of 0 still gets the weight exp(0) = 1 before it is normalised; only -inf gets none.",
        caught_by="test_attention_equals_pytorch",
        MultiHeadSelfAttention=HiddenScoresZero,
    ),
    Mistake(
        "sets hidden scores to -100",
        "-100 is not far away where scores are -1000: only -inf stays hidden whatever the scores are.",
        caught_by="test_hidden_keys_stay_hidden_however_large_the_scores",
        MultiHeadSelfAttention=HiddenScoresMinus100,
    ),
    Mistake(
        "sets hidden scores to -10000",
        "-10000 is not far away where scores are -1000000: only -inf stays hidden whatever the scores are.",
        caught_by="test_hidden_keys_stay_hidden_however_large_the_scores",
        MultiHeadSelfAttention=HiddenScoresMinus10000,
    ),
    Mistake(
        "crashes when there is no mask",
        "mask=None means that every query may attend to every key: ask for it before you use the mask.",
        caught_by="test_attention_returns_a_vector_for_each_query",
        MultiHeadSelfAttention=NoMaskCrashes,
    ),
    Mistake(
        "drops no attention weights",
        "Call self.dropout on the weights, after the softmax.",
        caught_by="test_dropout_acts_on_the_attention_weights",
        MultiHeadSelfAttention=NoDropout,
    ),
    Mistake(
        "drops from the output in place of the weights",
        "self.dropout belongs on the weights, after the softmax: the block drops from the output already.",
        caught_by="test_dropout_acts_on_the_attention_weights",
        MultiHeadSelfAttention=DropoutOnOutput,
    ),
    Mistake(
        "stops dropping attention weights for good at the first evaluation",
        "An evaluation leaves no traces: call self.dropout, which knows by itself whether it is in training.",
        caught_by="test_attention_drops_in_training_alone",
        MultiHeadSelfAttention=DropoutDiesInEval,
    ),
    Mistake(
        "cuts the text into heads, not the features",
        "view(b, n, h, d) first, then transpose: view(b, h, n, d) gives each head other positions, not other features.",
        caught_by="test_attention_equals_pytorch",
        MultiHeadSelfAttention=SplitWithoutTranspose,
    ),
    Mistake(
        "merges the heads without moving them back",
        "From (b h n d) the heads must come next to their features first: b n (h d).",
        caught_by="test_attention_equals_pytorch",
        MultiHeadSelfAttention=MergedWithoutTranspose,
    ),
    Mistake(
        "merges the heads in the order (d h)",
        "Side by side means head after head, b n (h d), as they were split.",
        caught_by="test_attention_equals_pytorch",
        MultiHeadSelfAttention=MergedFeatureFirst,
    ),
    Mistake(
        "leaves out the last projection",
        "linear_cat_attn mixes what the heads found: it comes last.",
        caught_by="test_attention_equals_pytorch",
        MultiHeadSelfAttention=NoOutputProjection,
    ),
    Mistake(
        "projects queries, keys and values alike",
        "There are three projections, linear_query, linear_key and linear_value: each for its own.",
        caught_by="test_attention_equals_pytorch",
        MultiHeadSelfAttention=OneProjection,
    ),
    Mistake(
        "takes keys and values from the query",
        "Project the key and the value that are passed: they are the query's only in self-attention.",
        caught_by="test_attention_equals_pytorch",
        MultiHeadSelfAttention=KeysFromTheQuery,
    ),
    Mistake(
        "leaves out the residual connections",
        "Each sub-layer's output is added to its input: x + Sublayer(x).",
        caught_by="test_a_block_equals_pytorch",
        EncoderBlock=NoResidual,
    ),
    Mistake(
        "normalises before each sub-layer",
        "That is pre-norm, a later and steadier design: here the norm comes after the sum.",
        caught_by="test_a_block_equals_pytorch",
        EncoderBlock=PreNorm,
    ),
    Mistake(
        "normalises what a sub-layer found, before it is added",
        "The norm is of the sum: norm(x + Sublayer(x)), not x + norm(Sublayer(x)).",
        caught_by="test_a_block_equals_pytorch",
        EncoderBlock=NormBeforeTheSum,
    ),
    Mistake(
        "normalises nothing",
        "After each sum comes a norm: norm1 after attention, norm2 after the network.",
        caught_by="test_a_block_equals_pytorch",
        EncoderBlock=NoNorms,
    ),
    Mistake(
        "uses the first norm twice",
        "The second sum has a norm of its own, norm2.",
        caught_by="test_a_block_equals_pytorch",
        EncoderBlock=OneNormTwice,
    ),
    Mistake(
        "adds the network's output to the block's input",
        "The second residual is what went into the network: the output of the first norm.",
        caught_by="test_a_block_equals_pytorch",
        EncoderBlock=ResidualFromTheInput,
    ),
    Mistake(
        "leaves out the ReLU",
        "Two linear layers in a row are one: the ReLU stands between them.",
        caught_by="test_a_block_equals_pytorch",
        EncoderBlock=NoActivation,
    ),
    Mistake(
        "applies the ReLU after the second linear layer",
        "The ReLU stands between the two layers: behind both, the network could only add, and never take away.",
        caught_by="test_a_block_equals_pytorch",
        EncoderBlock=ActivationLast,
    ),
    Mistake(
        "does not hand the mask to the attention",
        "self.attn(x, x, x, mask): without it each position reads the future.",
        caught_by="test_a_block_equals_pytorch",
        EncoderBlock=MaskDropped,
    ),
    Mistake(
        "does not drop inside the network",
        "Dropout acts on what comes out of the ReLU, too.",
        caught_by="test_a_block_drops_where_pytorch_drops",
        EncoderBlock=NoDropoutInside,
    ),
    Mistake(
        "does not drop what the sub-layers found",
        "Dropout acts on each sub-layer's output, before it is added to the input.",
        caught_by="test_a_block_drops_where_pytorch_drops",
        EncoderBlock=NoDropoutOnSubLayers,
    ),
    Mistake(
        "drops nothing",
        "self.dropout is used three times: on each sub-layer's output, and on what comes out of the ReLU.",
        caught_by="test_a_block_drops_where_pytorch_drops",
        EncoderBlock=NoDropoutAtAll,
    ),
    Mistake(
        "drops in evaluation too",
        "Call self.dropout, which knows whether it is in training; F.dropout(x, p) always drops.",
        caught_by="test_a_block_drops_in_training_alone",
        EncoderBlock=DropsInEval,
    ),
    Mistake(
        "stops dropping in the block for good at the first evaluation",
        "An evaluation leaves no traces: call self.dropout, which knows by itself whether it is in training.",
        caught_by="test_a_block_drops_in_training_alone",
        EncoderBlock=BlocksDropoutDiesInEval,
    ),
)


def by_comparison(n):
    place = torch.arange(n)
    return place[:, None] >= place[None, :]


def not_the_future(n):
    return ~torch.triu(torch.ones(n, n), diagonal=1).bool()


class HeadByHead(Attention):
    """One head after the other, the mask added as 0 and -1e9."""

    def forward(self, query, key, value, mask=None):
        projected = self.projected(query, key, value)
        heads = []
        for q, k, v in zip(*(x.chunk(self.n_heads, dim=-1) for x in projected)):
            scores = (q / self.scale()) @ k.mT
            if mask is not None:
                seen = mask.reshape(-1, *mask.shape[-2:])
                scores = scores + torch.zeros(seen.shape, dtype=scores.dtype).masked_fill(~seen, -1e9)
            heads.append((scores.softmax(-1), v))
        # All weights at once, so that dropout is called once.
        weights = self.dropout(torch.stack([w for w, _ in heads], dim=1))
        return self.out(torch.cat([weights[:, h] @ v for h, (_, v) in enumerate(heads)], dim=-1))


class BlockInPlace(Block):
    """The same sums, one after the other."""

    def forward(self, x, mask=None):
        y = self.dropout(self.attn(x, x, x, mask=mask))
        y = self.norm1(y + x)
        z = F.dropout(self.linear1(y).clamp(min=0), self.dropout.p, self.training)
        return self.norm2(y + F.dropout(self.linear2(z), self.dropout.p, self.training))


VARIANTS = (
    Variant("positions compared; view and transpose", causal=by_comparison, MultiHeadSelfAttention=Attention),
    Variant(
        "the future denied; head by head; sums one after the other",
        causal=not_the_future,
        MultiHeadSelfAttention=HeadByHead,
        EncoderBlock=BlockInPlace,
    ),
)


def observe(answer, seed):
    """The three pieces, each by itself: several sizes, masks or none, dropout in train, in eval, in train again."""
    b, h, i, j = ((2, 3, 5, 4), (2, 2, 4, 4), (1, 2, 3, 7))[seed % 3]
    source = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=source, dtype=torch.float64)

    def draw_mask(n_queries, n_keys):
        shape = (None, (n_queries, n_keys), (b, 1, 1, n_keys), (n_queries, n_keys))[seed % 4]
        if shape is None:
            return None
        mask = torch.rand(shape, generator=source) < 0.5
        mask[..., 0] = True  # each query sees one key at least
        return mask

    dim, training = 2 * h, seed // 4 % 2 == 0
    module = fill_parameters(answer.MultiHeadSelfAttention(dim, h, (None, 0.5)[seed % 5 > 1]), seed).double()
    inner = attn_lab.MultiHeadSelfAttention(6, 2)
    block = fill_parameters(answer.EncoderBlock(inner, 6, 5, dropout=0.5), seed).double()
    factor = 1e6 if seed in (1, 9) else 1000.0 if seed % 8 > 5 else 1.0
    tensors = factor * draw(b, i, dim), draw(b, j, dim), draw(b, j, dim), draw_mask(i, j)
    text = draw(b, i, 6), draw_mask(i, i)
    with FixedDropout():
        return {
            "causal": behaviour(answer.causal, seed % 6),
            "MultiHeadSelfAttention": behaviour(module.train(training), *tensors),
            "EncoderBlock": behaviour(block.train(training), *text),
            "after an evaluation": [_back_in_training(module, *tensors), _back_in_training(block, *text)],
        }


def _back_in_training(module, *inputs):
    behaviour(module.eval(), *inputs)
    return behaviour(module.train(), *inputs)
