"""Wrong answers to e18 that have been seen, each with what it does and what a teacher would say; and right variants."""

import math

import torch
from torch import nn

import attn_lab
from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = (
    "attn_lab.TransformerLanguageModel",
    "torch.nn.Transformer",
    "torch.nn.TransformerEncoder",
    "torch.nn.TransformerEncoderLayer",
)


class Model(nn.Module):
    """A right answer in steps, each of which a mistake below takes wrongly."""

    def __init__(
        self, ntoken, d_model, nhead, d_hid, nlayers, dropout=0.5, *, causal=True, scale_embedding=True,
        tie_weights=False, norm_first=False, max_len=5000, attention=attn_lab.attention,
        attention_module=attn_lab.MultiHeadSelfAttention, block=attn_lab.EncoderBlock,
        encoder=attn_lab.TransformerEncoder, positions=attn_lab.PositionalEncoding, mask=attn_lab.masks.causal,
    ):  # fmt: skip
        super().__init__()
        self.causal, self.mask, self.max_len, self.p, self.d_model = causal, mask, max_len, dropout, d_model
        self.embedding = nn.Embedding(ntoken, d_model)
        self.positions = positions(d_model, dropout, max_len)
        attn = attention_module(d_model, nhead, dropout, attention=attention)
        self.encoder = encoder(block(attn, d_model, d_hid, dropout=dropout, norm_first=norm_first), nlayers)
        self.norm = nn.LayerNorm(d_model) if norm_first else nn.Identity()
        self.decoder = nn.Linear(d_model, ntoken)
        self.scale = self.factor(d_model, scale_embedding)
        self.tie(tie_weights)
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def factor(self, d_model, wanted):
        return math.sqrt(d_model) if wanted else 1.0

    def tie(self, wanted):
        if wanted:
            self.decoder.weight = self.embedding.weight

    def embed(self, src):
        return self.embedding(src) * self.scale

    def place(self, x):
        return self.positions(x)

    def own_mask(self, src):
        return self.mask(src.shape[1]).to(src.device)

    def chosen(self, src, src_mask):
        return self.own_mask(src) if src_mask is None and self.causal else src_mask

    def finish(self, x):
        return self.decoder(self.norm(x))

    def forward(self, src, src_mask=None):
        return self.finish(self.encoder(self.place(self.embed(src)), self.chosen(src, src_mask)))


class NoScale(Model):
    def factor(self, d_model, wanted):
        return 1.0


class ScaledByWidth(Model):
    def factor(self, d_model, wanted):
        return float(d_model) if wanted else 1.0


class Divided(Model):
    def factor(self, d_model, wanted):
        return 1 / math.sqrt(d_model) if wanted else 1.0


class AlwaysScaled(Model):
    def factor(self, d_model, wanted):
        return math.sqrt(d_model)


class PositionsScaledToo(Model):
    def embed(self, src):
        return self.embedding(src)

    def place(self, x):
        return self.positions(x) * self.scale


class NoPositions(Model):
    def place(self, x):
        return x


class PositionsAlongTheBatch(Model):
    def place(self, x):
        return self.positions(x.transpose(0, 1)).transpose(0, 1)


class EmbeddingTwice(Model):
    def place(self, x):
        return x + self.positions(x)


class DropoutTwice(Model):
    def place(self, x):
        return nn.functional.dropout(self.positions(x), self.p, self.training)


class NoOwnMask(Model):
    def chosen(self, src, src_mask):
        return src_mask


class NoMaskAtAll(Model):
    def chosen(self, src, src_mask):
        return None


class AlwaysCausal(Model):
    def chosen(self, src, src_mask):
        return self.own_mask(src) if src_mask is None else src_mask


class GivenMaskIgnored(Model):
    def chosen(self, src, src_mask):
        return self.own_mask(src) if self.causal else None


class MasksCombined(Model):
    def chosen(self, src, src_mask):
        if not self.causal:
            return src_mask
        return self.own_mask(src) if src_mask is None else self.own_mask(src) & src_mask


class MaskInverted(Model):
    def own_mask(self, src):
        return ~super().own_mask(src)


class MaskOfTheBatch(Model):
    def own_mask(self, src):
        return self.mask(src.shape[0]).to(src.device)


class MaskKept(Model):
    kept = None

    def own_mask(self, src):
        if self.kept is None:
            self.kept = super().own_mask(src)
        return self.kept


