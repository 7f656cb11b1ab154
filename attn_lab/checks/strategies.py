"""How Hypothesis draws the cases.

Sizes are small and differ from each other as often as not: some bugs need two axes of equal size to slip past PyTorch's
own shape errors, others need unequal ones to show. The first of each list is what a failing case shrinks towards.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from attn_lab.checks.cases import (
    AttentionCase,
    EncoderCase,
    LanguageModelCase,
    MaskCase,
    MultiHeadCase,
    PositionsCase,
)

# Not Hypothesis's DrawFn: a protocol that the run-time shape checker cannot check.
Draw = Callable[[SearchStrategy[Any]], Any]

MASKS = ("i j", "b i j", "b 1 1 j", "b 1 i j", "b h i j", None)
FEW = st.sampled_from((2, 3, 1))
LENGTHS = st.sampled_from((3, 2, 5, 7, 1))
WIDTHS = st.sampled_from((4, 2, 3, 5))
SEEDS = st.integers(0, 9999)
DENSITIES = st.sampled_from((0.7, 0.3, 1.0, 0.0))


# Hypothesis examines a strategy when it is first drawn from; if it is made anew for every draw, every time. That took a
# third of the time of drawing: so the same one is handed out again.
@cache
def equal_or_not(one: int, others: SearchStrategy[int]) -> SearchStrategy[int]:
    """The same size again, or one of the others."""
    return st.one_of(others, st.just(one))


@cache
def at_least(least: int, others: SearchStrategy[int]) -> SearchStrategy[int]:
    """Those sizes that are not smaller."""
    return others.filter(lambda size: size >= least)


@cache
def _sampled(values: tuple[Any, ...]) -> SearchStrategy[Any]:
    return st.sampled_from(values)


def one_of_these(values: Sequence[Any]) -> SearchStrategy[Any]:
    """One of the values; the first is what a failing case shrinks towards."""
    return _sampled(tuple(values))


@st.composite
def attention_cases(draw: Draw, masks: Sequence[str | None] = MASKS, empty_rows: bool = True) -> AttentionCase:
    """Attentions of all shapes; see `AttentionCase`."""
    b, i, d = draw(FEW), draw(LENGTHS), draw(WIDTHS)
    return AttentionCase(
        b=b,
        h=draw(equal_or_not(b, FEW)),
        i=i,
        j=draw(equal_or_not(i, LENGTHS)),
        d=d,
        e=draw(equal_or_not(d, WIDTHS)),
        mask=draw(one_of_these(masks)),
        density=draw(DENSITIES),
        empty_rows=empty_rows,
        seed=draw(SEEDS),
    )


@st.composite
def multihead_cases(draw: Draw, masks: Sequence[str | None] = MASKS, empty_rows: bool = False) -> MultiHeadCase:
    """Multi-head attentions of all shapes; see `MultiHeadCase`."""
    b, i = draw(FEW), draw(LENGTHS)
    return MultiHeadCase(
        b=b,
        h=draw(equal_or_not(b, FEW)),
        i=i,
        j=draw(equal_or_not(i, LENGTHS)),
        d=draw(WIDTHS),
        mask=draw(one_of_these(masks)),
        density=draw(DENSITIES),
        empty_rows=empty_rows,
        weights_from_pytorch=draw(st.booleans()),
        seed=draw(SEEDS),
    )


@st.composite
def encoder_cases(
    draw: Draw,
    masks: Sequence[str | None] = MASKS,
    activations: Sequence[str] = ("relu",),
    shortest: int = 1,
    blocks: Sequence[int] = (2, 3, 1),
    empty_rows: bool = False,
) -> EncoderCase:
    """Encoders of both kinds; see `EncoderCase`. Width 4 or more: the layer norm of two numbers is a coin toss."""
    b = draw(FEW)
    return EncoderCase(
        b=b,
        h=draw(equal_or_not(b, FEW)),
        n=draw(at_least(shortest, LENGTHS)),
        d=draw(one_of_these((4, 5, 6))),
        d_hid=draw(one_of_these((8, 5))),
        n_blocks=draw(one_of_these(blocks)),
        norm_first=draw(st.booleans()),
        activation=draw(one_of_these(activations)),
        mask=draw(one_of_these(masks)),
        density=draw(DENSITIES),
        empty_rows=empty_rows,
        weights_from_pytorch=draw(st.booleans()),
        seed=draw(SEEDS),
    )


@st.composite
def language_model_cases(draw: Draw, causal: bool | None = None, shortest: int = 1) -> LanguageModelCase:
    """Language models with every combination of switches; see `LanguageModelCase`."""
    return LanguageModelCase(
        ntoken=draw(one_of_these((11, 5))),
        b=draw(FEW),
        h=draw(FEW),
        n=draw(at_least(shortest, LENGTHS)),
        d=draw(one_of_these((4, 5, 6))),
        d_hid=draw(one_of_these((8, 5))),
        nlayers=draw(one_of_these((2, 1))),
        norm_first=draw(st.booleans()),
        causal=draw(st.booleans()) if causal is None else causal,
        scale_embedding=draw(st.booleans()),
        tie_weights=draw(st.booleans()),
        weights_from_pytorch=draw(st.booleans()),
        seed=draw(SEEDS),
    )


@st.composite
def positions_cases(draw: Draw) -> PositionsCase:
    """Texts of even and odd width; see `PositionsCase`."""
    b = draw(FEW)
    return PositionsCase(
        b=b,
        n=draw(equal_or_not(b, LENGTHS)),
        d_model=draw(one_of_these((6, 5, 8, 7, 2, 1))),
        spare=draw(one_of_these((0, 4))),
        seed=draw(SEEDS),
    )


@st.composite
def padding_cases(draw: Draw) -> MaskCase:
    """Texts of lengths from 0 to n."""
    n = draw(LENGTHS)
    lengths = draw(st.lists(st.integers(0, n), min_size=1, max_size=5))
    return MaskCase(n=n, lengths=tuple(lengths))


def window_cases() -> SearchStrategy[MaskCase]:
    """Windows narrower and wider than the text, of both kinds."""
    return st.builds(MaskCase, n=LENGTHS, window=st.integers(1, 8), causal=st.booleans())


def mask_cases() -> SearchStrategy[MaskCase]:
    """Lengths of a causal mask."""
    return st.builds(MaskCase, n=LENGTHS)
