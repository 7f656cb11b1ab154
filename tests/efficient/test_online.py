"""Attention by blocks of keys, against a loop, PyTorch, and the laws of attention."""

import copy
import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from attn_lab import EncoderBlock, MultiHeadSelfAttention, TransformerEncoder, TransformerLanguageModel, masks
from attn_lab.checks import Check, Setting, for_subject
from attn_lab.checks.blocks_of_keys import ONLINE_CHECKS
from attn_lab.efficient.online import online_attention
from tests.efficient.no_square import NoSquare

EXACT = Setting()
SETTINGS = (
    EXACT,
    Setting(dtype=torch.float32),
    Setting(dtype=torch.bfloat16),
    Setting(dtype=torch.float16),
    Setting(dtype=torch.float32, autocast=torch.bfloat16),
)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(seed: int, b: int, h: int, i: int, j: int, d: int, e: int) -> list[Tensor]:
    shapes = [(b, h, i, d), (b, h, j, d), (b, h, j, e)]
    return [normal(seed + k, *shape).requires_grad_() for k, shape in enumerate(shapes)]


def written_out(query: Tensor, key: Tensor, value: Tensor, allowed: Callable[[int, int], bool]) -> Tensor:
    """One query at a time, by PyTorch's softmax over the keys that it may attend to."""
    rows = []
    for i in range(query.shape[2]):
        keys = [j for j in range(key.shape[2]) if allowed(i, j)]
        scores = key[:, :, keys] @ query[:, :, i, :, None] / math.sqrt(query.shape[3])
        rows.append((scores.softmax(dim=2) * value[:, :, keys]).sum(dim=2))
    return torch.stack(rows, dim=2)


def same_with_gradients(actual: Tensor, expected: Tensor, leaves: list[Tensor], tolerance: float = 1e-12) -> None:
    weights = normal(99, *expected.shape)
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)
    found = torch.autograd.grad((actual * weights).sum(), leaves)
    wanted = torch.autograd.grad((expected * weights).sum(), leaves)
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


def everything() -> Iterator[Any]:
    for check in ONLINE_CHECKS:
        for setting in SETTINGS:
            if setting == EXACT or "larger" not in check.name:
                yield pytest.param(check, setting, id=f"{check.name} ({setting})")


@pytest.mark.parametrize(("check", "setting"), list(everything()))
def test_it_has_every_property(check: Check, setting: Setting) -> None:
    """Catches a running maximum or sum that is not carried over, NaN from hidden blocks, lost gradients."""
    examples = {"larger": 4}.get("larger" if "larger" in check.name else "", 40 if setting == EXACT else 8)
    check.run(online_attention, dtype=setting.dtype, autocast=setting.autocast, max_examples=examples)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("check", for_subject("attention"), ids=lambda check: check.name)
def test_it_is_an_attention_function(check: Check, setting: Setting) -> None:
    """Catches another signature, and a default block that behaves otherwise than a small one."""
    for block in (128, 2):
        if block == 2 and "dropout acts on" in check.name:  # it wants to see all weights at once
            continue
        attend = partial(online_attention, block=block)
        check.run(attend, dtype=setting.dtype, autocast=setting.autocast, max_examples=6)


@given(
    n=st.integers(1, 9),
    block=st.integers(1, 10),
    masked=st.sampled_from([None, "i j", "b 1 1 j"]),
    seed=st.integers(0, 10**6),
)
def test_causal_is_the_causal_mask(n: int, block: int, masked: str | None, seed: int) -> None:
    """Catches a causal block that is off by one, that skips a query, or that forgets the mask given beside it."""
    query, key, value = leaves = inputs(seed, 1, 2, n, n, 3, 4)
    mask = {
        None: None,
        "i j": torch.rand(n, n, generator=torch.Generator().manual_seed(seed)) < 0.7,
        "b 1 1 j": torch.rand(1, 1, 1, n, generator=torch.Generator().manual_seed(seed)) < 0.7,
    }[masked]
    output = online_attention(query, key, value, mask, block=block, causal=True)
    full = torch.ones(n, n, dtype=torch.bool) if mask is None else mask.reshape(-1, n).expand(n, n)
    expected = written_out(query, key, value, lambda i, j: j <= i and bool(full[i, j]))
    same_with_gradients(output, expected, leaves)


def test_causal_saves_half_of_the_work() -> None:
    """Catches blocks of the future that are computed and then hidden."""
    leaves = inputs(0, 1, 1, 64, 64, 4, 4)
    flops = []
    for causal in (False, True):
        with FlopCounterMode(display=False) as counter:
            online_attention(*leaves, block=4, causal=causal).sum().backward()
        flops.append(counter.get_total_flops())
    assert flops[1] / flops[0] == pytest.approx(17 / 32)  # 16 blocks: 16 + 15 + … + 1 of 16 x 16


