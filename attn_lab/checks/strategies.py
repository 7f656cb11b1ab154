"""What the checks try: sizes, flags and a seed drawn by Hypothesis; the numbers come from a generator with that seed.

Sizes are small and differ from each other as often as not: some bugs need two axes of equal size to go unnoticed by
PyTorch's own shape errors, others need unequal ones to show. A width is always heads times head width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from jaxtyping import Bool, Float, Int
from torch import Tensor

MASKS = ("i j", "b i j", "b 1 1 j", "b 1 i j", "b h i j", None)
FEW = st.sampled_from((2, 3, 1))
LENGTHS = st.sampled_from((3, 2, 5, 7, 1))
WIDTHS = st.sampled_from((4, 2, 3, 5))
SEEDS = st.integers(0, 9999)
DENSITIES = st.sampled_from((0.7, 0.3, 1.0, 0.0))


def generator(seed: int) -> torch.Generator:
    """A source of numbers on the CPU: the same numbers on every device."""
    return torch.Generator("cpu").manual_seed(seed)


def fill(source: torch.Generator, *shape: int) -> Float[Tensor, "..."]:
    """Normal numbers in float64, on the CPU."""
    return torch.randn(shape, generator=source, dtype=torch.float64, device="cpu")


@dataclass(frozen=True)
class AttentionCase:
    """Sizes of an attention, the axes of its mask (None: no mask), and the share of allowed pairs."""

    b: int
    h: int
    i: int
    j: int
    d: int
    e: int
    mask: str | None
    density: float
    empty_rows: bool
    seed: int

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Query, key, value and mask."""
        source = generator(self.seed)
        query = fill(source, self.b, self.h, self.i, self.d)
        key = fill(source, self.b, self.h, self.j, self.d)
        value = fill(source, self.b, self.h, self.j, self.e)
        return query, key, value, draw_mask(source, self.mask, self, self.density, self.empty_rows)


@dataclass(frozen=True)
class MultiHeadCase:
    """Sizes of a multi-head attention (dim = h d), its mask, and the direction in which weights are copied."""

    b: int
    h: int
    i: int
    j: int
    d: int
    mask: str | None
    density: float
    empty_rows: bool
    weights_from_pytorch: bool
    seed: int

    @property
    def dim(self) -> int:
        """Width of the model."""
        return self.h * self.d

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Query, key, value and mask."""
        source = generator(self.seed)
        query = fill(source, self.b, self.i, self.dim)
        key = fill(source, self.b, self.j, self.dim)
        value = fill(source, self.b, self.j, self.dim)
        return query, key, value, draw_mask(source, self.mask, self, self.density, self.empty_rows)


@dataclass(frozen=True)
class EncoderCase:
    """Sizes of an encoder (d_model = h d), its kind of block, its mask, and the direction in which weights go."""

    b: int
    h: int
    n: int
    d: int
    d_hid: int
    n_blocks: int
    norm_first: bool
    activation: str
    mask: str | None
    density: float
    weights_from_pytorch: bool
    seed: int

    @property
    def d_model(self) -> int:
        """Width of the model."""
        return self.h * self.d

    @property
    def i(self) -> int:
        """As many queries as positions."""
        return self.n

    @property
    def j(self) -> int:
        """As many keys as positions."""
        return self.n

    def tensors(self) -> tuple[Tensor, Tensor | None]:
        """The input and the mask."""
        source = generator(self.seed)
        x = fill(source, self.b, self.n, self.d_model)
        return x, draw_mask(source, self.mask, self, self.density, False)


@dataclass(frozen=True)
class LanguageModelCase:
    """Sizes and switches of a language model (d_model = h d), and the direction in which weights go."""

    ntoken: int
    b: int
    h: int
    n: int
    d: int
    d_hid: int
    nlayers: int
    norm_first: bool
    causal: bool
    scale_embedding: bool
    tie_weights: bool
    weights_from_pytorch: bool
    seed: int

    @property
    def d_model(self) -> int:
        """Width of the model."""
        return self.h * self.d

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """The sizes, in the order of the model's arguments."""
        return self.ntoken, self.d_model, self.h, self.d_hid, self.nlayers

    @property
    def options(self) -> dict[str, bool]:
        """The switches, by the names of the model's arguments."""
        names = ("norm_first", "causal", "scale_embedding", "tie_weights")
        return {name: getattr(self, name) for name in names}

    def ids(self) -> Int[Tensor, "b n"]:
        """Token ids."""
        return torch.randint(self.ntoken, (self.b, self.n), generator=generator(self.seed), device="cpu")


@dataclass(frozen=True)
class PositionsCase:
    """Sizes of a text and of the table; the text begins at the table's start."""

    b: int
    n: int
    d_model: int
    spare: int
    seed: int

    def tensor(self) -> Float[Tensor, "b n d_model"]:
        """The text's embeddings."""
        return fill(generator(self.seed), self.b, self.n, self.d_model)


