"""Multi-head attention (Vaswani et al. 2017, section 3.2.2): several attentions side by side, each in a subspace."""

from collections.abc import Callable

from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_lab.scaled_dot_product import attention


class MultiHeadSelfAttention(nn.Module):
    r"""Project to heads, attend in each, put the heads side by side, project back.

    $$\mathrm{MultiHead}(Q, K, V) = \mathrm{Concat}(\mathrm{head}_1, \dots, \mathrm{head}_h) W^O, \quad
    \mathrm{head}_k = \mathrm{Attention}(Q W^Q_k, K W^K_k, V W^V_k)$$

    The h projections of a kind are one `nn.Linear(dim, dim)`: `linear_query`, `linear_key`, `linear_value`, and
    `linear_cat_attn` for $W^O$; head k owns the features k * dim / h to (k + 1) * dim / h - 1.

    Args:
        dim: width of the model.
        n_heads: number of heads; must divide dim.
        dropout: probability of dropping an attention weight in training; None for no dropout.
        attention: the attention function, of the signature of `attn_lab.attention`.

    Raises:
        ValueError: n_heads does not divide dim, or one of them is below 1.

    Cost: O(b n dim²) time for the projections, and h attentions of width dim / h.
    """

    def __init__(
        self, dim: int, n_heads: int, dropout: float | None = None, *, attention: Callable[..., Tensor] = attention
    ) -> None:
        super().__init__()
        if dim < 1 or n_heads < 1 or dim % n_heads:
            raise ValueError(
                f"dim must be a multiple of n_heads; got dim = {dim}, n_heads = {n_heads}. "
                "Every head gets dim / n_heads features: change one of them"
            )
        self.n_heads = n_heads
        self.attention = attention
        self.dropout = None if dropout is None else nn.Dropout(dropout)
        self.linear_query = nn.Linear(dim, dim)
        self.linear_key = nn.Linear(dim, dim)
        self.linear_value = nn.Linear(dim, dim)
        self.linear_cat_attn = nn.Linear(dim, dim)

    def forward(
        self,
        query: Float[Tensor, "b i dim"],
        key: Float[Tensor, "b j dim"],
        value: Float[Tensor, "b j dim"],
        mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "b i dim"]:
        """Attend from query to key and value; the three are the same tensor in self-attention.

        The mask is as in `attention`: boolean, True = may attend; every head gets the same one unless it has four axes.
        """
        heads = self.attention(
            self._split(self.linear_query(query)),
            self._split(self.linear_key(key)),
            self._split(self.linear_value(value)),
            mask,
            self.dropout,
        )
        return self.linear_cat_attn(rearrange(heads, "b h n d -> b n (h d)"))

    def _split(self, x: Float[Tensor, "b n dim"]) -> Float[Tensor, "b h n d"]:
        return rearrange(x, "b n (h d) -> b h n d", h=self.n_heads)