def test_causal_never_makes_a_square() -> None:
    """Catches a causal mask that is built whole: n² booleans are a quarter of the scores that were saved."""
    n = 128
    leaves = inputs(0, 1, 1, n, n, 4, 4)
    with NoSquare(n) as watch:
        online_attention(*leaves, block=16, causal=True).sum().backward()
    assert watch.elements == n * 16


def test_dropout_never_makes_a_square() -> None:
    """Catches factors of dropout that are kept for the backward pass."""
    n, kept = 128, []
    leaves = inputs(0, 1, 1, n, n, 4, 4)
    with (
        NoSquare(n) as watch,
        torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x),
    ):
        online_attention(*leaves, None, nn.Dropout(0.5), block=16).sum().backward()
    assert watch.elements == n * 16
    assert sum(kept) < 10 * n * 4  # query twice (it is scaled), key, value, output, and one number a query


@pytest.mark.parametrize("shape", [(1, 6), (4, 1), (1, 1), (2, 4, 1), (2, 1, 1, 6), (1, 3, 4, 1), (2, 3, 1, 6)])
def test_an_axis_of_one_speaks_for_all(shape: tuple[int, ...]) -> None:
    """Catches a mask whose axis of size 1 is cut to a block: the second block's keys would get no column."""
    query, key, value = leaves = inputs(0, 2, 3, 4, 6, 5, 7)
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(3)) < 0.6
    mask[..., :1, :1] = True
    full = (mask[:, None] if mask.ndim == 3 else mask).expand(2, 3, 4, 6)
    # PyTorch gives NaN for empty rows before 2.5; they are compared by the checks.
    seen = full | ~full.any(-1, keepdim=True)
    expected = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    expected = expected.masked_fill(~full.any(-1, keepdim=True), 0.0)
    same_with_gradients(online_attention(query, key, value, mask, block=2), expected, leaves)


@pytest.mark.parametrize("block", [1, 3, 128])
def test_no_keys_and_no_queries(block: int) -> None:
    """Catches an empty axis that crashes; without keys the answer is zeros, as from `attention`."""
    leaves = inputs(0, 2, 1, 3, 0, 4, 5)
    output = online_attention(*leaves, block=block)
    assert torch.equal(output, torch.zeros(2, 1, 3, 5, dtype=torch.float64))
    output.sum().backward()
    assert [tuple(x.grad.shape) for x in leaves] == [tuple(x.shape) for x in leaves]
    for sizes in [(2, 1, 0, 3, 4, 5), (0, 1, 3, 3, 4, 5)]:
        output = online_attention(*inputs(0, *sizes), block=block)
        assert output.shape == (*sizes[:3], 5)
        output.sum().backward()


def test_gradient_check_with_dropout() -> None:
    """Catches a backward pass that drops other weights than the forward pass, in query and key as well."""
    leaves = inputs(0, 1, 2, 4, 5, 3, 2)

    def seeded(*given: Tensor) -> Tensor:
        torch.manual_seed(5)
        return online_attention(*given, masks.sliding_window(5, 3, causal=False)[:4], nn.Dropout(0.4), block=2)

    assert torch.autograd.gradcheck(seeded, leaves)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout_drops_weights_at_its_rate(p: float) -> None:
    """Catches 1 - p for p, a missing rescaling, a block or a head that repeats the draws of another."""
    torch.manual_seed(2)
    b, h, i, j = 3, 2, 50, 40
    value = torch.eye(j).expand(b, h, j, j)
    dropout = nn.Dropout(p)
    weights = online_attention(torch.zeros(b, h, i, 2), torch.ones(b, h, j, 2), value, None, dropout, block=8)
    kept = weights[weights != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / j / (1 - p)))
    dropped, n = (weights == 0).sum().item(), weights.numel()
    assert abs(dropped - n * p) < 5 * math.sqrt(n * p * (1 - p))
    assert not torch.equal(weights[0, 0] == 0, weights[1, 1] == 0)
    assert not torch.equal(weights[..., :8] == 0, weights[..., 8:16] == 0)


def test_the_mean_over_many_dropouts_is_the_plain_output() -> None:
    """Catches a denominator that is dropped too: then each output is an average, and their mean another number."""
    torch.manual_seed(0)
    query, key, value = (x.detach() for x in inputs(0, 1, 1, 2, 6, 3, 2))
    many = online_attention(*(x.expand(20000, -1, -1, -1) for x in (query, key, value)), None, nn.Dropout(0.5), block=4)
    plain = online_attention(query, key, value)
    torch.testing.assert_close(many.mean(dim=0, keepdim=True), plain, rtol=0, atol=5 * many.std().item() / 20000**0.5)


