"""The attentions that are timed side by side: ours, PyTorch's, and two packages', each with the work that it does."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_lab import masks
from attn_lab.efficient.local import LocalAttention
from attn_lab.efficient.online import online_attention
from attn_lab.scaled_dot_product import attention, fused_attention

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]  # query, key, value -> output, all (b h n d)
CAUSAL, WINDOW = "causal", "window"
FLEX = "torch.nn.attention.flex_attention"  # from torch 2.5 on


@dataclass(frozen=True)
class Shape:
    """One attention, query, key and value alike; `window` keys for those that look no further."""

    b: int
    h: int
    n: int
    d: int
    window: int

    def draw(self, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, which take gradients."""
        source = torch.Generator().manual_seed(0)
        drawn = torch.randn(3, self.b, self.h, self.n, self.d, generator=source).to(device, dtype)
        query, key, value = (x.clone().requires_grad_() for x in drawn)
        return query, key, value


@dataclass(frozen=True)
class Contender:
    """A name, the work (every key of the past, or the window's), and how to make it for a shape on a device.

    `squares`: tensors of b h n n numbers that it holds at once in a training step. `package`: what must be installed.
    `trains_on`: kinds of devices on which it has gradients; empty for all.
    """

    name: str
    work: str
    build: Callable[[Shape, str], Attend]
    squares: int = 0
    package: str = ""
    trains_on: tuple[str, ...] = ()


def _with_causal_mask(attend: Callable[..., Tensor], shape: Shape, device: str) -> Attend:
    return partial(attend, mask=masks.causal(shape.n, device=device))


def _sdpa_causal(shape: Shape, device: str) -> Attend:
    return partial(F.scaled_dot_product_attention, is_causal=True)


def _sdpa_band(shape: Shape, device: str) -> Attend:
    return partial(F.scaled_dot_product_attention, attn_mask=masks.sliding_window(shape.n, shape.window, device=device))


def _online(shape: Shape, device: str) -> Attend:
    return partial(online_attention, causal=True)


def _local(shape: Shape, device: str) -> Attend:
    return LocalAttention(shape.window)


def _flex(work: str, shape: Shape, device: str) -> Attend:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    reach = shape.window if work == WINDOW else shape.n

    def seen(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (j <= i) & (i - j < reach)

    torch._dynamo.reset()  # each shape is compiled anew, and after eight of them it would give up
    block_mask = create_block_mask(seen, None, None, shape.n, shape.n, device=device)
    return partial(torch.compile(flex_attention, dynamic=False), block_mask=block_mask)


def _local_attention_package(shape: Shape, device: str) -> Attend:
    """Its exact window counts the keys before the query's own, so that `window - 1` means our window."""
    from local_attention import LocalAttention as Peer

    options = {"autopad": True, "exact_windowsize": True, "use_rotary_pos_emb": False}
    return Peer(window_size=shape.window - 1, causal=True, **options)


def _x_transformers(flash: bool, shape: Shape, device: str) -> Attend:
    from x_transformers.attend import Attend as Peer

    peer = Peer(causal=True, heads=shape.h, flash=flash)
    return lambda q, k, v: peer(q, k, v)[0]


# The first is what the others are compared with.
CONTENDERS = (
    Contender("F.scaled_dot_product_attention, is_causal", CAUSAL, _sdpa_causal),
    Contender("attn_lab.attention (einsum)", CAUSAL, partial(_with_causal_mask, attention), squares=4),
    Contender("attn_lab.fused_attention", CAUSAL, partial(_with_causal_mask, fused_attention)),
    Contender("attn_lab online_attention", CAUSAL, _online),
    Contender("FlexAttention, causal", CAUSAL, partial(_flex, CAUSAL), package=FLEX, trains_on=("cuda",)),
    Contender("x-transformers Attend", CAUSAL, partial(_x_transformers, False), squares=5, package="x_transformers"),
    Contender("x-transformers Attend, flash", CAUSAL, partial(_x_transformers, True), package="x_transformers"),
    Contender("F.scaled_dot_product_attention, band mask", WINDOW, _sdpa_band),
    Contender("attn_lab LocalAttention", WINDOW, _local),
    Contender("FlexAttention, window", WINDOW, partial(_flex, WINDOW), package=FLEX, trains_on=("cuda",)),
    Contender("local-attention", WINDOW, _local_attention_package, package="local_attention"),
)


def contender(name: str) -> Contender:
    """By its name."""
    return next(c for c in CONTENDERS if c.name == name)
