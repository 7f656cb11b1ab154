"""Repairs of e30 that hide the bug or break something else, each with what a teacher would say; and right variants."""

import math

import torch
from torch import nn

from attn_lab import EncoderBlock, MultiHeadSelfAttention, TransformerEncoder, masks
from attn_lab.checks.cases import generator
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

BREAKS = "test_a_word_has_a_place_in_its_text_and_a_text_none_in_its_batch"
NOT_ALLOWED = ("attn_lab.PositionalEncoding", "attn_lab.TransformerLanguageModel")
N_PROBES = 12


def table(n, d_model):
    """The sinusoids (n d_model), column by column."""
    columns = [
        (torch.cos if k % 2 else torch.sin)(torch.arange(n).double() / 10000 ** ((k - k % 2) / d_model))
        for k in range(d_model)
    ]
    return torch.stack(columns, dim=1).to(torch.get_default_dtype())


class Base(nn.Module):
    """A right model; what is wrong with one overrides a step."""

    def __init__(self, ntoken, d_model, nhead, d_hid, nlayers, max_len=512):
        super().__init__()
        self.d_model = d_model
        self.embedding = nn.Embedding(ntoken, d_model)
        block = EncoderBlock(MultiHeadSelfAttention(d_model, nhead), d_model, d_hid, dropout=0.0)
        self.encoder = TransformerEncoder(block, nlayers)
        self.decoder = nn.Linear(d_model, ntoken)
        self.make_table(max_len)

    def make_table(self, max_len):
        self.register_buffer("pe", table(max_len, self.d_model), persistent=False)

    def embed(self, src):
        return self.embedding(src) * math.sqrt(self.d_model)

    def place(self, x):
        return x + self.pe[: x.shape[1]]

    def encode(self, x):
        return self.encoder(x, masks.causal(x.shape[1]))

    def forward(self, src):
        return self.decoder(self.encode(self.place(self.embed(src))))


class NoPositions(Base):
    def place(self, x):
        return x


class AllAtTheFirstPlace(Base):
    def place(self, x):
        return x + self.pe[:1]


class RightInEvalOnly(Base):
    def place(self, x):
        return x + self.pe[: x.shape[0], None] if self.training else super().place(x)


class FromTheEnd(Base):
    def place(self, x):
        return x + self.pe[: x.shape[1]].flip(0)


class FromOne(Base):
    def place(self, x):
        return x + self.pe[1 : x.shape[1] + 1]


class AcrossTheTexts(Base):
    """Time first, for the positions' sake, and still when the encoder reads."""

    def forward(self, src):
        x = self.embed(src).transpose(0, 1)
        x = x + self.pe[: len(x), None]
        return self.decoder(self.encode(x)).transpose(0, 1)


class TimeFirstOut(Base):
    def forward(self, src):
        return super().forward(src).transpose(0, 1)


class TimeFirstIn(Base):
    """The ids are turned, and the logits turned back."""

    def forward(self, src):
        return super().forward(src.T).transpose(0, 1)


class ScaledTogether(Base):
    def embed(self, src):
        return self.embedding(src)

    def place(self, x):
        return super().place(x) * math.sqrt(self.d_model)


class Unscaled(Base):
    def embed(self, src):
        return self.embedding(src)


class AlongBothAxes(Base):
    def place(self, x):
        return super().place(x) + self.pe[: x.shape[0], None]


class Learned(Base):
    def make_table(self, max_len):
        self.pe = nn.Parameter(table(max_len, self.d_model))


class NoMask(Base):
    def encode(self, x):
        return self.encoder(x)


class WithoutGradients(Base):
    def embed(self, src):
        with torch.no_grad():
            return super().embed(src)


