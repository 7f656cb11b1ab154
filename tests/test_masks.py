"""Masks against a predicate for each pair of a query and a key, alone and combined."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.overrides import TorchFunctionMode

from attn_lab import attention, masks

LENGTHS = st.integers(0, 9)


def pairs(n: int, may_attend: Callable[[int, int], bool]) -> list[list[bool]]:
    return [[may_attend(i, j) for j in range(n)] for i in range(n)]


def in_window(i: int, j: int, window: int, causal: bool) -> bool:
    return (i - window < j <= i) if causal else abs(i - j) < window


class MadeElsewhere(TorchFunctionMode):
    """Tensors that are made without naming a device land on "meta": it stands in for a GPU's default device."""

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.arange, torch.ones, torch.zeros, torch.full) and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


@given(LENGTHS)
def test_causal_is_itself_and_the_past(n: int) -> None:
    """Catches the upper triangle, a missing diagonal, a look at the next token, and a mask that is not boolean."""
    mask = masks.causal(n)
    assert mask.dtype == torch.bool
    assert mask.shape == (n, n)
    assert mask.tolist() == pairs(n, lambda i, j: j <= i)


@given(LENGTHS.flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n), max_size=5))), st.booleans())
def test_padding_is_the_first_keys_of_each_example(sizes: tuple[int, list[int]], as_tensor: bool) -> None:
    """Catches lengths off by one, True and False turned round, queries hidden for keys, an empty batch that crashes."""
    n, lengths = sizes
    given_lengths = torch.tensor(lengths, dtype=torch.int32) if as_tensor else lengths
    mask = masks.padding(given_lengths, n)
    assert mask.dtype == torch.bool
    assert mask.shape == (len(lengths), 1, 1, n)
    assert mask[:, 0, 0].tolist() == [[j < length for j in range(n)] for length in lengths]


@given(LENGTHS, st.integers(1, 12), st.booleans())
def test_sliding_window_counts_the_query_itself(n: int, window: int, causal: bool) -> None:
    """Catches a window of one key more or less, one that looks forward, and one that wraps around."""
    mask = masks.sliding_window(n, window, causal)
    assert mask.dtype == torch.bool
    assert mask.shape == (n, n)
    assert mask.tolist() == pairs(n, lambda i, j: in_window(i, j, window, causal))
    assert torch.equal(masks.sliding_window(n, window), masks.sliding_window(n, window, causal=True))


def test_the_narrowest_and_the_widest_window() -> None:
    """Catches a window of 1 that sees a neighbour, and one as long as the text that does not see all of it."""
    n = 6
    for causal in (True, False):
        assert masks.sliding_window(n, 1, causal).tolist() == pairs(n, lambda i, j: i == j)
    for window in (n, n + 5):
        assert masks.sliding_window(n, window).tolist() == pairs(n, lambda i, j: j <= i)
        assert masks.sliding_window(n, window, causal=False).all()


@given(
    sizes=st.tuples(st.integers(1, 7), st.integers(1, 4), st.integers(1, 8)),
    two_sided=st.booleans(),
    past_only=st.booleans(),
    seed=st.integers(0, 999),
)
def test_masks_combine(sizes: tuple[int, int, int], two_sided: bool, past_only: bool, seed: int) -> None:
    """Catches `|` for `&`, and shapes that combine with the examples along the wrong axis."""
    n, b, window = sizes
    lengths = torch.randint(0, n + 1, (b,), generator=torch.Generator().manual_seed(seed))
    mask = masks.padding(lengths, n) & masks.sliding_window(n, window, not two_sided)
    if past_only:
        mask = mask & masks.causal(n)

    def may_attend(length: int, i: int, j: int) -> bool:
        return j < length and in_window(i, j, window, not two_sided) and (j <= i or not past_only)

    expected = [pairs(n, partial(may_attend, length)) for length in lengths.tolist()]
    assert mask.shape == (b, 1, n, n)
    assert mask[:, 0].tolist() == expected

    # In attention the weights of allowed keys are even where all scores are: a weight tells which mask was at work.
    h, source = 3, torch.zeros(b, 3, n, 2)
    weights = attention(source, source, torch.eye(n).expand(b, h, n, n), mask)
    for head in range(h):
        assert (weights[:, head] > 0).tolist() == expected


def test_a_mask_is_made_where_it_is_asked_for() -> None:
    """Catches a device that is taken and not used."""
    for make in (lambda **d: masks.causal(3, **d), lambda **d: masks.sliding_window(3, 2, **d)):
        assert make().device.type == "cpu"
        assert make(device="meta").device.type == "meta"
        assert make(device=torch.device("meta")).device.type == "meta"


