"""Tests of multi-head attention that accept what is wrong, or refuse what is right, with what a teacher would say."""

import contextlib
import math
import random
from functools import cache

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attn_lab import attention
from attn_lab.course.answers import load
from attn_lab.course.catalogue import find
from attn_lab.course.mistakes import Mistake, Variant
from attn_lab.course.properties import observed
from attn_lab.course.subjects import SUBJECTS

NOT_ALLOWED = (
    "attn_lab.MultiHeadSelfAttention",
    "attn_lab.checks",
    "attn_lab.course.answers",
    "attn_lab.course.mistakes",
    "attn_lab.course.properties",
    "attn_lab.course.subjects",
)

OF = (
    "property_each_call_stands_alone",
    "property_equals_pytorch",
    "property_attention_gets_the_dropout",
    "property_nothing_but_weights_is_dropped",
)
solution = load(find("e36").solution)
numbers, random_module, expected = solution.numbers, solution.random_module, solution.expected
calls, equals, dropout, only_weights = (getattr(solution, name) for name in OF)
SHAPES = (None, (5, 4), (2, 5, 4), (2, 1, 1, 4), (2, 1, 5, 4), (2, 3, 5, 4))


def test_of(*properties):
    """These properties in the place of all that the solution has."""
    return dict(zip(OF, (*properties, *[None] * len(OF)), strict=False))


def mistake(behaviour, advice, *properties, caught_by="test_every_wrong_module_is_refused"):
    return Mistake(behaviour, advice, caught_by=caught_by, called="test of multi_head", **test_of(*properties))


def broadcasting(query, key, value, mask=None, dropout=None):
    """An attention function that leaves its mask as it is."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def mask_of(shape, seed=40):
    if shape is None:
        return None
    mask = numbers(seed, *shape) > 0
    mask[..., 0] = True
    return mask


@cache
def wanted_of(b, h, same_input, shape, everything):
    """What is expected of every module with these weights; in a moment, so that a diagnosis does not take long."""
    query, key, value = numbers(30, b, 5, 6), numbers(31, b, 4, 6), numbers(32, b, 4, 6)
    if same_input:
        key = value = query
    mask = mask_of(shape)
    if mask is not None and everything:
        mask = torch.ones_like(mask)
    right = random_module(SUBJECTS["multi_head"].implementations()[0].code, 6, h)
    return expected(right, h, query, key, value, mask).detach()


def equality(shapes=SHAPES, b=2, h=3, same_input=False, everything=False, attention=broadcasting, exactly=False):
    """The solution's, in part: these masks, so many examples and heads, one input for all three, masks of True."""

    def of_module(multi_head):
        query, key, value = numbers(30, b, 5, 6), numbers(31, b, 4, 6), numbers(32, b, 4, 6)
        if same_input:
            key = value = query
        for shape in shapes:
            mask = mask_of(shape)
            if mask is not None and everything:
                mask = torch.ones_like(mask)
            module = random_module(multi_head, 6, h, attention=attention)
            output, wanted = module(query, key, value, mask), wanted_of(b, h, same_input, shape, everything)
            assert torch.equal(output, wanted) if exactly else torch.allclose(output, wanted)

    return of_module


def shape_alone(multi_head):
    for dim, n_heads in ((6, 2), (6, 3)):
        query, key = numbers(30, 2, 5, dim), numbers(31, 2, 4, dim)
        assert random_module(multi_head, dim, n_heads)(query, key, key).shape == (2, 5, dim)


