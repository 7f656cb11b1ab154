"""Rotary positions (Su et al. 2021, RoFormer, section 3): queries and keys are turned, by their position."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attn_lab.scaled_dot_product import attention


def rotate(
    x: Float[Tensor, "b h n d"], positions: Int[Tensor, " n"], base: float = 10000.0, *, halves: bool = False
) -> Float[Tensor, "b h n d"]:
    r"""Each pair of features turned by an angle that is its position times the pair's own frequency.

    $$\begin{pmatrix} x'_{2k} \\ x'_{2k+1} \end{pmatrix} =
    \begin{pmatrix} \cos p\,\theta_k & -\sin p\,\theta_k \\ \sin p\,\theta_k & \cos p\,\theta_k \end{pmatrix}
    \begin{pmatrix} x_{2k} \\ x_{2k+1} \end{pmatrix}, \qquad \theta_k = \mathrm{base}^{-2k/d}$$

    A turn keeps lengths, and two of them differ by the difference of their angles: $(R_p q) \cdot (R_r k)$ equals
    $q \cdot (R_{r-p} k)$, so a score depends on the distance alone.

    Args:
        x: queries or keys.
        positions: where each of the n lies; any integers, negative ones too.
        base: the slowest pair takes about 2π base positions for a turn.
        halves: the pairs are (k, k + d / 2), as LLaMA and GPT-NeoX have them, instead of the paper's (2k, 2k + 1).

    Raises:
        ValueError: d is odd, or there is not one position for each of the n.

    Cost: O(b h n d) time and memory; a table of n d numbers.

    Source: section 3.4.2, equation 34.
    """
    n, d = x.shape[-2:]
    if d % 2 or positions.shape != (n,):
        raise ValueError(
            f"rotary positions turn pairs of features: d must be even, with a position for each of the n; got "
            f"d = {d}, n = {n} and positions of the shape {tuple(positions.shape)}. Choose dim / n_heads even"
        )
    dtype = torch.promote_types(x.dtype, torch.float32)
    angle = _angles(positions, d, base)
    cos, sin = angle.cos().to(x.device, dtype), angle.sin().to(x.device, dtype)
    pair = "(two k)" if halves else "(k two)"
    first, second = rearrange(x.to(dtype), f"b h n {pair} -> two b h n k", two=2)
    turned = torch.stack([first * cos - second * sin, first * sin + second * cos])
    return rearrange(turned, f"two b h n k -> b h n {pair}").to(x.dtype)


def _angles(positions: Int[Tensor, " n"], d: int, base: float) -> Float[Tensor, "n k"]:
    """Position times frequency in float64, on the CPU, since not every device has it: late angles are large."""
    frequency = base ** (-torch.arange(0, d, 2, dtype=torch.float64, device="cpu") / d)
    return positions.cpu().double()[:, None] * frequency


@dataclass(frozen=True)
class RotaryAttention:
    """An attention function that turns queries and keys, and hands them on.

    The queries are the last of the keys' positions: with as many of both they are the same positions, and with fewer
    queries, as in writing token by token, they stand at the end. Values are not turned.

    Args:
        attention: the function that attends, of the signature of `attn_lab.attention`.
        base: see `rotate`.
        halves: see `rotate`.
    """

    attention: Callable[..., Tensor] = attention
    base: float = 10000.0
    halves: bool = False

    def __call__(
        self,
        query: Float[Tensor, "b h i d"],
        key: Float[Tensor, "b g j d"],
        value: Float[Tensor, "b g j e"],
        mask: Bool[Tensor, "..."] | None = None,
        dropout: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "b h i e"]:
        """Attention over turned queries and keys; the arguments and errors are those of the function inside."""
        i, j = query.shape[-2], key.shape[-2]
        query = rotate(query, torch.arange(j - i, j, device="cpu"), self.base, halves=self.halves)
        key = rotate(key, torch.arange(j, device="cpu"), self.base, halves=self.halves)
        return self.attention(query, key, value, mask, dropout)

    @property
    def window(self) -> int | None:
        """How many keys a query sees, if the function inside has such a limit."""
        return getattr(self.attention, "window", None)


class NoPositions(nn.Module):
    """What stands in the place of `PositionalEncoding` where attention itself knows the positions: dropout alone.

    Args:
        d_model: width; taken for the signature's sake.
        dropout: probability of dropping a feature of the embedding in training.
        max_len: taken for the signature's sake: no table ends anywhere.
    """

    def __init__(self, d_model: int, dropout: float = 0.1, max_len: int = 5000) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b n d_model"]) -> Float[Tensor, "b n d_model"]:
        """x, with some of it dropped in training."""
        return self.dropout(x)
