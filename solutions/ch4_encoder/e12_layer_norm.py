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
        # answer: the parameters weight (ones) and bias (zeros)
        # A feature may need a scale and a centre of its own after all. At first it has the plain ones.
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))
        # end of answer

    def forward(self, x: Tensor) -> Tensor:
        """(… d_model) -> (… d_model), each position on its own; any axes may stand before the last."""
        # answer: mean, variance, normalise, weight and bias
        # The mean of one position's features. keepdim: one number a position, that broadcasts over the features again.
        mean = x.mean(dim=-1, keepdim=True)
        centred = x - mean

        # The mean of the squares, over all d_model features: these are all there are, not a sample of more, so the sum
        # is divided by d_model and not by d_model - 1.
        variance = (centred**2).mean(dim=-1, keepdim=True)

        # eps inside the root: where all features are equal the variance is 0, and the root's slope there is infinite.
        normalised = centred / torch.sqrt(variance + self.eps)

        return normalised * self.weight + self.bias
        # end of answer
