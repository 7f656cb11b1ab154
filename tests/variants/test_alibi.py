"""ALiBi, the definition and the fused call: every property, slopes by hand, and the model that it drops into."""

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attn_lab import TransformerLanguageModel, attention, masks
from attn_lab.checks import Check, Setting
from attn_lab.checks.positions_in_attention import POSITIONS
from attn_lab.variants.alibi import alibi_attention, bias, fused_alibi_attention, slopes
from attn_lab.variants.rotary import NoPositions
from tests.checks.no_float64 import DEVICE, NoFloat64

IMPLEMENTATIONS: dict[str, dict[str, Any]] = {
    "slopes": {"slopes": slopes},
    "alibi_attention": {"alibi_attention": alibi_attention, "fused_alibi_attention": fused_alibi_attention},
}
SETTINGS = (
    Setting(),
    Setting(dtype=torch.float32),
    Setting(dtype=torch.bfloat16),
    Setting(dtype=torch.float16),
    Setting(dtype=torch.float32, autocast=torch.bfloat16),
)
both = pytest.mark.parametrize("attend", [alibi_attention, fused_alibi_attention])


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("check", [c for c in POSITIONS if c.subject in IMPLEMENTATIONS], ids=lambda c: c.name)
def test_every_property_holds(check: Check, setting: Setting) -> None:
    """Catches a wrong sign, slope, head or alignment, a penalty on the weights, NaN in empty rows."""
    for part in IMPLEMENTATIONS[check.subject].values():
        check.run(part, dtype=setting.dtype, autocast=setting.autocast, max_examples=25 if setting == Setting() else 8)


def test_slopes_by_hand() -> None:
    """Catches a sequence that begins at 1 or at another power, and the rule for other numbers of heads."""
    assert slopes(1) == [2**-8]
    assert slopes(8) == [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256]
    assert slopes(4) == [1 / 4, 1 / 16, 1 / 64, 1 / 256]
    assert slopes(6) == [1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8]  # four heads', then every second of eight
    assert slopes(3) == [1 / 16, 1 / 256, 1 / 4]
    assert slopes(16)[0] == pytest.approx(2**-0.5)


@both
def test_weights_by_hand(attend: Callable) -> None:
    """Catches a penalty that grows towards the query, or that is scaled by the root of the width too."""
    query, key = torch.zeros(1, 8, 1, 4, dtype=torch.float64), normal(0, 1, 8, 3, 4)
    value = torch.eye(3, dtype=torch.float64).expand(1, 8, 3, 3)
    weights = attend(query, key, value)[0, :, 0]
    for slope, row in zip(slopes(8), weights.tolist()):
        exps = [math.exp(-slope * distance) for distance in (2, 1, 0)]
        assert row == pytest.approx([x / sum(exps) for x in exps], abs=1e-14)


@both
def test_fewer_queries_are_the_last_ones(attend: Callable) -> None:
    """Catches queries taken for the first positions: a cache would answer with wrong distances."""
    query, key, value = normal(0, 2, 3, 7, 4), normal(1, 2, 3, 7, 4), normal(2, 2, 3, 7, 4)
    mask = masks.causal(7)
    whole = attend(query, key, value, mask)
    for new in (1, 2, 6):
        torch.testing.assert_close(attend(query[:, :, -new:], key, value, mask[-new:]), whole[:, :, -new:])


def test_the_penalty_is_symmetric_and_knows_only_distances() -> None:
    """Catches i - j without its absolute value where the mask lets the future through."""
    query = normal(0, 1, 2, 5, 4)
    found = bias(query, query)
    assert found.shape == (2, 5, 5)
    assert torch.equal(found, found.mT)
    assert torch.equal(found[:, :-1, :-1], found[:, 1:, 1:])
    assert found.dtype == torch.float64
    assert bias(query.half(), query.half()).dtype == torch.float32


