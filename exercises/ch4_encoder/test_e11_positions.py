"""What e11 positions must do, from the simplest property to the strictest."""

from functools import cache

import torch
import torch.nn.functional as F
from hypothesis import given

from attn_lab.checks import oracles
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import positions_cases

CASES = positions_cases()  # b texts of n positions, even and odd widths, and a table with `spare` rows to spare
AXES = "b n d_model"


def module_of(answer, case, dropout=0.0):
    """The answer's module, in float64."""
    return EXACT.build(lambda: answer.PositionalEncoding(case.d_model, dropout, case.n + case.spare))


def table_of(answer, case):
    """The positions alone, (n d_model): what a text of zeros becomes."""
    return module_of(answer, case)(torch.zeros(1, case.n, case.d_model, dtype=torch.float64))[0]


@cache
def late_positions(d_model):
    """Positions 4990 to 4999, a number at a time."""
    return oracles.sinusoids(5000, d_model)[4990:]


@given(CASES)
def test_the_shape_stays(answer, case):
    """A text of any width, odd ones too, keeps its shape: (b n d_model)."""
    x = case.tensor()
    output = module_of(answer, case)(x)
    require(isinstance(output, torch.Tensor), f"forward must return a tensor; got {type(output).__name__}")
    agree(torch.empty(output.shape), torch.empty(x.shape), torch.inf, "the output", AXES)


@given(CASES)
def test_float32_stays_float32(answer, case):
    """The table is kept in the default dtype: a text in float32 comes back in float32."""
    output = answer.PositionalEncoding(case.d_model, 0.0, case.n)(case.tensor().float())
    require(output.dtype == torch.float32, f"float32 in, float32 out; got {output.dtype}")


@given(CASES)
def test_every_text_gets_the_same_positions(answer, case):
    """Positions run along n, the second axis: what is added is the same for every text of the batch."""
    output = module_of(answer, case)(torch.zeros_like(case.tensor()))
    agree(output, output[:1].expand(output.shape), EXACT.tolerance, "what is added to a text, against the first,", AXES)


@given(CASES)
def test_the_positions_are_added(answer, case):
    """The output less x is the positions, whatever x is: nothing is scaled, multiplied or left out."""
    x = case.tensor()
    added = module_of(answer, case)(x) - x
    agree(added, table_of(answer, case).expand(added.shape), EXACT.tolerance, "the output less x", AXES)


@given(CASES)
def test_a_shift_is_a_rotation(answer, case):
    """Features 2k and 2k + 1 are the sine and cosine of one angle, which grows by one step at each position."""
    table = table_of(answer, case)
    sine, cosine = table[:, 0 : case.d_model - 1 : 2], table[:, 1::2]
    agree(sine**2 + cosine**2, torch.ones_like(sine), 1e-5, "sine² + cosine² of a pair", "n k")
    # Of the angles of neighbours: the sine of their difference.
    step = sine[1:] * cosine[:-1] - cosine[1:] * sine[:-1]
    agree(step, step[:1].expand(step.shape), 1e-5, "the sine of the step to the next position", "n k")


@given(CASES)
def test_equals_the_formula(answer, case):
    """The output is x + PE to the last digit, with PE by the paper's formula; the gradient is that of a sum."""
    table = oracles.sinusoids(case.n, case.d_model)
    compare(EXACT, module_of(answer, case), lambda x: x + table, {"x": case.tensor()}, axes=AXES, seed=case.seed)


@given(CASES)
def test_late_positions_are_as_exact_as_early_ones(answer, case):
    """Position 4990 is right to the last digit of float32: the angles are computed in float64."""
    d_model = 2 * case.d_model
    output = answer.PositionalEncoding(d_model, 0.0, 5000)(torch.zeros(1, 5000, d_model))
    agree(output[0, 4990:], late_positions(d_model), 1e-6, "PE from position 4990", "n d_model")


@given(CASES)
def test_the_table_is_not_trained(answer, case):
    """The positions are fixed: the module has no parameter."""
    names = [name for name, _ in module_of(answer, case).named_parameters()]
    require(not names, f"nothing here is trained: expected no parameters; got {', '.join(names)}")


@given(CASES)
def test_the_table_is_the_buffer_pe(answer, case):
    """The table is a buffer of the name `pe`, so that it moves with the module to another device or dtype."""
    buffers = dict(module_of(answer, case).named_buffers())
    require("pe" in buffers, f"expected a buffer pe; the module's buffers are: {', '.join(buffers) or 'none'}")


@given(CASES)
def test_the_table_is_not_saved(answer, case):
    """The table can be computed again, so it is not part of what is saved: a longer one can take its place."""
    saved = list(module_of(answer, case).state_dict())
    require(not saved, f"nothing here needs saving: expected an empty state_dict; got {', '.join(saved)}")


@given(CASES)
def test_a_longer_text_is_refused(answer, case):
    """A text of max_len positions is served, one more is a ValueError, also where max_len is 1."""
    x = case.tensor()
    for max_len in {case.n, 1}:
        module = EXACT.build(lambda max_len=max_len: answer.PositionalEncoding(case.d_model, 0.0, max_len))
        module(x[:, :max_len])
        try:
            module(torch.cat([x, x[:, :1]], dim=1))
        except ValueError:
            continue
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
        else:
            got = "an output"
        raise AssertionError(f"{case.n + 1} positions and max_len = {max_len}: expected a ValueError; got {got}")


@given(CASES)
def test_dropout_acts_on_the_sum(answer, case):
    """In training, dropout acts on x + PE."""
    x = case.tensor()
    with FixedDropout():
        output = module_of(answer, case, dropout=0.5).train()(x)
        expected = F.dropout(x + oracles.sinusoids(case.n, case.d_model), 0.5)
    agree(output, expected, EXACT.tolerance, "the output in training", AXES)


@given(CASES)
def test_dropout_is_for_training(answer, case):
    """In evaluation nothing is dropped."""
    x = case.tensor()
    resting = module_of(answer, case, dropout=0.5).eval()(x)
    agree(resting, module_of(answer, case)(x), EXACT.tolerance, "the output in eval mode, against no dropout,", AXES)


@given(CASES)
def test_the_input_is_left_as_it_is(answer, case):
    """x is the caller's: it is not changed in place."""
    x = case.tensor()
    before = x.clone()
    module_of(answer, case)(x)
    require(torch.equal(x, before), "x is changed in place")
