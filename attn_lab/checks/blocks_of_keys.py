"""Attention a block of keys at a time: the same function whatever the block, in memory that a block bounds.

The implementation is called as `attend(query, key, value, mask, dropout, block=…)`.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from attn_lab.checks import oracles, strategies
from attn_lab.checks.building import Part
from attn_lab.checks.cases import AttentionCase, fill, generator
from attn_lab.checks.check import Check
from attn_lab.checks.compare import agree, compare, gradients, leaf, require
from attn_lab.checks.largest_tensor import LargestTensor
from attn_lab.checks.setting import EXACT, Setting
from attn_lab.checks.strategies import Draw

AXES = "b h i e"


@dataclass(frozen=True)
class BlocksCase(AttentionCase):
    """Sizes of an attention, its mask, and how many keys are taken at a time."""

    block: int

    def starts(self) -> range:
        """The first key of each block."""
        return range(0, self.j, self.block)


@st.composite
def blocks_cases(draw: Draw, empty_rows: bool = True) -> BlocksCase:
    """Blocks that divide the keys, that do not, of one key, of all of them, and larger than that."""
    case = draw(strategies.attention_cases(empty_rows=empty_rows))
    sizes = {f.name: getattr(case, f.name) for f in fields(case)}
    return BlocksCase(**sizes, block=draw(strategies.one_of_these((2, 1, 3, 4, 6, 7, 128))))


def _with_block(attend: Part, case: BlocksCase) -> Callable[..., Tensor]:
    return lambda *inputs: attend(*inputs, block=case.block)


def _equals_sdpa(attend: Part, case: BlocksCase, setting: Setting = EXACT) -> None:
    _equals(attend, case, setting, oracles.sdpa, *case.tensors())


def _equals_loop(attend: Part, case: BlocksCase, setting: Setting = EXACT) -> None:
    _equals(attend, case, setting, oracles.attention_loop, *case.tensors())


def _equals(
    attend: Part,
    case: BlocksCase,
    setting: Setting,
    oracle: Part,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
) -> None:
    here = None if mask is None else setting.put(mask)
    compare(
        setting,
        lambda q, k, v: _with_block(attend, case)(q, k, v, here),
        lambda q, k, v: oracle(q, k, v, mask),
        {"query": query, "key": key, "value": value},
        axes=AXES,
        seed=case.seed,
    )


def _hidden_blocks_are_harmless(attend: Part, case: BlocksCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = case.tensors()
    seen = oracles.expanded(mask, (case.b, case.h, case.i, case.j)).clone()
    starts = case.starts()
    for x in range(case.i):  # from each query, hide one block: the first from some, the last or all from others
        start = starts[(x + case.seed) % len(starts)]
        seen[:, :, x, start : start + case.block] = False
    _equals(attend, case, setting, oracles.attention_loop, query, key, value, seen)


def _maximum_may_come_late(attend: Part, case: BlocksCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = case.tensors()
    # Scores from -1000 to 1000, rising or falling with the keys; within a block they differ too.
    size = 1000.0**0.5 * case.d**0.25
    slope = torch.linspace(-size, size, case.j, dtype=torch.float64, device="cpu") * (1 if case.seed % 2 else -1)
    query, key = torch.zeros_like(query), torch.zeros_like(key)
    query[..., 0], key[..., 0] = size, slope
    here = None if mask is None else setting.put(mask)
    leaves = {n: leaf(setting.put(x)) for n, x in (("query", query), ("key", key), ("value", value))}
    with setting.running():
        output = attend(*leaves.values(), here, block=case.block)
    q, k, v = (x.detach().cpu().double() for x in leaves.values())
    expected = oracles.attention_loop(q, k, v, mask)
    agree(output, expected, setting.tolerance, "the output for scores from -1000 to 1000", AXES)
    for name, gradient in gradients(output, leaves, torch.ones(output.shape)).items():
        require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite for scores of ±1000")


def _block_changes_nothing(attend: Part, case: BlocksCase, setting: Setting = EXACT) -> None:
    *inputs, mask = case.tensors()
    here = None if mask is None else setting.put(mask)
    found = []
    for block in (case.j, case.block):
        leaves = {n: leaf(setting.put(x)) for n, x in zip(("query", "key", "value"), inputs)}
        with setting.running():
            output = attend(*leaves.values(), here, block=block)
        weights = fill(generator(case.seed), *output.shape)
        found.append({"output": output} | gradients(output, leaves, weights))
    tolerance = min(setting.tolerance, 1e-12) if setting.dtype == torch.float64 else setting.tolerance
    for name, whole in found[0].items():
        agree(found[1][name], whole, tolerance, f"({name}) with a block of {case.block}, not of all {case.j} keys,")


def _drop_half(weights: Tensor) -> Tensor:
    """Dropout without chance: the shape alone decides, so that a second call drops the same."""
    kept = torch.rand(weights.shape, generator=generator(weights.shape[-1]), device="cpu") < 0.5
    return weights * (2.0 * kept).to(weights.device, weights.dtype)


def _dropout_acts_on_weights(attend: Part, case: BlocksCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = case.tensors()
    here = None if mask is None else setting.put(mask)
    widths = [min(case.block, case.j - start) for start in case.starts()]
    kept = torch.cat([_drop_half(torch.ones(case.b, case.h, case.i, w, device="cpu")) for w in widths], dim=-1)
    compare(
        setting,
        lambda q, k, v: attend(q, k, v, here, _drop_half, block=case.block),
        lambda q, k, v: oracles.attention_loop(q, k, v, mask, kept.double()),
        {"query": query, "key": key, "value": value},
        axes=AXES,
        seed=case.seed,
    )


def _gradient_is_of_the_same_draws(attend: Part, case: BlocksCase, setting: Setting = EXACT) -> None:
    *inputs, mask = case.tensors()
    here = None if mask is None else setting.put(mask)
    leaves = {n: leaf(setting.put(x)) for n, x in zip(("query", "key", "value"), inputs)}
    with setting.running():
        output = attend(*leaves.values(), here, nn.Dropout(0.5).train(), block=case.block)
    weights = setting.put(fill(generator(case.seed), *output.shape))
    torch.rand(7, device=setting.device)  # what else is drawn before the backward pass shall not matter
    found = gradients(output, leaves, weights)
    # Whatever was dropped, the output is linear in the values, so that each is its gradient's product with itself.
    by_value = (found["value"].double() * leaves["value"].double()).sum()
    expected = (output.double() * weights.to(output.dtype).double()).sum()
    what = "the gradient is not of the weights that were dropped: its product with the values"
    agree(by_value, expected, setting.tolerance, what)


def _nothing_is_square(attend: Part, case: BlocksCase, setting: Setting = EXACT) -> None:
    n, block = 32 + case.i, 6 + case.block % 3
    source = generator(case.seed)
    leaves = [leaf(setting.put(fill(source, case.b, case.h, n, width))) for width in (case.d, case.d, case.e)]
    mask = setting.put(torch.rand(case.b, 1, 1, n, generator=source, device="cpu") < 0.7) if case.mask else None
    with LargestTensor() as watch, setting.running():
        output = attend(*leaves, mask, block=block)
        forward = watch.elements
        output.sum().backward()
    most = case.b * case.h * n * max(block, case.d, case.e)
    for when, elements in (("forward", forward), ("backward", watch.elements)):
        require(
            elements <= most,
            f"{when}: no tensor may have more than b h n max(block, d, e) = {most} elements (n = {n}, block = {block}, "
            f"mask {None if mask is None else '(b 1 1 n)'}); one has {elements}, and all the weights would be "
            f"{case.b * case.h * n * n}",
        )


def _check(name: str, body: Part, empty_rows: bool = True) -> Check:
    return Check(name, "online_attention", blocks_cases(empty_rows=empty_rows), body, preflight=False)


ONLINE_CHECKS = (
    _check("attention by blocks equals F.scaled_dot_product_attention, gradients too", _equals_sdpa, empty_rows=False),
    _check("attention by blocks equals a plain loop, gradients too, also for empty rows", _equals_loop),
    _check("a block whose keys are all hidden leaves no trace", _hidden_blocks_are_harmless),
    _check("scores of ±1000 are handled exactly, wherever the largest is", _maximum_may_come_late),
    _check("the block's size changes nothing", _block_changes_nothing),
    _check("dropout acts on the weights, after the denominator", _dropout_acts_on_weights),
    _check("the gradient belongs to the weights that were dropped", _gradient_is_of_the_same_draws),
    _check("no tensor is larger than a block of weights, forward or backward", _nothing_is_square),
)
