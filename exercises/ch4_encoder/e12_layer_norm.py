"""Layer norm: every position's features are shifted to mean 0 and scaled to variance 1, then each gets a learned range.

To write: in `LayerNorm`, the parameters and the forward pass. Given: the signatures. Not allowed: PyTorch's norms
(`nn.LayerNorm`, `F.layer_norm`, `F.batch_norm` and their like).
"""

import torch
from torch import Tensor, nn


class LayerNorm(nn.Module):
    r"""(x - mean) / √(variance + eps) * weight + bias, over the features: the last axis, of width d_model.

    Args:
        d_model: the width.
        eps: added to the variance inside the root, so that equal features do no harm.

    The parameters `weight` and `bias`, (d_model) each, begin as ones and zeros.
    """

    def __init__(self, d_model: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        raise NotImplementedError("e12 layer norm: the parameters weight (ones) and bias (zeros)")

    def forward(self, x: Tensor) -> Tensor:
        """(… d_model) -> (… d_model), each position on its own; any axes may stand before the last."""
        raise NotImplementedError("e12 layer norm: mean, variance, normalise, weight and bias")
