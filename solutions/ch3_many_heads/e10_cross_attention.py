"""Cross-attention: one sequence asks and another one answers, as a decoder asks the text that it translates.

To write: `forward`. Given: the layers, and the attention function as an argument. Not allowed: PyTorch's
nn.MultiheadAttention, F.multi_head_attention_forward and F.scaled_dot_product_attention, and attn_lab's
MultiHeadSelfAttention.
"""

from einops import rearrange
from torch import Tensor, nn

import attn_lab


class CrossAttention(nn.Module):
    """Multi-head attention from x to a memory: the queries come from x, the keys and the values from the memory.

    The layers are those of e08: `linear_query`, `linear_key` and `linear_value`, each for all heads at once, and
    `linear_cat_attn` on the way back. With d = dim / n_heads, head k owns the features k d to (k + 1) d - 1.

    Args:
        dim: width of x and of the memory.
        n_heads: number of heads, which divides dim.
        attention: `attention(query, key, value, mask)` as in e02. It is called once, with all heads: (b h i d),
            (b h j d), (b h j d).
    """

    def __init__(self, dim: int, n_heads: int, *, attention=attn_lab.attention) -> None:
        super().__init__()
        if n_heads < 1 or dim % n_heads:
            raise ValueError(f"dim must be a multiple of n_heads; got dim = {dim}, n_heads = {n_heads}")
        self.n_heads = n_heads
        self.attention = attention
        self.linear_query = nn.Linear(dim, dim)
        self.linear_key = nn.Linear(dim, dim)
        self.linear_value = nn.Linear(dim, dim)
        self.linear_cat_attn = nn.Linear(dim, dim)

    def forward(self, x: Tensor, memory: Tensor, mask=None) -> Tensor:
        """What each position of x finds in the memory.

        Args:
            x: (b i dim), the sequence that asks.
            memory: (b j dim), the sequence that is asked. It has a length of its own.
            mask: boolean, True where position i of x may attend to position j of the memory; it broadcasts to
                (b h i j): (i j), or (b 1 1 j) for a memory with padding. None: all may.

        Returns:
            (b i dim)
        """
        # answer: queries from x, keys and values from memory, attend
        # Who asks? x does, so the queries are its projection. There are i of them, and so there are i answers.
        queries = self.linear_query(x)

        # Who answers? The memory: each of its j positions offers a key to be found by and a value to hand over. The two
        # belong to one position, so they come from the same sequence. Neither depends on x.
        keys = self.linear_key(memory)
        values = self.linear_value(memory)

        # From here on nothing is new. The patterns say n for either length, i or j, since each tensor keeps its own.
        to_heads = "b n (h d) -> b h n d"
        queries, keys, values = (rearrange(y, to_heads, h=self.n_heads) for y in (queries, keys, values))

        # The scores are a rectangle, (b h i j). A row is a position of x, a column one of the memory, and the mask is
        # made for that rectangle. Nothing is causal in it: the memory is there in full before x begins to ask.
        heads = self.attention(queries, keys, values, mask)

        return self.linear_cat_attn(rearrange(heads, "b h i d -> b i (h d)"))
        # end of answer
