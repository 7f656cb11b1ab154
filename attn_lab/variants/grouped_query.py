"""Grouped-query attention (Ainslie et al. 2023, section 2.2): several heads of queries share one head of keys."""

from collections.abc import Callable
from dataclasses import dataclass

from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attn_lab.multihead import MultiHeadSelfAttention
from attn_lab.scaled_dot_product import attention


@dataclass(frozen=True)
class Grouped:
    """An attention function for g heads of keys and values and a multiple h of heads of queries.

    Each head of keys and values is repeated for the h / g heads of queries beside each other that share it. A cache in
    front of this function holds g heads, not h.

    Args:
        attention: the function that attends, h heads of everything, of the signature of `attn_lab.attention`.

    Raises:
        ValueError: (call) the number of heads is no multiple of the groups.

    Cost: the attention's; O(b h j (d + e)) memory for the repeated keys and values.
    """

    attention: Callable[..., Tensor] = attention

    def __call__(
        self,
        query: Float[Tensor, "b h i d"],
        key: Float[Tensor, "b g j d"],
        value: Float[Tensor, "b g j e"],
        mask: Bool[Tensor, "..."] | None = None,
        dropout: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "b h i e"]:
        """Head k attends to the keys and values of group k // (h / g); mask and dropout as in `attn_lab.attention`."""
        h, g = query.shape[1], key.shape[1]
        _check_groups(h, g)
        key, value = (repeat(x, "b g j d -> b (g share) j d", share=h // g) for x in (key, value))
        return self.attention(query, key, value, mask, dropout)

    @property
    def window(self) -> int | None:
        """How many keys a query sees, if the function inside has such a limit."""
        return getattr(self.attention, "window", None)


class GroupedQueryAttention(MultiHeadSelfAttention):
    r"""Multi-head attention whose keys and values have fewer heads than its queries.

    $$\mathrm{head}_k = \mathrm{Attention}(Q W^Q_k, K W^K_{\lfloor k g / h \rfloor}, V W^V_{\lfloor k g / h \rfloor})$$

    With g = h groups it is multi-head attention, with g = 1 multi-query attention (Shazeer 2019, section 3). For the
    place of `attention_module`: `partial(GroupedQueryAttention, n_groups=2)`.

    Args:
        dim: width of the model.
        n_heads: number of heads of queries, h; must divide dim.
        dropout: probability of dropping an attention weight in training; None for no dropout.
        n_groups: number of heads of keys and values, g; must divide n_heads.
        attention: the attention function, of the signature of `attn_lab.attention`; it sees h heads of everything.

    Raises:
        ValueError: n_heads does not divide dim, or n_groups does not divide n_heads.

    Cost: as multi-head attention, but `linear_key`, `linear_value` and a cache of keys and values are h / g times
        smaller.
    """

    def __init__(
        self,
        dim: int,
        n_heads: int,
        dropout: float | None = None,
        *,
        n_groups: int,
        attention: Callable[..., Tensor] = attention,
    ) -> None:
        super().__init__(dim, n_heads, dropout, attention=Grouped(attention))
        _check_groups(n_heads, n_groups)
        self.n_groups = n_groups
        self.d_head = dim // n_heads
        self.linear_key = nn.Linear(dim, n_groups * self.d_head)
        self.linear_value = nn.Linear(dim, n_groups * self.d_head)

    def _split(self, x: Float[Tensor, "b n width"]) -> Float[Tensor, "b heads n d"]:
        return rearrange(x, "b n (heads d) -> b heads n d", d=self.d_head)


def _check_groups(h: int, g: int) -> None:
    if g < 1 or h % g:
        raise ValueError(
            f"the number of heads must be a multiple of the number of groups; got {h} heads and {g} groups. "
            "Each group of keys and values serves n_heads / n_groups heads of queries"
        )