def without_biases(multi_head):
    """The four weights are filled and compared by hand; a bias is set to 0 where there is one."""
    query, key, value = numbers(30, 2, 5, 6), numbers(31, 2, 4, 6), numbers(32, 2, 4, 6)
    for shape in SHAPES:
        module = multi_head(6, 3, attention=broadcasting).double()
        linears = (module.linear_query, module.linear_key, module.linear_value, module.linear_cat_attn)
        with torch.no_grad():
            for seed, linear in enumerate(linears):
                linear.weight.copy_(numbers(seed, 6, 6))
                if linear.bias is not None:
                    linear.bias.zero_()
        heads = [
            (x @ linear.weight.T).unflatten(-1, (3, 2)).transpose(1, 2)
            for x, linear in zip((query, key, value), linears)
        ]
        mask = mask_of(shape)
        inner = mask[:, None] if mask is not None and mask.ndim == 3 else mask
        wanted = broadcasting(*heads, inner).transpose(1, 2).flatten(2) @ linears[3].weight.T
        assert torch.allclose(module(query, key, value, mask), wanted)


def small_module(multi_head, *others, **options):
    """With the weights that it begins with."""
    torch.manual_seed(0)
    return multi_head(6, 2, *others, **options).double()


def calls_with_first_weights(multi_head):
    module, before, x = small_module(multi_head), numbers(20, 1, 5, 6), numbers(21, 2, 3, 6)
    module(before, before, before, torch.ones(5, 5, dtype=torch.bool).tril())
    mask = mask_of((3, 3))
    assert torch.allclose(module(x, x, x, mask), small_module(multi_head)(x, x, x, mask))


def dropout_with_first_weights(multi_head):
    got = []

    def attention(query, key, value, mask=None, dropout=None):
        got.append(dropout)
        return query

    for p in (0.25, 0.5):
        module, x = small_module(multi_head, p, attention=attention), numbers(50, 1, 3, 6)
        outputs = []
        for mode in (True, False):
            outputs.append(module.train(mode)(x, x, x))
            drop, weights = got.pop(), torch.ones(10_000)
            share = ((weights if drop is None else drop(weights)) == 0).double().mean().item()
            assert abs(share - (p if mode else 0.0)) < 0.05
        assert torch.allclose(*outputs)


def calls_once(multi_head):
    """A first call, and no second one; in training, where nothing is to be dropped."""
    x = numbers(21, 2, 30, 6)
    assert torch.allclose(random_module(multi_head, 6, 2)(x, x, x), random_module(multi_head, 6, 2).eval()(x, x, x))


def calls_in_eval(multi_head):
    module, before, x = random_module(multi_head, 6, 2).eval(), numbers(20, 1, 5, 6), numbers(21, 2, 3, 6)
    module(before, before, before, torch.ones(5, 5, dtype=torch.bool).tril())
    mask = mask_of((3, 3))
    assert torch.allclose(module(x, x, x, mask), random_module(multi_head, 6, 2).eval()(x, x, x, mask))


def attention_is_called(multi_head):
    got = []

    def attention(query, key, value, mask=None, dropout=None):
        got.append(query.shape)
        return query

    x = numbers(50, 1, 3, 6)
    random_module(multi_head, 6, 2, attention=attention)(x, x, x)
    assert got == [(1, 2, 3, 3)]


def dropout_in(modes, probabilities):
    """The solution's, in these modes and for these probabilities."""

    def of_module(multi_head):
        got = []

        def attention(query, key, value, mask=None, dropout=None):
            got.append(dropout)
            return query

        for p in probabilities:
            module = random_module(multi_head, 6, 2, p, attention=attention)
            for mode in modes:
                module.train(mode)(*[numbers(50, 1, 3, 6)] * 3)
                drop, weights = got.pop(), torch.ones(10_000)
                share = ((weights if drop is None else drop(weights)) == 0).double().mean().item()
                assert abs(share - (p if mode else 0.0)) < 0.05

    return of_module


def dropout_in_the_output(multi_head):
    """Training differs from evaluation, and evaluation is always the same."""
    module, x = random_module(multi_head, 6, 2, 0.5), numbers(60, 2, 9, 6)
    resting = module.eval()(x, x, x)
    assert torch.equal(module(x, x, x), resting)
    assert not torch.allclose(module.train()(x, x, x), resting)


def attention_gets_none(multi_head):
    got = []

    def attention(query, key, value, mask=None, dropout=None):
        got.append(dropout)
        return query

    x = numbers(50, 1, 3, 6)
    random_module(multi_head, 6, 2, attention=attention)(x, x, x)
    assert got == [None]


