"""Attention a block of keys at a time: the same function as `attention`, and no table of all the weights."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_lab.efficient.autocast import without_autocast
from attn_lab.scaled_dot_product import conformed


def online_attention(
    query: Float[Tensor, "b h i d"],
    key: Float[Tensor, "b h j d"],
    value: Float[Tensor, "b h j e"],
    mask: Bool[Tensor, "..."] | None = None,
    dropout: Callable[[Tensor], Tensor] | None = None,
    *,
    block: int = 128,
    causal: bool = False,
) -> Float[Tensor, "b h i e"]:
    r"""Each query's average of the values, in one pass over the keys that never holds more than a block of weights.

    A softmax needs the largest score and the sum of all exponentials, yet both can be kept up to date. With $m$ the
    largest score so far, $\ell$ the sum and $a$ the weighted sum of values, a block of scores $s$ makes of them

    $$m' = \max(m, \max_j s_j), \quad \ell' = e^{m - m'} \ell + \sum_j e^{s_j - m'}, \quad
    a' = e^{m - m'} a + \sum_j e^{s_j - m'} v_j$$

    and after the last block the output is $a / \ell$. For the backward pass one number a query is kept,
    $L = m + \log \ell$: with it the weights of a block are computed again, $e^{s_j - L}$.

    Args:
        query: as in `attention`.
        key: as in `attention`.
        value: as in `attention`.
        mask: as in `attention`; it is read in slices, and never made larger than it is.
        dropout: called once a block with ones, to learn the factor of each weight; in the backward pass a copy of it is
            called again, with PyTorch's random numbers as they were. So it must multiply weights, as dropout does,
            by factors that depend on nothing but its own state and PyTorch's random numbers.
        block: how many keys at a time. It changes memory and speed, never the result.
        causal: query i sees keys 0 to i, as with `masks.causal`, but without that mask and without work for the future.

    Raises:
        TypeError: the mask is not boolean.
        ValueError: query, key and value do not fit together, the mask does not broadcast, block is below 1, or
            it is causal and there are not as many queries as keys.

    Cost: O(b h i j (d + e)) time, half of it if causal, and one product more than `attention` in the backward pass;
    O(b h i (d + e + block)) memory, forward and backward.

    Source: Milakov & Gimelshein 2018 (the running softmax); Rabe & Staats 2021 (attention by blocks); Dao et al. 2022,
    FlashAttention, section 3.1 and appendix B (the backward pass). It has no second derivative.
    """
    mask = conformed(query, key, value, mask)
    if block < 1:
        raise ValueError(f"block is how many keys are taken at a time and must be at least 1; got {block}")
    if causal and query.shape[2] != key.shape[2]:
        raise ValueError(
            f"causal needs as many queries as keys; got {query.shape[2]} and {key.shape[2]}. "
            "Say which key each query stands at with a mask instead"
        )
    # Under autocast a value may be rounded already and a key not yet.
    dtype = torch.promote_types(torch.promote_types(query.dtype, key.dtype), value.dtype)
    query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    return _OnlineAttention.apply(query / math.sqrt(query.shape[-1]), key, value, mask, dropout, block, causal)


class _OnlineAttention(torch.autograd.Function):
    """Both passes over the blocks of keys. The query comes scaled; sums are kept in at least float32."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Float[Tensor, "b h i d"],
        key: Float[Tensor, "b h j d"],
        value: Float[Tensor, "b h j e"],
        mask: Bool[Tensor, "..."] | None,
        dropout: Callable[[Tensor], Tensor] | None,
        block: int,
        causal: bool,
    ) -> Float[Tensor, "b h i e"]:
        """A block of keys after the other: the running maximum m, the sum l and the weighted sum a of each query."""
        ctx.block, ctx.causal, ctx.dropout = block, causal, copy.deepcopy(dropout)
        ctx.random_state = [] if dropout is None else _random_state(query.device)
        dtype = torch.promote_types(query.dtype, torch.float32)
        # Lower than any score, but not -inf: as long as all keys were hidden, -inf - (-inf) would be NaN.
        maximum = query.new_full((*query.shape[:3], 1), torch.finfo(dtype).min, dtype=dtype)
        total = torch.zeros_like(maximum)
        summed = query.new_zeros((*query.shape[:3], value.shape[3]), dtype=dtype)
        with without_autocast(query.device):  # both passes must see the same scores: it would round the first one's
            for rows, keys in _blocks(key.shape[2], block, causal):
                scores = _scores(query, key, mask, causal, rows, keys)
                old, sum_, a = maximum[:, :, rows], total[:, :, rows], summed[:, :, rows]  # views: they write through
                m = torch.maximum(old, scores.amax(dim=-1, keepdim=True))
                weights, shrink = scores.sub_(m).exp_(), torch.exp(old - m)  # in place: a block is large
                sum_.mul_(shrink).add_(weights.sum(dim=-1, keepdim=True))
                if dropout is not None:  # after the sum: a weight that is dropped still counts in the denominator
                    weights = weights * dropout(torch.ones_like(weights))
                v = value[:, :, keys]
                a.mul_(shrink).add_(einsum(weights.to(v.dtype), v, "b h i j, b h j e -> b h i e"))
                old.copy_(m)
        empty = total == 0
        output = summed / total.masked_fill(empty, 1.0)
        # A query without keys has scores of -inf only: beside any finite number here its weights are 0 once more.
        log_sum = (maximum + total.log()).masked_fill(empty, 0.0)
        # Unrounded: where one weight is nearly 1, the backward pass takes the difference of output and value.
        ctx.save_for_backward(query, key, value, mask, output, log_sum)
        return output.to(value.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "b h i e"]) -> tuple[Tensor | None, ...]:
        """The same blocks again: the weights from the scores and L, then the chain rule."""
        query, key, value, mask, output, log_sum = ctx.saved_tensors
        grad_query = torch.zeros_like(query, dtype=log_sum.dtype)
        grad_key, grad_value = torch.empty_like(key), torch.empty_like(value)
        # The softmax's gradient is w (dw - sum_j w_j dw_j); that sum over all keys is known before: grad · output.
        mean = (grad.to(log_sum.dtype) * output).sum(dim=-1, keepdim=True)
        with without_autocast(query.device), _drawn_again(query.device, ctx.random_state):
            for rows, keys in _blocks(key.shape[2], ctx.block, ctx.causal):
                q, k, v, g = query[:, :, rows], key[:, :, keys], value[:, :, keys], grad[:, :, rows]
                weights = _scores(query, key, mask, ctx.causal, rows, keys).sub_(log_sum[:, :, rows]).exp_()
                dropped, grad_weights = weights, einsum(g, v, "b h i e, b h j e -> b h i j")
                if ctx.dropout is not None:
                    factor = ctx.dropout(torch.ones_like(weights))
                    dropped, grad_weights = weights * factor, grad_weights * factor
                grad_scores = (grad_weights - mean[:, :, rows]).mul_(weights).to(q.dtype)
                grad_query[:, :, rows] += einsum(grad_scores, k, "b h i j, b h j d -> b h i d")
                grad_key[:, :, keys] = einsum(grad_scores, q, "b h i j, b h i d -> b h j d")
                grad_value[:, :, keys] = einsum(dropped.to(g.dtype), g, "b h i j, b h i e -> b h j e")
        return grad_query.to(query.dtype), grad_key, grad_value, None, None, None, None


