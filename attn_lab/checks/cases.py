"""What the checks try: sizes, switches and a seed; the numbers come from a generator with that seed, on the CPU.

A width is always heads times head width. `tensors` and its like return float64; the setting rounds and moves them.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


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
    empty_rows: bool
    weights_from_pytorch: bool
    seed: int

    def reseeded(self) -> "EncoderCase":
        """The same sizes and switches with other numbers."""
        return replace(self, seed=self.seed + 1)

    @property
    def d_model(self) -> int:
        """Width of the model."""
        return self.h * self.d

    @property
    def layer_norm_eps(self) -> float:
        """The paper's code has no number for it; ours is PyTorch's, or another one."""
        return 1e-2 if self.d_hid % 2 else 1e-5

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
        return x, draw_mask(source, self.mask, self, self.density, self.empty_rows)


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

    def reseeded(self) -> "LanguageModelCase":
        """The same sizes and switches with other numbers."""
        return replace(self, seed=self.seed + 1)

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
    lengths: tuple[int, ...] | None = None
    window: int | None = None
    causal: bool | None = None


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