def has_names(multi_head):
    module = multi_head(6, 2, 0.5)
    assert module.n_heads == 2
    assert module.dropout.p == 0.5


def has_an_order(multi_head):
    names = [name for name, _ in multi_head(6, 2).named_parameters()]
    assert names[0] == "linear_query.weight"
    assert names[-1] == "linear_cat_attn.bias"


def true_means_hidden(multi_head):
    query, key, value = numbers(30, 2, 5, 6), numbers(31, 2, 4, 6), numbers(32, 2, 4, 6)
    mask = mask_of((5, 4))
    mask[:, 1] = False
    module = random_module(multi_head, 6, 3)
    assert torch.allclose(module(query, key, value, mask), expected(module, 3, query, key, value, ~mask))


def own_weights_in_float32(multi_head):
    """PyTorch's module gets the weights that the other begins with, and both reckon in float32."""
    torch.manual_seed(0)
    module, theirs = multi_head(6, 3), nn.MultiheadAttention(6, 3, batch_first=True)
    linears = module.linear_query, module.linear_key, module.linear_value
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([linear.weight for linear in linears]))
        theirs.in_proj_bias.copy_(torch.cat([linear.bias for linear in linears]))
        theirs.out_proj.load_state_dict(module.linear_cat_attn.state_dict())
    x = torch.randn(2, 5, 6)
    assert (module(x, x, x) - theirs(x, x, x)[0]).abs().max() == 0


def returned(multi_head):
    query, key, value = numbers(30, 2, 5, 6), numbers(31, 2, 4, 6), numbers(32, 2, 4, 6)
    module = random_module(multi_head, 6, 3)
    return torch.allclose(module(query, key, value), expected(module, 3, query, key, value))


def swallowed(multi_head):
    with contextlib.suppress(Exception):
        equals(multi_head)


def by_name(multi_head):
    equals(multi_head)
    assert multi_head.__mro__[1] is nn.Module


def truth_of_a_tensor(multi_head):
    query, key, value = numbers(30, 2, 5, 6), numbers(31, 2, 4, 6), numbers(32, 2, 4, 6)
    module = random_module(multi_head, 6, 3)
    assert module(query, key, value).allclose(expected(module, 3, query, key, value))
    assert module(query, key, value) == module(query, key, value)


def heads_of_chance(multi_head):
    equality(h=random.choice((3, 1)), shapes=SHAPES[:-1])(multi_head)


RIGHT, RUNS = "test_every_right_module_is_accepted", "test_the_properties_run"

