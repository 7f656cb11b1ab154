"""Grouped-query attention: several heads of queries share one head of keys and values, so that fewer must be kept.

To write: `grouped_attention`, which lets a group's heads share, and in `GroupedQueryAttention` the projections of key
and value, and `forward`. Given: everything else of the module, and the attention function as an argument. Not allowed:
attn_lab's Grouped, GroupedQueryAttention and MultiHeadSelfAttention, PyTorch's nn.MultiheadAttention and
F.scaled_dot_product_attention.
"""

from einops import rearrange, repeat
from torch import Tensor, nn

import attn_lab


def grouped_attention(
    query: Tensor, key: Tensor, value: Tensor, mask=None, dropout=None, *, attention=attn_lab.attention
) -> Tensor:
    r"""Attention of h heads of queries over g heads of keys and values: head k reads group k // (h / g).

    Args:
        query: (b h i d).
        key: (b g j d), where g divides h. With g = h every head has its own, with g = 1 all share one.
        value: (b g j e).
        mask, dropout: as in e02, with h heads; the attention takes care of them.
        attention: `attention(query, key, value, mask, dropout)` as in e02, with as many heads of one as of the other.

    Returns:
        (b h i e)
    """
    # answer: every head of queries gets its group's keys and values; attend
    # How many heads of queries sit in one group.
    share = query.shape[1] // key.shape[1]

    # Heads that share stand side by side: with h = 6 and g = 2 the heads 0, 1, 2 read group 0, and 3, 4, 5 group 1.
    # "(g share)" counts that way: share runs fastest. "(share g)" would deal the heads out in turn, 0 1 0 1 0 1.
    to_all_heads = "b g j d -> b (g share) j d"
    keys = repeat(key, to_all_heads, share=share)
    values = repeat(value, to_all_heads, share=share)

    # Repeated, not learned anew: the gradients of all heads of a group add up in its one key and value.
    return attention(query, keys, values, mask, dropout)
    # end of answer


class GroupedQueryAttention(nn.Module):
    """Multi-head attention whose keys and values have n_groups heads, and its queries n_heads.

    With d = dim / n_heads, head k of the queries owns the features k d to (k + 1) d - 1 of `linear_query`, head k of
    the keys those of `linear_key`, so with the values; `linear_cat_attn` projects back. Every projection has a bias.

    Args:
        dim: width of the model.
        n_heads: number of heads of queries, which divides dim.
        dropout: with what probability an attention weight is dropped in training. None: nothing is dropped.
        n_groups: number of heads of keys and of values, which divides n_heads.
        attention: as in `grouped_attention`.
    """

    def __init__(self, dim: int, n_heads: int, dropout=None, *, n_groups: int, attention=attn_lab.attention) -> None:
        super().__init__()
        if n_heads < 1 or dim % n_heads:
            raise ValueError(f"dim must be a multiple of n_heads; got dim = {dim}, n_heads = {n_heads}")
        if n_groups < 1 or n_heads % n_groups:
            raise ValueError(f"n_heads must be a multiple of n_groups; got {n_heads} heads and {n_groups} groups")
        self.n_heads, self.n_groups, self.d_head = n_heads, n_groups, dim // n_heads
        self.attention = attention
        self.dropout = None if dropout is None else nn.Dropout(dropout)
        self.linear_query = nn.Linear(dim, dim)
        # answer: linear_key and linear_value
        # A head is as wide as ever, since queries of width d must meet keys of width d. There are only fewer of them.
        self.linear_key = nn.Linear(dim, n_groups * self.d_head)
        self.linear_value = nn.Linear(dim, n_groups * self.d_head)
        # end of answer
        self.linear_cat_attn = nn.Linear(dim, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask=None) -> Tensor:
        """Attend from query (b i dim) to key and value (b j dim); the result is (b i dim).

        The mask is boolean, True = may attend, and broadcasts to (b h i j).
        """
        # answer: project, split into heads, attend in groups, merge, project back
        # Queries make n_heads heads of d features, keys and values n_groups heads of d features: the same split if it
        # is told the width of a head, and not how many there are.
        split = "b n (heads d) -> b heads n d"
        queries = rearrange(self.linear_query(query), split, d=self.d_head)
        keys = rearrange(self.linear_key(key), split, d=self.d_head)
        values = rearrange(self.linear_value(value), split, d=self.d_head)

        heads = grouped_attention(queries, keys, values, mask, self.dropout, attention=self.attention)

        # There are as many heads of output as of queries: from here on it is multi-head attention.
        return self.linear_cat_attn(rearrange(heads, "b h i d -> b i (h d)"))
        # end of answer