@both
@pytest.mark.parametrize("masked", [False, True])
def test_dropout_sees_the_weights(attend: Callable, masked: bool) -> None:
    """Catches a dropout that is ignored, that gets the scores, or that acts on the output."""
    query, key, value = normal(0, 2, 3, 5, 4), normal(1, 2, 3, 6, 4), normal(2, 2, 3, 6, 1)
    mask = torch.ones(5, 6, dtype=torch.bool).tril() if masked else None
    seen = []

    def first_key_only(weights: Tensor) -> Tensor:
        seen.append(weights)
        return weights * torch.tensor([1.0] + [0.0] * 5)

    output = attend(query, key, value, mask, first_key_only)
    (weights,) = seen
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3, 5, dtype=torch.float64))
    torch.testing.assert_close(output, weights[..., :1] * value[:, :, :1])


@both
def test_dropout_drops_at_its_rate_in_training(attend: Callable) -> None:
    """Catches a p that the kernel does not get, and one that it gets in evaluation."""
    torch.manual_seed(2)
    query, key = torch.zeros(3, 2, 50, 2), torch.ones(3, 2, 40, 2)
    value = torch.eye(40).expand(3, 2, 40, 40)
    for mask in (None, torch.ones(50, 40, dtype=torch.bool)):
        plain = attend(query, key, value, mask)
        dropped = attend(query, key, value, mask, nn.Dropout(0.25).train())
        assert abs((dropped == 0).double().mean() - 0.25) < 0.02
        torch.testing.assert_close(dropped[dropped != 0], plain[dropped != 0] / 0.75)
        assert torch.equal(attend(query, key, value, mask, nn.Dropout(0.25).eval()), plain)


@both
def test_no_sequence_of_scores_overflows(attend: Callable) -> None:
    """Catches a far key's penalty that becomes an infinity or NaN in half precision."""
    n = 3000
    query = torch.zeros(1, 1, 1, 2, dtype=torch.float16)
    value = torch.ones(1, 1, n, 1, dtype=torch.float16)
    assert attend(query, torch.ones(1, 1, n, 2, dtype=torch.float16), value).item() == pytest.approx(1, abs=1e-3)


def test_a_model_of_alibi_parts_learns_where_words_stand() -> None:
    """Catches parts that do not drop in: without positions of any kind, the same words in another order are alike."""
    ids, other = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[2, 1, 3, 4]])
    for attend, same in ((attention, True), (alibi_attention, False)):
        torch.manual_seed(0)
        model = TransformerLanguageModel(7, 8, 2, 16, 1, 0.0, causal=False, positions=NoPositions, attention=attend)
        assert torch.allclose(model(ids)[0, -1], model(other)[0, -1], atol=1e-6) is same
        model(ids).sum().backward()


@both
def test_a_device_without_float64(attend: Callable) -> None:
    """Catches a penalty that is computed in float64 on a device that has none, or that stays on the CPU."""
    x = normal(0, 1, 2, 3, 4).float()
    expected = attend(x, x, x, masks.causal(3))
    with NoFloat64():
        there = x.to(DEVICE)
        found = attend(there, there, there, masks.causal(3).to(DEVICE)).to("cpu")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@both
def test_bad_input_is_refused(attend: Callable, no_shape_checker: None) -> None:
    """Catches a mask or tensors that PyTorch would broadcast to an answer nobody asked for."""
    x = normal(0, 2, 3, 4, 5)
    with pytest.raises(TypeError, match=r"must be boolean.*got torch.float32"):
        attend(x, x, x, torch.ones(4, 4))
    with pytest.raises(ValueError, match=re.escape("got the shape (3, 4)")):
        attend(x, x, x, torch.ones(3, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=re.escape("got (2, 3, 4, 5), (2, 1, 4, 5) and (2, 1, 4, 5)")):
        attend(x, x[:, :1], x[:, :1])


@pytest.mark.parametrize("h", [0, -1])
def test_no_heads(h: int) -> None:
    """Catches an empty list of slopes that fails far away."""
    with pytest.raises(ValueError, match=f"at least 1 head; got {h}"):
        slopes(h)