class MaskOfItsOwnMaking(Model):
    def own_mask(self, src):
        n = src.shape[1]
        return torch.ones(n, n, dtype=torch.bool, device=src.device).tril()


class MaskOnTheCpu(Model):
    def own_mask(self, src):
        return self.mask(src.shape[1])


class NoFinalNorm(Model):
    def finish(self, x):
        return self.decoder(x)


class NormBeforeTheEncoder(Model):
    def place(self, x):
        return self.norm(self.positions(x))

    def finish(self, x):
        return self.decoder(x)


class Probabilities(Model):
    def finish(self, x):
        return super().finish(x).softmax(-1)


class LogProbabilities(Model):
    def finish(self, x):
        return super().finish(x).log_softmax(-1)


class NeverTied(Model):
    def tie(self, wanted):
        pass


class Copied(Model):
    def tie(self, wanted):
        if wanted:
            self.decoder.weight.data = self.embedding.weight.data


class AlwaysTied(Model):
    def tie(self, wanted):
        self.decoder.weight = self.embedding.weight


class CausalOnlyUnderAMask(Model):
    def chosen(self, src, src_mask):
        return src_mask if src_mask is None or not self.causal else src_mask & self.own_mask(src)


class MaskAskedForTruth(Model):
    def chosen(self, src, src_mask):
        return src_mask or (self.own_mask(src) if self.causal else None)


class CopiedOnce(Model):
    """Behind reset_parameters, so that both begin with the same numbers, and part with the first step."""

    def tie(self, wanted):
        self.wanted = wanted

    def reset_parameters(self):
        super().reset_parameters()
        if self.wanted:
            with torch.no_grad():
                self.decoder.weight.copy_(self.embedding.weight)


