"""Attention through a sliding window (Longformer) in time and memory that grow with n w, not with n²."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_lab import masks
from attn_lab.efficient import flex
from attn_lab.efficient.autocast import autocast_is_on
from attn_lab.efficient.banded import banded_attention
from attn_lab.efficient.blocks import by_blocks
from attn_lab.scaled_dot_product import fused_attention

SHORT = 4  # windows: a text of so many is compared with itself in less time than it takes to cut it up
LONG = 128  # queries from which one head is work enough for a loop over heads in Python


@dataclass(frozen=True)
class LocalAttention:
    r"""An attention function in which each query sees the `window` nearest keys, its own position counted.

    $$\mathrm{Local}(Q, K, V)_i = \sum_{j \in S_i} \frac{e^{s_{ij}}}{\sum_{j' \in S_i} e^{s_{ij'}}}\, v_j, \quad
    s_{ij} = \frac{q_i k_j^\top}{\sqrt{d_k}}, \quad
    S_i = \{j : i - w < j \le i\} \text{ or } \{j : |i - j| < w\}$$

    Equal to `attention` with `masks.sliding_window(n, window, causal)`, without the n x n scores. It is handed over
    as any attention function is: `MultiHeadSelfAttention(dim, n_heads, attention=LocalAttention(128))`. To a language
    model give `mask=no_mask` as well, else the model makes an n x n mask of its own (which does no harm but cost).

    Args:
        window: keys that a query sees: its own position and `window - 1` before it (two-sided: and as many behind).
        causal: False sees both sides.

    Raises:
        TypeError: window is not a whole number.
        ValueError: window is below 1.

    Source: Beltagy et al. 2020, Longformer, section 3.1; the window of Mistral 7B (Jiang et al. 2023, section 2).
    """

    window: int
    causal: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.window, bool) or not isinstance(self.window, int):
            raise TypeError(f"window must be a whole number of keys; got {self.window!r}")
        if self.window < 1:
            raise ValueError(
                f"window counts the query's own position and must be at least 1; got {self.window}. "
                "For every position to see itself alone take 1"
            )

    def __call__(
        self,
        query: Float[Tensor, "*lead i d"],
        key: Float[Tensor, "*lead j d"],
        value: Float[Tensor, "*lead j e"],
        mask: Bool[Tensor, "..."] | None = None,
        dropout: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "*lead i e"]:
        """Attend through the window.

        Fewer queries than keys are the last positions: query k stands at position j - i + k, as with a key/value
        cache, and keys out of all reach are not even read.

        Args:
            query: what each position looks for.
            key: what each position offers to be found by.
            value: what each position hands over when it is found.
            mask: what `attention` takes, combined with the window by `&`. Only the band of it is read. With leading
                axes other than (b h) it must broadcast to them, `(*lead i j)`, and three axes are no exception.
            dropout: an `nn.Dropout`, or any callable on the weights. Such a callable gets the weights of blocks,
                `(b·blocks, h, queries, keys)`, zeros outside the window included: one that works number by number
                does what it would do to the whole; one that expects (b h i j) does not.

        Raises:
            TypeError: the mask is not boolean.
            ValueError: query, key and value do not fit together, there are more queries than keys, or the mask does
                not broadcast.

        Cost: O(b h i w (d + e)) time. Memory O(b h i (d + e)) beside blocks that fit the processor's cache where
            `banded_attention` runs, O(b h i w) elsewhere.
        """
        lead = _check(query, key, value)
        i, j = query.shape[-2], key.shape[-2]
        if mask is not None:
            mask = _conform(mask, lead, i, j)
        query, key, value = (_four_axes(x) for x in (query, key, value))
        first = max(0, j - i - self.window + 1)  # the first query's first key
        key, value = key[:, :, first:], value[:, :, first:]
        if mask is not None and mask.shape[-1] > 1:
            mask = mask[..., first:]
        output = self._attend(query, key, value, mask, dropout)
        return output.reshape(*lead, i, value.shape[-1])

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: Callable[[Tensor], Tensor] | None
    ) -> Tensor:
        if query.shape[-2] <= SHORT * self.window:  # a square of at most 4 w by 5 w
            return self._at_once(query, key, value, mask, dropout)
        if _is_idle(dropout):
            if _on_cuda_by_flex(query, key, value, mask):
                real = None if mask is None else mask[:, 0, 0].expand(-1, key.shape[2])
                return flex.flex_local_attention(query, key, value, real, window=self.window, causal=self.causal)
            if _on_cpu_by_hand(query, key, value):
                return banded_attention(query, key, value, mask, window=self.window, causal=self.causal)
        return by_blocks(query, key, value, mask, dropout, window=self.window, causal=self.causal)

    def _at_once(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: Callable[[Tensor], Tensor] | None
    ) -> Tensor:
        """A text of a few windows: full attention under the window's mask."""
        i, j = query.shape[-2], key.shape[-2]
        if mask is None and self.causal and i == j <= self.window and _is_fused(dropout):
            p = dropout.p if isinstance(dropout, nn.Dropout) and dropout.training else 0.0
            return F.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=p)
        if i > 1 and (self.causal or i < j or j > self.window):
            position = torch.arange(j, device=query.device)
            distance = position[j - i :, None] - position
            allowed = (distance < self.window) & (distance >= 0 if self.causal else distance > -self.window)
            mask = allowed if mask is None else mask & allowed
        return fused_attention(query, key, value, mask, dropout)