MISTAKES = (
    mistake(
        "looks at the shape of the output alone",
        "A shape is soon right: compare the numbers with those of nn.MultiheadAttention.",
        shape_alone,
    ),
    mistake(
        "hands over the same tensor as query, key and value",
        "In self-attention nobody can tell which input was taken for what: hand over three tensors.",
        calls,
        equality(same_input=True, shapes=(None, (5, 5), (2, 5, 5), (2, 1, 1, 5), (2, 1, 5, 5), (2, 3, 5, 5))),
        dropout,
        only_weights,
    ),
    mistake(
        "never hands over a mask",
        "What is never handed over is never tested: try each shape that a mask may have.",
        equality(shapes=(None,)),
        calls_once,
        dropout,
        only_weights,
    ),
    mistake(
        "hands every mask to a module with attn_lab.attention, which makes room for the heads by itself",
        "A part that repairs what it is given hides mistakes: hand over an attention function that does not.",
        calls,
        equality(attention=attention),
        dropout,
        only_weights,
    ),
    mistake(
        "never tries a mask of three axes on several examples",
        "A mask (b i j) lacks the heads' axis, and with b = 1 nobody notices: try two examples, and three heads.",
        calls,
        equality(b=1, shapes=(None, (5, 4), (1, 5, 4), (1, 1, 1, 4), (1, 1, 5, 4), (1, 3, 5, 4))),
        dropout,
        only_weights,
    ),
    mistake(
        "tries one head alone",
        "With one head there is nothing to split and nothing to merge: try several.",
        calls,
        equality(h=1, shapes=(None, (5, 4), (2, 5, 4), (2, 1, 1, 4), (2, 1, 5, 4), (2, 1, 5, 4))),
        dropout,
        only_weights,
    ),
    mistake(
        "hands over masks that hide nothing",
        "A mask that is True everywhere may as well be forgotten: let it hide something.",
        calls_once,
        equality(everything=True),
        dropout,
        only_weights,
    ),
    mistake(
        "calls each module once",
        "What a module keeps shows at its second call: call it again, with another mask and another length.",
        equality(),
        calls_once,
        dropout,
        only_weights,
    ),
    mistake(
        "never asks for dropout",
        "What is never asked for is never tested: build the module with a probability too.",
        calls,
        equality(),
        attention_is_called,
    ),
    mistake(
        "looks at the dropout in training alone",
        "A dropout that drops in evaluation too spoils every result: look at both modes.",
        calls,
        equality(),
        dropout_in((True,), (0.25, 0.5)),
        only_weights,
    ),
    mistake(
        "tries a dropout of one half alone",
        "One half is nn.Dropout's own default, so nobody can tell whether yours was heard: try another probability.",
        calls,
        equality(),
        dropout_in((True, False), (0.5,)),
        only_weights,
    ),
    mistake(
        "looks whether something is dropped, and not what",
        "The output and the weights are two places: hand over an attention function that drops nothing, or looks.",
        calls,
        equality(),
        dropout_in_the_output,
        attention_is_called,
    ),
    mistake(
        "sees the dropout that attention gets, and no dropout elsewhere",
        "What attention drops is one thing, what the module drops behind it another: try an attention that drops none.",
        calls,
        equality(),
        dropout,
    ),
    mistake(
        "builds every module with dropout, or in evaluation",
        "What happens if nobody asks for dropout is behaviour too: leave it out, in training.",
        calls_in_eval,
        equality(),
        dropout,
        only_weights,
    ),
    mistake(
        "does not mind if there are no biases",
        "What is 0 might as well be missing: give the biases numbers of their own.",
        calls_with_first_weights,
        without_biases,
        dropout_with_first_weights,
    ),
    mistake(
        "has nothing against any module",
        "A test must be able to fail: does it catch its own exception, or assert a tuple? assert (condition, text) is "
        "always true.",
        swallowed,
        caught_by="test_each_property_can_fail",
    ),
    mistake(
        "returns True or False",
        "Nobody looks at what a test returns: assert it.",
        returned,
        caught_by="test_a_property_says_no_by_raising",
    ),
    mistake(
        "asks whether a tensor is true: assert output == expected",
        "A comparison of tensors is a tensor: put torch.allclose around it, which gives one answer.",
        truth_of_a_tensor,
        caught_by=RUNS,
    ),
    mistake(
        "asks what the class is called, or inherits from",
        "In the real world no wrong class is called wrong: build one, call it, and look at what comes back.",
        by_name,
        caught_by=RUNS,
    ),
    mistake(
        "wants the same numbers to the last bit",
        "Another order of the same sums rounds otherwise: allow for it with torch.allclose, in float64.",
        calls,
        own_weights_in_float32,
        caught_by=RIGHT,
    ),
    mistake(
        "wants attention to get None where there is no dropout",
        "A dropout that drops nothing is as right: look at what it does to the weights.",
        attention_gets_none,
        equality(),
        dropout,
        only_weights,
        caught_by=RIGHT,
    ),
    mistake(
        "reads attributes that nobody promised",
        "Only the four projections have names that were agreed upon: call the module instead.",
        has_names,
        equality(),
        dropout,
        only_weights,
        caught_by=RIGHT,
    ),
    mistake(
        "wants the parameters in a certain order, or certain numbers in them to begin with",
        "Parameters go by their names, and neither order nor initial numbers were promised: fill them yourself.",
        has_an_order,
        equality(),
        dropout,
        only_weights,
        caught_by=RIGHT,
    ),
    mistake(
        "takes True in a mask for hidden",
        "Run it on one module that you know to be right, and look: here True means that a query may attend.",
        true_means_hidden,
        caught_by=RIGHT,
    ),
    mistake(
        "leaves the number of heads to chance",
        "A test that is lucky today is not tomorrow: list the cases, or draw them from a generator with a seed.",
        calls,
        heads_of_chance,
        dropout,
        only_weights,
        caught_by="test_the_verdict_is_the_same_each_time",
    ),
)


