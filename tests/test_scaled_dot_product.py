"""Attention, the definition and the fused call, against a loop in plain Python over numbers, not tensors."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attn_lab import attention, fused_attention
from attn_lab.scaled_dot_product import masked_softmax

both = pytest.mark.parametrize("attend", [attention, fused_attention])

# The axes of a mask, and which of its entries speaks for the query i and the key j of a head.
MASKS: dict[str, Callable[[Tensor, int, int, int, int], Tensor]] = {
    "i j": lambda m, b, h, i, j: m[i, j],
    "b i j": lambda m, b, h, i, j: m[b, i, j],
    "b 1 j": lambda m, b, h, i, j: m[b, 0, j],
    "b 1 1 j": lambda m, b, h, i, j: m[b, 0, 0, j],
    "b 1 i j": lambda m, b, h, i, j: m[b, 0, i, j],
    "1 h i j": lambda m, b, h, i, j: m[0, h, i, j],
    "b h 1 j": lambda m, b, h, i, j: m[b, h, 0, j],
    "b h i j": lambda m, b, h, i, j: m[b, h, i, j],
}


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softmax(scores: list[float]) -> list[float]:
    exps = [math.exp(score - max(scores)) for score in scores]
    return [x / math.fsum(exps) for x in exps]


def written_out(query: Tensor, key: Tensor, value: Tensor, allowed: Callable[..., bool]) -> Tensor:
    """One query at a time, over the keys that it may attend to; a query without keys gets zeros."""
    output = torch.zeros(*query.shape[:3], value.shape[3], dtype=torch.float64)
    for b, h, i in indices(query.shape[:3]):
        keys = [j for j in range(key.shape[2]) if allowed(b, h, i, j)]
        scores = [math.fsum((query[b, h, i] * key[b, h, j]).tolist()) / math.sqrt(query.shape[3]) for j in keys]
        for weight, j in zip(softmax(scores), keys) if keys else ():
            output[b, h, i] += weight * value[b, h, j]
    return output


def indices(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    yield from torch.cartesian_prod(*(torch.arange(n) for n in shape)).tolist()


def uniform(*shape: int) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value whose output is the weights themselves, each of them 1 / j: the values are the identity."""
    b, h, i, j = shape
    return torch.zeros(b, h, i, 2), torch.ones(b, h, j, 2), torch.eye(j).expand(b, h, j, j)


