"""What e02 attention must do, from the simplest property to the strictest."""

import torch
from hypothesis import given
from torch import nn

from attn_lab.checks import oracles
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import attention_cases

SMALL = attention_cases(masks=(None,))
# A mask of three axes is for the module (e08): here it has the axes of the scores, or broadcasts to them.
MASKED = attention_cases(masks=("i j", "b 1 1 j", "b 1 i j", "b h i j", None), empty_rows=False)


@given(SMALL)
def test_each_query_gets_a_vector_of_the_values_width(answer, case):
    """The output has a row for each query, as wide as the values: (b h i e)."""
    query, key, value, _ = case.tensors()
    output = answer.attention(query, key, value)
    require(isinstance(output, torch.Tensor), f"attention must return a tensor; got {type(output).__name__}")
    agree(torch.empty(output.shape), torch.empty(case.b, case.h, case.i, case.e), torch.inf, "the output", "b h i e")
    require(output.dtype == torch.float64, f"float64 in, float64 out; got {output.dtype}")


@given(SMALL)
def test_equal_values_come_back(answer, case):
    """The weights of a query sum to one: if every key hands over the same vector, each query gets that vector."""
    query, key, value, _ = case.tensors()
    same = value[:, :, :1]
    output = answer.attention(query, key, same.expand_as(value))
    agree(output, same.expand(output.shape), EXACT.tolerance, "the output for equal values", "b h i e")


@given(SMALL)
def test_equals_pytorch(answer, case):
    """Without a mask, outputs and gradients are those of F.scaled_dot_product_attention."""
    query, key, value, _ = case.tensors()
    inputs = {"query": query, "key": key, "value": value}
    compare(EXACT, answer.attention, oracles.sdpa, inputs, axes="b h i e", seed=case.seed)


@given(MASKED)
def test_equals_pytorch_under_a_mask(answer, case):
    """With a mask too: True means "may attend"; outputs and gradients are F.scaled_dot_product_attention's."""
    query, key, value, mask = case.tensors()
    compare(
        EXACT,
        lambda q, k, v: answer.attention(q, k, v, mask),
        lambda q, k, v: oracles.sdpa(q, k, v, mask),
        {"query": query, "key": key, "value": value},
        axes="b h i e",
        seed=case.seed,
    )


@given(MASKED)
def test_hidden_keys_stay_hidden_however_large_the_scores(answer, case):
    """Scores of minus and plus a million: a hidden key gets the weight 0, not a small one."""
    query, key, value, mask = case.tensors()
    signs = fill(generator(case.seed), case.b, case.h, case.j).sign()
    big = 1e6**0.5 * case.d**0.25  # query · key / √d is then a million
    query, key = torch.zeros_like(query), torch.zeros_like(key)
    query[..., 0], key[..., 0] = big, signs * big
    output = answer.attention(query, key, value, mask)
    expected = oracles.sdpa(query, key, value, mask)
    agree(output, expected, EXACT.tolerance, "the output for scores of minus and plus a million", "b h i e")


@given(MASKED)
def test_the_order_of_the_keys_is_irrelevant(answer, case):
    """Keys, with their values and the mask's columns, in another order: the output stays."""
    query, key, value, mask = case.tensors()
    order = torch.randperm(case.j, generator=generator(case.seed))
    expected = answer.attention(query, key, value, mask)
    actual = answer.attention(query, key[:, :, order], value[:, :, order], None if mask is None else mask[..., order])
    agree(actual, expected, EXACT.tolerance, "the output for keys in another order", "b h i e")


@given(MASKED)
def test_the_inputs_are_left_as_they_are(answer, case):
    """query, key, value and mask are the caller's: none is changed in place."""
    query, key, value, mask = case.tensors()
    given_tensors = {"query": query, "key": key, "value": value, "mask": mask}
    before = {name: tensor.clone() for name, tensor in given_tensors.items() if tensor is not None}
    answer.attention(query, key, value, mask)
    for name, tensor in before.items():
        require(torch.equal(given_tensors[name], tensor), f"{name} is changed in place")


@given(MASKED)
def test_dropout_acts_on_the_weights(answer, case):
    """`dropout` gets the weights (b h i j), after the softmax, and what it returns is used."""
    query, key, value, mask = case.tensors()
    shape = (case.b, case.h, case.i, case.j)
    kept = 2.0 * (torch.rand(shape, generator=generator(case.seed)) < 0.5).double()

    def drop(weights):
        got = tuple(weights.shape)
        require(got == shape, f"dropout must get the weights, (b h i j) = {shape}; got {got}")
        return weights * kept

    output = answer.attention(query, key, value, mask, drop)
    expected = oracles.attention_loop(query, key, value, mask, kept)
    agree(output, expected, EXACT.tolerance, "the output under dropout of the weights", "b h i e")


@given(MASKED)
def test_dropout_is_for_training(answer, case):
    """An nn.Dropout knows whether it is in training: in evaluation it drops nothing."""
    query, key, value, mask = case.tensors()
    dropout = nn.Dropout(0.5)
    plain = answer.attention(query, key, value, mask)
    resting = answer.attention(query, key, value, mask, dropout.eval())
    agree(resting, plain, EXACT.tolerance, "the output with dropout in eval mode", "b h i e")
    training = answer.attention(query, key, value, mask, dropout.train())
    require(not torch.equal(training, plain), "dropout has no effect in training mode")
