"""What e12 layer norm must do, from the simplest property to the strictest."""

from dataclasses import dataclass

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attn_lab.checks import oracles
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.setting import EXACT

NAMES = {name: (name, None) for name in ("weight", "bias")}  # ours and PyTorch's


@dataclass(frozen=True)
class Case:
    """An input, its axes by name, and eps."""

    axes: str
    shape: tuple[int, ...]
    eps: float
    seed: int

    @property
    def d_model(self):
        """The last axis."""
        return self.shape[-1]

    def tensor(self):
        """Normal numbers in float64."""
        return fill(generator(self.seed), *self.shape)


@st.composite
def cases(draw, narrowest=1):
    """Inputs of one to four axes, equal ones among them; of a single feature where `narrowest` is 1."""
    axes = draw(st.sampled_from(("b n d_model", "n d_model", "d_model", "b h n d_model")))
    n = len(axes.split())
    shape = tuple(draw(st.sampled_from((2, 3, 1))) for _ in range(n - 1))
    width = draw(st.sampled_from(tuple(d for d in (4, 3, 2, 7, 1) if d >= narrowest)))
    return Case(axes, (*shape, width), eps=draw(st.sampled_from((1e-5, 0.3))), seed=draw(st.integers(0, 9999)))


CASES, WIDE = cases(), cases(narrowest=2)


def new(answer, case):
    """The answer's module in float64, with the parameters it begins with."""
    return EXACT.build(lambda: answer.LayerNorm(case.d_model, case.eps))


def both(answer, case):
    """The answer's and PyTorch's, in float64, with the same random parameters."""
    ours, theirs = new(answer, case), nn.LayerNorm(case.d_model, eps=case.eps, dtype=torch.float64)
    oracles.share_weights(ours, theirs, NAMES, case.seed, from_theirs=True)
    return ours, theirs


@given(CASES)
def test_the_shape_stays(answer, case):
    """An input of any shape (… d_model) keeps its shape and its dtype."""
    x = case.tensor()
    output = new(answer, case)(x)
    require(isinstance(output, torch.Tensor), f"forward must return a tensor; got {type(output).__name__}")
    agree(torch.empty(output.shape), torch.empty(x.shape), torch.inf, "the output", case.axes)
    single = answer.LayerNorm(case.d_model, case.eps)(x.float())
    require(single.dtype == torch.float32, f"float32 in, float32 out; got {single.dtype}")


@given(CASES)
def test_weight_and_bias_begin_as_ones_and_zeros(answer, case):
    """There are two parameters, weight and bias, of the width d_model: ones and zeros at first."""
    module = new(answer, case)
    names = sorted(name for name, _ in module.named_parameters())
    require(names == ["bias", "weight"], f"expected the parameters weight and bias; got {', '.join(names) or 'none'}")
    for name, start in (("weight", torch.ones), ("bias", torch.zeros)):
        expected = start(case.d_model, dtype=torch.float64)
        agree(module.get_parameter(name), expected, 0.0, f"a new {name}", "d_model")


@given(WIDE)
def test_mean_0_and_variance_1(answer, case):
    """A new layer norm gives the features of each position the mean 0 and the variance 1, but for eps."""
    x = 3 * case.tensor() + 2
    output = new(answer, case)(x)
    axes = case.axes.removesuffix("d_model")
    agree(output.mean(-1), torch.zeros(case.shape[:-1]), EXACT.tolerance, "the mean of a position's features", axes)
    variance = x.var(-1, correction=0)
    expected = variance / (variance + case.eps)
    agree((output**2).mean(-1), expected, EXACT.tolerance, "the variance of a position's features", axes)


@given(CASES)
def test_each_position_is_on_its_own(answer, case):
    """What a position becomes depends on its own features alone, not on its neighbours or the batch."""
    module, x = new(answer, case), case.tensor()
    rows = x.reshape(-1, case.d_model)
    alone = torch.stack([module(row) for row in rows]).reshape(x.shape)
    agree(module(x), alone, EXACT.tolerance, "the output, against each position alone,", case.axes)


@given(CASES)
def test_equals_pytorch(answer, case):
    """Outputs and gradients are nn.LayerNorm's, for random parameters and small and large eps."""
    ours, theirs = both(answer, case)
    x = {"x": case.tensor()}
    compare(EXACT, ours, theirs, x, axes=case.axes, seed=case.seed, shared=(ours, theirs, NAMES))


@given(CASES)
def test_equal_features_do_no_harm(answer, case):
    """Where all features of a position are equal, the output is the bias, and the gradients are finite and right."""
    ours, theirs = both(answer, case)
    x = {"x": case.tensor()[..., :1].expand(case.shape)}
    compare(EXACT, ours, theirs, x, axes=case.axes, seed=case.seed, shared=(ours, theirs, NAMES))


@given(WIDE)
def test_a_large_mean_does_no_harm(answer, case):
    """Features around a million become what features around 0 become: the mean goes before the squares are taken."""
    ours, _ = both(answer, case)
    x = case.tensor()
    x = x / x.std(-1, keepdim=True)
    agree(ours(x + 1e6), ours(x), 1e-7, "the output for x + 1,000,000, against the output for x,", case.axes)


@given(CASES)
def test_the_input_is_left_as_it_is(answer, case):
    """x is the caller's: it is not changed in place."""
    x = case.tensor()
    before = x.clone()
    with torch.no_grad():
        new(answer, case)(x)
    require(torch.equal(x, before), "x is changed in place")


@given(CASES)
def test_training_and_evaluation_are_alike(answer, case):
    """Nothing is remembered from one batch to the next, and evaluation computes what training does."""
    module, x = new(answer, case), case.tensor()
    expected = module.train()(x)
    module(x + 1)
    agree(module.eval()(x), expected, EXACT.tolerance, "the output in eval mode, against training,", case.axes)
    saved = sorted(module.state_dict())
    require(saved == ["bias", "weight"], f"only weight and bias are saved; got {', '.join(saved) or 'nothing'}")
