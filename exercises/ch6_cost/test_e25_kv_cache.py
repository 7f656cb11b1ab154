"""What e25 kv cache must do, from the simplest property to the strictest."""

import torch
from hypothesis import given
from hypothesis import strategies as st

import attn_lab
from attn_lab.checks import oracles
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, require
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import FEW, SEEDS, WIDTHS

PIECES = st.lists(st.sampled_from((1, 2, 3)), min_size=2, max_size=4)


def build(answer, h, d, seed):
    """A multi-head attention with random weights, a cache around it, and PyTorch's module with the same weights."""
    module = EXACT.build(lambda: attn_lab.MultiHeadSelfAttention(h * d, h))
    theirs = oracles.multihead(h * d, h)
    oracles.share_weights(module, theirs, oracles.MULTIHEAD, seed, from_theirs=False)
    return answer.CachedSelfAttention(module), theirs


def whole(theirs, x):
    """PyTorch's causal attention over the whole text at once."""
    n = x.shape[1]
    mask = torch.tensor([[j <= i for j in range(n)] for i in range(n)])
    return oracles.multihead_forward(theirs, x, x, x, mask)


def read(cached, theirs, x, pieces, what):
    """Piece by piece, and compared with the whole."""
    expected, start = whole(theirs, x), 0
    for m in pieces:
        output = cached(x[:, start : start + m])
        agree(
            output,
            expected[:, start : start + m],
            EXACT.tolerance,
            f"{what}of positions {start} to {start + m - 1}",
            "b m dim",
        )
        start += m


@given(b=FEW, h=FEW, d=WIDTHS, n=st.sampled_from((3, 1, 5)), seed=SEEDS)
def test_the_first_piece_is_plain_causal_attention(answer, b, h, d, n, seed):
    """With an empty cache the output is nn.MultiheadAttention's under the causal mask."""
    cached, theirs = build(answer, h, d, seed)
    read(cached, theirs, fill(generator(seed), b, n, h * d), [n], "the output ")


@given(b=FEW, h=FEW, d=WIDTHS, n=st.sampled_from((4, 2, 6)), seed=SEEDS)
def test_one_token_at_a_time(answer, b, h, d, n, seed):
    """Read a position at a time, the outputs are those of the whole text."""
    cached, theirs = build(answer, h, d, seed)
    read(cached, theirs, fill(generator(seed), b, n, h * d), [1] * n, "the output ")


@given(b=FEW, h=FEW, d=WIDTHS, pieces=PIECES, seed=SEEDS)
def test_pieces_of_any_length(answer, b, h, d, pieces, seed):
    """Read in pieces of several positions, the outputs are those of the whole text."""
    cached, theirs = build(answer, h, d, seed)
    read(cached, theirs, fill(generator(seed), b, sum(pieces), h * d), pieces, "the output ")


@given(b=FEW, h=FEW, d=WIDTHS, pieces=PIECES, seed=SEEDS)
def test_after_forget_another_text_begins(answer, b, h, d, pieces, seed):
    """After forget() nothing of the first text is seen, and the second may have other examples."""
    cached, theirs = build(answer, h, d, seed)
    cached(fill(generator(seed + 1), b, 3, h * d))
    cached.forget()
    read(cached, theirs, fill(generator(seed), b + 1, sum(pieces), h * d), pieces, "after forget(), the output ")


@given(b=FEW, h=FEW, d=WIDTHS, pieces=PIECES, seed=SEEDS)
def test_two_caches_are_apart(answer, b, h, d, pieces, seed):
    """Two caches, one text each: what one reads the other does not see."""
    cached, theirs = build(answer, h, d, seed)
    answer.CachedSelfAttention(cached.module)(fill(generator(seed + 1), b, 2, h * d))
    read(cached, theirs, fill(generator(seed), b, sum(pieces), h * d), pieces, "beside another cache, the output ")


@given(b=FEW, h=FEW, d=WIDTHS, pieces=PIECES, seed=SEEDS)
def test_only_the_new_positions_are_projected(answer, b, h, d, pieces, seed):
    """Each piece passes each projection once, and nothing of before passes it again."""
    cached, _ = build(answer, h, d, seed)
    rows = []
    for name in ("linear_query", "linear_key", "linear_value", "linear_cat_attn"):
        getattr(cached.module, name).register_forward_hook(
            lambda layer, inputs, output, name=name: rows.append((name, output.shape[1]))
        )
    for m in pieces:
        rows.clear()
        cached(fill(generator(seed), b, m, h * d))
        for name, count in rows:
            require(count == m, f"{name} must get the {m} new positions; it got {count}")
