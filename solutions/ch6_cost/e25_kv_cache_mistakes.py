"""Wrong answers to e25 that have been seen, each with what it does and what a teacher would say; and right variants."""

import torch
from torch import nn

import attn_lab
from attn_lab.checks.cases import fill, generator
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

NOT_ALLOWED = ("attn_lab.efficient.decoding.CachedAttention", "attn_lab.efficient.decoding.Decoder")


class Cached(nn.Module):
    """A right answer, in steps that can each go wrong."""

    def __init__(self, module):
        super().__init__()
        self.module, self.key, self.value = module, None, None

    def split(self, x):
        return x.unflatten(-1, (self.module.n_heads, -1)).transpose(1, 2)

    def projected(self, x):
        return (self.split(f(x)) for f in (self.module.linear_query, self.module.linear_key, self.module.linear_value))

    def append(self, key, value):
        if self.key is not None:
            key, value = torch.cat([self.key, key], dim=2), torch.cat([self.value, value], dim=2)
        self.key, self.value = key, value
        return key, value

    def mask(self, m, j):
        return torch.ones(m, j, dtype=torch.bool).tril(j - m)

    def back(self, heads):
        return self.module.linear_cat_attn(heads.transpose(1, 2).flatten(2))

    def forward(self, x):
        query, key, value = self.projected(x)
        key, value = self.append(key, value)
        return self.back(self.module.attention(query, key, value, self.mask(query.shape[2], key.shape[2])))

    def forget(self):
        self.key = self.value = None


class TopLeft(Cached):
    def mask(self, m, j):
        return torch.ones(m, j, dtype=torch.bool).tril()


class NoMask(Cached):
    def mask(self, m, j):
        return None


class WithoutItself(Cached):
    def mask(self, m, j):
        return torch.ones(m, j, dtype=torch.bool).tril(j - m - 1)


class NoCache(Cached):
    def append(self, key, value):
        return key, value


class LastPieceOnly(Cached):
    def append(self, key, value):
        old, self.key = self.key, key
        before, self.value = self.value, value
        return (key, value) if old is None else (torch.cat([old, key], 2), torch.cat([before, value], 2))


class NewInFront(Cached):
    def append(self, key, value):
        if self.key is not None:
            key, value = torch.cat([key, self.key], dim=2), torch.cat([value, self.value], dim=2)
        self.key, self.value = key, value
        return key, value


class KeysForValues(Cached):
    def append(self, key, value):
        keys, values = super().append(key, value)
        self.value = keys
        return keys, values


class NeverForgets(Cached):
    def forget(self):
        pass


class ForgetsKeysAlone(Cached):
    def append(self, key, value):
        key = key if self.key is None else torch.cat([self.key, key], dim=2)
        value = value if self.value is None else torch.cat([self.value, value], dim=2)
        self.key, self.value = key, value
        return key, value

    def forget(self):
        self.key = None


class OnTheModule(Cached):
    """What it remembers lies on the module that all caches share."""

    def append(self, key, value):
        old = self.module.__dict__.get("cached")
        if old is not None:
            key, value = torch.cat([old[0], key], dim=2), torch.cat([old[1], value], dim=2)
        self.module.__dict__["cached"] = key, value
        return key, value

    def forget(self):
        self.module.__dict__.pop("cached", None)


class AllAgain(Cached):
    def forward(self, x):
        self.key = x if self.key is None else torch.cat([self.key, x], dim=1)
        query, key, value = self.projected(self.key)
        return self.back(self.module.attention(query, key, value, self.mask(key.shape[2], key.shape[2])))[
            :, -x.shape[1] :
        ]


class SquareMask(Cached):
    def mask(self, m, j):
        return torch.ones(m, m, dtype=torch.bool).tril()


class FirstPieceMasked(Cached):
    """Causal only while the cache is empty, where m = j."""

    def mask(self, m, j):
        return torch.ones(m, j, dtype=torch.bool).tril() if m == j else None


class AlongTheBatch(Cached):
    """torch.cat without dim."""

    def append(self, key, value):
        if self.key is not None:
            key, value = torch.cat([self.key, key]), torch.cat([self.value, value])
        self.key, self.value = key, value
        return key, value


class ZerosForNothing(Cached):
    def forget(self):
        if self.key is not None:
            self.key, self.value = torch.zeros_like(self.key), torch.zeros_like(self.value)


