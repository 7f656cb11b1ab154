"""What e01 heads must do, from the simplest property to the strictest."""

import math
from dataclasses import dataclass

import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import FEW, LENGTHS, WIDTHS, equal_or_not


@dataclass(frozen=True)
class Case:
    """Sizes. Every entry of an input has a number of its own, so that one sees where it went."""

    b: int
    n: int
    h: int
    d: int

    def features(self):
        """(b n (h d)), in float64."""
        return numbered(self.b, self.n, self.h * self.d)

    def heads(self):
        """(b h n d), in float64."""
        return numbered(self.b, self.h, self.n, self.d)


def numbered(*shape):
    """0, 1, 2, … in this shape."""
    return torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)


def turned(x):
    """The same numbers in the same places; in memory the axes lie the other way round."""
    axes = tuple(reversed(range(x.ndim)))
    return x.permute(axes).contiguous().permute(axes)


@st.composite
def cases(draw):
    """Sizes that differ, and sizes that are equal by accident."""
    b, h = draw(FEW), draw(FEW)
    n = draw(equal_or_not(h, LENGTHS))
    return Case(b, n, h, d=draw(st.one_of(WIDTHS, st.sampled_from((h, n, 1)))))


CASES = cases()


@given(CASES)
def test_split_gives_each_head_its_positions(answer, case):
    """Split, there is a vector of d features for each example, head and position: (b h n d)."""
    x = case.features()
    heads = answer.split_heads(x, case.h)
    require(isinstance(heads, torch.Tensor), f"split_heads must return a tensor; got {type(heads).__name__}")
    wanted = torch.empty(case.b, case.h, case.n, case.d)
    agree(torch.empty(heads.shape), wanted, torch.inf, "split_heads(x, n_heads)", "b h n d")
    for dtype in (torch.float64, torch.float32, torch.int64):
        got = answer.split_heads(x.to(dtype), case.h).dtype
        require(got == dtype, f"split_heads moves numbers and changes none: {dtype} in, {dtype} out; got {got}")


@given(CASES)
def test_merge_gives_each_position_its_features(answer, case):
    """Merged, there is a vector of h d features for each example and position: (b n (h d))."""
    x = case.heads()
    merged = answer.merge_heads(x)
    require(isinstance(merged, torch.Tensor), f"merge_heads must return a tensor; got {type(merged).__name__}")
    wanted = torch.empty(case.b, case.n, case.h * case.d)
    agree(torch.empty(merged.shape), wanted, torch.inf, "merge_heads(x)", "b n (hd)")
    for dtype in (torch.float64, torch.float32, torch.int64):
        got = answer.merge_heads(x.to(dtype)).dtype
        require(got == dtype, f"merge_heads moves numbers and changes none: {dtype} in, {dtype} out; got {got}")


@given(CASES)
def test_merge_undoes_split(answer, case):
    """What was split and is merged again is what it was."""
    x = case.features()
    agree(answer.merge_heads(answer.split_heads(x, case.h)), x, 0.0, "merge_heads(split_heads(x, n_heads))", "b n (hd)")


@given(CASES)
def test_split_head_k_reads_its_own_slice(answer, case):
    """Head k holds the features k * d to (k + 1) * d - 1 of every position, and nothing else."""
    x = case.features()
    heads = answer.split_heads(x, case.h)
    for k in range(case.h):
        expected = x[:, :, k * case.d : (k + 1) * case.d]
        agree(heads[:, k], expected, 0.0, f"head {k} of split_heads(x, n_heads)", "b n d")


@given(CASES)
def test_merge_head_k_writes_its_own_slice(answer, case):
    """The features k * d to (k + 1) * d - 1 of every position are what head k holds for it."""
    x = case.heads()
    merged = answer.merge_heads(x)
    for k in range(case.h):
        written = merged[:, :, k * case.d : (k + 1) * case.d]
        agree(written, x[:, k], 0.0, f"the slice of head {k} in merge_heads(x)", "b n d")


@given(CASES)
def test_gradients_find_their_way_back(answer, case):
    """Each entry gets the gradient of the place that it was moved to."""
    b, n, h, d = case.b, case.n, case.h, case.d
    compare(
        EXACT,
        lambda x: answer.split_heads(x, h),
        lambda x: x.reshape(b, n, h, d).transpose(1, 2),
        {"x": case.features()},
        axes="b h n d",
        seed=0,
    )
    compare(
        EXACT,
        answer.merge_heads,
        lambda x: x.transpose(1, 2).reshape(b, n, h * d),
        {"x": case.heads()},
        axes="b n (hd)",
        seed=0,
    )


@given(CASES)
def test_the_input_is_left_as_it_is(answer, case):
    """x is the caller's: neither its numbers nor its shape change."""
    calls = {
        "split_heads": (case.features(), lambda x: answer.split_heads(x, case.h)),
        "merge_heads": (case.heads(), answer.merge_heads),
    }
    for name, (x, call) in calls.items():
        before, shape = x.clone(), tuple(x.shape)
        call(x)
        require(tuple(x.shape) == shape, f"{name} changes the shape of x in place, from {shape} to {tuple(x.shape)}")
        require(torch.equal(x, before), f"{name} changes x in place")


@given(CASES, st.integers(1, 4))
def test_a_width_that_the_heads_do_not_divide_is_refused(answer, case, rest):
    """If n_heads does not divide the number of features, that is an error: no feature is dropped, no head left out."""
    answer.split_heads(case.features(), case.h)
    n_heads = rest + case.h
    x = torch.zeros(case.b, case.n, case.d * n_heads + rest)
    try:
        heads = answer.split_heads(x, n_heads)
    except Exception:
        return
    got = tuple(heads.shape) if isinstance(heads, torch.Tensor) else heads
    raise AssertionError(f"{x.shape[-1]} features, n_heads = {n_heads}: expected an exception; got {got}")


@given(CASES)
def test_the_numbers_may_lie_in_memory_in_any_order(answer, case):
    """A transposed tensor, whose axes lie in memory in another order, is split and merged like any other."""
    x, heads = case.features(), case.heads()
    split = answer.split_heads(turned(x), case.h)
    agree(split, answer.split_heads(x, case.h), 0.0, "split_heads of the same x, transposed in memory,", "b h n d")
    merged = answer.merge_heads(turned(heads))
    agree(merged, answer.merge_heads(heads), 0.0, "merge_heads of the same x, transposed in memory,", "b n (hd)")
