"""What e09 borrow weights must do, from the simplest property to the strictest."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import attn_lab
from attn_lab.checks import oracles
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import multihead_cases

CASES = multihead_cases(masks=(None,))
DTYPES = st.sampled_from((torch.float64, torch.float32))


def pair(case, dtype=torch.float64, bias=True):
    """PyTorch's module in float64 and ours in `dtype`, of the same sizes; every parameter random in both."""
    theirs = nn.MultiheadAttention(case.dim, case.h, batch_first=True, bias=bias, dtype=torch.float64)
    ours = attn_lab.MultiHeadSelfAttention(case.dim, case.h).to(dtype)
    oracles.randomise(theirs, case.seed, dtype)
    oracles.randomise(ours, case.seed + 1, dtype)
    return theirs, ours


def copies(module):
    """What its parameters hold now."""
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def as_plain_linears(theirs, dim):
    """What ours must hold, by our names: the rows of the packed weights, one slice for each projection."""
    packed, back = (theirs.in_proj_weight, theirs.in_proj_bias), (theirs.out_proj.weight, theirs.out_proj.bias)
    expected = {}
    for place, name in enumerate(("linear_query", "linear_key", "linear_value", "linear_cat_attn")):
        rows = slice(place * dim, (place + 1) * dim) if place < 3 else slice(0, dim)
        weight, bias = packed if place < 3 else back
        expected[f"{name}.weight"] = weight[rows]
        expected[f"{name}.bias"] = torch.zeros(dim) if bias is None else bias[rows]
    return expected


def check_weights(theirs, ours, dim):
    """Fails unless ours holds the very numbers of theirs."""
    for name, expected in as_plain_linears(theirs, dim).items():
        agree(oracles.parameter(ours, name), expected, 0.0, name)


@given(CASES)
def test_each_weight_is_in_its_place(answer, case):
    """The first E rows of the packed weight are linear_query's, the next linear_key's, the last linear_value's."""
    theirs, ours = pair(case)
    answer.borrow_weights(theirs, ours)
    check_weights(theirs, ours, case.dim)


@given(CASES)
def test_ours_answers_as_theirs_does(answer, case):
    """Afterwards outputs and gradients are nn.MultiheadAttention's."""
    theirs, ours = pair(case)
    answer.borrow_weights(theirs, ours)
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


@given(CASES)
def test_a_missing_bias_is_a_bias_of_zero(answer, case):
    """If theirs was made with bias=False, our biases are 0 afterwards, whatever they were."""
    theirs, ours = pair(case, bias=False)
    answer.borrow_weights(theirs, ours)
    check_weights(theirs, ours, case.dim)


@given(CASES, DTYPES)
def test_the_parameters_stay_the_same_objects(answer, case, dtype):
    """An optimiser that held our parameters before holds them still: same objects, same dtype, still to be trained."""
    theirs, ours = pair(case, dtype)
    before = dict(ours.named_parameters())
    answer.borrow_weights(theirs, ours)
    after = dict(ours.named_parameters())
    require(after.keys() == before.keys(), f"ours must keep its parameters {list(before)}; it has {list(after)}")
    for name, parameter in after.items():
        require(parameter is before[name], f"{name} is another object than before: write into the one that is there")
        require(parameter.dtype == dtype, f"{name} must stay {dtype}; it became {parameter.dtype}")
        require(parameter.requires_grad, f"{name} is frozen: it no longer requires a gradient")
        require(parameter.is_leaf, f"{name} is the result of a recorded computation: it must not depend on theirs")


@given(CASES)
def test_nothing_is_shared(answer, case):
    """To train one of the two does not change the other."""
    theirs, ours = pair(case)
    answer.borrow_weights(theirs, ours)
    for trained, other in ((theirs, ours), (ours, theirs)):
        before = copies(other)
        with torch.no_grad():
            for parameter in trained.parameters():
                parameter.add_(fill(generator(case.seed), *parameter.shape))
        for name, value in copies(other).items():
            agree(value, before[name], 0.0, f"{name}, after a step of the other module,")


@given(CASES)
def test_theirs_is_left_as_it_is(answer, case):
    """theirs only lends: its parameters hold what they held, and can be trained as before; both keep their mode."""
    theirs, ours = pair(case)
    before = copies(theirs)
    theirs.train(case.b > 1)
    ours.train(case.i > 1)
    answer.borrow_weights(theirs, ours)
    for name, value in copies(theirs).items():
        agree(value, before[name], 0.0, f"theirs.{name}")
    for name, parameter in theirs.named_parameters():
        require(parameter.requires_grad, f"theirs.{name} is frozen: it no longer requires a gradient")
    for whose, module, training in (("theirs", theirs, case.b > 1), ("ours", ours, case.i > 1)):
        require(module.training == training, f"{whose}.training was {training}; it became {module.training}")


@given(CASES)
def test_gradients_are_recorded_afterwards_as_before(answer, case):
    """What is switched off for the copying is switched on again."""
    theirs, ours = pair(case)
    try:
        answer.borrow_weights(theirs, ours)
        require(torch.is_grad_enabled(), "gradients are switched off for whatever comes next")
    finally:
        torch.set_grad_enabled(True)
