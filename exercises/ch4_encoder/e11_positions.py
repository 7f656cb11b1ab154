"""Sinusoidal positions: each place in a text gets a pattern of its own, added to the embedding that stands there.

To write: the table in `PositionalEncoding.__init__` and the forward pass. Given: the signatures and the dropout.
Not allowed: attn_lab's own `PositionalEncoding` and `sinusoids`.
"""

import torch
from torch import Tensor, nn


class PositionalEncoding(nn.Module):
    r"""x + PE, where PE[p, 2k] = sin(p / 10000^(2k / d)) and PE[p, 2k + 1] = cos(p / 10000^(2k / d)).

    Args:
        d_model: the width d; an odd one has a sine more than cosines.
        dropout: probability of dropping a feature of the sum in training.
        max_len: the longest text that the table serves.

    The table is the buffer `pe`, (max_len d_model): it moves with the module, but it is neither trained nor saved. It
    is computed in float64, so that late positions are exact, and then kept in PyTorch's default dtype.
    """

    def __init__(self, d_model: int, dropout: float = 0.1, max_len: int = 5000):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        raise NotImplementedError("e11 positions: the table in float64, and the buffer pe")

    def forward(self, x: Tensor) -> Tensor:
        """(b n d_model) -> (b n d_model).

        Raises:
            ValueError: the text is longer than the table.
        """
        raise NotImplementedError("e11 positions: the length's check, the sum, dropout")
