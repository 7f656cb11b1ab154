"""What e22 cost must do: the formulas against what PyTorch counts and makes."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from attn_lab.checks.compare import require
from attn_lab.checks.largest_tensor import LargestTensor

SIZES = {
    "b": st.sampled_from((2, 1, 3)),
    "h": st.sampled_from((3, 2, 1, 4)),
    "n": st.sampled_from((7, 5, 11, 3, 1)),
    "d": st.sampled_from((4, 2, 9, 7)),  # narrower than the text is long, as wide, and wider
}
KINDS = st.sampled_from((torch.float32, torch.float64, torch.bfloat16))


def inputs(b, h, n, d, dtype=torch.float32):
    """Query, key and value."""
    return [torch.ones(b, h, n, d, dtype=dtype) for _ in range(3)]


def attention(query, key, value):
    """e02's attention, with all its weights at once."""
    scores = query @ key.mT / query.shape[-1] ** 0.5
    return scores.softmax(-1) @ value


def same(found, expected, what):
    """A whole number, and the right one."""
    require(isinstance(found, int), f"{what} must be a whole number, an int; got {found!r}")
    require(found == expected, f"{what} must be {expected}; got {found}")


@given(**SIZES)
def test_the_work_is_what_pytorch_counts(answer, b, h, n, d):
    """attention_flops is what PyTorch's FlopCounterMode counts in the products of e02's attention."""
    with FlopCounterMode(display=False) as counter:
        attention(*inputs(b, h, n, d))
    same(answer.attention_flops(b, h, n, d), counter.get_total_flops(), "attention_flops")


@given(**SIZES, dtype=KINDS)
def test_what_goes_in_and_out_is_four_tensors(answer, b, h, n, d, dtype):
    """io_bytes is the size in memory of query, key, value and output."""
    query, key, value = inputs(b, h, n, d, dtype)
    output = attention(query, key, value)
    expected = sum(x.numel() * x.element_size() for x in (query, key, value, output))
    same(answer.io_bytes(b, h, n, d, dtype.itemsize), expected, "io_bytes")


@given(**SIZES, dtype=KINDS)
def test_the_largest_tensor_is_the_one_that_is_seen(answer, b, h, n, d, dtype):
    """largest_tensor_bytes is the size of the largest tensor that is seen, when every operation is watched."""
    with LargestTensor() as seen:
        attention(*inputs(b, h, n, d, dtype))
    same(
        answer.largest_tensor_bytes(b, h, n, d, dtype.itemsize), seen.elements * dtype.itemsize, "largest_tensor_bytes"
    )


@given(**SIZES)
def test_a_number_has_four_bytes_unless_told_otherwise(answer, b, h, n, d):
    """Without a width, io_bytes and largest_tensor_bytes are those of float32."""
    same(answer.io_bytes(b, h, n, d), answer.io_bytes(b, h, n, d, 4), "io_bytes without a width")
    largest = answer.largest_tensor_bytes
    same(largest(b, h, n, d), largest(b, h, n, d, 4), "largest_tensor_bytes without a width")