MISTAKES = (
    Mistake(
        "aligns the causal mask at the top left",
        "The new queries are the last of the positions: take the last m rows of the causal mask, not the first.",
        caught_by="test_one_token_at_a_time",
        CachedSelfAttention=TopLeft,
    ),
    Mistake(
        "makes a square mask of the new positions, without a column for those before",
        "The mask has a row for each of the m new queries, and a column for each of the j keys, old ones too: (m j).",
        caught_by="test_pieces_of_any_length",
        CachedSelfAttention=SquareMask,
    ),
    Mistake(
        "uses no mask",
        "One new position may see everything; of several, the first must not see the second.",
        caught_by="test_the_first_piece_is_plain_causal_attention",
        CachedSelfAttention=NoMask,
    ),
    Mistake(
        "masks the first piece alone",
        "A later piece of several positions has a future too: its first position must not see its second.",
        caught_by="test_pieces_of_any_length",
        CachedSelfAttention=FirstPieceMasked,
    ),
    Mistake(
        "hides each new position from itself",
        "A position sees itself: query k of m stands at position j - m + k, and sees the keys up to that one.",
        caught_by="test_one_token_at_a_time",
        CachedSelfAttention=WithoutItself,
    ),
    Mistake(
        "remembers nothing",
        "Keep keys and values on self after each piece, and put them in front of the next one's.",
        caught_by="test_one_token_at_a_time",
        CachedSelfAttention=NoCache,
    ),
    Mistake(
        "remembers the last piece alone",
        "What goes into the cache is the keys of before and the new ones, joined.",
        caught_by="test_one_token_at_a_time",
        CachedSelfAttention=LastPieceOnly,
    ),
    Mistake(
        "puts the new keys in front of the old ones",
        "The mask counts places: the old keys come first, torch.cat([old, new]).",
        caught_by="test_pieces_of_any_length",
        CachedSelfAttention=NewInFront,
    ),
    Mistake(
        "joins old and new keys along the batch",
        "torch.cat joins the first axis unless it is told otherwise: the positions are dim=2 of (b h j d).",
        caught_by="test_one_token_at_a_time",
        CachedSelfAttention=AlongTheBatch,
    ),
    Mistake(
        "keeps the keys where the values should be",
        "Keys and values are remembered side by side, each under its own name.",
        caught_by="test_one_token_at_a_time",
        CachedSelfAttention=KeysForValues,
    ),
    Mistake(
        "forgets nothing when it is told to",
        "forget() must empty both, keys and values: another text begins.",
        caught_by="test_after_forget_another_text_begins",
        CachedSelfAttention=NeverForgets,
    ),
    Mistake(
        "overwrites what it remembers with zeros when it is told to forget",
        "A key of zeros is still a key, and gets its weight: leave nothing, self.key = self.value = None.",
        caught_by="test_after_forget_another_text_begins",
        CachedSelfAttention=ZerosForNothing,
    ),
    Mistake(
        "forgets the keys and keeps the values",
        "forget() must empty both, keys and values: another text begins.",
        caught_by="test_after_forget_another_text_begins",
        CachedSelfAttention=ForgetsKeysAlone,
    ),
    Mistake(
        "shares what it remembers with every other cache of the module",
        "Keep keys and values on self, not on the module, on the class or in a default argument.",
        caught_by="test_two_caches_are_apart",
        CachedSelfAttention=OnTheModule,
    ),
    Mistake(
        "remembers the text and projects all of it again",
        "That is the work that a cache is to spare: remember what was projected, keys and values.",
        caught_by="test_only_the_new_positions_are_projected",
        CachedSelfAttention=AllAgain,
    ),
)


class ListOfPieces(Cached):
    """The pieces in a list, joined when they are needed."""

    def append(self, key, value):
        self.key = [*(self.key or []), key]
        self.value = [*(self.value or []), value]
        return torch.cat(self.key, dim=2), torch.cat(self.value, dim=2)


class BeforeTheSplit(Cached):
    """Keys and values are remembered as (b j dim), and split into heads afterwards."""

    def forward(self, x):
        key, value = self.module.linear_key(x), self.module.linear_value(x)
        if self.key is not None:
            key, value = torch.cat([self.key, key], dim=1), torch.cat([self.value, value], dim=1)
        self.key, self.value = key, value
        query, key, value = self.split(self.module.linear_query(x)), self.split(key), self.split(value)
        return self.back(self.module.attention(query, key, value, self.mask(query.shape[2], key.shape[2])))


VARIANTS = (
    Variant("the pieces in a list", CachedSelfAttention=ListOfPieces),
    Variant("remembered before the heads are split", CachedSelfAttention=BeforeTheSplit),
)


def observe(answer, seed):
    """Pieces of all lengths, another text after forget(), two caches of one module; and how much is projected."""
    b, h, d = ((2, 3, 2), (2, 2, 2), (1, 2, 3), (3, 1, 4))[seed % 4]
    pieces = ((1, 1, 1), (2, 1, 2), (3, 2), (1, 3, 1, 2))[seed // 2 % 4]
    module = fill_parameters(attn_lab.MultiHeadSelfAttention(h * d, h).double(), seed)
    rows = []
    module.linear_key.register_forward_hook(lambda layer, inputs, output: rows.append(output.shape[1]))
    cached, other = answer.CachedSelfAttention(module), answer.CachedSelfAttention(module)
    source = generator(seed)
    if seed % 3 == 1:
        with torch.no_grad():
            other(fill(source, b, 2, h * d))
    if seed % 3 == 2:
        with torch.no_grad():
            cached(fill(source, b, 2, h * d))
            cached.forget()
    call = cached.forward
    seen = {k: behaviour(call, fill(source, b, m, h * d)) for k, m in enumerate(pieces)}
    return seen | {"rows": rows}
