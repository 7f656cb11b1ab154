"""Cutting a text into blocks of queries, each with the span of keys that its queries may see."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from attn_lab.scaled_dot_product import fused_attention


@dataclass(frozen=True)
class Blocks:
    """The geometry of a window of `window` keys over blocks of `size` queries.

    A block's span is the block itself and whole blocks around it: enough for `window - 1` keys before its first query
    and, unless `causal`, for as many behind its last.
    """

    window: int
    causal: bool
    size: int

    @property
    def before(self) -> int:
        """Keys of a span that lie before its block: window - 1, rounded up to whole blocks."""
        return -(-(self.window - 1) // self.size) * self.size

    @property
    def after(self) -> int:
        """Keys of a span that lie behind its block."""
        return 0 if self.causal else self.before

    @property
    def span(self) -> int:
        """Keys that a block of queries is compared with."""
        return self.before + self.size + self.after

    def count(self, i: int) -> int:
        """Blocks that i queries need; the last one may be part empty."""
        return -(-i // self.size)

    def cut(self, x: Float[Tensor, "*lead i d"]) -> Float[Tensor, "*lead k s d"]:
        """The rows in blocks, zeros at the end."""
        k = self.count(x.shape[-2])
        return padded(x, 0, k * self.size - x.shape[-2]).unflatten(-2, (k, self.size))

    def spans(self, x: Float[Tensor, "*lead j d"], first: int, k: int) -> Float[Tensor, "*lead k span d"]:
        """The spans of k blocks, of which the first begins at row `first`; zeros beyond both ends. Gradients flow.

        Spans overlap. They are put together of whole blocks, shifted against each other: the gradient is then a sum of
        shifted blocks, where that of `Tensor.unfold` adds number by number.
        """
        rows = padded(x, self.before - first, first + k * self.size + self.after - x.shape[-2])
        blocks = rows.unflatten(-2, (-1, self.size))
        return torch.cat([blocks.narrow(-3, t, k) for t in range(self.span // self.size)], dim=-2)

    def band(self, device: torch.device) -> Bool[Tensor, "s span"]:
        """Which keys of its span each query of a block sees: the same in every block."""
        query = torch.arange(self.size, device=device)[:, None]
        distance = query + self.before - torch.arange(self.span, device=device)
        return (distance < self.window) & (distance >= 0 if self.causal else distance > -self.window)

    def allowed(
        self, mask: Bool[Tensor, "#b #h #i #j"] | None, rows: slice, i: int, j: int, device: torch.device
    ) -> Bool[Tensor, "_ _ k s span"]:
        """The window and the mask, for the blocks of these of the i queries, the last of j positions.

        The mask is read where the band lies, and nothing of its size is made.
        """
        k = self.count(rows.stop - rows.start)
        query = rows.start + torch.arange(k * self.size, device=device).view(k, self.size, 1)
        key = query[:, :1] + (j - i - self.before) + torch.arange(self.span, device=device)
        allowed = (self.band(device) & (key >= 0) & (key < j))[None, None]
        if mask is None:
            return allowed
        at_query = query.clamp(max=i - 1) if mask.shape[-2] > 1 else torch.zeros_like(query[:1, :1])
        at_key = key.clamp(0, j - 1) if mask.shape[-1] > 1 else torch.zeros_like(key[:1, :, :1])
        return allowed & mask[:, :, at_query, at_key]


def padded(x: Float[Tensor, "*lead n d"], before: int, after: int) -> Float[Tensor, "*lead m d"]:
    """Rows of zeros before and behind; a negative number takes rows away. The very tensor if there is nothing to do."""
    return F.pad(x, (0, 0, before, after)) if before or after else x


def by_blocks(
    query: Float[Tensor, "b h i d"],
    key: Float[Tensor, "b h j d"],
    value: Float[Tensor, "b h j e"],
    mask: Bool[Tensor, "..."] | None = None,
    dropout: Callable[[Tensor], Tensor] | None = None,
    *,
    window: int,
    causal: bool,
) -> Float[Tensor, "b h i e"]:
    """A sliding window by full attention between each block of queries and the keys that any of them sees.

    The text is cut into k blocks of s positions. The queries of a block see keys of their own block and of the
    blocks around it: those side by side are its span. What of block x span is outside the window is masked.

    Cost: O(b h i w (d + e)) time and O(b h i w) memory: a query is compared with at most w + 2 s keys, of which its
        window holds w; two-sided, 2 w + 2 s.
    """
    b, i, j = query.shape[0], query.shape[2], key.shape[2]
    blocks = Blocks(window, causal, max(32, window))
    k = blocks.count(i)
    of_queries = rearrange(blocks.cut(query), "b h k s d -> (b k) h s d")
    keys, values = (rearrange(blocks.spans(x, j - i, k), "b h k span d -> (b k) h span d") for x in (key, value))
    allowed = blocks.allowed(mask, slice(0, i), i, j, query.device)
    allowed = rearrange(allowed.expand(b, *allowed.shape[1:]), "b h k s span -> (b k) h s span")
    output = fused_attention(of_queries, keys, values, allowed, dropout)
    return rearrange(output, "(b k) h s e -> b h (k s) e", k=k)[:, :, :i]