def test_switching_to_eval_before_backward_changes_nothing() -> None:
    """Catches a backward pass that asks the module again, which meanwhile no longer drops."""
    leaves = inputs(0, 1, 1, 3, 5, 2, 2)
    dropout = nn.Dropout(0.5)
    torch.manual_seed(1)
    output = online_attention(*leaves, None, dropout, block=2)
    dropout.eval()
    (gradient,) = torch.autograd.grad(output.sum(), leaves[2:])
    torch.testing.assert_close((gradient * leaves[2]).sum(), output.sum())


def test_a_dropout_with_a_state_of_its_own() -> None:
    """Catches a state that is not copied: in the backward pass the counter would go on, and drop other weights."""

    class EverySecondCall:
        calls = 0

        def __call__(self, weights: Tensor) -> Tensor:
            self.calls += 1
            return weights * (self.calls % 2)

    leaves = inputs(0, 1, 1, 3, 6, 2, 2)
    dropout = EverySecondCall()
    output = online_attention(*leaves, None, dropout, block=2)  # three calls, so the next would be a zero
    assert dropout.calls == 3
    (gradient,) = torch.autograd.grad(output.sum(), leaves[2:])
    assert (gradient[:, :, 2:4] == 0).all()
    assert (gradient[:, :, [0, 1, 4, 5]] != 0).all()
    assert dropout.calls == 3


def test_random_numbers_go_on_after_backward() -> None:
    """Catches a backward pass that turns the random numbers back for everyone: the next step would draw as this one."""
    leaves = inputs(0, 1, 1, 3, 6, 2, 2)
    output = online_attention(*leaves, None, nn.Dropout(0.5), block=2)
    torch.rand(3)
    before = torch.get_rng_state()
    output.sum().backward()
    assert torch.equal(torch.get_rng_state(), before)
    again = online_attention(*leaves, None, nn.Dropout(0.5), block=2)
    assert not torch.equal(output, again)


def test_only_some_inputs_need_a_gradient() -> None:
    """Catches gradients handed to the wrong input."""
    for k in range(3):
        query, key, value = leaves = inputs(0, 1, 2, 3, 5, 3, 4)
        for x in leaves:
            x.requires_grad_(x is leaves[k])
        expected = nn.functional.scaled_dot_product_attention(query, key, value)
        same_with_gradients(online_attention(query, key, value, block=2), expected, [leaves[k]])
    with torch.no_grad():
        assert not online_attention(query, key, value, block=2).requires_grad


def test_one_tensor_in_three_roles() -> None:
    """Catches an input that is changed in place, or a gradient of one role that overwrites another's."""
    x = normal(0, 2, 3, 5, 4).transpose(2, 3).contiguous().transpose(2, 3).requires_grad_()  # not contiguous
    before = x.detach().clone()
    same_with_gradients(
        online_attention(x, x, x, block=2), nn.functional.scaled_dot_product_attention(x, x, x), [x], 1e-12
    )
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_weight_near_one_still_learns_in_half_precision(dtype: torch.dtype) -> None:
    """Catches weights, or an output kept for the backward pass, that are rounded: 0.9999 becomes 1, the gradient 0."""
    query = torch.full((1, 1, 1, 1), 9.0, dtype=dtype, requires_grad=True)
    key = torch.tensor([[[[1.0], [0.0]]]], dtype=dtype)
    output = online_attention(query, key, key, block=1)
    output.sum().backward()
    first = 1 / (1 + math.exp(-9))
    assert output.dtype == query.grad.dtype == dtype
    assert query.grad.item() == pytest.approx(first * (1 - first), rel=0.02)


def test_sums_are_kept_in_float32() -> None:
    """Catches a running sum in half precision: after 256 ones bfloat16 does not count on."""
    query, key = torch.zeros(1, 1, 1, 2, dtype=torch.bfloat16), torch.ones(1, 1, 2000, 2, dtype=torch.bfloat16)
    value = torch.ones(1, 1, 2000, 1, dtype=torch.bfloat16)
    assert online_attention(query, key, value, block=1).item() == 1.0


def test_the_gradient_of_the_query_is_summed_in_float32() -> None:
    """Catches a sum over blocks in half precision, which gets worse the smaller the blocks are."""
    leaves = [x.detach().bfloat16().requires_grad_() for x in inputs(0, 1, 2, 8, 512, 4, 4)]
    exact = [x.detach().double().requires_grad_() for x in leaves]
    online_attention(*leaves, block=1).sum().backward()
    nn.functional.scaled_dot_product_attention(*exact).sum().backward()
    error = (leaves[0].grad - exact[0].grad).abs().max() / exact[0].grad.abs().max()
    assert error < 0.015  # 0.007; summed in bfloat16 0.047


