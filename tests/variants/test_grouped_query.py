"""Grouped-query attention: every property, its names and sizes, and the attention function behind it."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attn_lab import MultiHeadSelfAttention, TransformerLanguageModel, attention, fused_attention, masks
from attn_lab.checks import Check, Setting
from attn_lab.checks.grouped_query import GROUPED_QUERY
from attn_lab.variants.grouped_query import Grouped, GroupedQueryAttention

IMPLEMENTATIONS: dict[str, dict[str, Any]] = {
    "grouped_attention": {"Grouped": Grouped(), "Grouped(fused)": Grouped(fused_attention)},
    "grouped_query_attention": {"GroupedQueryAttention": GroupedQueryAttention},
}
SETTINGS = (
    Setting(),
    Setting(dtype=torch.float32),
    Setting(dtype=torch.bfloat16),
    Setting(dtype=torch.float16),
    Setting(dtype=torch.float32, autocast=torch.bfloat16),
)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("check", [c for c in GROUPED_QUERY if c.subject in IMPLEMENTATIONS], ids=lambda c: c.name)
def test_every_property_holds(check: Check, setting: Setting) -> None:
    """Catches heads dealt out to the groups in turn instead of in runs, and gradients of one head of a group only."""
    for part in IMPLEMENTATIONS[check.subject].values():
        check.run(part, dtype=setting.dtype, autocast=setting.autocast, max_examples=25 if setting == Setting() else 8)


def test_names_and_shapes() -> None:
    """Catches projections of another width or name, and weights drawn for heads that are not there."""
    module = GroupedQueryAttention(24, 6, n_groups=2)
    widths = {"linear_query": 24, "linear_key": 8, "linear_value": 8, "linear_cat_attn": 24}
    assert {name: tuple(weight.shape) for name, weight in module.state_dict().items()} == {
        f"{layer}.{kind}": shape
        for layer, width in widths.items()
        for kind, shape in (("weight", (width, 24)), ("bias", (width,)))
    }
    assert (module.n_heads, module.n_groups) == (6, 2)
    assert module.dropout is None
    assert type(GroupedQueryAttention(24, 6, 0.3, n_groups=2).dropout) is nn.Dropout


def test_the_attention_attribute_gets_narrow_keys() -> None:
    """Catches keys that are repeated before `module.attention` is called: a cache there would hold h heads, not g."""
    module = GroupedQueryAttention(12, 6, n_groups=2).double()
    seen: list[tuple[int, ...]] = []
    inside = module.attention

    def spy(query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> Tensor:
        seen.extend([tuple(query.shape), tuple(key.shape), tuple(value.shape)])
        return inside(query, key, value, *rest)

    module.attention = spy
    x = normal(0, 3, 5, 12)
    module(x, x, x)
    assert seen == [(3, 6, 5, 2), (3, 2, 5, 2), (3, 2, 5, 2)]


def test_the_given_attention_attends_with_mask_and_dropout() -> None:
    """Catches a module that calls the reference whatever it was given, and arguments lost in the repeating."""
    calls: list[tuple[Any, ...]] = []

    def mine(query: Tensor, key: Tensor, value: Tensor, mask: Any = None, dropout: Any = None) -> Tensor:
        calls.append((key, mask, dropout))
        return value

    module = GroupedQueryAttention(12, 6, 0.1, n_groups=3, attention=mine).double()
    x, mask = normal(0, 3, 5, 12), masks.causal(5)
    module(x, x, x, mask)
    ((key, mask_given, dropout),) = calls
    assert key.shape == (3, 6, 5, 2)
    assert torch.equal(key[:, 0::2], key[:, 1::2])  # two heads beside each other share a group
    assert not torch.equal(key[:, 0], key[:, 2])
    assert mask_given is mask
    assert dropout is module.dropout


def test_one_group_is_multi_query_attention() -> None:
    """Catches a single group that is not shared by all heads: the keys of multi-head attention, all heads alike."""
    module, full = GroupedQueryAttention(12, 3, n_groups=1).double(), MultiHeadSelfAttention(12, 3).double()
    state = {name: w.repeat(3, *[1] * (w.ndim - 1)) if len(w) == 4 else w for name, w in module.state_dict().items()}
    full.load_state_dict(state)
    x = normal(0, 2, 5, 12)
    torch.testing.assert_close(module(x, x, x), full(x, x, x), rtol=0, atol=1e-14)


def test_it_drops_into_a_model() -> None:
    """Catches a constructor that `attention_module` cannot call, and blocks that are not copies."""
    model = TransformerLanguageModel(
        7, 8, 4, 16, 2, 0.0, attention_module=partial(GroupedQueryAttention, n_groups=2), attention=fused_attention
    )
    model(torch.tensor([[1, 2, 3]])).sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())
    assert model.encoder.blocks[1].attn.linear_key.weight.shape == (4, 8)


def test_the_window_shows_through() -> None:
    """Catches a cache that cannot see that the function inside needs only the last keys."""

    def windowed(*inputs: Any) -> Tensor:
        return inputs[0]

    assert Grouped(attention).window is None
    windowed.window = 5
    assert Grouped(windowed).window == 5


@pytest.mark.parametrize(("h", "g"), [(4, 3), (4, 0), (4, 8), (4, -2)])
def test_groups_that_do_not_divide_the_heads(h: int, g: int, no_shape_checker: None) -> None:
    """Catches heads that are left without a group, and an error without both numbers."""
    with pytest.raises(ValueError, match=f"multiple of the number of groups; got {h} heads and {g} groups"):
        GroupedQueryAttention(8, h, n_groups=g)
    if g > 0:
        with pytest.raises(ValueError, match=f"got {h} heads and {g} groups"):
            Grouped()(normal(0, 1, h, 3, 2), normal(1, 1, g, 3, 2), normal(2, 1, g, 3, 2))


@pytest.mark.parametrize(("dim", "h"), [(7, 2), (8, 0)])
def test_heads_that_do_not_divide_the_width(dim: int, h: int, no_shape_checker: None) -> None:
    """Catches a width that is rounded down in silence, and a division by zero."""
    with pytest.raises(ValueError, match=f"got dim = {dim}, n_heads = {h}"):
        GroupedQueryAttention(dim, h, n_groups=1)
