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
        # answer: the table in float64, and the buffer pe
        # Columns come in pairs, a sine and a cosine: 0 0 1 1 2 2 … is the k of each column. The dtype is said here,
        # for all that follows: torch.arange would count in integers, and divide them in float32.
        column = torch.arange(d_model, dtype=torch.float64)
        k = column // 2

        # Each pair turns at a speed of its own, the first by one radian a position, the last hardly at all.
        wavelength = 10000 ** (2 * k / d_model)

        # One angle for every position and column.
        position = torch.arange(max_len, dtype=torch.float64)
        angle = position[:, None] / wavelength

        # Even columns take the sine, odd ones the cosine; where the width is odd, the last sine stays alone.
        table = torch.where(column % 2 == 0, torch.sin(angle), torch.cos(angle))

        # A buffer follows the module to another device or dtype. It is not saved: it can be computed again.
        self.register_buffer("pe", table.to(torch.get_default_dtype()), persistent=False)
        # end of answer

    def forward(self, x: Tensor) -> Tensor:
        """(b n d_model) -> (b n d_model).

        Raises:
            ValueError: the text is longer than the table.
        """
        # answer: the length's check, the sum, dropout
        n, max_len = x.shape[1], self.pe.shape[0]
        if n > max_len:
            raise ValueError(f"the text must have at most max_len = {max_len} positions; got {n}")

        # The first n rows of the table, (n d_model): they broadcast along b, so every text gets the same positions.
        return self.dropout(x + self.pe[:n])
        # end of answer
