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
    # answer: the property, and what else holds of a right module

    # attn_lab's attention makes room for the heads by itself, and so hides a module that does not.
    def attention(query, key, value, mask=None, dropout=None):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)

    # Two examples, three heads, five queries, four keys: no two axes can be taken for each other.
    query, key, value = numbers(30, 2, 5, 6), numbers(31, 2, 4, 6), numbers(32, 2, 4, 6)
    for shape in (None, (5, 4), (2, 5, 4), (2, 1, 1, 4), (2, 1, 5, 4), (2, 3, 5, 4)):
        mask = None
        if shape is not None:
            mask = numbers(40, *shape) > 0  # it hides something else in each example and head that it speaks of
            mask[..., 0] = True  # no row is empty
        module = random_module(multi_head, 6, 3, attention=attention)
        wanted = expected(module, 3, query, key, value, mask)
        same = torch.allclose(module(query, key, value, mask), wanted)
        assert same, f"with a mask of the shape {shape} the output is not PyTorch's"


def property_attention_gets_the_dropout(multi_head):
    """In training attention gets something that drops a weight with probability p; in evaluation nothing is dropped.

    To look at it, we are the attention function.
    """
    got = []

    def attention(query, key, value, mask=None, dropout=None):
        got.append(dropout)
        return query

    # Not only one half, which is nn.Dropout's own default.
    for p in (0.25, 0.5):
        module = random_module(multi_head, 6, 2, p, attention=attention)
        for mode in (True, False):
            module.train(mode)(*[numbers(50, 1, 3, 6)] * 3)
            dropout = got.pop()
            # So many weights that chance plays no part: the share that is dropped is p, within a hundredth or two.
            weights = torch.ones(10_000)
            left = weights if dropout is None else dropout(weights)
            wanted = p if mode else 0.0
            share = (left == 0).double().mean().item()
            assert abs(share - wanted) < 0.05, f"p = {p}, train({mode}): a share of {share:.2f} is dropped"


def property_nothing_but_weights_is_dropped(multi_head):
    """With an attention function that drops nothing, dropout or not, training gives what evaluation gives."""

    def attention(query, key, value, mask=None, dropout=None):
        return query

    module, x = random_module(multi_head, 6, 2, 0.5, attention=attention), numbers(60, 2, 3, 6)
    resting = module.eval()(x, x, x)
    torch.testing.assert_close(module.train()(x, x, x), resting)
    # end of answer