@dataclass(frozen=True)
class MaskCase:
    """A length; of a padding mask the lengths of the texts, of a window its width and kind."""

    n: int
    lengths: tuple[int, ...] = ()
    window: int = 1
    causal: bool = True


def draw_mask(
    source: torch.Generator,
    axes: str | None,
    case: AttentionCase | MultiHeadCase | EncoderCase,
    density: float,
    empty_rows: bool,
) -> Bool[Tensor, "..."] | None:
    """A random mask of these axes, True with probability `density`; no row is empty unless that is asked for."""
    if axes is None:
        return None
    shape = [1 if axis == "1" else int(getattr(case, axis)) for axis in axes.split()]
    mask = torch.rand(shape, generator=source, device="cpu") < density
    if not empty_rows:
        kept = torch.randint(shape[-1], shape[:-1], generator=source, device="cpu")
        mask[~mask.any(-1)] |= (torch.arange(shape[-1], device="cpu") == kept[..., None])[~mask.any(-1)]
    return mask


def equal_or_not(one: int, others: SearchStrategy[int]) -> SearchStrategy[int]:
    """The same size again, or one of the others."""
    return st.one_of(others, st.just(one))


@st.composite
def attention_cases(draw: st.DrawFn, masks: Sequence[str | None] = MASKS, empty_rows: bool = True) -> AttentionCase:
    """Attentions of all shapes; see `AttentionCase`."""
    b, i, d = draw(FEW), draw(LENGTHS), draw(WIDTHS)
    return AttentionCase(
        b=b,
        h=draw(equal_or_not(b, FEW)),
        i=i,
        j=draw(equal_or_not(i, LENGTHS)),
        d=d,
        e=draw(equal_or_not(d, WIDTHS)),
        mask=draw(st.sampled_from(masks)),
        density=draw(DENSITIES),
        empty_rows=empty_rows,
        seed=draw(SEEDS),
    )


@st.composite
def multihead_cases(draw: st.DrawFn, masks: Sequence[str | None] = MASKS, empty_rows: bool = False) -> MultiHeadCase:
    """Multi-head attentions of all shapes; see `MultiHeadCase`."""
    b, i = draw(FEW), draw(LENGTHS)
    return MultiHeadCase(
        b=b,
        h=draw(equal_or_not(b, FEW)),
        i=i,
        j=draw(equal_or_not(i, LENGTHS)),
        d=draw(WIDTHS),
        mask=draw(st.sampled_from(masks)),
        density=draw(DENSITIES),
        empty_rows=empty_rows,
        weights_from_pytorch=draw(st.booleans()),
        seed=draw(SEEDS),
    )


@st.composite
def encoder_cases(draw: st.DrawFn, masks: Sequence[str | None] = MASKS) -> EncoderCase:
    """Encoders of both kinds; see `EncoderCase`. Width 4 or more: the layer norm of two numbers is a coin toss."""
    b = draw(FEW)
    return EncoderCase(
        b=b,
        h=draw(equal_or_not(b, FEW)),
        n=draw(LENGTHS),
        d=draw(st.sampled_from((4, 5, 6))),
        d_hid=draw(st.sampled_from((8, 5))),
        n_blocks=draw(st.sampled_from((2, 3, 1))),
        norm_first=draw(st.booleans()),
        activation=draw(st.sampled_from(("relu", "gelu"))),
        mask=draw(st.sampled_from(masks)),
        density=draw(DENSITIES),
        weights_from_pytorch=draw(st.booleans()),
        seed=draw(SEEDS),
    )


@st.composite
def language_model_cases(draw: st.DrawFn, causal: bool | None = None, shortest: int = 1) -> LanguageModelCase:
    """Language models with every combination of switches; see `LanguageModelCase`."""
    return LanguageModelCase(
        ntoken=draw(st.sampled_from((11, 5))),
        b=draw(FEW),
        h=draw(FEW),
        n=draw(LENGTHS.filter(lambda n: n >= shortest)),
        d=draw(st.sampled_from((4, 5, 6))),
        d_hid=draw(st.sampled_from((8, 5))),
        nlayers=draw(st.sampled_from((2, 1))),
        norm_first=draw(st.booleans()),
        causal=draw(st.booleans()) if causal is None else causal,
        scale_embedding=draw(st.booleans()),
        tie_weights=draw(st.booleans()),
        weights_from_pytorch=draw(st.booleans()),
        seed=draw(SEEDS),
    )


@st.composite
def positions_cases(draw: st.DrawFn) -> PositionsCase:
    """Texts of even and odd width; see `PositionsCase`."""
    b = draw(FEW)
    return PositionsCase(
        b=b,
        n=draw(equal_or_not(b, LENGTHS)),
        d_model=draw(st.sampled_from((6, 5, 8, 7, 2, 1))),
        spare=draw(st.sampled_from((0, 4))),
        seed=draw(SEEDS),
    )


@st.composite
def padding_cases(draw: st.DrawFn) -> MaskCase:
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