MISTAKES = (
    Mistake(
        "does not scale the embedding",
        "Multiply the embedding by √d_model where scale_embedding asks for it: else the positions drown the words.",
        caught_by="test_the_parts_follow_one_another",
        TransformerLanguageModel=NoScale,
    ),
    Mistake(
        "multiplies the embedding by d_model, not by √d_model",
        "The factor is the square root of the width.",
        caught_by="test_the_parts_follow_one_another",
        TransformerLanguageModel=ScaledByWidth,
    ),
    Mistake(
        "divides the embedding by √d_model",
        "Here the root multiplies: division is for attention's scores; the embedding starts out too small.",
        caught_by="test_the_parts_follow_one_another",
        TransformerLanguageModel=Divided,
    ),
    Mistake(
        "scales the embedding though scale_embedding is False",
        "The factor is 1.0 where scale_embedding is False.",
        caught_by="test_the_parts_follow_one_another",
        TransformerLanguageModel=AlwaysScaled,
    ),
    Mistake(
        "scales the positions together with the embedding",
        "Scale first, then add the positions: it is the embedding that is too small beside them.",
        caught_by="test_the_parts_follow_one_another",
        TransformerLanguageModel=PositionsScaledToo,
    ),
    Mistake(
        "leaves the positions out",
        "Without positions the model sees a bag of words: call self.positions on the scaled embedding.",
        caught_by="test_the_parts_follow_one_another",
        TransformerLanguageModel=NoPositions,
    ),
    Mistake(
        "numbers the texts of the batch, not the words of a text",
        "The batch comes first here, and self.positions knows it: leave out the transpose that older code has.",
        caught_by="test_the_parts_follow_one_another",
        TransformerLanguageModel=PositionsAlongTheBatch,
    ),
    Mistake(
        "adds the embedding to the positions' output, which holds it already",
        "self.positions(x) returns x plus the pattern: do not add x again.",
        caught_by="test_the_parts_follow_one_another",
        TransformerLanguageModel=EmbeddingTwice,
    ),
    Mistake(
        "drops once more behind the positions",
        "self.positions drops for itself: the model adds no dropout of its own.",
        caught_by="test_the_parts_follow_one_another",
        TransformerLanguageModel=DropoutTwice,
    ),
    Mistake(
        "makes no causal mask of its own",
        "Where no mask is passed and the model is causal, call self.mask(n): without it the model reads the answer.",
        caught_by="test_the_future_is_not_seen",
        TransformerLanguageModel=NoOwnMask,
    ),
    Mistake(
        "is causal only where some mask is passed",
        "It is the other way round: where no mask is passed and the model is causal, it makes one, self.mask(n).",
        caught_by="test_the_encoder_gets_the_right_mask",
        TransformerLanguageModel=CausalOnlyUnderAMask,
    ),
    Mistake(
        "hands no mask to the encoder at all",
        "Call self.encoder(x, src_mask): neither your own mask nor the caller's does anything before it arrives there.",
        caught_by="test_the_future_is_not_seen",
        TransformerLanguageModel=NoMaskAtAll,
    ),
    Mistake(
        "is causal though causal is False",
        "With causal=False and no mask passed, every token sees all: then the encoder gets None.",
        caught_by="test_the_encoder_gets_the_right_mask",
        TransformerLanguageModel=AlwaysCausal,
    ),
    Mistake(
        "ignores a mask that is passed",
        "The model's own mask is for when none is passed: ask whether src_mask is None.",
        caught_by="test_the_encoder_gets_the_right_mask",
        TransformerLanguageModel=GivenMaskIgnored,
    ),
    Mistake(
        "combines a mask that is passed with its own",
        "A mask that is passed takes the place of the model's own: whoever passes one says all there is to say.",
        caught_by="test_the_encoder_gets_the_right_mask",
        TransformerLanguageModel=MasksCombined,
    ),
    Mistake(
        "asks whether the mask is true, `src_mask or …`, which has no answer for many numbers at once",
        "Ask whether a mask was passed, `src_mask is None`: a tensor as a whole is neither true nor false.",
        caught_by="test_the_encoder_gets_the_right_mask",
        TransformerLanguageModel=MaskAskedForTruth,
    ),
    Mistake(
        "turns the causal mask round",
        "In a mask True means that the query may attend, and self.mask(n) says that already: no ~ here.",
        caught_by="test_the_future_is_not_seen",
        TransformerLanguageModel=MaskInverted,
    ),
    Mistake(
        "makes the mask as long as the batch, not as the text",
        "The batch comes first: the length of the texts is src.shape[1].",
        caught_by="test_the_encoder_gets_the_right_mask",
        TransformerLanguageModel=MaskOfTheBatch,
    ),
    Mistake(
        "keeps the mask of the first text for all that follow",
        "A mask belongs to a length, and the last window is shorter: make it anew in each forward pass.",
        caught_by="test_each_text_gets_a_mask_of_its_length",
        TransformerLanguageModel=MaskKept,
    ),
    Mistake(
        "makes a causal mask itself, whatever mask part it was given",
        "Call self.mask(n): whoever builds the model may have handed it another, a sliding window for instance.",
        caught_by="test_the_encoder_gets_the_right_mask",
        TransformerLanguageModel=MaskOfItsOwnMaking,
    ),
    Mistake(
        "makes the mask on the CPU wherever the text is",
        "Make the mask where the text is, self.mask(n).to(src.device): else the first step on a GPU fails.",
        caught_by="test_the_mask_lies_where_the_text_lies",
        TransformerLanguageModel=MaskOnTheCpu,
    ),
    Mistake(
        "leaves out the norm behind the last block",
        "Pre-norm blocks never normalise their own output: self.norm stands between the encoder and the output layer.",
        caught_by="test_the_parts_follow_one_another",
        TransformerLanguageModel=NoFinalNorm,
    ),
    Mistake(
        "applies the final norm before the encoder",
        "self.norm belongs behind the last block, right before the output layer.",
        caught_by="test_the_parts_follow_one_another",
        TransformerLanguageModel=NormBeforeTheEncoder,
    ),
    Mistake(
        "returns probabilities in place of logits",
        "Leave the softmax to the loss: cross_entropy takes it itself, and of probabilities it would take it twice.",
        caught_by="test_equals_pytorch",
        TransformerLanguageModel=Probabilities,
    ),
    Mistake(
        "returns log-probabilities in place of logits",
        "Return what the output layer says: the loss takes the log-softmax itself.",
        caught_by="test_equals_pytorch",
        TransformerLanguageModel=LogProbabilities,
    ),
    Mistake(
        "does not tie the weights",
        "With tie_weights: self.decoder.weight = self.embedding.weight.",
        caught_by="test_tied_weights_are_one_parameter",
        TransformerLanguageModel=NeverTied,
    ),
    Mistake(
        "copies the embedding's numbers into the output layer, where they part with the first step",
        "To tie is to share: self.decoder.weight = self.embedding.weight, one Parameter under two names.",
        caught_by="test_tied_weights_are_one_parameter",
        TransformerLanguageModel=CopiedOnce,
    ),
    Mistake(
        "shares the weights' numbers, but keeps two parameters",
        "Assign the Parameter, not its .data: two parameters get two gradients, and two entries in the optimizer.",
        caught_by="test_tied_weights_are_one_parameter",
        TransformerLanguageModel=Copied,
    ),
    Mistake(
        "ties the weights though tie_weights is False",
        "Tie them only where tie_weights asks for it.",
        caught_by="test_tied_weights_are_one_parameter",
        TransformerLanguageModel=AlwaysTied,
    ),
)


