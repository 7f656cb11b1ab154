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
        # answer: the four projections, and the dropout of the weights
        # A head needs a projection of its own, from dim to d features. All of them stacked are one matrix from dim to
        # h d = dim features: one large product in place of h small ones.
        self.linear_query = nn.Linear(dim, dim)
        self.linear_key = nn.Linear(dim, dim)
        self.linear_value = nn.Linear(dim, dim)

        # Until here the heads know nothing of each other. This one mixes what they found.
        self.linear_cat_attn = nn.Linear(dim, dim)

        # As a module, not as a number: it hears train() and eval() as our own children do.
        self.dropout = None if dropout is None else nn.Dropout(dropout)
        # end of answer

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
        # answer: project, split into heads, attend, merge the heads, project back
        # Split the features into h groups of d, and put the heads beside the batch: what follows treats a head as it
        # treats an example, each on its own. "(h d)" says that the features of one head lie next to each other.
        to_heads = "b n (h d) -> b h n d"
        queries = rearrange(self.linear_query(query), to_heads, h=self.n_heads)
        keys = rearrange(self.linear_key(key), to_heads, h=self.n_heads)
        values = rearrange(self.linear_value(value), to_heads, h=self.n_heads)

        # Axes are matched from the right, so the b of (b i j) would stand where the heads are: it needs their axis.
        if mask is not None and mask.ndim == 3:
            mask = rearrange(mask, "b i j -> b 1 i j")

        heads = self.attention(queries, keys, values, mask, self.dropout)

        # The way back is the way in, read from right to left.
        side_by_side = rearrange(heads, "b h i d -> b i (h d)")
        return self.linear_cat_attn(side_by_side)
        # end of answer