def test_padding_lies_where_the_lengths_lie() -> None:
    """Catches positions made on the default device: on a GPU the comparison with the lengths would fail."""
    lengths = torch.tensor([2, 0, 3])
    with MadeElsewhere():
        assert torch.arange(3).device.type == "meta"
        mask = masks.padding(lengths, 3)
        none = masks.padding(lengths[:0], 3)
    assert mask.device.type == none.device.type == "cpu"
    assert mask[:, 0, 0].sum(dim=-1).tolist() == [2, 0, 3]


def test_each_call_makes_a_mask_of_its_own() -> None:
    """Catches a cached mask: a caller's change in place would reach everyone."""
    lengths = torch.tensor([1, 2])
    for make in (lambda: masks.causal(3), lambda: masks.padding(lengths, 3), lambda: masks.sliding_window(3, 2)):
        before = make().clone()
        make().fill_(True)
        assert torch.equal(make(), before)
    assert lengths.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("shape", "becomes"),
    [
        ((4, 5), (4, 5)),
        ((2, 4, 5), (2, 1, 4, 5)),
        ((1, 4, 5), (1, 1, 4, 5)),
        ((2, 1, 5), (2, 1, 1, 5)),
        ((2, 1, 1, 5), (2, 1, 1, 5)),
        ((2, 3, 4, 5), (2, 3, 4, 5)),
    ],
)
def test_a_mask_is_conformed(shape: tuple[int, ...], becomes: tuple[int, ...]) -> None:
    """Catches a head axis put in the wrong place, or put into a mask that needs none."""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.5
    conformed = masks.conform(mask, (2, 3, 4, 5))
    assert conformed.shape == becomes
    assert conformed.flatten().tolist() == mask.flatten().tolist()


@pytest.mark.parametrize(
    "shape", [(3, 4, 5), (5, 4), (2, 2, 4, 5), (1, 1, 2, 4, 5), (1, 2, 3, 4, 5), (3,), (5,), (1,), ()]
)
def test_a_mask_that_cannot_be_conformed(shape: tuple[int, ...], no_shape_checker: None) -> None:
    """Catches a mask of three axes taken for one of heads, and an error that does not give both shapes."""
    expected = f"must broadcast to (b h i j) = (2, 3, 4, 5), or be (b i j); got the shape {shape}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        masks.conform(torch.ones(shape, dtype=torch.bool), (2, 3, 4, 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.uint8])
def test_a_mask_of_another_dtype(dtype: torch.dtype, no_shape_checker: None) -> None:
    """Catches an error that does not say how to convert, or says it for one kind of mask only."""
    with pytest.raises(TypeError, match=rf"must be boolean.*got {dtype}\..*mask\.bool\(\).*mask == 0.*~mask"):
        masks.conform(torch.ones(4, 5, dtype=dtype), (2, 3, 4, 5))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: masks.causal(-1), ValueError, "a length must be a whole number, at least 0; got -1"),
        (lambda: masks.sliding_window(-2, 3), ValueError, "a length must be a whole number, at least 0; got -2"),
        (lambda: masks.padding([0], -3), ValueError, "a length must be a whole number, at least 0; got -3"),
        (
            lambda: masks.sliding_window(5, 0),
            ValueError,
            "counts the query's own position and must be a whole number, at least 1; got 0",
        ),
        (lambda: masks.sliding_window(5, -4, causal=False), ValueError, "a whole number, at least 1; got -4"),
        (lambda: masks.sliding_window(5, 2.5), ValueError, "a whole number, at least 1; got 2.5"),
        (lambda: masks.causal(2.5), ValueError, "a whole number, at least 0; got 2.5"),
        (lambda: masks.padding([3, 6, 1], 5), ValueError, "must lie between 0 and n = 5; got 1 to 6"),
        (lambda: masks.padding(torch.tensor([3, -2]), 5), ValueError, "must lie between 0 and n = 5; got -2 to 3"),
        (lambda: masks.padding([-1, 5], 5), ValueError, "must lie between 0 and n = 5; got -1 to 5"),
        (
            lambda: masks.padding(torch.ones(2, 3).long(), 5),
            ValueError,
            "one number for each example, (b); got the shape (2, 3)",
        ),
        (lambda: masks.padding(torch.tensor(3), 5), ValueError, "one number for each example, (b); got the shape ()"),
        (lambda: masks.padding([1.0, 2.0], 5), TypeError, "lengths must be integers; got torch.float32"),
        (
            lambda: masks.padding(torch.ones(3) > 0, 5),
            TypeError,
            "got torch.bool. From a boolean mask: mask.sum(dim=-1)",
        ),
    ],
)
def test_bad_lengths_and_windows(
    call: Callable[[], Tensor], error: type[Exception], message: str, no_shape_checker: None
) -> None:
    """Catches a mask of nonsense, made in silence, and an error without what was expected and what came."""
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_padding_lies_where_its_lengths_lie() -> None:
    """Catches lengths that are moved to the default device on the way."""
    with torch.device("meta"):
        assert masks.padding(torch.tensor([2, 3], device="cpu"), 4).device.type == "cpu"
