"""What e28 alibi must do, from the simplest property to the strictest."""

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.checks import oracles
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import attention_cases


def many_heads(case):
    """Powers of two and other numbers of heads."""
    return replace(case, h=(1, 2, 3, 5, 6, 8, 12)[case.seed % 7])


MASKS = ("i j", "b 1 1 j", "b 1 i j", "b h i j", None)
CASES = attention_cases(MASKS, empty_rows=False).map(many_heads)


def written_out(h):
    """The authors' own code, in words: a power of two has the sequence; else the one below, and every second above."""
    if math.log2(h).is_integer():
        return [2 ** (-8 * (k + 1) / h) for k in range(h)]
    below = 2 ** math.floor(math.log2(h))
    return written_out(below) + written_out(2 * below)[0::2][: h - below]


def penalty(case):
    """-slope · |distance|, (h i j), number by number."""
    places = range(case.j - case.i, case.j)
    rows = [[[-m * abs(i - j) for j in range(case.j)] for i in places] for m in written_out(case.h)]
    return torch.tensor(rows, dtype=torch.float64)


def sdpa(case, query, key, value, mask):
    """PyTorch's attention with a mask of numbers: the penalty, and -inf where it is hidden."""
    hidden = ~oracles.expanded(mask, (case.b, case.h, case.i, case.j))
    added = penalty(case).expand(case.b, -1, -1, -1).masked_fill(hidden, -math.inf)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=added)


@given(st.integers(1, 40))
def test_every_head_has_a_slope(answer, h):
    """`slopes(h)` has h numbers, each between 0 and 1, no two the same."""
    found = [float(slope) for slope in answer.slopes(h)]
    require(len(found) == h, f"slopes({h}) must have {h} numbers; got {len(found)}")
    require(all(0 < slope < 1 for slope in found), f"slopes lie between 0 and 1; got {found}")
    require(len(set(found)) == h, f"no two heads have the same slope; got {found}")


@given(st.integers(0, 6))
def test_a_power_of_two_has_a_geometric_sequence(answer, k):
    """For 2^k heads each slope is the first one times the one before, and the last is 2^-8."""
    found = torch.tensor([float(slope) for slope in answer.slopes(2**k)], dtype=torch.float64)
    agree(found[-1], torch.tensor(2.0**-8, dtype=torch.float64), 1e-12, "the last slope")
    agree(found[1:], found[0] * found[:-1], 1e-12, "a slope, against the first times the one before,", "head")


@given(st.integers(1, 40))
def test_the_slopes_are_the_authors(answer, h):
    """Of any number of heads: the power of two below, then every second slope of the power of two above."""
    found = torch.tensor([float(slope) for slope in answer.slopes(h)], dtype=torch.float64)
    agree(found, torch.tensor(written_out(h), dtype=torch.float64), 1e-12, f"the slopes of {h} heads", "head")


@given(CASES)
def test_shape_and_dtype(answer, case):
    """The output is (b h i e), in the dtype that came in."""
    for dtype in (torch.float64, torch.float32):
        query, key, value = (x.to(dtype) for x in case.tensors()[:3])
        output = answer.alibi_attention(query, key, value)
        require(isinstance(output, torch.Tensor), f"it must return a tensor; got {type(output).__name__}")
        shape = (case.b, case.h, case.i, case.e)
        agree(torch.empty(output.shape), torch.empty(shape), torch.inf, "the output", "b h i e")
        require(output.dtype == dtype, f"{dtype} in, {dtype} out; got {output.dtype}")


@given(CASES)
def test_distance_alone_decides_where_nothing_is_said(answer, case):
    """With a query of zeros every score is 0: the weights are the softmax of -slope · |distance|."""
    query, key, value, _ = case.tensors()
    expected = penalty(case).softmax(-1) @ value
    output = answer.alibi_attention(torch.zeros_like(query), key, value)
    agree(output, expected, EXACT.tolerance, "the output for a query of zeros", "b h i e")


@given(CASES)
def test_equals_pytorch_with_a_mask_of_numbers(answer, case):
    """F.scaled_dot_product_attention with the penalty as its mask; outputs and gradients, with a mask too."""
    query, key, value, mask = case.tensors()
    compare(
        EXACT,
        lambda q, k, v: answer.alibi_attention(q, k, v, mask),
        lambda q, k, v: sdpa(case, q, k, v, mask),
        {"query": query, "key": key, "value": value},
        axes="b h i e",
        seed=case.seed,
    )


@given(CASES)
def test_a_text_may_begin_anywhere(answer, case):
    """Hidden keys in front move every position by as many, and nothing changes: only distances count."""
    query, key, value, mask = case.tensors()
    more, source = 1 + case.seed % 40, generator(case.seed + 1)
    front_key = fill(source, case.b, case.h, more, case.d)
    front_value = fill(source, case.b, case.h, more, case.e)
    allowed = oracles.expanded(mask, (case.b, case.h, case.i, case.j))
    expected = answer.alibi_attention(query, key, value, allowed)
    longer_key, longer_value = torch.cat([front_key, key], 2), torch.cat([front_value, value], 2)
    actual = answer.alibi_attention(query, longer_key, longer_value, F.pad(allowed, (more, 0)))
    agree(actual, expected, EXACT.tolerance, f"the output {more} positions later", "b h i e")


@given(CASES)
def test_dropout_acts_on_the_weights(answer, case):
    """`dropout` gets the weights (b h i j), after the softmax, and what it returns is used."""
    query, key, value, mask = case.tensors()
    shape = (case.b, case.h, case.i, case.j)
    kept = 2.0 * (torch.rand(shape, generator=generator(case.seed)) < 0.5).double()

    def drop(weights):
        require(tuple(weights.shape) == shape, f"dropout must get (b h i j) = {shape}; got {tuple(weights.shape)}")
        return weights * kept

    # What PyTorch's attention makes of a table of ones and zeros as values are its weights.
    weights = sdpa(case, query, key, torch.eye(case.j, dtype=torch.float64).expand(case.b, case.h, -1, -1), mask)
    output = answer.alibi_attention(query, key, value, mask, drop)
    agree(output, (weights * kept) @ value, EXACT.tolerance, "the output under dropout", "b h i e")


@given(CASES)
def test_the_inputs_are_left_as_they_are(answer, case):
    """query, key, value and mask are the caller's: none is changed in place."""
    given_tensors = dict(zip(("query", "key", "value", "mask"), case.tensors()))
    before = {name: x.clone() for name, x in given_tensors.items() if x is not None}
    answer.alibi_attention(*given_tensors.values())
    for name, tensor in before.items():
        require(torch.equal(given_tensors[name], tensor), f"{name} is changed in place")