def _blocks(n_keys: int, block: int, causal: bool) -> Iterator[tuple[slice, slice]]:
    """Each block of keys, and the queries that it concerns: if causal, none from before it."""
    for start in range(0, n_keys, block):
        yield slice(start if causal else 0, None), slice(start, min(start + block, n_keys))


def _scores(
    query: Tensor, key: Tensor, mask: Tensor | None, causal: bool, rows: slice, keys: slice
) -> Float[Tensor, "b h rows keys"]:
    """The scores of a block, -inf where the query may not attend to the key."""
    scores = einsum(query[:, :, rows], key[:, :, keys], "b h i d, b h j d -> b h i j")
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if mask is not None:
        if mask.shape[-2] > 1:  # an axis of size 1 speaks for all
            mask = mask[..., rows, :]
        if mask.shape[-1] > 1:
            mask = mask[..., keys]
        scores.masked_fill_(~mask, -math.inf)
    if causal:
        position = torch.arange(query.shape[2], device=query.device)
        scores.masked_fill_(position[rows, None] < position[keys], -math.inf)
    return scores


def _random_state(device: torch.device) -> list[Tensor]:
    """How far PyTorch's random numbers are: the CPU's, and the device's own."""
    states = [torch.get_rng_state()]
    if device.type != "cpu":
        states.append(getattr(torch, device.type).get_rng_state(*_which(device)))
    return states


def _set_random_state(device: torch.device, states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    for state in states[1:]:
        getattr(torch, device.type).set_rng_state(state, *_which(device))


def _which(device: torch.device) -> tuple[torch.device, ...]:
    return () if device.type == "mps" else (device,)  # there is only one of that kind


@contextmanager
def _drawn_again(device: torch.device, states: list[Tensor]) -> Iterator[None]:
    """Random numbers go on from these states, and afterwards from where they were."""
    if not states:
        yield
        return
    before = _random_state(device)
    _set_random_state(device, states)
    try:
        yield
    finally:
        _set_random_state(device, before)
