"""What implementations are compared with: PyTorch's own layers and plain Python, in float64 on the CPU.

Nothing here uses the code that it judges. Weights are copied by name, through tables that read "our name: PyTorch's
name, and which third of it", since nn.MultiheadAttention stacks query, key and value in one matrix.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_lab.checks.cases import EncoderCase, LanguageModelCase, generator

Names = Mapping[str, tuple[str, int | None]]

MULTIHEAD: Names = {
    f"{ours}.{kind}": (f"{theirs}{kind}", third)
    for kind in ("weight", "bias")
    for ours, theirs, third in (
        ("linear_query", "in_proj_", 0),
        ("linear_key", "in_proj_", 1),
        ("linear_value", "in_proj_", 2),
        ("linear_cat_attn", "out_proj.", None),
    )
}
BLOCK: Names = {f"attn.{ours}": (f"self_attn.{theirs}", third) for ours, (theirs, third) in MULTIHEAD.items()} | {
    f"{layer}.{kind}": (f"{layer}.{kind}", None)
    for layer in ("linear1", "linear2", "norm1", "norm2")
    for kind in ("weight", "bias")
}


def encoder_names(n_blocks: int) -> Names:
    """The table of a stack of blocks."""
    return {
        f"blocks.{k}.{ours}": (f"layers.{k}.{theirs}", third)
        for k in range(n_blocks)
        for ours, (theirs, third) in BLOCK.items()
    }


def language_model_names(case: LanguageModelCase) -> Names:
    """The table of a language model; pre-norm has one more norm behind the last block."""
    own = ["embedding.weight", "decoder.weight", "decoder.bias"]
    names = {f"encoder.{ours}": (f"encoder.{t}", third) for ours, (t, third) in encoder_names(case.nlayers).items()}
    names |= {name: (name, None) for name in own}
    if case.norm_first:
        names |= {f"norm.{kind}": (f"encoder.norm.{kind}", None) for kind in ("weight", "bias")}
    return names


@contextmanager
def no_fast_path() -> Iterator[None]:
    """PyTorch's eval-mode shortcut off, and put back: it answers NaN where the ordinary path does not."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def attention_loop(
    query: Float[Tensor, "b h i d"],
    key: Float[Tensor, "b h j d"],
    value: Float[Tensor, "b h j e"],
    mask: Bool[Tensor, "..."] | None = None,
    kept: Float[Tensor, "b h i j"] | None = None,
) -> Float[Tensor, "b h i e"]:
    """Attention one query at a time, over the keys it may attend to; none of them: zeros. `kept` multiplies weights."""
    b, h, i, d = query.shape
    allowed = expanded(mask, (b, h, i, key.shape[2])).tolist()
    rows = []
    for x in range(b):
        for y in range(h):
            for z in range(i):
                keys = [w for w, may in enumerate(allowed[x][y][z]) if may]
                weights = torch.softmax(key[x, y, keys] @ query[x, y, z] / math.sqrt(d), dim=0)
                if kept is not None:
                    weights = weights * kept[x, y, z, keys]
                rows.append(weights @ value[x, y, keys])
    return torch.stack(rows).reshape(b, h, i, value.shape[3])


def sdpa(
    query: Float[Tensor, "b h i d"],
    key: Float[Tensor, "b h j d"],
    value: Float[Tensor, "b h j e"],
    mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "b h i e"]:
    """PyTorch's scaled_dot_product_attention; no row of the mask may be empty, since its answer changed with 2.5."""
    b, h, i, _ = query.shape
    full = None if mask is None else expanded(mask, (b, h, i, key.shape[2]))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=full)


def expanded(mask: Tensor | None, shape: tuple[int, int, int, int]) -> Bool[Tensor, "b h i j"]:
    """The mask with all four axes at full size; a three-axis mask is per example, none is all True."""
    if mask is None:
        return torch.ones(shape, dtype=torch.bool, device="cpu")
    return (mask[:, None] if mask.ndim == 3 else mask).expand(shape)


def to_multihead(
    mask: Tensor | None, shape: tuple[int, int, int, int]
) -> tuple[Bool[Tensor, "bh i j"] | None, Bool[Tensor, "b j"] | None]:
    """Our mask as nn.MultiheadAttention's `attn_mask` and `key_padding_mask`, in which True means *may not* attend."""
    if mask is None:
        return None, None
    if mask.ndim == 4 and mask.shape[1:3] == (1, 1):
        return None, ~mask[:, 0, 0].expand(shape[0], shape[3])
    return ~expanded(mask, shape).flatten(0, 1), None


def multihead(dim: int, n_heads: int) -> nn.MultiheadAttention:
    """PyTorch's multi-head attention."""
    return nn.MultiheadAttention(dim, n_heads, batch_first=True, dtype=torch.float64, device="cpu")


def multihead_forward(
    theirs: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
) -> Float[Tensor, "b i dim"]:
    """Its output under our mask."""
    shape = (query.shape[0], theirs.num_heads, query.shape[1], key.shape[1])
    attn_mask, padding = to_multihead(mask, shape)
    with no_fast_path():
        return theirs(query, key, value, attn_mask=attn_mask, key_padding_mask=padding, need_weights=False)[0]


