"""The encoder (Vaswani et al. 2017, section 3.1): a block of attention and feed-forward, and a stack of blocks."""

from collections.abc import Callable
from copy import deepcopy

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


class EncoderBlock(nn.Module):
    r"""Two sub-layers, attention and a feed-forward network, each with a residual connection and a layer norm.

    $$x \leftarrow \mathrm{LayerNorm}(x + \mathrm{Sublayer}(x)), \quad \mathrm{FFN}(x) = f(x W_1 + b_1) W_2 + b_2$$

    With `norm_first` the norm moves inside, $x \leftarrow x + \mathrm{Sublayer}(\mathrm{LayerNorm}(x))$ (pre-norm,
    Xiong et al. 2020): steadier to train, and the last block's output then wants one more norm.

    Args:
        attn: the attention module, called as `attn(x, x, x, mask)`.
        d_model: width of the model.
        dim_feedforward: width inside the feed-forward network.
        layer_norm_eps: added to the variance inside the root.
        dropout: probability, on each sub-layer's output and inside the feed-forward network.
        norm_first: pre-norm instead of the paper's post-norm.
        activation: f above; the paper's is ReLU.

    Cost: O(b n d_model dim_feedforward) time beside the attention's.
    """

    def __init__(
        self,
        attn: nn.Module,
        d_model: int,
        dim_feedforward: int,
        layer_norm_eps: float = 1e-5,
        dropout: float = 0.1,
        *,
        norm_first: bool = False,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.attn = attn
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm1 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.norm2 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first
        self.activation = activation

    def forward(
        self, x: Float[Tensor, "b n d_model"], mask: Bool[Tensor, "..."] | None = None
    ) -> Float[Tensor, "b n d_model"]:
        """One block; the mask is the attention's."""
        if self.norm_first:
            x = x + self._attend(self.norm1(x), mask)
            return x + self._feed_forward(self.norm2(x))
        x = self.norm1(x + self._attend(x, mask))
        return self.norm2(x + self._feed_forward(x))

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.dropout(self.attn(x, x, x, mask))

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerEncoder(nn.Module):
    """A stack of blocks, each a copy of `encoder` with initial weights of its own.

    The copies are drawn anew with `reset_parameters` of every child that has one (all of PyTorch's layers with
    weights do, and a part of yours with bare `nn.Parameter`s needs one): identical copies would start out in lockstep.

    Args:
        encoder: one block, called as `encoder(x, mask)`; it is copied and left as it is.
        n_blocks: how many.

    Raises:
        ValueError: n_blocks is below 1.
    """

    def __init__(self, encoder: nn.Module, n_blocks: int) -> None:
        super().__init__()
        if n_blocks < 1:
            raise ValueError(f"n_blocks must be at least 1; got {n_blocks}")
        self.blocks = nn.ModuleList(deepcopy(encoder) for _ in range(n_blocks))
        for part in self.blocks.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()

    def forward(
        self, x: Float[Tensor, "b n d_model"], mask: Bool[Tensor, "..."] | None = None
    ) -> Float[Tensor, "b n d_model"]:
        """Every block in turn, under the same mask."""
        for block in self.blocks:
            x = block(x, mask)
        return x