class Functional(Model):
    """The same by functions, with the embedding tied the other way round."""

    def tie(self, wanted):
        if wanted:
            self.embedding.weight = self.decoder.weight

    def embed(self, src):
        return nn.functional.embedding(src, self.embedding.weight) * self.scale

    def finish(self, x):
        return nn.functional.linear(self.norm(x), self.decoder.weight, self.decoder.bias)


class MaskOnItsDevice(Model):
    """The device as a context, as the reference has it."""

    def own_mask(self, src):
        with src.device:
            return self.mask(src.shape[1])


class ScaledWeights(Model):
    """The table is scaled before the look-up: equal, with a larger product."""

    def embed(self, src):
        return nn.functional.embedding(src, self.embedding.weight * self.scale)


VARIANTS = (
    Variant("the steps as methods", TransformerLanguageModel=Model),
    Variant("by functions, and tied the other way round", TransformerLanguageModel=Functional),
    Variant("the mask made inside `with src.device`", TransformerLanguageModel=MaskOnItsDevice),
    Variant("the embedding's table scaled before the look-up", TransformerLanguageModel=ScaledWeights),
)


class Mix(nn.Module):
    """Stands in for the encoder, at a tenth of its time: each position adds up what the mask lets it see."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(6, 6))
        self.mask = None

    def forward(self, x, mask=None):
        self.mask = mask
        if x.is_meta:
            return x
        seen = torch.ones(x.shape[1], x.shape[1]) if mask is None else mask
        return x + seen.to(x.dtype).reshape(-1, *seen.shape[-2:]) @ torch.tanh(x @ self.weight)


class Calls(nn.Module):
    """What a model makes of a text, of its beginning, and of the text under a mask that is passed."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, mask):
        short = ids[:, : max(1, ids.shape[1] // 2)]
        return [self.model(ids), self.model(short), self.model(ids, mask)]


def observe(answer, seed):
    """All switches, several sizes and texts, train and eval with dropout, masks passed or not, another device."""
    b, n = ((2, 5), (3, 3), (1, 4))[seed % 3]
    names = ("causal", "scale_embedding", "tie_weights", "norm_first")
    switches = {name: not seed >> k & 1 for k, name in enumerate(names)}
    parts = {"encoder": lambda block, n: Mix(), "block": lambda attn, *_, **__: attn}
    parts["attention_module"] = lambda *_, **__: nn.Identity()
    if seed % 5 == 4:
        parts["mask"] = lambda n: attn_lab.masks.sliding_window(n, 2)
    model = answer.TransformerLanguageModel(7, 6, 2, 5, 2, dropout=0.5, max_len=9, **switches, **parts)
    alike = torch.equal(model.decoder.weight, model.embedding.weight)
    model = fill_parameters(model, seed).double().train(seed % 5 < 3)
    source = torch.Generator().manual_seed(seed)
    ids = torch.randint(7, (b, n), generator=source)
    mask = torch.rand((b, 1, 1, n) if seed % 2 else (n, n), generator=source) < 0.6
    with FixedDropout():
        seen = behaviour(Calls(model), ids, mask) | {"decoder and embedding begin alike": alike}
    if seed == 22:  # one of the last, since PyTorch takes its time to get the device ready
        seen["mask on another device"] = mask_on_meta(model, ids)
    return seen


def mask_on_meta(model, ids):
    """Where the mask is when the text is on the device that has shapes and no data."""
    model.to("meta")(ids.to("meta"))
    mask = model.encoder.mask
    return None if mask is None else mask.device.type
