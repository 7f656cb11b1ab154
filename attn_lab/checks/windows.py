"""What a windowed attention must be: equal to a loop over each query's own window, and blind to all the rest.

The subject is a maker of attention functions: `make(window, causal)` is called as `attention` is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from attn_lab import masks
from attn_lab.checks import oracles, strategies
from attn_lab.checks.building import Part
from attn_lab.checks.cases import AttentionCase, fill, generator
from attn_lab.checks.check import Check
from attn_lab.checks.compare import agree, compare, gradients, leaf, require
from attn_lab.checks.setting import EXACT, Setting
from attn_lab.encoder import EncoderBlock
from attn_lab.language_model import TransformerLanguageModel
from attn_lab.multihead import MultiHeadSelfAttention
from attn_lab.scaled_dot_product import attention

AXES = "b h i e"
LENGTHS = (5, 3, 33, 1, 64, 47, 97)
WINDOWS = (2, 1, 3, 7, 32, 33, 40, 120)
MASKS = (None, "i j", "b 1 1 j", "b i j", "b 1 i j", "1 h i j", "b h i 1", "b h 1 j", "b h i j")


@dataclass(frozen=True)
class WindowCase(AttentionCase):
    """An attention of i queries, the last of j positions, through a window."""

    window: int = 1
    causal: bool = True

    def sees(self) -> list[list[int]]:
        """Each query's keys, by their numbers; a query stands at position j - i + its own number."""
        reach = 0 if self.causal else self.window - 1
        places = range(self.j - self.i, self.j)
        return [list(range(max(0, p - self.window + 1), min(self.j, p + reach + 1))) for p in places]


@st.composite
def window_cases(
    draw: strategies.Draw,
    lengths: tuple[int, ...] = LENGTHS,
    windows: tuple[int, ...] = WINDOWS,
    masks: tuple[str | None, ...] = MASKS,
    square: bool = False,
) -> WindowCase:
    """Windows narrower and wider than the text and than any block, of both kinds, under every shape of mask."""
    i = draw(strategies.one_of_these(lengths))
    earlier = 0 if square else draw(strategies.one_of_these((0, 1, 4, 31, 60)))
    d = draw(strategies.WIDTHS)
    return WindowCase(
        b=draw(strategies.one_of_these((1, 2))),
        h=draw(strategies.one_of_these((1, 2, 3))),
        i=i,
        j=i + earlier,
        d=d,
        e=draw(strategies.equal_or_not(d, strategies.WIDTHS)),
        mask=draw(strategies.one_of_these(masks)),
        density=draw(strategies.DENSITIES),
        empty_rows=True,
        seed=draw(strategies.SEEDS),
        window=draw(strategies.one_of_these(windows)),
        causal=draw(st.booleans()),
    )


def by_loop(
    case: WindowCase,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    on_weights: Callable[[Tensor], Tensor] = lambda weights: weights,
) -> Tensor:
    """One query at a time, over those keys of its window that the mask allows; none of them: zeros."""
    allowed = oracles.expanded(mask, (case.b, case.h, case.i, case.j))
    rows = []
    for b in range(case.b):
        for h in range(case.h):
            for i, window in enumerate(case.sees()):
                keys = [j for j in window if allowed[b, h, i, j]]
                scores = key[b, h, keys] @ query[b, h, i] / math.sqrt(case.d)
                rows.append(on_weights(torch.softmax(scores, dim=0)) @ value[b, h, keys])
    return torch.stack(rows).reshape(case.b, case.h, case.i, case.e)


def _here(case: WindowCase, setting: Setting) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    query, key, value, mask = case.tensors()
    return setting.put(query), setting.put(key), setting.put(value), None if mask is None else setting.put(mask)