def by_hand(query, key, value, mask=None, dropout=None):
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    weights = (scores if mask is None else scores.masked_fill(~mask, -math.inf)).softmax(-1)
    return (weights if dropout is None else dropout(weights)) @ value


def equals_the_formula(multi_head):
    """Without PyTorch's module: a head at a time, by slices."""
    for b, h, d, i, j in ((2, 3, 2, 5, 4), (3, 2, 1, 2, 2)):
        dim = h * d
        module = random_module(multi_head, dim, h, attention=by_hand)
        query, key, value = numbers(1, b, i, dim), numbers(2, b, j, dim), numbers(3, b, j, dim)
        projected = module.linear_query(query), module.linear_key(key), module.linear_value(value)
        for shape in (None, (i, j), (b, i, j), (b, 1, 1, j), (b, 1, i, j), (b, h, i, j)):
            mask = mask_of(shape, 5)
            full = torch.ones(b, h, i, j, dtype=torch.bool)
            if mask is not None:
                full = full & (mask.unsqueeze(1) if mask.ndim == 3 else mask)
            heads = [by_hand(*(x[..., k * d : k * d + d] for x in projected), full[:, k]) for k in range(h)]
            wanted = module.linear_cat_attn(torch.cat(heads, -1))
            torch.testing.assert_close(module(query, key, value, mask), wanted)


def one_module_for_all(multi_head):
    """The same instance again and again; whether gradients agree as well."""
    module = random_module(multi_head, 6, 3, attention=broadcasting)
    for seed in (1, 2):
        query, key, value = (numbers(seed + k, 2, n, 6).requires_grad_() for k, n in ((0, 5), (3, 4), (6, 4)))
        for shape in SHAPES:
            output = module(query, key, value, mask_of(shape, seed))
            wanted = expected(module, 3, query, key, value, mask_of(shape, seed))
            torch.testing.assert_close(output, wanted)
            ours, theirs = (torch.autograd.grad(x.square().sum(), (query, key, value)) for x in (output, wanted))
            torch.testing.assert_close(ours, theirs)


@given(p=st.sampled_from((0.0, 0.1, 0.6)), training=st.booleans())
def dropout_drawn(multi_head, p, training):
    dropout_in((training,), (p,))(multi_head)


@given(mode=st.booleans(), p=st.sampled_from((None, 0.3, 0.9)))
def undropped_drawn(multi_head, mode, p):
    """Attention drops nothing, so nothing is dropped; and where nobody speaks of dropout, attention drops nothing."""
    options = {} if p is None else {"dropout": p, "attention": broadcasting}
    module, x = random_module(multi_head, 6, 2, **options).train(mode), numbers(1, 2, 30, 6)
    torch.testing.assert_close(module(x, x, x), expected(module, 2, x, x, x))


VARIANTS = (
    Variant(
        "head by head, and one instance for all calls",
        **test_of(equals_the_formula, one_module_for_all, dropout, undropped_drawn),
    ),
    Variant("cases that Hypothesis draws", **test_of(calls, equals, dropout_drawn, undropped_drawn)),
)

N_PROBES = 46  # as many as there are implementations


def observe(answer, seed):
    """What the properties do to one of the right and wrong modules, and with every fourth whether they do it again."""
    return {"multi_head": observed(answer, "multi_head", seed, N_PROBES, again=seed % 4 == 0)}
