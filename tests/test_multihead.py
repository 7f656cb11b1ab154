"""Multi-head attention: its names, its heads one at a time, and the attention function that it was given."""

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from attn_lab import MultiHeadSelfAttention, attention

LAYERS = ("linear_query", "linear_key", "linear_value", "linear_cat_attn")


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def module_of(dim: int, n_heads: int, seed: int = 0, **options: Any) -> MultiHeadSelfAttention:
    """In float64, every parameter drawn: biases begin at a size that hides them."""
    module = MultiHeadSelfAttention(dim, n_heads, **options).double()
    for k, weight in enumerate(module.parameters()):
        weight.data = normal(seed + k, *weight.shape)
    return module


def one_head(module: nn.Module, rows: slice, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
    """Head by its rows of the weights, for one example: (i dim), (j dim), (j dim), (i j) -> (i d)."""
    layers = (getattr(module, name) for name in LAYERS[:3])
    q, k, v = (x @ layer.weight[rows].T + layer.bias[rows] for layer, x in zip(layers, (query, key, value)))
    return torch.softmax((q @ k.T / math.sqrt(q.shape[1])).masked_fill(~allowed, -math.inf), dim=1) @ v


@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 5),
    axes=st.sampled_from(["i j", "b i j", "b 1 1 j", "b h i j"]),
    seed=st.integers(0, 2**31),
)
def test_each_head_owns_a_run_of_features(sizes: tuple[int, ...], axes: str, seed: int) -> None:
    """Catches heads that are interleaved, split by a reshape, merged in another order, or given another's mask."""
    b, h, i, j, d = sizes
    module, dim = module_of(h * d, h, seed), h * d
    query, key, value = normal(seed, b, i, dim), normal(seed + 1, b, j, dim), normal(seed + 2, b, j, dim)
    shape = [dict(zip("bhij", sizes)).get(axis, 1) for axis in axes.split()]
    mask = normal(seed + 3, *shape) < 0.5
    mask[..., 0] = True  # a query without keys is the attention function's business
    four = mask[:, None] if axes == "b i j" else mask
    allowed = four.expand(b, h, i, j)
    output = module(query, key, value, mask)
    for x in range(b):
        heads = [one_head(module, slice(y * d, y * d + d), query[x], key[x], value[x], allowed[x, y]) for y in range(h)]
        expected = torch.cat(heads, dim=1) @ module.linear_cat_attn.weight.T + module.linear_cat_attn.bias
        torch.testing.assert_close(output[x], expected, rtol=0, atol=1e-9)


def test_names_and_shapes() -> None:
    """Catches a renamed or stacked projection: weights are copied and saved by these names."""
    module = MultiHeadSelfAttention(12, 3)
    assert {name: tuple(weight.shape) for name, weight in module.state_dict().items()} == {
        f"{layer}.{kind}": shape for layer in LAYERS for kind, shape in (("weight", (12, 12)), ("bias", (12,)))
    }
    assert all(type(getattr(module, layer)) is nn.Linear for layer in LAYERS)
    assert module.n_heads == 3
    assert module.attention is attention


@pytest.mark.parametrize("p", [None, 0.0, 0.25])
def test_the_given_attention_is_the_one_that_attends(p: float | None) -> None:
    """Catches a module that calls the reference whatever it was given, or hands it another mask, order or dropout."""
    calls: list[tuple[Any, ...]] = []

    def double_the_values(query: Tensor, key: Tensor, value: Tensor, mask: Any = None, dropout: Any = None) -> Tensor:
        calls.append((query, key, value, mask, dropout))
        return 2 * value[:, :, : query.shape[2]]

    module = module_of(6, 2, dropout=p, attention=double_the_values)
    x, y, z = normal(1, 4, 3, 6), normal(2, 4, 5, 6), normal(3, 4, 5, 6)
    mask = torch.ones(3, 5, dtype=torch.bool)
    output = module(x, y, z, mask)
    ((query, key, value, mask_given, dropout),) = calls
    assert (query.shape, key.shape, value.shape) == ((4, 2, 3, 3), (4, 2, 5, 3), (4, 2, 5, 3))
    for heads, layer, source in ((query, "linear_query", x), (key, "linear_key", y), (value, "linear_value", z)):
        assert torch.equal(heads[:, 1], getattr(module, layer)(source)[..., 3:])
    assert mask_given is mask
    assert dropout is None if p is None else (type(dropout) is nn.Dropout and dropout.p == p)
    torch.testing.assert_close(output, module.linear_cat_attn(2 * module.linear_value(z)[:, :3]))
    assert module(x, y, z).shape == (4, 3, 6)
    assert calls[-1][3] is None


def test_no_dropout_by_default() -> None:
    """Catches dropout=None that crashes, and a default that drops."""
    module = module_of(6, 2).train()
    x = normal(1, 2, 3, 6)
    assert module.dropout is None
    assert torch.equal(module(x, x, x), module(x, x, x))


def test_dropout_follows_the_mode_of_the_module() -> None:
    """Catches a dropout that is no part of the module: train() and eval() do not reach it."""
    module = module_of(6, 2, dropout=0.5)
    x = normal(1, 2, 8, 6)
    torch.manual_seed(0)
    assert not torch.equal(module.train()(x, x, x), module(x, x, x))
    assert torch.equal(module.eval()(x, x, x), module_of(6, 2)(x, x, x))


@pytest.mark.parametrize(("dim", "n_heads"), [(7, 2), (4, 8), (8, 0), (8, -2), (0, 2)])
def test_heads_that_do_not_divide_the_width(dim: int, n_heads: int, no_shape_checker: None) -> None:
    """Catches a width that is rounded down in silence, a division by zero, and an error without both numbers."""
    with pytest.raises(ValueError, match=f"multiple of n_heads; got dim = {dim}, n_heads = {n_heads}\\. Every"):
        MultiHeadSelfAttention(dim, n_heads)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda module, x: module(x, x, x, torch.ones(4, 4)), TypeError, "must be boolean"),
        (
            lambda module, x: module(x, x, x, torch.ones(5, 4) > 0),
            ValueError,
            "(2, 3, 4, 4), or be (b i j); got the shape (5, 4)",
        ),
        (lambda module, x: module(x, x, x, torch.ones(3, 4, 4) > 0), ValueError, "got the shape (3, 4, 4)"),
        (lambda module, x: module(x, x[:, :2], x), ValueError, "got (2, 3, 4, 2), (2, 3, 2, 2) and (2, 3, 4, 2)"),
        (lambda module, x: module(x, x[:1], x[:1]), ValueError, "got (2, 3, 4, 2), (1, 3, 4, 2) and (1, 3, 4, 2)"),
    ],
)
def test_bad_input_is_refused(call: Callable, error: type, message: str, no_shape_checker: None) -> None:
    """Catches a mask that is converted or dropped on the way to the attention function."""
    with pytest.raises(error, match=re.escape(message)):
        call(module_of(6, 3), normal(1, 2, 4, 6))
