"""What e24 online softmax must do, from the simplest property to the strictest."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.checks import oracles
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, compare, gradients, leaf, require
from attn_lab.checks.largest_tensor import LargestTensor
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import SEEDS, attention_cases

PLAIN = attention_cases(masks=(None,))
MASKED = attention_cases(masks=("i j", "b 1 1 j", "b 1 i j", "b h i j"), empty_rows=False)
ANY = attention_cases(masks=("i j", "b 1 1 j", "b h i j", None), empty_rows=False)
# Scores that are all below 0, too: how far, no number such as -1e4 knows.
ENDS = ((-1000, 1000), (1000, -1000), (-20_000, -10_000), (-2_000_000, -1_000_000), (10_000, 20_000))
BLOCKS = st.sampled_from((2, 1, 3, 4, 6, 7, 128))  # divides the keys or does not, one key, all of them, more than that


@given(PLAIN, BLOCKS)
def test_each_query_gets_a_vector_of_the_values_width(answer, case, block):
    """The output has a row for each query, as wide as the values: (b h i e)."""
    query, key, value, _ = case.tensors()
    output = answer.online_attention(query, key, value, block=block)
    require(isinstance(output, torch.Tensor), f"online_attention must return a tensor; got {type(output).__name__}")
    agree(torch.empty(output.shape), torch.empty(case.b, case.h, case.i, case.e), torch.inf, "the output", "b h i e")
    require(output.dtype == torch.float64, f"float64 in, float64 out; got {output.dtype}")


@given(PLAIN, st.sampled_from((0, 1, 100)))
def test_one_block_is_plain_attention(answer, case, more):
    """With a block that holds all keys, outputs and gradients are F.scaled_dot_product_attention's."""
    query, key, value, _ = case.tensors()
    compare(
        EXACT,
        lambda q, k, v: answer.online_attention(q, k, v, block=case.j + more),
        oracles.sdpa,
        {"query": query, "key": key, "value": value},
        axes="b h i e",
        seed=case.seed,
    )


@given(PLAIN, BLOCKS)
def test_equal_values_come_back(answer, case, block):
    """The weights of a query sum to one over all blocks: if every key hands over the same, each query gets that."""
    query, key, value, _ = case.tensors()
    same = value[:, :, :1]
    output = answer.online_attention(query, key, same.expand_as(value), block=block)
    agree(output, same.expand(output.shape), EXACT.tolerance, "the output for equal values", "b h i e")


@given(PLAIN, BLOCKS)
def test_equals_pytorch_whatever_the_block(answer, case, block):
    """Without a mask, outputs and gradients are F.scaled_dot_product_attention's, whatever the block."""
    query, key, value, _ = case.tensors()
    compare(
        EXACT,
        lambda q, k, v: answer.online_attention(q, k, v, block=block),
        oracles.sdpa,
        {"query": query, "key": key, "value": value},
        axes="b h i e",
        seed=case.seed,
    )


@given(MASKED, BLOCKS)
def test_equals_pytorch_under_a_mask(answer, case, block):
    """With a mask too: True means "may attend", and in some blocks a query may see nothing."""
    query, key, value, mask = case.tensors()
    compare(
        EXACT,
        lambda q, k, v: answer.online_attention(q, k, v, mask, block=block),
        lambda q, k, v: oracles.sdpa(q, k, v, mask),
        {"query": query, "key": key, "value": value},
        axes="b h i e",
        seed=case.seed,
    )


@given(ANY, BLOCKS, st.sampled_from(ENDS))
def test_large_scores_are_exact_wherever_the_largest_is(answer, case, block, ends):
    """Scores of thousands or millions, that rise or fall with the keys and differ between queries: all is finite."""
    query, key, value, mask = case.tensors()
    factor = fill(generator(case.seed), case.b, case.h, case.i)
    query, key = torch.zeros_like(query), torch.zeros_like(key)
    query[..., 0], key[..., 0] = factor * math.sqrt(case.d), torch.linspace(*ends, case.j, dtype=torch.float64)
    leaves = {"query": leaf(query), "key": leaf(key), "value": leaf(value)}
    output = answer.online_attention(*leaves.values(), mask, block=block)
    expected = oracles.sdpa(query, key, value, mask)
    agree(output, expected, 1e-9, f"the output for scores from {ends[0]} to {ends[1]}", "b h i e")
    for name, gradient in gradients(output, leaves, torch.ones(output.shape)).items():
        require(
            bool(gradient.isfinite().all()),
            f"the gradient of {name} is not finite for scores from {ends[0]} to {ends[1]}",
        )


@given(PLAIN, BLOCKS, st.sampled_from((1_000_000, 1000, 30)))
def test_hidden_keys_stay_hidden_however_low_the_others_are(answer, case, block, low):
    """A block of hidden keys in front changes nothing, also where all other scores lie a million below 0."""
    query, key, value, _ = case.tensors()
    more, source = min(block, 7), generator(case.seed + 1)
    key[..., 0], query[..., 0] = torch.linspace(-low, -2 * low, case.j), math.sqrt(case.d)
    query[..., 1:] = 0
    longer_key = torch.cat([fill(source, case.b, case.h, more, case.d), key], 2)
    longer_value = torch.cat([fill(source, case.b, case.h, more, case.e), value], 2)
    mask = (torch.arange(more + case.j) >= more).expand(case.b, 1, 1, -1)
    actual = answer.online_attention(query, longer_key, longer_value, mask, block=block)
    expected = oracles.sdpa(query, key, value)
    agree(actual, expected, 1e-9, f"the output for scores below {-low} and a hidden block in front", "b h i e")


@given(b=st.sampled_from((1, 2)), i=st.sampled_from((8, 61)), block=st.sampled_from((8, 5, 1)), seed=SEEDS)
def test_no_tensor_is_larger_than_a_block(answer, b, i, block, seed):
    """No tensor has more numbers than the scores of a block of keys, or than query and key where they are larger."""
    h, j, d, e, source = 2, 60, 3, 2, generator(seed)
    query, key, value = fill(source, b, h, i, d), fill(source, b, h, j, d), fill(source, b, h, j, e)
    mask = torch.rand(b, 1, 1, j, generator=source) < 0.7
    mask[..., 0] = True
    most = b * h * max(i * block, i * d, j * d)
    with LargestTensor() as seen:
        answer.online_attention(query, key, value, mask, block=block)
    require(
        seen.elements <= most,
        f"with a block of {block} no tensor may have more than {most} numbers; one has {seen.elements}, "
        f"its shape is {seen.shape}. All the scores, (b h i j) = {(b, h, i, j)}, would be {b * h * i * j}",
    )


@given(MASKED, BLOCKS)
def test_the_inputs_are_left_as_they_are(answer, case, block):
    """query, key, value and mask are the caller's: none is changed in place."""
    query, key, value, mask = case.tensors()
    given_tensors = {"query": query, "key": key, "value": value, "mask": mask}
    before = {name: tensor.clone() for name, tensor in given_tensors.items()}
    answer.online_attention(query, key, value, mask, block=block)
    for name, tensor in before.items():
        require(torch.equal(given_tensors[name], tensor), f"{name} is changed in place")