MISTAKES = (
    Mistake(
        "adds no positions at all",
        "The scores agree now, and the order of the words is lost: each place of a text needs a pattern of its own.",
        caught_by=BREAKS,
        Reader=NoPositions,
    ),
    Mistake(
        "gives every word the pattern of the first place",
        "The scores agree now, and the order of the words is lost: each place of a text needs a pattern of its own.",
        caught_by=BREAKS,
        Reader=AllAtTheFirstPlace,
    ),
    Mistake(
        "numbers the words in evaluation, and the texts in training",
        "A model must be trained as it is used: the positions run along the text in both modes.",
        caught_by=BREAKS,
        Reader=RightInEvalOnly,
    ),
    Mistake(
        "counts the places from the end of the text",
        "The first word is at place 0, however long the text: counted from the end, places tell how much is to come.",
        caught_by=BREAKS,
        Reader=FromTheEnd,
    ),
    Mistake(
        "begins at place 1",
        "The paper's table begins with position 0, sines of 0 and cosines of 1: take its first n rows.",
        caught_by="test_one_word_alone",
        Reader=FromOne,
    ),
    Mistake(
        "puts time first and leaves it there when the encoder reads",
        "The encoder attends along the second axis: with time first, a text attends to other texts.",
        caught_by=BREAKS,
        Reader=AcrossTheTexts,
    ),
    Mistake(
        "returns the logits with time first",
        "Ids (b n) become logits (b n v): the first axis stays the batch.",
        caught_by="test_a_score_for_each_word_at_each_position",
        Reader=TimeFirstOut,
    ),
    Mistake(
        "turns the ids, and the logits back",
        "The encoder attends along the second axis: with time first, it reads across the texts.",
        caught_by=BREAKS,
        Reader=TimeFirstIn,
    ),
    Mistake(
        "scales the positions together with the embedding",
        "√d_model is for the embedding alone: first scale the words, then add their places.",
        caught_by="test_one_word_alone",
        Reader=ScaledTogether,
    ),
    Mistake(
        "does not scale the embedding",
        "√d_model on the embedding was right: without it the positions drown the words.",
        caught_by="test_one_word_alone",
        Reader=Unscaled,
    ),
    Mistake(
        "numbers the words and the texts as well",
        "A text is no neighbour of the next in the batch: positions run along the text only.",
        caught_by=BREAKS,
        Reader=AlongBothAxes,
    ),
    Mistake(
        "makes a parameter of the table",
        "The sinusoids are given, not learned: a buffer, which no optimizer changes.",
        caught_by="test_one_word_alone",
        Reader=Learned,
    ),
    Mistake(
        "has no causal mask any more",
        "The mask was right: without it each position sees the word that it is to predict.",
        caught_by="test_the_future_is_not_seen",
        Reader=NoMask,
    ),
    Mistake(
        "learns no embedding",
        "The table of sinusoids is not learned, the embedding is: no torch.no_grad() around it.",
        caught_by="test_one_word_alone",
        Reader=WithoutGradients,
    ),
)


class TableWithAnAxis(Base):
    """The table (n 1 d), as it was, and the axes changed for the sum."""

    def make_table(self, max_len):
        self.register_buffer("pe", table(max_len, self.d_model)[:, None], persistent=False)

    def place(self, x):
        return (x.transpose(0, 1) + self.pe[: x.shape[1]]).transpose(0, 1)


class TableForBatches(Base):
    def make_table(self, max_len):
        self.register_buffer("pe", table(max_len, self.d_model)[None], persistent=False)

    def place(self, x):
        return x + self.pe[:, : x.shape[1]]


class TextByText(Base):
    def forward(self, src):
        return torch.cat([super(TextByText, self).forward(text[None]) for text in src])


class LookedUp(Base):
    def place(self, x):
        return x + self.pe[torch.arange(x.shape[1])].expand_as(x)


VARIANTS = (
    Variant("the table kept, and time first for the sum alone", Reader=TableWithAnAxis),
    Variant("a table (1 n d)", Reader=TableForBatches),
    Variant("one text after the other", Reader=TextByText),
    Variant("rows looked up by position", Reader=LookedUp),
)


def observe(answer, seed):
    """Batches and texts of equal and unequal sizes and of one, in either mode; with gradients."""
    b, n, d = ((2, 5, 4), (3, 3, 6), (1, 4, 4), (1, 1, 6), (4, 2, 4), (3, 1, 4))[seed % 6]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        model = answer.Reader(7, d, 2, 5, 1 + seed % 2).double()
    finally:
        torch.set_default_dtype(before)
    model = fill_parameters(model, seed).train(seed % 4 < 2)
    ids = torch.randint(7, (b, n), generator=generator(seed))
    with torch.enable_grad():
        seen = behaviour(model, ids)
    return seen | {"parameters": [name for name, _ in model.named_parameters()]}
