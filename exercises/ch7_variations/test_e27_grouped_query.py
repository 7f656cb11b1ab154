"""What e27 grouped query must do, from the simplest property to the strictest."""

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.checks import oracles
from attn_lab.checks.cases import generator
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.grouped_query import GROUPED, GroupedAttentionCase, GroupedCase, GroupedOracle
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import attention_cases, multihead_cases

GROUPS, SHARE = st.sampled_from((2, 3, 1)), st.sampled_from((2, 3, 1))
MASKS = ("i j", "b 1 1 j", "b 1 i j", "b h i j", None)


def grouped(case, groups, share):
    """The case with groups * share heads of queries."""
    return GroupedAttentionCase(**vars(case) | {"h": groups * share}, groups=groups)


def grouped_module(case, groups, share):
    """The same for the module."""
    return GroupedCase(**vars(case) | {"h": groups * share}, groups=groups)


ATTENTION = st.builds(grouped, attention_cases(MASKS, empty_rows=False), GROUPS, SHARE)
MODULE = st.builds(grouped_module, multihead_cases(MASKS), GROUPS, SHARE)


def each_head(query, key, value, mask=None, kept=None):
    """One head at a time, and in it one query at a time: head k reads group k // (h / g)."""
    h, g = query.shape[1], key.shape[1]
    allowed = oracles.expanded(mask, (*query.shape[:3], key.shape[2]))
    heads = []
    for k in range(h):
        group, own = k // (h // g), slice(k, k + 1)
        shared = slice(group, group + 1)
        part = None if kept is None else kept[:, own]
        heads.append(oracles.attention_loop(query[:, own], key[:, shared], value[:, shared], allowed[:, own], part))
    return torch.cat(heads, dim=1)


def build(answer, case):
    """The answer's module in float64."""
    return answer.GroupedQueryAttention(case.dim, case.h, n_groups=case.groups).double()


@given(ATTENTION)
def test_every_head_of_queries_gets_an_output(answer, case):
    """h heads of queries and g of keys make h heads of output: (b h i e)."""
    query, key, value, mask = case.grouped()
    output = answer.grouped_attention(query, key, value, mask)
    require(isinstance(output, torch.Tensor), f"it must return a tensor; got {type(output).__name__}")
    agree(torch.empty(output.shape), torch.empty(case.b, case.h, case.i, case.e), torch.inf, "the output", "b h i e")
    require(output.dtype == torch.float64, f"float64 in, float64 out; got {output.dtype}")


@given(ATTENTION)
def test_with_one_group_all_heads_share_it(answer, case):
    """g = 1 is multi-query attention: each head alone, over the one key and value."""
    query, key, value, mask = replace(case, groups=1).grouped()
    output = answer.grouped_attention(query, key, value, mask)
    every = (*case.grouped()[0].shape[:2], -1, -1)
    expected = oracles.sdpa(query, key.expand(every), value.expand(every), mask)
    agree(output, expected, EXACT.tolerance, "the output with one group", "b h i e")


@given(ATTENTION)
def test_with_a_group_for_each_head_it_is_attention(answer, case):
    """g = h shares nothing: F.scaled_dot_product_attention."""
    query, key, value, mask = case.tensors()
    output = answer.grouped_attention(query, key, value, mask)
    agree(output, oracles.sdpa(query, key, value, mask), EXACT.tolerance, "the output with h groups", "b h i e")


