"""Multi-head attention: several attentions side by side, each in a subspace of its own, as one module.

To write: the layers in `__init__`, and `forward`. Given: the names, the check of the sizes, and the attention function
as an argument. Not allowed: PyTorch's nn.MultiheadAttention, F.multi_head_attention_forward and
F.scaled_dot_product_attention, and attn_lab's MultiHeadSelfAttention.
"""

from einops import rearrange
from torch import Tensor, nn

import attn_lab


class MultiHeadSelfAttention(nn.Module):
    """Project to heads, attend in each, put the heads side by side, project back.

    The projections of one kind, for all heads, are one `nn.Linear(dim, dim)` with a bias: `linear_query`, `linear_key`
    and `linear_value`; `linear_cat_attn` projects back. With d = dim / n_heads, head k owns the features k d to
    (k + 1) d - 1.

    Args:
        dim: width of the model.
        n_heads: number of heads, which divides dim.
        dropout: with what probability an attention weight is dropped in training. None: nothing is dropped.
        attention: `attention(query, key, value, mask, dropout)` as in e02. It is called once, with all heads:
            (b h i d), (b h j d), (b h j d). It scales the scores by itself; its mask broadcasts to (b h i j); its
            dropout is a module, or None.
    """

    def __init__(self, dim: int, n_heads: int, dropout=None, *, attention=attn_lab.attention) -> None:
        super().__init__()
        if n_heads < 1 or dim % n_heads:
            raise ValueError(f"dim must be a multiple of n_heads; got dim = {dim}, n_heads = {n_heads}")
        self.n_heads = n_heads
        self.attention = attention
        raise NotImplementedError("e08 multi head: the four projections, and the dropout of the weights")

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask=None) -> Tensor:
        """Attend from query to key and value; in self-attention the three are the same tensor.

        Args:
            query: (b i dim).
            key: (b j dim).
            value: (b j dim).
            mask: boolean, True = may attend: (i j), (b i j), (b 1 1 j), (b 1 i j) or (b h i j). None: all may. A mask
                of three axes is one for each example, the same in all heads.

        Returns:
            (b i dim)
        """
        raise NotImplementedError("e08 multi head: project, split into heads, attend, merge the heads, project back")
