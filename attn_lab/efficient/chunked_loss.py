"""The output layer and the cross-entropy in one, a chunk of tokens at a time: the table of all logits is never made."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from attn_lab.efficient.autocast import without_autocast


def linear_cross_entropy(
    hidden: Float[Tensor, "*tokens d"],
    weight: Float[Tensor, "v d"],
    bias: Float[Tensor, " v"] | None,
    targets: Int[Tensor, "*tokens"],
    *,
    chunk: int = 512,
    reduction: str = "mean",
) -> Float[Tensor, ""]:
    r"""-log p(target), in nats, of `softmax(hidden weight' + bias)`: the mean over all tokens, or their sum.

    $$L = \frac{1}{T} \sum_t \left(\log \sum_v e^{z_{tv}} - z_{t\,y_t}\right), \quad z_t = W x_t + b, \quad
    \frac{\partial L}{\partial z_t} = \frac{1}{T} \left(\mathrm{softmax}(z_t) - \mathrm{onehot}(y_t)\right)$$

    Each token's loss needs its own logits only, and so does its gradient. So a chunk of logits is made, its loss and
    its share of the three gradients are taken, and it is thrown away; the backward pass multiplies what is there.

    Args:
        hidden: the model's last hidden states.
        weight: the output layer's weight; if it is the embedding's too, autograd adds the two gradients up.
        bias: the output layer's bias, or None.
        targets: the token that follows each position; -100 as an ignored one is refused, as every id outside.
        chunk: tokens at a time. It changes memory and speed, never the result.
        reduction: "mean" or "sum".

    Raises:
        TypeError: the targets are not integers.
        ValueError: the shapes do not fit together, there is no token, chunk is below 1, the reduction is another, or,
            on a CPU, a target is outside the vocabulary.

    Cost: the plain form's products, O(tokens d v) time, in the forward pass already; chunk v + d v memory.

    Source: Hsu et al. 2024, Liger Kernel (the fused linear cross-entropy): chunks of tokens, and the gradients taken in
    the forward pass; without its kernels. It has no second derivative.
    """
    _check(hidden, weight, bias, targets, chunk, reduction)
    x, y = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1).long()
    dtype = _autocast_dtype(hidden.device)
    # As autocast would treat the layer. Out here, where autograd sees it: gradients come back in the inputs' own dtype.
    if dtype is not None and hidden.dtype != torch.float64:
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    scale = 1 / len(y) if reduction == "mean" else 1.0
    return _LinearCrossEntropy.apply(x, weight, bias, y, chunk, scale, torch.is_grad_enabled())


class _LinearCrossEntropy(torch.autograd.Function):
    """The forward pass takes the gradients as well; the backward pass multiplies them by the loss's own."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Float[Tensor, "t d"],
        weight: Float[Tensor, "v d"],
        bias: Float[Tensor, " v"] | None,
        targets: Int[Tensor, " t"],
        chunk: int,
        scale: float,
        learns: bool,
    ) -> Float[Tensor, ""]:
        """Chunk after chunk of tokens; sums in at least float32."""
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        wanted = [learns and needed for needed in ctx.needs_input_grad[:3]]  # under no_grad it says True as well
        grad_hidden = torch.empty_like(hidden) if wanted[0] else None
        grad_weight = torch.zeros_like(weight, dtype=dtype) if wanted[1] else None
        grad_bias = torch.zeros_like(bias, dtype=dtype) if bias is not None and wanted[2] else None
        loss = hidden.new_zeros((), dtype=dtype)
        with without_autocast(hidden.device):
            for tokens in _chunks(len(targets), chunk):
                x, y = hidden[tokens], targets[tokens, None]
                logits = F.linear(x, weight, bias).to(dtype)
                log_sum = logits.logsumexp(dim=-1, keepdim=True)
                loss += (log_sum - logits.gather(-1, y)).sum()
                if not any(wanted):
                    continue
                grad = logits.sub_(log_sum).exp_()  # the probabilities, in the logits' own memory
                grad.scatter_add_(-1, y, grad.new_full(y.shape, -1.0)).mul_(scale)
                if grad_bias is not None:
                    grad_bias += grad.sum(dim=0)
                grad = grad.to(hidden.dtype)
                if grad_hidden is not None:
                    grad_hidden[tokens] = grad @ weight
                if grad_weight is not None:
                    grad_weight += grad.T @ x
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        return loss * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, ""]) -> tuple[Tensor | None, ...]:
        """The chain rule's last factor."""
        return *(None if own is None else own * grad for own in ctx.saved_tensors), None, None, None, None


def _chunks(n: int, chunk: int) -> Iterator[slice]:
    for start in range(0, n, chunk):
        yield slice(start, min(start + chunk, n))


def _autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The precision that autocast has for a product on this device; None where it is off."""
    probe = torch.zeros(1, 1, device=device, dtype=torch.float32)
    dtype = (probe @ probe).dtype  # asked of a product: what says it in words has changed from torch to torch
    return dtype if dtype != torch.float32 else None


def _check(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, chunk: int, reduction: str) -> None:
    shapes = tuple(hidden.shape), tuple(weight.shape), None if bias is None else tuple(bias.shape), tuple(targets.shape)
    fit = hidden.ndim >= 1 and weight.ndim == 2 and hidden.shape[-1] == weight.shape[1]
    if not fit or targets.shape != hidden.shape[:-1] or (bias is not None and bias.shape != weight.shape[:1]):
        raise ValueError(
            "hidden, weight, bias and targets must be (… d), (v d), (v) or None, and (…); "
            f"got {shapes[0]}, {shapes[1]}, {shapes[2]} and {shapes[3]}"
        )
    if targets.dtype.is_floating_point or targets.dtype == torch.bool:
        raise TypeError(f"targets must be token ids, integers; got {targets.dtype}")
    if targets.numel() == 0:
        raise ValueError("expected at least one token; got none, and the mean of nothing is no number")
    if chunk < 1:
        raise ValueError(f"chunk is how many tokens are taken at a time and must be at least 1; got {chunk}")
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction must be 'mean' or 'sum'; got {reduction!r}")
    if targets.is_cpu and not torch.compiler.is_compiling():
        lowest, highest = targets.min().item(), targets.max().item()
        if lowest < 0 or highest >= len(weight):
            raise ValueError(
                f"targets must lie between 0 and {len(weight) - 1}, the vocabulary's; got {lowest} to {highest}. "
                "Take out the tokens that are not to count before the call"
            )
