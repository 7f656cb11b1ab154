"""What e08 multi head must do, from the simplest property to the strictest."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attn_lab.checks import oracles
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import multihead_cases

PLAIN = multihead_cases(masks=(None,))
MASKED = multihead_cases(masks=("i j", "b i j", "b 1 1 j", "b 1 i j", "b h i j"))
PROJECTIONS = ("linear_query", "linear_key", "linear_value", "linear_cat_attn")


def build(answer, case, dropout=None, **options):
    """The module in float64, every parameter random."""
    module = EXACT.build(lambda: answer.MultiHeadSelfAttention(case.dim, case.h, dropout, **options))
    oracles.randomise(module, case.seed, torch.float64)
    return module


def strict_attention(query, key, value, mask=None, dropout=None):
    """e02's attention: its mask broadcasts to (b h i j), and nothing is done for a mask that does not."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask.expand(scores.shape), -math.inf)
    weights = scores.softmax(-1)
    return (weights if dropout is None else dropout(weights)) @ value


class Recorder:
    """In the place of an attention function: it notes what it gets, and answers with numbers that are given to it."""

    def __init__(self, heads):
        self.heads, self.calls = heads, []

    def __call__(self, query, key, value, mask=None, dropout=None):
        self.calls.append({"query": query, "key": key, "value": value, "mask": mask, "dropout": dropout})
        return self.heads

    def last(self):
        """What it got in the last pass, in which it must have been called once."""
        n = len(self.calls)
        require(n == 1, f"the attention function must be called once in a forward pass; it was called {n} times")
        return self.calls.pop()


def recorder_for(case):
    return Recorder(fill(generator(case.seed + 1), case.b, case.h, case.i, case.d))


@given(PLAIN)
def test_each_query_gets_a_vector_of_the_models_width(answer, case):
    """The output has a row for each query, as wide as the model: (b i dim)."""
    query, key, value, _ = case.tensors()
    output = build(answer, case)(query, key, value)
    require(isinstance(output, torch.Tensor), f"forward must return a tensor; got {type(output).__name__}")
    agree(torch.empty(output.shape), torch.empty(case.b, case.i, case.dim), torch.inf, "the output", "b i dim")
    require(output.dtype == torch.float64, f"float64 in, float64 out; got {output.dtype}")


@given(PLAIN, st.sampled_from((None, 0.1)))
def test_four_projections_hold_all_the_weights(answer, case, dropout):
    """Its parameters are the weights (dim dim) and biases (dim) of the four projections; nothing else is saved."""
    module = build(answer, case, dropout)
    wanted = {f"{name}.weight": (case.dim, case.dim) for name in PROJECTIONS}
    wanted |= {f"{name}.bias": (case.dim,) for name in PROJECTIONS}
    for kind, named in (("parameter", dict(module.named_parameters())), ("saved tensor", module.state_dict())):
        for name, shape in wanted.items():
            require(name in named, f"the module must have the {kind} {name}; it has {', '.join(named) or 'none'}")
            agree(torch.empty(named[name].shape), torch.empty(shape), torch.inf, name)
        for name in named:
            require(name in wanted, f"the module has a {kind} that nobody asked for: {name}")


@given(PLAIN)
def test_each_head_gets_its_own_features(answer, case):
    """Head k of what attention gets is features k d to (k + 1) d - 1 of the projected query, key and value."""
    recorder = recorder_for(case)
    module = build(answer, case, attention=recorder)
    query, key, value, _ = case.tensors()
    module(query, key, value)
    got = recorder.last()
    for name, x, n in (("query", query, "i"), ("key", key, "j"), ("value", value, "j")):
        projected = getattr(module, f"linear_{name}")(x)
        expected = torch.stack(projected.split(case.d, dim=-1), dim=1)
        agree(got[name], expected, EXACT.tolerance, f"what attention gets as {name}", f"b h {n} d")


@given(PLAIN)
def test_the_heads_are_put_side_by_side_and_projected(answer, case):
    """The output is linear_cat_attn of the heads side by side: those that the given attention function returned."""
    recorder = recorder_for(case)
    module = build(answer, case, attention=recorder)
    query, key, value, _ = case.tensors()
    output = module(query, key, value)
    recorder.last()
    expected = module.linear_cat_attn(torch.cat(recorder.heads.unbind(dim=1), dim=-1))
    agree(output, expected, EXACT.tolerance, "the output", "b i dim")


@given(PLAIN)
def test_equals_pytorch(answer, case):
    """Without a mask, outputs and gradients, also of every parameter, are nn.MultiheadAttention's."""
    ours = EXACT.build(lambda: answer.MultiHeadSelfAttention(case.dim, case.h))
    theirs = oracles.multihead(case.dim, case.h)
    oracles.share_weights(ours, theirs, oracles.MULTIHEAD, case.seed, case.weights_from_pytorch)
    query, key, value, _ = case.tensors()
    compare(
        EXACT,
        ours,
        lambda q, k, v: oracles.multihead_forward(theirs, q, k, v, None),
        {"query": query, "key": key, "value": value},
        axes="b i dim",
        seed=case.seed,
        shared=(ours, theirs, oracles.MULTIHEAD),
    )


