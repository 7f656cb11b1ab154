"""A test of multi-head attention: properties that every right module has, and that every wrong one breaks somewhere.

To write: properties of `multi_head`, as many as it takes, to accept every right implementation of e08's
`MultiHeadSelfAttention` that the course holds and to refuse every known wrong one. A property is a function whose name
begins with `property_`; its argument is the class. Given: what PyTorch's module would say (`expected`), random modules
and inputs, and one property, whole. Not allowed: attn_lab's `MultiHeadSelfAttention`, `attn_lab.checks`, and to ask how
an implementation is called or written.
"""

import torch
import torch.nn.functional as F
from torch import nn


def numbers(seed, *shape):
    """Always the same random numbers, in float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_module(multi_head, dim, n_heads, *others, **options):
    """An instance in float64, its four projections filled with numbers from a seed: biases too."""
    module = multi_head(dim, n_heads, *others, **options).double()
    with torch.no_grad():
        for seed, name in enumerate(("linear_query", "linear_key", "linear_value", "linear_cat_attn")):
            linear = getattr(module, name)
            linear.weight.copy_(numbers(seed, dim, dim) / dim**0.5)
            linear.bias.copy_(numbers(seed + 10, dim))
    return module


def expected(module, n_heads, query, key, value, mask=None):
    """What nn.MultiheadAttention gives with this module's weights.

    mask: boolean, True = may attend: (i j), (b i j), (b 1 1 j), (b 1 i j), (b h i j), or None. No row may be empty.
    """
    linears = module.linear_query, module.linear_key, module.linear_value
    theirs = nn.MultiheadAttention(query.shape[-1], n_heads, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([linear.weight for linear in linears]))
        theirs.in_proj_bias.copy_(torch.cat([linear.bias for linear in linears]))
        theirs.out_proj.load_state_dict(module.linear_cat_attn.state_dict())
    hidden = None
    if mask is not None:
        b, i, j = len(query), query.shape[1], key.shape[1]
        full = mask[:, None] if mask.ndim == 3 else mask
        hidden = ~full.expand(b, n_heads, i, j).flatten(0, 1)  # there True means "may not"
    return theirs(query, key, value, attn_mask=hidden, need_weights=False)[0]


def property_each_call_stands_alone(multi_head):
    """A second call, of another length and with another mask, is answered as if it were the first."""
    module = random_module(multi_head, 6, 2)
    before, x = numbers(20, 1, 5, 6), numbers(21, 2, 3, 6)
    module(before, before, before, torch.ones(5, 5, dtype=torch.bool).tril())
    mask = torch.tensor([[True, False, True], [False, True, True], [True, True, True]])
    alone = random_module(multi_head, 6, 2)(x, x, x, mask)
    torch.testing.assert_close(module(x, x, x, mask), alone)


def property_equals_pytorch(multi_head):
    """module(query, key, value), (b i dim), is `expected`: for three different inputs, with a mask and without.

    multi_head(dim, n_heads, dropout=None, *, attention=attn_lab.attention). In its place may stand any other function
    attention(query, key, value, mask, dropout) of (b h i d), (b h j d), (b h j d) that gives (b h i d). It is called
    once, with a mask that broadcasts to (b h i j) or None, and with a module that drops weights, or with something that
    drops none, such as None.
    """
    raise NotImplementedError("e36 test of multi head: the property, and what else holds of a right module")
