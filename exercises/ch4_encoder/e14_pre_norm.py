"""The pre-norm block: each sub-layer reads a normalised copy of x and adds to x itself; a last norm ends the stack.

To write: the forward passes of `PreNormBlock` and `PreNormEncoder`. Given: their parts. Not allowed:
`nn.TransformerEncoderLayer`, `nn.TransformerEncoder` and attn_lab's own `EncoderBlock`.
"""

from collections.abc import Callable, Iterable

import torch.nn.functional as F
from torch import Tensor, nn


class PreNormBlock(nn.Module):
    r"""Two sub-layers, attention and a feed-forward network: x <- x + Dropout(Sublayer(LayerNorm(x))) for each.

    The feed-forward network is linear1, activation, dropout, linear2, at every position alone.

    Args:
        attn: the attention module, called as attn(query, key, value, mask).
        d_model: width of the model.
        dim_feedforward: width inside the feed-forward network.
        layer_norm_eps: added to the variance inside the root.
        dropout: probability of dropping a feature.
        norm_first: must be True here; the block that normalises the sums is e13.
        activation: between the two linear layers.
    """

    def __init__(
        self,
        attn: nn.Module,
        d_model: int,
        dim_feedforward: int,
        layer_norm_eps: float = 1e-5,
        dropout: float = 0.1,
        *,
        norm_first: bool = True,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ):
        super().__init__()
        if not norm_first:
            raise ValueError("PreNormBlock normalises first; for norm_first=False take EncoderBlock (e13)")
        self.attn = attn
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm1 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.norm2 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)  # has no weights, so one serves all three places
        self.activation = activation

    def forward(self, x: Tensor, mask=None) -> Tensor:
        """(b n d_model) -> (b n d_model); the mask is the attention's."""
        raise NotImplementedError("e14 pre norm: norm, attention, residual; then norm, feed-forward, residual")


class PreNormEncoder(nn.Module):
    """A stack of pre-norm blocks, whatever a stack of them needs at its end included.

    Args:
        blocks: the blocks, each called as block(x, mask).
        d_model: width of the model.
        layer_norm_eps: added to the variance inside the root.
    """

    def __init__(self, blocks: Iterable[nn.Module], d_model: int, layer_norm_eps: float = 1e-5):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(d_model, eps=layer_norm_eps)

    def forward(self, x: Tensor, mask=None) -> Tensor:
        """(b n d_model) -> (b n d_model), every block under the same mask."""
        raise NotImplementedError("e14 pre norm: the blocks in turn, and what a stack of them needs at its end")