def no_mask(n: int) -> None:
    """In place of `masks.causal` in a language model whose attention needs no mask: `LocalAttention` is causal itself.

    `TransformerLanguageModel(..., attention=LocalAttention(128), mask=no_mask)`
    """


def _is_idle(dropout: Callable[[Tensor], Tensor] | None) -> bool:
    """Whether this dropout surely drops nothing."""
    return dropout is None or (type(dropout) is nn.Dropout and not (dropout.training and dropout.p > 0))


def _on_cpu_by_hand(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether `banded_attention` serves: on a CPU, in full precision, and long enough that it gains by it."""
    exact = query.dtype == key.dtype == value.dtype and query.dtype in (torch.float32, torch.float64)
    plain = not autocast_is_on("cpu") and not torch.compiler.is_compiling()
    return exact and plain and query.is_cpu and query.shape[-2] >= LONG


def _on_cuda_by_flex(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> bool:
    """Whether FlexAttention serves: it has no float64, no head narrower than 16, and gets padding masks at most."""
    kind = query.dtype == key.dtype == value.dtype and query.dtype != torch.float64
    wide = min(query.shape[-1], value.shape[-1]) >= 16
    return query.is_cuda and kind and wide and (mask is None or mask.shape[1:3] == (1, 1)) and flex.is_there()


def _is_fused(dropout: Callable[[Tensor], Tensor] | None) -> bool:
    return dropout is None or type(dropout) is nn.Dropout


def _check(query: Tensor, key: Tensor, value: Tensor) -> tuple[int, ...]:
    """The leading axes, once everything is known to fit."""
    q, k, v = tuple(query.shape), tuple(key.shape), tuple(value.shape)
    fit = len(q) == len(k) == len(v) >= 2 and k[:-2] == q[:-2] and k[-1] == q[-1] and v[:-1] == k[:-1]
    if not fit:
        raise ValueError(
            f"query, key and value must be (b h i d), (b h j d) and (b h j e), or have other leading axes in common; "
            f"got {q}, {k} and {v}. Split heads with: rearrange(x, 'b n (h d) -> b h n d', h=n_heads)"
        )
    if q[-2] > k[-2]:
        raise ValueError(
            f"a sliding window takes the queries for the last of the keys' positions; got {q[-2]} queries and "
            f"{k[-2]} keys. For attention to another text there is no window: use attn_lab.attention"
        )
    return q[:-2]


def _conform(mask: Tensor, lead: tuple[int, ...], i: int, j: int) -> Bool[Tensor, "..."]:
    """The mask on four axes, each of full size or 1, whatever leading axes it was given for."""
    if len(lead) != 2 and mask.dtype == torch.bool and mask.ndim > 2:
        try:
            mask = mask.expand(*lead, *mask.shape[-2:])
        except RuntimeError:
            raise ValueError(
                f"a mask must broadcast to (*lead i j) = {(*lead, i, j)}; got the shape {tuple(mask.shape)}"
            ) from None
        mask = _four_axes(mask)
    mask = masks.conform(mask, (*_two(lead), i, j))
    return mask[(None,) * (4 - mask.ndim)]


def _two(lead: tuple[int, ...]) -> tuple[int, int]:
    return (math.prod(lead[:-1]), lead[-1]) if lead else (1, 1)


def _four_axes(x: Tensor) -> Float[Tensor, "b h i d"] | Bool[Tensor, "b h i j"]:
    return x.reshape(*_two(tuple(x.shape[:-2])), *x.shape[-2:])
