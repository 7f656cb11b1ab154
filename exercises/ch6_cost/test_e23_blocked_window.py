"""What e23 blocked window must do, from the simplest property to the strictest."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from attn_lab.checks import oracles
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.largest_tensor import LargestTensor
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import FEW, SEEDS, WIDTHS

LENGTHS = st.sampled_from((6, 4, 9, 12, 7, 1, 3))
WINDOWS = st.sampled_from((3, 2, 4, 1, 5, 20))  # divides the text or does not; one key; more than there are


def tensors(b, h, n, d, e, seed):
    """Query, key and value."""
    source = generator(seed)
    return {"query": fill(source, b, h, n, d), "key": fill(source, b, h, n, d), "value": fill(source, b, h, n, e)}


def by_pair(n, window):
    """The mask by its definition: one question for each pair of a query i and a key j."""
    return torch.tensor([[i - window < j <= i for j in range(n)] for i in range(n)])


@given(b=FEW, h=FEW, n=LENGTHS, d=WIDTHS, e=WIDTHS, window=WINDOWS, seed=SEEDS)
def test_each_query_gets_a_vector_of_the_values_width(answer, b, h, n, d, e, window, seed):
    """The output has a row for each of the n queries, as wide as the values, whether the window divides n or not."""
    output = answer.local_attention(**tensors(b, h, n, d, e, seed), window=window)
    require(isinstance(output, torch.Tensor), f"local_attention must return a tensor; got {type(output).__name__}")
    agree(torch.empty(output.shape), torch.empty(b, h, n, e), torch.inf, "the output", "b h n e")
    require(output.dtype == torch.float64, f"float64 in, float64 out; got {output.dtype}")


@given(b=FEW, h=FEW, n=LENGTHS, d=WIDTHS, e=WIDTHS, seed=SEEDS)
def test_a_window_of_one_hands_back_the_values(answer, b, h, n, d, e, seed):
    """With window = 1 each query sees itself alone, so the output is the values."""
    given_tensors = tensors(b, h, n, d, e, seed)
    output = answer.local_attention(**given_tensors, window=1)
    agree(output, given_tensors["value"], EXACT.tolerance, "the output for window = 1", "b h n e")


@given(b=FEW, h=FEW, blocks=st.sampled_from((2, 3, 4)), d=WIDTHS, e=WIDTHS, window=WINDOWS, seed=SEEDS)
def test_equals_pytorch_where_the_window_divides_the_text(answer, b, h, blocks, d, e, window, seed):
    """With n = 2, 3, 4 windows, outputs and gradients are F.scaled_dot_product_attention's under the window's mask."""
    same_as_pytorch(answer, tensors(b, h, blocks * window, d, e, seed), window, seed)


@given(b=FEW, h=FEW, n=LENGTHS, d=WIDTHS, e=WIDTHS, window=WINDOWS, seed=SEEDS)
def test_equals_pytorch_for_every_length(answer, b, h, n, d, e, window, seed):
    """For every other length too: outputs and gradients are F.scaled_dot_product_attention's."""
    same_as_pytorch(answer, tensors(b, h, n, d, e, seed), window, seed)


def same_as_pytorch(answer, given_tensors, window, seed):
    """Outputs and gradients, under the mask by its definition."""
    mask = by_pair(given_tensors["query"].shape[2], window)
    compare(
        EXACT,
        lambda q, k, v: answer.local_attention(q, k, v, window),
        lambda q, k, v: oracles.sdpa(q, k, v, mask),
        given_tensors,
        axes="b h n e",
        seed=seed,
    )


@given(window=st.sampled_from((4, 1, 2, 5)), seed=SEEDS)
def test_no_tensor_has_n_times_n_numbers(answer, window, seed):
    """For 96 positions no tensor has 96 x 96 numbers: no table of scores, and no mask."""
    n = 96
    with LargestTensor() as seen:
        answer.local_attention(**tensors(1, 1, n, 2, 2, seed), window=window)
    require(
        seen.elements < n * n,
        f"no tensor may have n x n = {n * n} numbers; one has {seen.elements}, and its shape is {seen.shape}",
    )


@given(window=st.sampled_from((4, 1, 2, 5)), seed=SEEDS)
def test_the_work_grows_with_the_window_not_with_the_text(answer, window, seed):
    """For 96 positions the matrix products are less than half of the work of full attention."""
    n, d = 96, 2
    with FlopCounterMode(display=False) as counter:
        answer.local_attention(**tensors(1, 1, n, d, d, seed), window=window)
    flops, full = counter.get_total_flops(), 4 * n * n * d
    require(
        flops < full / 2,
        f"for {n} positions and a window of {window} the products take {flops} FLOPs; full attention takes {full}",
    )
