"""What e14 pre norm must do, from the simplest property to the strictest: first the block, then the stack."""

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


def pre_norm(case):
    """The kind of block that this exercise is about."""
    return replace(case, norm_first=True)


CASES = encoder_cases().map(pre_norm)
WITH_GELU = encoder_cases(masks=(None,), activations=("gelu",)).map(pre_norm)
WITH_EITHER = encoder_cases(activations=("relu", "gelu")).map(pre_norm)


def block(answer, case, dropout=0.0):
    """The answer's block around attn_lab's attention module, in float64, with random parameters."""
    module = EXACT.build(lambda: block_of(case, dropout, answer.PreNormBlock))
    oracles.randomise(module, case.seed, torch.float64)
    return module


def stack(answer, case):
    """The answer's stack, of attn_lab's own pre-norm blocks, in float64, with random parameters."""
    blocks = (block_of(case, 0.0) for _ in range(case.n_blocks))
    module = EXACT.build(lambda: answer.PreNormEncoder(blocks, case.d_model))
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


class Multiplier(nn.Module):
    """Stands in for a block: notes what it gets, and multiplies it by a number."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.got = factor, []

    def forward(self, x, mask=None):
        self.got.append((x, mask))
        return self.factor * x


def handed_on(got, mask, who, axes):
    """Fails unless the mask was handed on as it is."""
    if mask is None:
        require(got is None, f"without a mask, {who} must get None for one")
    else:
        require(got is not None, f"the mask must be handed on to {who}; it got none")
        agree(got, mask, 0.0, f"the mask that {who} gets", axes)


@given(CASES)
def test_the_shape_stays(answer, case):
    """A text keeps its shape: (b n d_model)."""
    x, mask = case.tensors()
    output = block(answer, case)(x, mask)
    require(isinstance(output, torch.Tensor), f"forward must return a tensor; got {type(output).__name__}")
    agree(torch.empty(output.shape), torch.empty(x.shape), torch.inf, "the output", AXES)


@given(CASES)
def test_the_attention_reads_normalised_features(answer, case):
    """The attention module is called once, with norm1(x) as query, key and value, and with the mask."""
    x, mask = case.tensors()
    module = block(answer, case)
    module.attn = attention = Attention(finds=1.0)
    module(x, mask)
    times = len(attention.asked)
    require(times == 1, f"attn must be called once in a forward pass; it was called {times} times")
    *tensors, its_mask = attention.asked[0]
    for name, tensor in zip(("query", "key", "value"), tensors):
        agree(tensor, module.norm1(x), EXACT.tolerance, f"the {name} that attn gets, against norm1(x),", AXES)
    handed_on(its_mask, mask, "attn", case.mask)


@given(CASES)
def test_the_way_around_is_straight(answer, case):
    """Where both sub-layers find nothing but zeros, the block returns x as it came, normalised by nothing."""
    x, mask = case.tensors()
    module = block(answer, case)
    module.attn = Attention(finds=0.0)
    nn.init.zeros_(module.linear2.weight)
    nn.init.zeros_(module.linear2.bias)
    agree(module(x, mask), x, EXACT.tolerance, "the output, where the sub-layers find zeros,", AXES)


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
    """The block's outputs and all gradients are nn.TransformerEncoderLayer's with norm_first=True."""
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
    """x and the mask are the caller's: neither is changed in place, by the block or by the stack."""
    x, mask = case.tensors()
    given_tensors = {"x": x} | ({} if mask is None else {"mask": mask})
    before = {name: tensor.clone() for name, tensor in given_tensors.items()}
    with torch.no_grad():
        block(answer, case)(x, mask)
        stack(answer, case)(x, mask)
    for name, tensor in before.items():
        require(torch.equal(given_tensors[name], tensor), f"{name} is changed in place")


@given(CASES)
def test_every_block_gets_the_mask(answer, case):
    """The stack calls its blocks in turn, each on what the one before returned, and each with the mask."""
    x, mask = case.tensors()
    blocks = [Multiplier(2.0 + k) for k in range(case.n_blocks)]
    EXACT.build(lambda: answer.PreNormEncoder(blocks, case.d_model))(x, mask)
    for k, block in enumerate(blocks):
        times = len(block.got)
        require(times == 1, f"block {k} must be called once in a forward pass; it was called {times} times")
        its_x, its_mask = block.got[0]
        agree(its_x, x, EXACT.tolerance, f"what block {k} gets", AXES)
        handed_on(its_mask, mask, f"block {k}", case.mask)
        x = block.factor * x


@given(CASES)
def test_what_leaves_the_stack_is_normalised(answer, case):
    """However large the sum has grown: where the norm is as it begins, positions leave with mean 0 and variance 1."""
    x, mask = case.tensors()
    module = stack(answer, case)
    module.norm.reset_parameters()
    module.norm.eps = 0.0
    output = module(100 * x, mask)
    agree(output.mean(-1), torch.zeros(case.b, case.n), 1e-9, "the mean of a position's features", "b n")
    agree(output.var(-1, correction=0), torch.ones(case.b, case.n), 1e-9, "the variance of its features", "b n")


@given(CASES)
def test_the_stack_equals_pytorch(answer, case):
    """The stack's outputs and all gradients are those of nn.TransformerEncoder with pre-norm layers and a norm."""
    ours, theirs = stack(answer, case), oracles.encoder(oracles.block(case), case.n_blocks)
    theirs.norm = nn.LayerNorm(case.d_model, dtype=torch.float64)
    names = dict(oracles.encoder_names(case.n_blocks))
    names |= {f"norm.{kind}": (f"norm.{kind}", None) for kind in ("weight", "bias")}
    oracles.share_weights(ours, theirs, names, case.seed, case.weights_from_pytorch)
    x, mask = case.tensors()
    compare(
        EXACT,
        lambda x: ours(x, mask),
        lambda x: oracles.encoder_forward(theirs, x, mask),
        {"x": x},
        axes=AXES,
        seed=case.seed,
        shared=(ours, theirs, names),
    )
