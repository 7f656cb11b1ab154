"""What e26 rotary must do, from the simplest property to the strictest."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from hypothesis import given

from attn_lab.checks import oracles
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.positions_in_attention import rotary_cases
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import attention_cases


def even(case):
    """Pairs need an even width, and there are as many queries as keys, or fewer."""
    return replace(case, d=case.d + case.d % 2, i=min(case.i, case.j))


ATTENTION = attention_cases(masks=("i j", "b 1 1 j", "b 1 i j", "b h i j", None), empty_rows=False).map(even)


def turned(x, positions, base=10000.0):
    """Every pair as a complex number, times e^(i · position · frequency): a turn by that angle."""
    d = x.shape[-1]
    frequency = torch.tensor([base ** (-2 * k / d) for k in range(d // 2)], dtype=torch.float64)
    angle = positions.double()[:, None] * frequency
    pairs = torch.complex(x[..., 0::2], x[..., 1::2])
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(-2)


def loop(query, key, value, mask=None, kept=None):
    """One query at a time, after queries and keys were turned."""
    i, j = query.shape[2], key.shape[2]
    query, key = turned(query, torch.arange(j - i, j)), turned(key, torch.arange(j))
    return oracles.attention_loop(query, key, value, mask, kept)


@given(rotary_cases)
def test_shape_and_dtype_stay(answer, case):
    """`rotate` returns (b h n d), in the dtype that came in."""
    for dtype in (torch.float64, torch.float32):
        x = case.x().to(dtype)
        output = answer.rotate(x, case.positions(), case.base)
        require(isinstance(output, torch.Tensor), f"rotate must return a tensor; got {type(output).__name__}")
        agree(torch.empty(output.shape), torch.empty(x.shape), torch.inf, "the turned x", "b h n d")
        require(output.dtype == dtype, f"{dtype} in, {dtype} out; got {output.dtype}")


@given(rotary_cases)
def test_position_0_is_no_turn(answer, case):
    """At position 0 the angle is 0: everything stays where it is."""
    x = case.x()
    output = answer.rotate(x, torch.zeros(case.n, dtype=torch.long), case.base)
    agree(output, x, EXACT.tolerance, "x turned at position 0", "b h n d")


@given(rotary_cases)
def test_every_pair_keeps_its_length(answer, case):
    """A turn moves a point on its circle: the length of each pair (2k, 2k + 1) stays."""
    x = case.x()
    output = answer.rotate(x, case.positions(), case.base)
    before, after = (torch.hypot(y[..., 0::2], y[..., 1::2]) for y in (x, output))
    agree(after, before, EXACT.tolerance, "the length of a pair", "b h n k")


@given(rotary_cases)
def test_scores_see_the_distance_alone(answer, case):
    """(R(p) q) · (R(r) k) = q · (R(r - p) k): where both stand does not matter, how far apart does."""
    query, key = case.x(), replace(case, seed=case.seed + 1).x()
    here, there = case.positions(), case.positions(shift=3)
    both = (answer.rotate(query, here, case.base) * answer.rotate(key, there, case.base)).sum(-1)
    one = (query * answer.rotate(key, there - here, case.base)).sum(-1)
    agree(both, one, EXACT.tolerance * case.d, "(R(p) q) · (R(r) k), against q · (R(r - p) k),", "b h n")


@given(rotary_cases)
def test_rotate_is_a_complex_multiplication(answer, case):
    """Pair k at position p is multiplied by e^(i p base^(-2k/d)); output and gradient, in float64."""
    compare(
        EXACT,
        lambda x: answer.rotate(x, case.positions(), case.base),
        lambda x: turned(x, case.positions(), case.base),
        {"x": case.x()},
        axes="b h n d",
        seed=case.seed,
    )


@given(rotary_cases)
def test_the_base_is_10000_unless_told(answer, case):
    """Without a base, it is the paper's 10000."""
    x, positions = case.x(), case.positions()
    agree(answer.rotate(x, positions), turned(x, positions), EXACT.tolerance, "x turned with no base given", "b h n d")