def _is_the_loop(make: Part, case: WindowCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = case.tensors()
    here = None if mask is None else setting.put(mask)
    attend = make(case.window, case.causal)
    compare(
        setting,
        lambda q, k, v: attend(q, k, v, here),
        lambda q, k, v: by_loop(case, q, k, v, mask),
        {"query": query, "key": key, "value": value},
        axes=AXES,
        seed=case.seed,
    )


def _dropout_acts_on_weights(make: Part, case: WindowCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = case.tensors()
    here = None if mask is None else setting.put(mask)
    attend = make(case.window, case.causal)
    compare(
        setting,
        lambda q, k, v: attend(q, k, v, here, _some_function),
        lambda q, k, v: by_loop(case, q, k, v, mask, _some_function),
        {"query": query, "key": key, "value": value},
        axes=AXES,
        seed=case.seed,
    )


def _some_function(weights: Tensor) -> Tensor:
    """Number by number, 0 at 0, and nothing that could be applied to the scores or to the output instead."""
    return 2.0 * weights - weights**2


def _dropout_is_for_training(make: Part, case: WindowCase, setting: Setting = EXACT) -> None:
    query, key, value, _ = _here(case, setting)
    attend, dropout = make(case.window, case.causal), nn.Dropout(0.5)
    with setting.running():
        plain = attend(query, key, value)
        resting = attend(query, key, value, None, dropout.eval())
        training = attend(query, key, value, None, dropout.train())
    agree(resting, plain, setting.tolerance, "the output with dropout in eval mode", AXES)
    require(not torch.equal(training, plain), "dropout has no effect in training mode")


def _dropout_keeps_the_mean(make: Part, case: WindowCase, setting: Setting = EXACT) -> None:
    query, key, value, _ = _here(case, setting)
    ones = torch.ones_like(value)
    with setting.running():
        output = make(case.window, case.causal)(query, key, ones, None, nn.Dropout(0.25).train())
        many = torch.stack(
            [make(case.window, case.causal)(query, key, ones, None, nn.Dropout(0.25)) for _ in range(15)]
        )
    mean = torch.cat([many, output[None]]).double().mean().item()
    spread = 5 * (1 / 3 / (16 * case.b * case.h * case.i)) ** 0.5
    require(abs(mean - 1) < spread, f"dropout must leave the weights' sum 1 on average; got {mean:.3f}")


def _outside_has_no_influence(make: Part, case: WindowCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = _here(case, setting)
    i = case.seed % case.i
    outside = torch.ones(case.j, dtype=torch.bool, device="cpu")
    outside[case.sees()[i]] = False
    attend = make(case.window, case.causal)
    leaves = {"query": leaf(query), "key": leaf(key), "value": leaf(value)}
    with setting.running():
        output = attend(*leaves.values(), mask)
        # As far off as numbers go without an infinity: whatever shines through, shows.
        key[:, :, outside], value[:, :, outside] = 100.0, -1000.0
        other = attend(query, key, value, mask)
    same = torch.equal(output[:, :, i], other[:, :, i])
    require(same, f"query {i} changes with keys and values outside its window")
    one = torch.zeros(output.shape, device="cpu")
    one[:, :, i] = fill(generator(case.seed), case.b, case.h, case.e)
    found = gradients(output, leaves, one)
    others = torch.arange(case.i, device="cpu") != i
    for name, hidden in (("query", others), ("key", outside), ("value", outside)):
        require(
            bool((found[name].cpu()[:, :, hidden] == 0).all()), f"query {i} has a gradient in a {name} it cannot see"
        )


def _extreme_scores_are_exact(make: Part, case: WindowCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = case.tensors()
    # Scores of -1000 and 1000 and nothing between: all keys point along one axis, and so does each query.
    signs = fill(generator(case.seed), case.b, case.h, case.j).sign()
    big = 1000.0**0.5 * case.d**0.25
    query, key = torch.zeros_like(query), torch.zeros_like(key)
    query[..., 0], key[..., 0] = big, signs * big
    query, key, value = setting.put(query), setting.put(key), setting.put(value)
    leaves = {"query": leaf(query), "key": leaf(key), "value": leaf(value)}
    with setting.running():
        output = make(case.window, case.causal)(*leaves.values(), None if mask is None else setting.put(mask))
    expected = by_loop(case, query.cpu().double(), key.cpu().double(), value.cpu().double(), mask)
    agree(output, expected, setting.tolerance, "the output for scores of -1000 and 1000", AXES)
    for name, gradient in gradients(output, leaves, torch.ones(output.shape)).items():
        require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite for scores of ±1000")


def _inputs_stay_as_they_are(make: Part, case: WindowCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = _here(case, setting)
    given = {"query": query, "key": key, "value": value} | ({} if mask is None else {"mask": mask})
    before = {name: tensor.clone() for name, tensor in given.items()}
    leaves = {"query": leaf(query), "key": leaf(key), "value": leaf(value)}
    with setting.running():
        make(case.window, case.causal)(query, key, value, mask)
        make(case.window, case.causal)(*leaves.values(), mask).sum().backward()
    for name, tensor in given.items():
        require(torch.equal(tensor, before[name]), f"{name} is changed in place")
    for name, tensor in leaves.items():
        require(torch.equal(tensor.detach(), before[name]), f"{name} is changed in place where gradients are taken")


def _multihead_is_the_references(make: Part, case: WindowCase, setting: Setting = EXACT) -> None:
    dim = case.h * case.d
    ours = setting.build(
        lambda: MultiHeadSelfAttention(dim, case.h, attention=make(case.window, case.causal)),
    )
    theirs = EXACT.build(lambda: MultiHeadSelfAttention(dim, case.h, attention=attention))
    names: oracles.Names = {name: (name, None) for name, _ in ours.named_parameters()}
    oracles.share_weights(ours, theirs, names, case.seed, from_theirs=False)
    x = fill(generator(case.seed), case.b, case.i, dim)
    _, _, _, mask = case.tensors()
    window = masks.sliding_window(case.i, case.window, case.causal, device="cpu")
    here = None if mask is None else setting.put(mask)
    compare(
        setting,
        lambda x: ours(x, x, x, here),
        lambda x: theirs(x, x, x, window if mask is None else window & mask),
        {"x": x},
        axes="b n dim",
        seed=case.seed,
        shared=(ours, theirs, names),
    )


def _model_is_the_references(make: Part, case: WindowCase, setting: Setting = EXACT) -> None:
    d_model, ids = case.h * 4, torch.randint(11, (case.b, case.i), generator=generator(case.seed), device="cpu")

    def model(attend: Part, mask: Part) -> nn.Module:
        return TransformerLanguageModel(11, d_model, case.h, 8, 2, 0.0, attention=attend, mask=mask, block=EncoderBlock)

    ours = setting.build(lambda: model(make(case.window, True), masks.causal))
    theirs = EXACT.build(lambda: model(attention, lambda n: masks.sliding_window(n, case.window)))
    names: oracles.Names = {name: (name, None) for name, _ in ours.named_parameters()}
    oracles.share_weights(ours, theirs, names, case.seed, from_theirs=False)
    here = setting.put(ids)
    compare(
        setting,
        lambda: ours(here),
        lambda: theirs(ids),
        {},
        axes="b n v",
        seed=case.seed,
        shared=(ours, theirs, names),
        smooth=False,
    )


def _check(name: str, body: Part, strategy: st.SearchStrategy[WindowCase]) -> Check:
    return Check(name, "windowed_attention", strategy, body, preflight=False)


everything = window_cases()
short = window_cases(lengths=(5, 3, 33, 47), windows=(2, 3, 7, 40))
WINDOWED_ATTENTION = (
    _check("a windowed attention equals a loop over each query's window, gradients too", _is_the_loop, everything),
    _check("a callable on the weights acts on each weight of the window", _dropout_acts_on_weights, short),
    _check(
        "dropout acts in training and not in evaluation",
        _dropout_is_for_training,
        window_cases(lengths=(33, 47, 64), windows=(2, 3, 7, 40, 120), masks=(None,)),
    ),
    _check(
        "dropout leaves the mean as it is",
        _dropout_keeps_the_mean,
        window_cases(lengths=(33, 64), windows=(2, 7, 40), masks=(None,)),
    ),
    _check("what lies outside the window has no influence", _outside_has_no_influence, everything),
    _check("scores of ±1000 are handled exactly in a window", _extreme_scores_are_exact, short),
    _check("a windowed attention leaves its inputs as they are", _inputs_stay_as_they_are, short),
    _check(
        "multi-head attention through a window equals the reference's with that mask",
        _multihead_is_the_references,
        window_cases(masks=(None, "i j", "b 1 1 j", "b i j"), square=True),
    ),
    _check(
        "a language model through a window equals the reference's with that mask",
        _model_is_the_references,
        window_cases(masks=(None,), square=True),
    ),
)