@both
@given(
    axes=st.sampled_from(list(MASKS)),
    sizes=st.tuples(*[st.integers(1, 4)] * 6),
    density=st.sampled_from([0.6, 0.3, 0.0, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_every_shape_of_mask(attend: Callable, axes: str, sizes: tuple[int, ...], density: float, seed: int) -> None:
    """Catches a mask read along the wrong axes, turned round, or added after the softmax; a query without keys: NaN."""
    b, h, i, j, d, e = sizes
    inputs = [normal(seed + k, *shape) for k, shape in enumerate([(b, h, i, d), (b, h, j, d), (b, h, j, e)])]
    shape = [dict(zip("bhij", sizes)).get(axis, 1) for axis in axes.split()]
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density
    expected = written_out(*inputs, lambda *at: bool(MASKS[axes](mask, *at)))
    leaves = [x.clone().requires_grad_() for x in inputs]
    output = attend(*leaves, mask)
    torch.testing.assert_close(output.detach(), expected, rtol=0, atol=1e-12)
    output.sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)


@both
@given(sizes=st.tuples(*[st.integers(1, 5)] * 6), seed=st.integers(0, 2**31))
def test_no_mask(attend: Callable, sizes: tuple[int, ...], seed: int) -> None:
    """Catches a wrong scale, a softmax over the queries, and two lengths or two widths taken for one."""
    b, h, i, j, d, e = sizes
    inputs = [normal(seed + k, *shape) for k, shape in enumerate([(b, h, i, d), (b, h, j, d), (b, h, j, e)])]
    expected = written_out(*inputs, lambda *_: True)
    torch.testing.assert_close(attend(*inputs), expected, rtol=0, atol=1e-12)


def test_one_column_speaks_for_every_key() -> None:
    """Catches a mask of one column that hides the first key only."""
    query, key, value = normal(0, 2, 3, 4, 5), normal(1, 2, 3, 6, 5), normal(2, 2, 3, 6, 7)
    mask = torch.tensor([[True], [False], [True], [False]])
    expected = written_out(query, key, value, lambda b, h, i, j: i % 2 == 0)
    torch.testing.assert_close(attention(query, key, value, mask), expected, rtol=0, atol=1e-12)


class KernelMasks(TorchFunctionMode):
    """Keeps the shapes of the masks that the fused kernel is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            self.shapes.append(tuple(kwargs["attn_mask"].shape))
        return func(*args, **(kwargs or {}))


def test_the_kernel_gets_a_column_for_every_key() -> None:
    """Catches a mask of one column in the kernel: that of torch 2.3 reads past it, and now and then answers wrongly."""
    query, key, value = normal(0, 2, 3, 4, 5), normal(1, 2, 3, 6, 5), normal(2, 2, 3, 6, 7)
    with KernelMasks() as kernel:
        for shape in [(4, 1), (2, 4, 1), (2, 3, 4, 1), (1, 1)]:
            fused_attention(query, key, value, torch.ones(shape, dtype=torch.bool))
    assert [shape[-1] for shape in kernel.shapes] == [6] * 4


@both
def test_a_hidden_key_is_hidden_however_well_it_matches(attend: Callable) -> None:
    """Catches a finite fill: a score of 1e10 shines through -1e9, and of 1e3 through -100."""
    query, value = torch.ones(1, 1, 1, 1), torch.tensor([[[[1.0], [2.0]]]])
    for score in (1e3, 1e10):
        key = torch.tensor([[[[0.0], [score]]]])
        assert attend(query, key, value, torch.tensor([[True, False]])).item() == 1.0
        assert attend(query, -key, value, torch.tensor([[False, True]])).item() == 2.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_softmax_is_in_at_least_float32(dtype: torch.dtype) -> None:
    """Catches weights rounded to half precision, and float64 scores rounded to float32."""
    scores = (3 * normal(7, 2, 3, 5)).to(dtype)
    mask = torch.tensor([True, False, True, True, True])
    weights = masked_softmax(scores, mask)
    assert weights.dtype == torch.promote_types(dtype, torch.float32)
    tolerance = 1e-15 if dtype == torch.float64 else 3e-7
    for row, scores_of_row in zip(weights.flatten(0, 1), scores.flatten(0, 1)):
        assert row[mask].tolist() == pytest.approx(softmax(scores_of_row[mask].tolist()), rel=0, abs=tolerance)
    assert (weights[..., ~mask] == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_weight_near_one_still_learns_in_half_precision(dtype: torch.dtype) -> None:
    """Catches a softmax in half precision inside attention: a weight of 0.9999 becomes 1, its gradient 0."""
    query = torch.full((1, 1, 1, 1), 9.0, dtype=dtype, requires_grad=True)
    key = torch.tensor([[[[1.0], [0.0]]]], dtype=dtype)
    output = attention(query, key, key)
    output.sum().backward()
    first = 1 / (1 + math.exp(-9))
    assert output.dtype == dtype
    assert query.grad.item() == pytest.approx(first * (1 - first), rel=0.01)


@both
def test_float16_scores_do_not_overflow(attend: Callable) -> None:
    """Catches the scale applied after the product, which is infinite in float16: 64 x 40 x 40 > 65504."""
    query = torch.full((1, 1, 2, 64), 40.0, dtype=torch.float16)
    key = query * torch.tensor([[1.0], [0.5]], dtype=torch.float16)
    value = torch.tensor([[[[3.0], [5.0]]]], dtype=torch.float16)
    assert attend(query, key, value).flatten().tolist() == [3.0, 3.0]


@both
@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("mask", [None, torch.ones(50, 40, dtype=torch.bool)], ids=["no mask", "a mask"])
def test_dropout_drops_weights_at_its_rate(attend: Callable, p: float, mask: Tensor | None) -> None:
    """Catches 1 - p for p, a missing rescaling, and dropout on the scores or on the output instead of the weights."""
    torch.manual_seed(2)
    b, h, i, j = 3, 2, 50, 40
    weights = attend(*uniform(b, h, i, j), mask, nn.Dropout(p).train())
    torch.testing.assert_close(weights[weights != 0], torch.full_like(weights[weights != 0], 1 / j / (1 - p)))
    dropped, n = (weights == 0).sum().item(), weights.numel()
    assert abs(dropped - n * p) < 5 * math.sqrt(n * p * (1 - p))
    alike = (weights[0, 0] == weights[1, 1]).all(dim=-1).float().mean()
    assert alike < 0.5  # each head of each example draws for itself


@both
@pytest.mark.parametrize("dropout", [None, nn.Dropout(0.9).eval(), nn.Dropout(0.0).train()])
def test_nothing_is_dropped_outside_training(attend: Callable, dropout: nn.Dropout | None) -> None:
    """Catches dropout in eval mode, and dropout=None that crashes."""
    query, key, value = uniform(2, 1, 3, 4)
    mask = torch.ones(3, 4, dtype=torch.bool)
    for given_mask in (None, mask):
        weights = attend(query, key, value, given_mask, dropout)
        torch.testing.assert_close(weights, torch.full_like(weights, 0.25))


@both
@pytest.mark.parametrize("masked", [False, True])
def test_any_other_dropout_sees_the_weights(attend: Callable, masked: bool) -> None:
    """Catches a fused call that ignores a dropout of another kind, as the kernel does."""
    query, key, value = normal(0, 2, 3, 5, 4), normal(1, 2, 3, 6, 4), normal(2, 2, 3, 6, 1)
    mask = torch.ones(5, 6, dtype=torch.bool).tril() if masked else None
    seen = []

    def first_key_only(weights: Tensor) -> Tensor:
        seen.append(weights)
        return weights * torch.tensor([1.0] + [0.0] * 5)

    output = attend(query, key, value, mask, first_key_only)
    (weights,) = seen
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3, 5, dtype=torch.float64))
    expected = written_out(
        query, key, torch.eye(6, dtype=torch.float64).expand(2, 3, 6, 6), lambda b, h, i, j: not masked or j <= i
    )
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(output, expected[..., :1] * value[:, :, :1], rtol=0, atol=1e-12)


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8])
def test_a_mask_that_is_not_boolean(attend: Callable, dtype: torch.dtype, no_shape_checker: None) -> None:
    """Catches a mask of 0 and -inf, or of 1 and 0, that is taken for something it is not."""
    query, key, value = normal(0, 2, 3, 4, 5), normal(1, 2, 3, 6, 5), normal(2, 2, 3, 6, 7)
    for dropout in (None, nn.Dropout(0.1), torch.neg):
        with pytest.raises(TypeError) as refusal:
            attend(query, key, value, torch.ones(4, 6, dtype=dtype), dropout)
        message = str(refusal.value)
        assert "must be boolean, True where a query may attend" in message
        assert f"got {dtype}." in message
        assert all(way in message for way in ("mask.bool()", "mask == 0", "~mask"))


@both
@pytest.mark.parametrize(
    "shape", [(5,), (5, 6), (4, 5), (6, 4), (3, 4, 6), (2, 4, 5), (3, 1, 4, 6), (2, 2, 4, 6), (1, 2, 3, 4, 6), (0, 6)]
)
def test_a_mask_that_does_not_broadcast(attend: Callable, shape: tuple[int, ...], no_shape_checker: None) -> None:
    """Catches a shape error from deep inside PyTorch, which names neither the axes nor the mask."""
    query, key, value = normal(0, 2, 3, 4, 5), normal(1, 2, 3, 6, 5), normal(2, 2, 3, 6, 7)
    expected = f"must broadcast to (b h i j) = (2, 3, 4, 6), or be (b i j); got the shape {shape}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        attend(query, key, value, torch.ones(shape, dtype=torch.bool))


@both
@pytest.mark.parametrize(
    ("q", "k", "v"),
    [
        ((2, 3, 4, 5), (2, 3, 6, 4), (2, 3, 6, 7)),  # widths of query and key
        ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 5, 7)),  # lengths of key and value
        ((2, 3, 4, 5), (1, 3, 6, 5), (1, 3, 6, 7)),  # batches: PyTorch would broadcast
        ((2, 3, 4, 5), (2, 1, 6, 5), (2, 1, 6, 7)),  # heads: PyTorch would broadcast
        ((2, 3, 4, 5), (2, 3, 6, 5), (2, 1, 6, 7)),
        ((2, 4, 5), (2, 6, 5), (2, 6, 7)),  # no heads
        ((2, 3, 4, 5), (2, 3, 6, 5), (6, 7)),
        ((2, 3, 4, 5), (3, 3, 6, 5), (3, 3, 6, 7)),  # more examples, or heads, in the keys than in the queries
        ((2, 3, 4, 5), (2, 4, 6, 5), (2, 4, 6, 7)),
        ((2, 3, 4, 5, 1), (2, 3, 4, 5, 1), (2, 3, 4, 5, 1)),  # an axis too many
        ((2, 3, 4, 5, 1), (2, 3, 6, 5, 1), (2, 3, 6, 7)),
        ((2, 3, 4, 5, 1), (2, 3, 6, 5), (2, 3, 6, 7)),
        ((2, 3, 5), (2, 3, 6, 5), (2, 3, 6, 7)),  # an axis too few in some of them
        ((2, 3, 5), (2, 3, 5), (2, 3, 6, 7)),
        ((2, 3, 4, 5), (2, 3, 6, 7), (2, 3, 6, 7)),  # keys wider than the query, or fewer than the values
        ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 8, 7)),
    ],
)
def test_inputs_that_do_not_fit(attend: Callable, q: tuple, k: tuple, v: tuple, no_shape_checker: None) -> None:
    """Catches tensors that PyTorch would broadcast to an answer nobody asked for."""
    expected = f"must be (b h i d), (b h j d) and (b h j e); got {q}, {k} and {v}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        attend(torch.ones(q), torch.ones(k), torch.ones(v))


def test_the_advice_is_right(no_shape_checker: None) -> None:
    """Catches an error that tells how to split heads, and tells it wrongly."""
    with pytest.raises(ValueError, match="Split heads with") as caught:
        attention(*[torch.ones(2, 4, 6)] * 3)
    advice = str(caught.value).partition("Split heads with: ")[2]
    x, n_heads = normal(0, 2, 4, 6), 3
    heads = eval(advice, {"rearrange": rearrange, "x": x, "n_heads": n_heads})
    assert torch.equal(heads, torch.stack(x.split(2, dim=-1), dim=1))


@pytest.mark.parametrize("attend", [attention, fused_attention])
def test_a_mask_without_an_axis_for_queries_is_refused(attend: Callable, no_shape_checker: None) -> None:
    """Catches a mask of one axis, or none: is it of the keys or of the queries?"""
    query = normal(0, 2, 3, 4, 5)
    for shape in [(4,), ()]:
        with pytest.raises(ValueError, match=r"must broadcast to \(b h i j\)"):
            attend(query, query, query, torch.ones(shape, dtype=torch.bool))


def test_a_dropout_with_a_forward_of_its_own_is_called() -> None:
    """Catches a subclass of nn.Dropout that is taken for nn.Dropout itself, so that its forward never runs."""

    class Nothing(torch.nn.Dropout):
        def forward(self, weights):
            return weights * 0

    query = normal(0, 2, 3, 4, 5)
    assert (fused_attention(query, query, query, None, Nothing(0.5)) == 0).all()