@given(ATTENTION)
def test_heads_of_a_group_stand_side_by_side(answer, case):
    """Where group k hands over the number k, head after head gets its group's number: 0 0 0 1 1 1, not 0 1 0 1 0 1."""
    query, key, value, mask = case.grouped()
    numbers = torch.arange(case.groups, dtype=torch.float64)[:, None, None].expand_as(value)
    output = answer.grouped_attention(query, key, numbers.clone(), mask)
    share = case.h // case.groups
    expected = torch.tensor([float(k // share) for k in range(case.h)], dtype=torch.float64)
    agree(output, expected[:, None, None].expand(output.shape), EXACT.tolerance, "the output", "b h i e")


@given(ATTENTION)
def test_equals_a_loop_over_heads(answer, case):
    """Head k with group k // (h / g), one head and one query at a time; outputs and gradients."""
    query, key, value, mask = case.grouped()
    compare(
        EXACT,
        lambda q, k, v: answer.grouped_attention(q, k, v, mask),
        lambda q, k, v: each_head(q, k, v, mask),
        {"query": query, "key": key, "value": value},
        axes="b h i e",
        seed=case.seed,
    )


@given(ATTENTION)
def test_dropout_reaches_the_attention(answer, case):
    """`dropout` is handed on, and acts on the weights of h heads, (b h i j)."""
    query, key, value, mask = case.grouped()
    shape = (case.b, case.h, case.i, case.j)
    kept = 2.0 * (torch.rand(shape, generator=generator(case.seed)) < 0.5).double()

    def drop(weights):
        require(tuple(weights.shape) == shape, f"dropout must get (b h i j) = {shape}; got {tuple(weights.shape)}")
        return weights * kept

    output = answer.grouped_attention(query, key, value, mask, drop)
    agree(output, each_head(query, key, value, mask, kept), EXACT.tolerance, "the output under dropout", "b h i e")


@given(ATTENTION)
def test_the_given_attention_attends(answer, case):
    """`attention` is called once, with h heads of everything, and what it returns is the output."""
    query, key, value, mask = case.grouped()
    calls = []

    def attention(query, key, value, mask=None, dropout=None):
        calls.append((key.shape, value.shape))
        return 2 * oracles.attention_loop(query, key, value, mask)

    output = answer.grouped_attention(query, key, value, mask, attention=attention)
    require(len(calls) == 1, f"attention must be called once; it was called {len(calls)} times")
    got = tuple(shape[1] for shape in calls[0])
    require(got == (case.h, case.h), f"attention must get {case.h} heads of keys and of values; got {got}")
    expected = 2 * each_head(query, key, value, mask)
    agree(output, expected, EXACT.tolerance, "the output of an attention that doubles everything", "b h i e")


@given(MODULE)
def test_keys_and_values_are_narrow(answer, case):
    """`linear_key` and `linear_value` make n_groups heads of d features, and have a bias; the others make dim."""
    module = build(answer, case)
    narrow = case.groups * case.d
    widths = {"linear_query": case.dim, "linear_key": narrow, "linear_value": narrow, "linear_cat_attn": case.dim}
    expected = {f"{name}.weight": (width, case.dim) for name, width in widths.items()}
    expected |= {f"{name}.bias": (width,) for name, width in widths.items()}
    found = {name: tuple(weight.shape) for name, weight in module.state_dict().items()}
    require(found == expected, f"the module must hold {expected}; got {found}")


@given(MODULE)
def test_the_module_equals_a_loop_over_heads(answer, case):
    """Each head with a matrix of its own, each group too: outputs and gradients, of the weights as well."""
    ours, theirs = build(answer, case), GroupedOracle(case)
    oracles.share_weights(ours, theirs, GROUPED, case.seed, case.weights_from_pytorch)
    query, key, value, mask = case.tensors()
    compare(
        EXACT,
        lambda q, k, v: ours(q, k, v, mask),
        lambda q, k, v: theirs(q, k, v, mask),
        {"query": query, "key": key, "value": value},
        axes="b i dim",
        seed=case.seed,
        shared=(ours, theirs, GROUPED),
    )


@given(MODULE)
def test_with_a_group_for_each_head_the_module_is_pytorchs(answer, case):
    """n_groups = n_heads is multi-head attention: nn.MultiheadAttention with the same weights."""
    case = replace(case, groups=case.h)
    ours, theirs = build(answer, case), oracles.multihead(case.dim, case.h)
    oracles.share_weights(ours, theirs, oracles.MULTIHEAD, case.seed, case.weights_from_pytorch)
    query, key, value, mask = case.tensors()
    expected = oracles.multihead_forward(theirs, query, key, value, mask)
    agree(ours(query, key, value, mask), expected, EXACT.tolerance, "the output with n_heads groups", "b i dim")


@given(MODULE)
def test_the_module_hands_on_attention_and_dropout(answer, case):
    """The module's `attention` attends, and gets the module's `dropout`, which knows training from evaluation."""
    query, key, value, mask = case.tensors()
    calls = []

    def attention(query, key, value, mask=None, dropout=None):
        calls.append(dropout)
        return torch.zeros_like(query)

    module = answer.GroupedQueryAttention(case.dim, case.h, 0.25, n_groups=case.groups, attention=attention).double()
    output = module(query, key, value, mask)
    require(len(calls) == 1, f"the module's attention must be called once; it was called {len(calls)} times")
    require(calls[0] is module.dropout, f"it must get the module's own dropout; got {calls[0]!r}")
    expected = module.linear_cat_attn.bias.expand(output.shape)
    agree(output, expected, EXACT.tolerance, "the output of an attention that finds zeros", "b i dim")