@given(MASKED)
def test_equals_pytorch_under_a_mask(answer, case):
    """With a mask too, of each allowed shape, and with an attention function whose masks only broadcast."""
    ours = EXACT.build(lambda: answer.MultiHeadSelfAttention(case.dim, case.h, attention=strict_attention))
    theirs = oracles.multihead(case.dim, case.h)
    oracles.share_weights(ours, theirs, oracles.MULTIHEAD, case.seed, case.weights_from_pytorch)
    query, key, value, mask = case.tensors()
    compare(
        EXACT,
        lambda q, k, v: ours(q, k, v, mask),
        lambda q, k, v: oracles.multihead_forward(theirs, q, k, v, mask),
        {"query": query, "key": key, "value": value},
        axes="b i dim",
        seed=case.seed,
        shared=(ours, theirs, oracles.MULTIHEAD),
    )


@given(PLAIN, st.sampled_from((0.5, 0.25)))
def test_attention_gets_the_dropout(answer, case, p):
    """Attention gets a dropout that drops with probability p in training, and nothing in evaluation."""
    recorder = recorder_for(case)
    module = build(answer, case, p, attention=recorder)
    query, key, value, _ = case.tensors()
    weights = torch.ones(400)
    module.train()(query, key, value)
    dropout = recorder.last()["dropout"]
    require(callable(dropout), f"in training attention must get a dropout that it can call; got {dropout!r}")
    dropped = dropout(weights)
    expected = torch.where(dropped == 0, 0.0, weights / (1 - p))
    agree(dropped, expected, 1e-6, f"what is left of weights of 1 after the dropout of {p}")
    require(bool((dropped == 0).any()), "in training the dropout that attention gets must drop some weights; none was")
    module.eval()(query, key, value)
    dropout = recorder.last()["dropout"]
    agree(weights if dropout is None else dropout(weights), weights, 0.0, "what eval mode leaves of weights of 1")
    module.train()(query, key, value)
    dropout = recorder.last()["dropout"]
    drops = callable(dropout) and bool((dropout(weights) == 0).any())
    require(drops, "back in training after an evaluation, the dropout that attention gets must drop again; it does not")


@given(PLAIN, st.booleans())
def test_no_dropout_unless_it_is_asked_for(answer, case, by_default):
    """With dropout=None, and by default, attention gets None, or something that drops nothing."""
    recorder = recorder_for(case)
    options = {} if by_default else {"dropout": None}
    module = EXACT.build(lambda: answer.MultiHeadSelfAttention(case.dim, case.h, attention=recorder, **options))
    query, key, value, _ = case.tensors()
    module.train()(query, key, value)
    dropout = recorder.last()["dropout"]
    require(dropout is None or callable(dropout), f"without dropout attention must get None; got {dropout!r}")
    weights = torch.ones(400)
    agree(weights if dropout is None else dropout(weights), weights, 0.0, "what is left of weights of 1")


@given(PLAIN)
def test_nothing_but_weights_is_dropped(answer, case):
    """Dropout is attention's business: where attention does not use it, training and evaluation are the same."""

    def attention(query, key, value, mask=None, dropout=None):
        return strict_attention(query, key, value, mask)

    module = build(answer, case, 0.5, attention=attention)
    query, key, value, _ = case.tensors()
    resting = module.eval()(query, key, value)
    agree(module.train()(query, key, value), resting, EXACT.tolerance, "the output in training", "b i dim")


@given(MASKED)
def test_the_inputs_are_left_as_they_are(answer, case):
    """query, key, value and mask are the caller's: none is changed in place."""
    query, key, value, mask = case.tensors()
    given_tensors = {"query": query, "key": key, "value": value, "mask": mask}
    before = {name: tensor.clone() for name, tensor in given_tensors.items()}
    build(answer, case, attention=strict_attention)(query, key, value, mask)
    for name, tensor in before.items():
        require(torch.equal(given_tensors[name], tensor), f"{name} is changed in place")


@given(MASKED, MASKED)
def test_each_call_stands_alone(answer, case, other):
    """A second call, with other lengths and another mask, is answered as if it were the first."""
    query, key, value, mask = case.tensors()
    expected = build(answer, case, attention=strict_attention)(query, key, value, mask)
    module = build(answer, case, attention=strict_attention)
    before = fill(generator(other.seed), other.b, other.i, case.dim)
    module(before, before, before, torch.ones(other.i, other.i, dtype=torch.bool).tril())
    agree(module(query, key, value, mask), expected, EXACT.tolerance, "the output of a second call", "b i dim")
