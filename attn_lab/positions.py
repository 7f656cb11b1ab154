"""Sinusoidal positions (Vaswani et al. 2017, section 3.5): attention sees a set, and this makes it a sequence."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class PositionalEncoding(nn.Module):
    r"""Adds to each position of a text a pattern of its own, then dropout.

    $$PE_{p, 2k} = \sin\left(p / 10000^{2k / d}\right), \quad PE_{p, 2k + 1} = \cos\left(p / 10000^{2k / d}\right)$$

    A shift by s rotates each pair (2k, 2k + 1) by one angle, whatever the position: relative places are a linear map.

    Args:
        d_model: width; an odd one has a sine more than cosines.
        dropout: probability of dropping a feature of the sum in training.
        max_len: the longest text that the table serves.

    Raises:
        ValueError: d_model is below 1 or max_len negative; (forward) the text is longer than max_len.

    Cost: O(b n d_model) time; a table of max_len * d_model numbers, which is not saved with the weights.
    """

    pe: Tensor

    def __init__(self, d_model: int, dropout: float = 0.1, max_len: int = 5000) -> None:
        super().__init__()
        if d_model < 1 or max_len < 0:
            raise ValueError(f"expected d_model >= 1 and max_len >= 0; got {d_model} and {max_len}")
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("pe", sinusoids(max_len, d_model).to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: Float[Tensor, "b n d_model"]) -> Float[Tensor, "b n d_model"]:
        """x + PE, the same for every example: positions run along n, the second axis."""
        n = x.shape[1]
        if n > len(self.pe):
            raise ValueError(
                f"the text must have at most max_len = {len(self.pe)} tokens; got {n}. Pass a larger max_len"
            )
        return self.dropout(x + self.pe[:n])


def sinusoids(n: int, d_model: int) -> Float[Tensor, "n d_model"]:
    """The table itself, in float64: in float32 the angles of late positions would be off by 3.5e-4 at 5000."""
    position = torch.arange(n, dtype=torch.float64)[:, None]
    frequency = torch.exp(-math.log(10000.0) * torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    table = torch.empty(n, d_model, dtype=torch.float64)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)[:, : d_model // 2]
    return table
