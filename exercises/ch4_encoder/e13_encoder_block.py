"""The encoder block of the paper: attention, then a small network, each added to what came in and normalised.

To write: the forward pass of `EncoderBlock`. Given: its parts. Not allowed: `nn.TransformerEncoderLayer`,
`nn.TransformerEncoder` and attn_lab's own `EncoderBlock`.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn


class EncoderBlock(nn.Module):
    r"""Two sub-layers, attention and a feed-forward network: x <- LayerNorm(x + Dropout(Sublayer(x))) for each.

    The feed-forward network is linear1, activation, dropout, linear2, at every position alone.

    Args:
        attn: the attention module, called as attn(query, key, value, mask).
        d_model: width of the model.
        dim_feedforward: width inside the feed-forward network.
        layer_norm_eps: added to the variance inside the root.
        dropout: probability of dropping a feature.
        norm_first: must be False here; the block that normalises first is e14.
        activation: between the two linear layers; the paper's is ReLU.
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
    ):
        super().__init__()
        if norm_first:
            raise ValueError("EncoderBlock has its norms behind the sums; for norm_first=True take PreNormBlock (e14)")
        self.attn = attn
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm1 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.norm2 = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout)  # has no weights, so one serves all three places
        self.activation = activation

    def forward(self, x: Tensor, mask=None) -> Tensor:
        """(b n d_model) -> (b n d_model); the mask is the attention's."""
        raise NotImplementedError("e13 encoder block: attention, residual, norm; then feed-forward, residual, norm")
