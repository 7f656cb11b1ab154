"""Rotary positions: every property, both layouts, late positions, and the model that they drop into."""

import cmath
import re
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attn_lab import MultiHeadSelfAttention, TransformerLanguageModel, attention, fused_attention, masks
from attn_lab.checks import Check, Setting
from attn_lab.checks.positions_in_attention import POSITIONS
from attn_lab.variants.rotary import NoPositions, RotaryAttention, rotate
from tests.checks.no_float64 import DEVICE, NoFloat64

IMPLEMENTATIONS: dict[str, dict[str, Any]] = {
    "rotate": {"rotate": rotate},
    "rotary_attention": {
        "RotaryAttention": RotaryAttention(),
        "RotaryAttention(fused)": RotaryAttention(fused_attention),
    },
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
@pytest.mark.parametrize("check", [c for c in POSITIONS if c.subject in IMPLEMENTATIONS], ids=lambda c: c.name)
def test_every_property_holds(check: Check, setting: Setting) -> None:
    """Catches wrong pairs, a wrong sign, frequency or alignment, a turned value, and a gradient that is missing."""
    for part in IMPLEMENTATIONS[check.subject].values():
        check.run(part, dtype=setting.dtype, autocast=setting.autocast, max_examples=25 if setting == Setting() else 8)


def test_a_turn_by_hand() -> None:
    """Catches radians taken for turns, and the position counted from 1: numbers that no other code made."""
    x = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64).expand(1, 1, 2, 4)
    first, second = cmath.exp(1j), cmath.exp(0.01j)
    expected = [[1.0, 0.0, 1.0, 0.0], [first.real, first.imag, second.real, second.imag]]
    turned = rotate(x, torch.arange(2))[0, 0]
    torch.testing.assert_close(turned, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-15)


def test_halves_are_the_same_turns_in_another_order() -> None:
    """Catches the second layout's pairs or angles mixed up: (k, k + d / 2) instead of (2k, 2k + 1)."""
    x, positions = normal(0, 2, 3, 5, 6), torch.tensor([4, 0, -3, 9, 1])
    order = [0, 2, 4, 1, 3, 5]  # where (2k, 2k + 1) goes
    expected = rotate(x, positions)[..., order]
    torch.testing.assert_close(rotate(x[..., order], positions, halves=True), expected, rtol=0, atol=1e-15)
    key, value = normal(1, 2, 3, 5, 6), normal(2, 2, 3, 5, 4)
    turned = RotaryAttention(halves=True)(x[..., order], key[..., order], value)
    torch.testing.assert_close(turned, RotaryAttention()(x, key, value), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_late_positions_are_exact(dtype: torch.dtype) -> None:
    """Catches angles in float32, 1e-3 off at position 100,000, and a turn in half precision: one rounding is all."""
    x, positions = normal(0, 1, 1, 3, 8).to(dtype), torch.tensor([99_999, 100_000, 70_001])
    expected = rotate(x.double(), positions)
    rounding = 0 if dtype == torch.float32 else 0.51 * torch.finfo(dtype).eps
    torch.testing.assert_close(rotate(x, positions).double(), expected, rtol=rounding, atol=4e-7)


def test_the_base_reaches_both_sides() -> None:
    """Catches a base that only the queries hear of."""
    query, key, value = normal(0, 1, 2, 3, 4), normal(1, 1, 2, 3, 4), normal(2, 1, 2, 3, 4)
    turned = [rotate(x, torch.arange(3), 77.0) for x in (query, key)]
    torch.testing.assert_close(RotaryAttention(base=77.0)(query, key, value), attention(*turned, value))


def test_mask_and_dropout_are_handed_on() -> None:
    """Catches an argument that is lost on the way to the function inside, or a value that is turned."""
    seen: list[Any] = []

    def inside(query: Tensor, key: Tensor, value: Tensor, mask: Any = None, dropout: Any = None) -> Tensor:
        seen.extend([value, mask, dropout])
        return query

    x, mask, dropout = normal(0, 1, 2, 3, 4), masks.causal(3), nn.Dropout(0.5)
    RotaryAttention(inside)(x, x, x, mask, dropout)
    assert [given is expected for given, expected in zip(seen, (x, mask, dropout))] == [True] * 3


def test_fewer_queries_are_the_last_ones() -> None:
    """Catches queries taken for the first positions: a cache would answer with wrong distances."""
    query, key, value = normal(0, 2, 2, 7, 4), normal(1, 2, 2, 7, 4), normal(2, 2, 2, 7, 4)
    attend, mask = RotaryAttention(), masks.causal(7)
    whole = attend(query, key, value, mask)
    for new in (1, 2, 6):
        torch.testing.assert_close(attend(query[:, :, -new:], key, value, mask[-new:]), whole[:, :, -new:])


def test_the_window_shows_through() -> None:
    """Catches a cache that cannot see that the function inside needs only the last keys."""

    def windowed(*inputs: Any) -> Tensor:
        return inputs[0]

    assert RotaryAttention().window is None
    windowed.window = 5
    assert RotaryAttention(windowed).window == 5


def test_no_positions_is_dropout_alone() -> None:
    """Catches a part that adds something, that drops in evaluation, or that has an end."""
    x = normal(0, 2, 9, 4)
    part = NoPositions(4, 0.5, max_len=3)
    assert torch.equal(part.eval()(x), x)
    assert set((part.train()(x) / x).unique().round().tolist()) == {0.0, 2.0}
    assert not list(part.parameters())


def test_a_model_of_rotary_parts_learns_where_words_stand() -> None:
    """Catches parts that do not drop in: without positions of any kind, the same words in another order are alike."""
    build = partial(TransformerLanguageModel, 7, 8, 2, 16, 1, 0.0, causal=False, positions=NoPositions)
    ids, other = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[2, 1, 3, 4]])
    for attend, same in ((attention, True), (RotaryAttention(), False)):
        torch.manual_seed(0)
        model = build(attention=attend)
        assert torch.allclose(model(ids)[0, -1], model(other)[0, -1], atol=1e-6) is same
        model(ids).sum().backward()


def test_a_device_without_float64() -> None:
    """Catches angles that are computed in float64 on a device that has none, and a table that stays on the CPU."""
    x = normal(0, 1, 2, 3, 4).float()
    expected = RotaryAttention()(x, x, x)
    with NoFloat64():
        there = x.to(DEVICE)
        assert torch.equal(RotaryAttention()(there, there, there).to("cpu"), expected)


@pytest.mark.parametrize(
    ("d", "positions"), [(3, [0, 1]), (1, [0, 1]), (4, [0, 1, 2]), (4, [0]), (4, [[0, 1]]), (4, 0)]
)
def test_bad_input_is_refused(d: int, positions: Any, no_shape_checker: None) -> None:
    """Catches a width that leaves one feature over, and positions that would broadcast."""
    shape = tuple(torch.tensor(positions).shape)
    with pytest.raises(ValueError, match=re.escape(f"got d = {d}, n = 2 and positions of the shape {shape}")):
        rotate(normal(0, 1, 1, 2, d), torch.tensor(positions))


def test_odd_heads_are_refused_by_the_module() -> None:
    """Catches the error that names no way out: dim / n_heads must be even."""
    x = normal(0, 1, 2, 6).float()
    with pytest.raises(ValueError, match="Choose dim / n_heads even"):
        MultiHeadSelfAttention(6, 2, attention=RotaryAttention())(x, x, x)