def block(case: EncoderCase | LanguageModelCase, dropout: float = 0.0) -> nn.TransformerEncoderLayer:
    """PyTorch's encoder layer of the case's kind."""
    return nn.TransformerEncoderLayer(
        case.d_model,
        case.h,
        case.d_hid,
        dropout,
        activation=getattr(case, "activation", "relu"),
        layer_norm_eps=getattr(case, "layer_norm_eps", 1e-5),
        batch_first=True,
        norm_first=case.norm_first,
        dtype=torch.float64,
        device="cpu",
    )


def encoder(layer: nn.TransformerEncoderLayer, n_blocks: int) -> nn.TransformerEncoder:
    """PyTorch's stack of layers."""
    return nn.TransformerEncoder(layer, n_blocks, enable_nested_tensor=False)


def block_forward(
    theirs: nn.TransformerEncoderLayer, x: Float[Tensor, "b n d_model"], mask: Tensor | None
) -> Float[Tensor, "b n d_model"]:
    """An encoder layer's output under our mask."""
    shape = (x.shape[0], theirs.self_attn.num_heads, x.shape[1], x.shape[1])
    attn_mask, padding = to_multihead(mask, shape)
    with no_fast_path():
        return theirs(x, src_mask=attn_mask, src_key_padding_mask=padding)


def encoder_forward(
    theirs: nn.TransformerEncoder, x: Float[Tensor, "b n d_model"], mask: Tensor | None
) -> Float[Tensor, "b n d_model"]:
    """An encoder's output under our mask."""
    heads = theirs.layers[0].self_attn.num_heads
    attn_mask, padding = to_multihead(mask, (x.shape[0], heads, x.shape[1], x.shape[1]))
    with no_fast_path():
        return theirs(x, mask=attn_mask, src_key_padding_mask=padding)


def sinusoids(n: int, d_model: int) -> Float[Tensor, "n d_model"]:
    """The paper's table of positions, a number at a time by Python's math module."""
    table = [
        [
            (math.cos if column % 2 else math.sin)(position / 10000 ** ((column - column % 2) / d_model))
            for column in range(d_model)
        ]
        for position in range(n)
    ]
    return torch.tensor(table, dtype=torch.float64, device="cpu").reshape(n, d_model)


class LanguageModel(nn.Module):
    """The language model put together from PyTorch's own layers."""

    def __init__(self, case: LanguageModelCase) -> None:
        super().__init__()
        self.case = case
        self.embedding = nn.Embedding(case.ntoken, case.d_model, dtype=torch.float64, device="cpu")
        self.encoder = encoder(block(case), case.nlayers)
        if case.norm_first:
            self.encoder.norm = nn.LayerNorm(case.d_model, dtype=torch.float64, device="cpu")
        self.decoder = nn.Linear(case.d_model, case.ntoken, dtype=torch.float64, device="cpu")
        if case.tie_weights:
            self.decoder.weight = self.embedding.weight

    def forward(self, ids: Int[Tensor, "b n"]) -> Float[Tensor, "b n v"]:
        """Logits of the token after each position."""
        n = ids.shape[1]
        mask = torch.tensor([[j <= i for j in range(n)] for i in range(n)], device="cpu") if self.case.causal else None
        scale = self.case.d_model**0.5 if self.case.scale_embedding else 1.0
        x = self.embedding(ids) * scale + sinusoids(n, self.case.d_model)
        return self.decoder(encoder_forward(self.encoder, x, mask))


def parameter(module: nn.Module, name: str) -> Tensor:
    """The parameter of this dotted name; where there is none, an error that says which names there are."""
    try:
        return module.get_parameter(name)
    except AttributeError:
        names = ", ".join(name for name, _ in module.named_parameters()) or "none"
    raise AssertionError(
        f"{type(module).__name__} must have the parameter {name}, since weights are copied by name; it has: {names}"
    )


def third(tensor: Tensor, which: int | None) -> Tensor:
    """One third of a stacked tensor's rows, or all of it."""
    return tensor if which is None else tensor.chunk(3)[which]


def randomise(module: nn.Module, seed: int, dtype: torch.dtype) -> None:
    """Every parameter anew, layer norms' and biases too: at their initial 0s and 1s they would hide what they do.

    The numbers are ones that `dtype` holds exactly, so that a copy of them in float64 is the same number.
    """
    source = generator(seed)
    with torch.no_grad():
        for weight in module.parameters():
            spread = weight.shape[-1] ** -0.5 if weight.ndim > 1 else 0.5
            drawn = spread * torch.randn(weight.shape, generator=source, dtype=torch.float64, device="cpu")
            weight.copy_(drawn.to(dtype))


def share_weights(ours: nn.Module, theirs: nn.Module, names: Names, seed: int, from_theirs: bool) -> None:
    """Random weights for both, drawn in one of them and copied to the other by name."""
    dtype = next((weight.dtype for weight in ours.parameters()), torch.float64)
    randomise(ours, seed, dtype)
    randomise(theirs, seed + 1, dtype)
    with torch.no_grad():
        for our_name, (their_name, which) in names.items():
            mine, other = parameter(ours, our_name), third(parameter(theirs, their_name), which)
            if mine.shape != other.shape:
                raise AssertionError(f"{our_name} must have the shape {tuple(other.shape)}; got {tuple(mine.shape)}")
            if from_theirs:
                mine.copy_(other)
            else:
                other.copy_(mine)