@given(rotary_cases)
def test_late_positions_are_exact(answer, case):
    """At position 100,000 and beyond, a float32 x is turned by the right angle too."""
    x, positions = case.x().float(), case.positions(shift=100_000)
    output = answer.rotate(x, positions, case.base)
    agree(output.double(), turned(x.double(), positions, case.base), 1e-5, "x turned at a late position", "b h n d")


@given(ATTENTION)
def test_attention_equals_a_loop_over_turned_queries_and_keys(answer, case):
    """`rotary_attention` turns queries and keys, the queries being the last; outputs and gradients, with a mask too."""
    query, key, value, mask = case.tensors()
    compare(
        EXACT,
        lambda q, k, v: answer.rotary_attention(q, k, v, mask),
        lambda q, k, v: loop(q, k, v, mask),
        {"query": query, "key": key, "value": value},
        axes="b h i e",
        seed=case.seed,
    )


@given(ATTENTION)
def test_a_text_may_begin_anywhere(answer, case):
    """Hidden keys in front move every position by as many, and nothing changes: only distances count."""
    query, key, value, mask = case.tensors()
    more, source = 1 + case.seed % 40, generator(case.seed + 1)
    front_key = fill(source, case.b, case.h, more, case.d)
    front_value = fill(source, case.b, case.h, more, case.e)
    allowed = oracles.expanded(mask, (case.b, case.h, case.i, case.j))
    expected = answer.rotary_attention(query, key, value, allowed)
    longer_key, longer_value = torch.cat([front_key, key], 2), torch.cat([front_value, value], 2)
    actual = answer.rotary_attention(query, longer_key, longer_value, F.pad(allowed, (more, 0)))
    agree(actual, expected, EXACT.tolerance, f"the output {more} positions later", "b h i e")


@given(ATTENTION)
def test_dropout_reaches_the_attention(answer, case):
    """`dropout` is handed on: it acts on the weights."""
    query, key, value, mask = case.tensors()
    shape = (case.b, case.h, case.i, case.j)
    kept = 2.0 * (torch.rand(shape, generator=generator(case.seed)) < 0.5).double()
    output = answer.rotary_attention(query, key, value, mask, lambda weights: weights * kept)
    agree(output, loop(query, key, value, mask, kept), EXACT.tolerance, "the output under dropout", "b h i e")


@given(ATTENTION)
def test_the_given_attention_attends(answer, case):
    """`attention` gets turned queries and keys, values as they came, and what it returns is the output."""
    query, key, value, mask = case.tensors()
    calls = []

    def attention(query, key, value, mask=None, dropout=None):
        calls.append((query, key, value, mask))
        return 2 * oracles.attention_loop(query, key, value, mask)

    output = answer.rotary_attention(query, key, value, mask, attention=attention)
    require(len(calls) == 1, f"attention must be called once; it was called {len(calls)} times")
    agree(calls[0][2], value, EXACT.tolerance, "the value that attention gets", "b h j e")
    expected = 2 * loop(query, key, value, mask)
    agree(output, expected, EXACT.tolerance, "the output of an attention that doubles everything", "b h i e")


@given(rotary_cases)
def test_the_inputs_are_left_as_they_are(answer, case):
    """x, and the query and key of an attention, are the caller's: none is changed in place."""
    x, positions = case.x(), case.positions()
    answer.rotate(x, positions, case.base)
    require(torch.equal(x, case.x()), "x is changed in place by rotate")
    require(torch.equal(positions, case.positions()), "positions are changed in place by rotate")
    query, key, value = case.x(), case.x(), case.x()
    answer.rotary_attention(query, key, value)
    for name, tensor in {"query": query, "key": key, "value": value}.items():
        require(torch.equal(tensor, case.x()), f"{name} is changed in place by rotary_attention")
