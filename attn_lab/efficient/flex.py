"""The sliding window by FlexAttention, which compiles one fused kernel for it on a CUDA device.

This path has been run on a CPU only, forward: FlexAttention has no gradient there, and no CUDA device was at hand.
"""

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from attn_lab.efficient.blocks import padded

TILE = 128  # queries, and keys, of a tile that the kernel computes or leaves out


@cache
def is_there() -> bool:
    """Whether this PyTorch has FlexAttention: 2.5 and later."""
    try:
        from torch.nn.attention import flex_attention  # noqa: F401
    except ImportError:
        return False
    return True


def flex_local_attention(
    query: Float[Tensor, "b h i d"],
    key: Float[Tensor, "b h j d"],
    value: Float[Tensor, "b h j e"],
    real: Bool[Tensor, "#b j"] | None = None,
    *,
    window: int,
    causal: bool,
) -> Float[Tensor, "b h i e"]:
    """The same function as `by_blocks`, for no mask and for a padding mask: `real` says which keys are no padding.

    Cost: O(b h i w (d + e)) time and O(b h i e) memory, in tiles of 128 by 128; once a shape, seconds to compile.

    Source: Dong et al. 2024, Flex Attention.
    """
    i, j = query.shape[2], key.shape[2]
    block_mask = tiles(window, causal, i, j, str(query.device))
    # Whole tiles: what is added is hidden as a key by the window's rule, and cut off as a query.
    query, key, value = (padded(x, 0, -x.shape[2] % TILE) for x in (query, key, value))
    hide = None if real is None else _hide(F.pad(real, (0, -j % TILE)).expand(len(query), -1))
    return compiled()(query, key, value, score_mod=hide, block_mask=block_mask)[:, :, :i]


def seen(window: int, causal: bool, i: int, j: int) -> Callable[..., Tensor]:
    """The window's rule on indices, as FlexAttention asks for it; the i queries are the last of j positions."""
    first, ahead = j - i, 0 if causal else window - 1
    return lambda b, h, query, key: (key > query + first - window) & (key <= query + first + ahead) & (key < j)


@lru_cache(maxsize=32)
def tiles(window: int, causal: bool, i: int, j: int, device: str) -> Any:
    """FlexAttention's table of the tiles that the window touches, made once for each shape.

    `create_block_mask` would look at all i x j pairs. Which tiles a window touches is known beforehand.
    """
    from torch.nn.attention.flex_attention import BlockMask

    rows, columns = -(-i // TILE), -(-j // TILE)
    first_query = torch.arange(rows, device=device) * TILE + (j - i)
    low = (first_query - window + 1).clamp(min=0) // TILE
    last = first_query + TILE - 1 + (0 if causal else window - 1)
    high = last.clamp(max=j - 1) // TILE
    indices = (low[:, None] + torch.arange(columns, device=device)) % columns
    return BlockMask.from_kv_blocks(
        (high - low + 1).to(torch.int32)[None, None],
        indices.to(torch.int32)[None, None].contiguous(),
        BLOCK_SIZE=TILE,
        mask_mod=seen(window, causal, i, j),
    )


@cache
def compiled() -> Callable[..., Tensor]:
    """FlexAttention, compiled anew for each shape; uncompiled it would hold all scores at once.

    PyTorch gives up compiling after a few shapes (`torch._dynamo.config.cache_size_limit`): keep to a few lengths.
    """
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


def _hide(real: Bool[Tensor, "b j"]) -> Callable[..., Tensor]:
    return lambda score, b, h, query, key: torch.where(real[b, key], score, -torch.inf)
