"""Masks: which keys each query may attend to. Boolean, True = may attend; they combine with `&` and broadcast.

The axes are `(i j)` for a mask that every example and head shares, `(b 1 1 j)` for one that depends on the example,
`(b h i j)` in full. `nn.MultiheadAttention` means the opposite by True; attn_lab.checks converts where it compares.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Int
from torch import Tensor


def causal(n: int, *, device: torch.device | str | None = None) -> Bool[Tensor, "n n"]:
    """Query i sees keys 0 to i: itself and the past (Vaswani et al. 2017, section 3.2.3).

    Raises:
        ValueError: n is negative.
    """
    _check_length(n)
    return torch.ones(n, n, dtype=torch.bool, device=device).tril()


def padding(lengths: Int[Tensor, " b"] | Sequence[int], n: int) -> Bool[Tensor, "b 1 1 n"]:
    """Which keys are real: of example b, the first `lengths[b]` of n. The mask lies where `lengths` lies.

    It hides keys, not queries: what a padded query computes is nobody's input and is left alone.

    Raises:
        TypeError: the lengths are not integers.
        ValueError: a length is negative or beyond n.
    """
    _check_length(n)
    if not isinstance(lengths, Tensor):  # as_tensor would move one to the default device
        lengths = torch.as_tensor(lengths)
    if lengths.ndim != 1:
        raise ValueError(f"lengths must be one number for each example, (b); got the shape {tuple(lengths.shape)}")
    if lengths.numel() == 0:
        return torch.ones(0, 1, 1, n, dtype=torch.bool, device=lengths.device)
    if lengths.dtype.is_floating_point or lengths.dtype == torch.bool:
        raise TypeError(f"lengths must be integers; got {lengths.dtype}. From a boolean mask: mask.sum(dim=-1)")
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 0 or longest > n:
        raise ValueError(
            f"lengths must lie between 0 and n = {n}; got {shortest} to {longest}. Cut the texts, or take a larger n"
        )
    real = torch.arange(n, device=lengths.device) < lengths[:, None]
    return rearrange(real, "b n -> b 1 1 n")


def sliding_window(
    n: int, window: int, causal: bool = True, *, device: torch.device | str | None = None
) -> Bool[Tensor, "n n"]:
    """Query i sees the `window` nearest keys, its own position counted (Beltagy et al. 2020, Longformer, section 3.1).

    Causal: keys i - window + 1 to i. Two-sided: as many on the other side too, |i - j| < window. Both are the
    identity for window = 1; for window >= n they are `masks.causal(n)` and all True.

    Raises:
        ValueError: window is no whole number or below 1, or n is negative.
    """
    _check_length(n)
    if isinstance(window, float) or window < 1:
        raise ValueError(
            f"window counts the query's own position and must be a whole number, at least 1; got {window}. "
            "For every position to see itself alone take 1"
        )
    position = torch.arange(n, device=device)
    distance = position[:, None] - position[None, :]
    if causal:
        return (distance >= 0) & (distance < window)
    return distance.abs() < window


def conform(mask: Tensor, shape: tuple[int, int, int, int]) -> Bool[Tensor, "..."]:
    """The mask with axes that broadcast to `shape`, (b h i j); a mask of three axes is per example, (b i j).

    Raises:
        TypeError: the mask is not boolean.
        ValueError: it does not broadcast.
    """
    if mask.dtype != torch.bool:
        raise TypeError(
            f"a mask must be boolean, True where a query may attend; got {mask.dtype}. "
            "Convert 1/0 with mask.bool(), additive 0/-inf with mask == 0, and nn.MultiheadAttention's with ~mask"
        )
    given = tuple(mask.shape)
    if mask.ndim == 3:
        mask = rearrange(mask, "b i j -> b 1 i j")
    # Size 1 broadcasts, and missing axes on the left do; without query and key axes it is no mask.
    fits = 2 <= mask.ndim <= 4 and all(m in (1, s) for m, s in zip(reversed(mask.shape), reversed(shape)))
    if not fits:
        raise ValueError(f"a mask must broadcast to (b h i j) = {shape}, or be (b i j); got the shape {given}")
    return mask


def _check_length(n: int) -> None:
    if isinstance(n, float) or n < 0:
        raise ValueError(f"a length must be a whole number, at least 0; got {n}")