def test_float16_scores_do_not_overflow() -> None:
    """Catches the scale applied after the product, which is infinite in float16: 64 x 40 x 40 > 65504."""
    query = torch.full((1, 1, 2, 64), 40.0, dtype=torch.float16)
    key = query * torch.tensor([[1.0], [0.5]], dtype=torch.float16)
    value = torch.tensor([[[[3.0], [5.0]]]], dtype=torch.float16)
    assert online_attention(query, key, value, block=1).flatten().tolist() == [3.0, 3.0]


def test_autocast_sees_the_same_scores_forward_and_backward() -> None:
    """Catches a forward pass that autocast rounds and a backward pass that it does not: at 1000, weights of e^4."""
    query, key, value = leaves = [x.detach().float().requires_grad_() for x in inputs(0, 1, 1, 4, 6, 4, 3)]
    with torch.no_grad():
        query[..., 0] += 45.0
        key[..., 0] += 45.0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = online_attention(query, key, value, block=2)
        mixed = online_attention(query, key.bfloat16(), value, block=2)  # a rotated query comes in float32
    found = torch.autograd.grad(output.float().sum(), leaves)
    expected = torch.autograd.grad(nn.functional.scaled_dot_product_attention(query, key, value).sum(), leaves)
    torch.testing.assert_close(found[2], expected[2], rtol=0, atol=2e-3)
    assert mixed.isfinite().all()


def test_there_is_no_second_derivative() -> None:
    """Catches a second derivative that is silently wrong: the backward pass is not itself differentiable."""
    leaves = inputs(0, 1, 1, 3, 3, 2, 2)
    (gradient,) = torch.autograd.grad(online_attention(*leaves).square().sum(), leaves[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("causal", [False, True])
def test_it_stands_in_a_language_model(causal: bool) -> None:
    """Catches a function that cannot be copied with its block, and a model that becomes another with it."""
    torch.manual_seed(0)
    attend = partial(online_attention, block=3, causal=causal)
    built = TransformerLanguageModel(11, 8, 2, 16, 2, dropout=0.0, causal=not causal, attention=attend).double()
    torch.manual_seed(0)
    plain = TransformerLanguageModel(11, 8, 2, 16, 2, dropout=0.0).double()
    ids = torch.arange(14).reshape(2, 7) % 11
    logits, expected = built(ids), plain(ids)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-12)
    logits.square().sum().backward()
    expected.square().sum().backward()
    for one, other in zip(built.parameters(), plain.parameters()):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-10)


def test_it_is_copied_with_its_block() -> None:
    """Catches an encoder whose copies fall back to the default block."""
    attn = MultiHeadSelfAttention(8, 2, 0.1, attention=partial(online_attention, block=3))
    encoder = TransformerEncoder(EncoderBlock(attn, 8, 16), 2)
    assert [b.attn.attention.keywords for b in copy.deepcopy(encoder).blocks] == [{"block": 3}] * 2


@pytest.mark.parametrize("block", [0, -1])
def test_a_block_below_one(block: int, no_shape_checker: None) -> None:
    """Catches a loop that never ends, or none at all and an answer of zeros."""
    with pytest.raises(ValueError, match=f"must be at least 1; got {block}"):
        online_attention(*inputs(0, 1, 1, 2, 2, 2, 2), block=block)


def test_causal_with_unequal_lengths(no_shape_checker: None) -> None:
    """Catches a causal rule for lengths where there are two: aligned at the first key, or at the last."""
    with pytest.raises(ValueError, match="as many queries as keys; got 3 and 5"):
        online_attention(*inputs(0, 1, 1, 3, 5, 2, 2), causal=True)


def test_a_mask_that_is_not_boolean_or_does_not_broadcast(no_shape_checker: None) -> None:
    """Catches a mask of 0 and -inf, and one of the wrong size that a block happens to fit."""
    leaves = inputs(0, 2, 3, 4, 6, 5, 7)
    with pytest.raises(TypeError, match="must be boolean, True where a query may attend"):
        online_attention(*leaves, torch.zeros(4, 6))
    for shape in [(4, 2), (2, 6), (3, 4, 6), (6,)]:
        expected = f"must broadcast to (b h i j) = (2, 3, 4, 6), or be (b i j); got the shape {shape}"
        with pytest.raises(ValueError, match=re.escape(expected)):
            online_attention(*leaves, torch.ones(shape, dtype=torch.bool), block=2)


def test_inputs_that_do_not_fit(no_shape_checker: None) -> None:
    """Catches keys and values of different lengths, whose last block would be cut in silence."""
    query, key, value = inputs(0, 2, 3, 4, 6, 5, 7)
    with pytest.raises(ValueError, match=re.escape("must be (b h i d), (b h j d) and (b h j e)")):
        online_attention(query, key[:, :, :5], value)
