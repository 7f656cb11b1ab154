"""What e13 encoder block must do, from the simplest property to the strictest."""

from dataclasses import replace

import torch
from hypothesis import given
from torch import nn

from attn_lab.checks import oracles
from attn_lab.checks.building import block_of
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import encoder_cases

AXES = "b n d_model"


def post_norm(case):
    """The kind of block that this exercise is about."""
    return replace(case, norm_first=False)


CASES = encoder_cases().map(post_norm)
WITH_GELU = encoder_cases(masks=(None,), activations=("gelu",)).map(post_norm)
WITH_EITHER = encoder_cases(activations=("relu", "gelu")).map(post_norm)


def block(answer, case, dropout=0.0):
    """The answer's block around attn_lab's attention module, in float64, with random parameters."""
    module = EXACT.build(lambda: block_of(case, dropout, answer.EncoderBlock))
    oracles.randomise(module, case.seed, torch.float64)
    return module


class Attention(nn.Module):
    """Stands in for an attention module: notes what it is asked, and always finds the same."""

    def __init__(self, finds):
        super().__init__()
        self.finds, self.asked = finds, []

    def forward(self, query, key, value, mask=None):
        self.asked.append((query, key, value, mask))
        return torch.full_like(value, self.finds)


@given(CASES)
def test_the_shape_stays(answer, case):
    """A text keeps its shape: (b n d_model)."""
    x, mask = case.tensors()
    output = block(answer, case)(x, mask)
    require(isinstance(output, torch.Tensor), f"forward must return a tensor; got {type(output).__name__}")
    agree(torch.empty(output.shape), torch.empty(x.shape), torch.inf, "the output", AXES)


@given(CASES)
def test_the_attention_is_asked_once(answer, case):
    """The attention module is called once, with x as query, key and value, and with the mask."""
    x, mask = case.tensors()
    module = block(answer, case)
    module.attn = attention = Attention(finds=1.0)
    module(x, mask)
    times = len(attention.asked)
    require(times == 1, f"attn must be called once in a forward pass; it was called {times} times")
    *tensors, its_mask = attention.asked[0]
    for name, tensor in zip(("query", "key", "value"), tensors):
        agree(tensor, x, 0.0, f"the {name} that attn gets, against x,", AXES)
    if mask is None:
        require(its_mask is None, "without a mask, attn must get None for one")
    else:
        require(its_mask is not None, "the mask must be handed on to attn; it got none")
        agree(its_mask, mask, 0.0, "the mask that attn gets", case.mask)


@given(CASES)
def test_the_input_has_a_way_around(answer, case):
    """Where both sub-layers find nothing but zeros, x goes around them: what comes out is norm2(norm1(x))."""
    x, mask = case.tensors()
    module = block(answer, case)
    module.attn = Attention(finds=0.0)
    nn.init.zeros_(module.linear2.weight)
    nn.init.zeros_(module.linear2.bias)
    expected = module.norm2(module.norm1(x))
    agree(module(x, mask), expected, EXACT.tolerance, "the output, where the sub-layers find zeros,", AXES)


@given(CASES)
def test_what_leaves_is_normalised(answer, case):
    """The last step is a norm: where norm2 is as it begins, each position leaves with the mean 0 and the variance 1."""
    x, mask = case.tensors()
    module = block(answer, case)
    module.norm2.reset_parameters()
    module.norm2.eps = 0.0
    output = module(x, mask)
    agree(output.mean(-1), torch.zeros(case.b, case.n), 1e-9, "the mean of a position's features", "b n")
    agree(output.var(-1, correction=0), torch.ones(case.b, case.n), 1e-9, "the variance of its features", "b n")


def equals_pytorch(answer, case, dropout=0.0):
    """With the same weights, drawn at random."""
    ours, theirs = block(answer, case, dropout), oracles.block(case, dropout)
    theirs.self_attn.dropout = 0.0  # dropout of the weights is the attention module's business
    oracles.share_weights(ours, theirs, oracles.BLOCK, case.seed, case.weights_from_pytorch)
    x, mask = case.tensors()
    compare(
        EXACT,
        lambda x: ours(x, mask),
        lambda x: oracles.block_forward(theirs, x, mask),
        {"x": x},
        axes=AXES,
        seed=case.seed,
        shared=(ours, theirs, oracles.BLOCK),
    )


@given(CASES)
def test_equals_pytorch(answer, case):
    """Outputs and all gradients are nn.TransformerEncoderLayer's, with any mask or none."""
    equals_pytorch(answer, case)


@given(WITH_GELU)
def test_the_activation_is_the_one_given(answer, case):
    """With GELU in place of ReLU, the block equals nn.TransformerEncoderLayer with GELU."""
    equals_pytorch(answer, case)


@given(WITH_EITHER)
def test_drops_where_pytorch_drops(answer, case):
    """In training, dropout acts on what each sub-layer found, before the sum, and on what the activation returned."""
    with FixedDropout():
        equals_pytorch(answer, case, dropout=0.5)


@given(CASES)
def test_dropout_is_for_training(answer, case):
    """Evaluation computes what training would if there were no dropout, and afterwards training drops again."""
    x, mask = case.tensors()
    module = block(answer, case, dropout=0.5)
    resting = module.eval()(x, mask)
    expected = block(answer, case, dropout=0.0).train()(x, mask)
    agree(resting, expected, EXACT.tolerance, "the output in eval mode, against no dropout,", AXES)
    drops = not torch.equal(module.train()(x, mask), expected)
    require(drops, "back in training after an evaluation, it must drop again; it does not")


@given(CASES)
def test_the_inputs_are_left_as_they_are(answer, case):
    """x and the mask are the caller's: neither is changed in place."""
    x, mask = case.tensors()
    given_tensors = {"x": x} | ({} if mask is None else {"mask": mask})
    before = {name: tensor.clone() for name, tensor in given_tensors.items()}
    with torch.no_grad():
        block(answer, case)(x, mask)
    for name, tensor in before.items():
        require(torch.equal(given_tensors[name], tensor), f"{name} is changed in place")
