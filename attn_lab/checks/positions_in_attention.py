"""Positions inside attention, rotary and ALiBi: equal to their formulas or to PyTorch, and the laws they keep."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor

from attn_lab.checks import oracles, strategies
from attn_lab.checks.building import Part
from attn_lab.checks.cases import AttentionCase, fill, generator
from attn_lab.checks.check import Check
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.laws_of_attention import ATTENTION_LAWS
from attn_lab.checks.setting import EXACT, Setting

AXES = "b h i e"


# Rotary positions


@dataclass(frozen=True)
class RotaryCase:
    """Queries or keys of width d at positions that begin anywhere and lie `step` apart."""

    b: int
    h: int
    n: int
    d: int
    first: int
    step: int
    base: float
    seed: int

    def x(self) -> Tensor:
        """The numbers to turn."""
        return fill(generator(self.seed), self.b, self.h, self.n, self.d)

    def positions(self, shift: int = 0) -> Tensor:
        """Where they lie."""
        return shift + self.first + self.step * torch.arange(self.n, device="cpu")


def _turned(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """Pairs of features as complex numbers, times e^(i p theta): the paper's equation 12 for every pair."""
    d = x.shape[-1]
    theta = torch.tensor([base ** (-2 * k / d) for k in range(d // 2)], dtype=torch.float64, device="cpu")
    angle = positions.double()[:, None] * theta
    z = torch.complex(x[..., 0::2], x[..., 1::2]) * torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(z).flatten(-2)


def _rotate_is_complex(rotate: Part, case: RotaryCase, setting: Setting = EXACT) -> None:
    positions = case.positions()
    here = setting.put(positions)
    compare(
        setting,
        lambda x: rotate(x, here, case.base),
        lambda x: _turned(x, positions, case.base),
        {"x": case.x()},
        axes="b h n d",
        seed=case.seed,
    )


def _rotate_keeps_lengths(rotate: Part, case: RotaryCase, setting: Setting = EXACT) -> None:
    x = setting.put(case.x())
    with setting.running():
        turned = rotate(x, setting.put(case.positions()), case.base)
    agree(turned.double().norm(dim=-1), x.double().norm(dim=-1), setting.tolerance, "the length of a row", "b h n")


def _rotations_differ_by_the_distance(rotate: Part, case: RotaryCase, setting: Setting = EXACT) -> None:
    query, key = setting.put(case.x()), setting.put(replace(case, seed=case.seed + 1).x())
    here, there = setting.put(case.positions()), setting.put(case.positions(shift=3))
    with setting.running():
        both = (rotate(query, here, case.base) * rotate(key, there, case.base)).double().sum(-1)
        one = (query * rotate(key, there - here, case.base)).double().sum(-1)
    agree(both, one, setting.tolerance * case.d, "R(p) q · R(r) k, against q · R(r - p) k,", "b h n")


def _rotary_attention_is_loop(attention: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    def loop(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        query = _turned(query, torch.arange(case.j - case.i, case.j), 10000.0)
        return oracles.attention_loop(query, _turned(key, torch.arange(case.j), 10000.0), value, mask)

    _is(attention, loop, case, setting)


# ALiBi


def _slopes_written_out(h: int) -> list[float]:
    if h & (h - 1) == 0:
        return [2 ** (-8 * (k + 1) / h) for k in range(h)]
    lower = 2 ** int(math.log2(h))
    return _slopes_written_out(lower) + _slopes_written_out(2 * lower)[::2][: h - lower]


def _alibi_is_loop(attention: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    """One query at a time, one key at a time: the score, less the slope times the distance."""

    def loop(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        allowed = oracles.expanded(mask, (case.b, case.h, case.i, case.j)).tolist()
        rows = []
        for b in range(case.b):
            for h, slope in enumerate(_slopes_written_out(case.h)):
                for i in range(case.i):
                    keys = [j for j in range(case.j) if allowed[b][h][i][j]]
                    place = i + case.j - case.i
                    far = torch.tensor([abs(place - j) for j in keys], dtype=torch.float64, device="cpu")
                    scores = key[b, h, keys] @ query[b, h, i] / math.sqrt(case.d) - slope * far
                    rows.append(torch.softmax(scores, dim=0) @ value[b, h, keys])
        return torch.stack(rows).reshape(case.b, case.h, case.i, case.e)

    _is(attention, loop, case, setting)


def _alibi_is_sdpa(attention: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    def sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        slope = torch.tensor(_slopes_written_out(case.h), dtype=torch.float64, device="cpu")
        place = torch.arange(case.j - case.i, case.j, device="cpu")
        far = (place[:, None] - torch.arange(case.j, device="cpu")).abs()
        added = (-slope[:, None, None] * far).expand(case.b, -1, -1, -1)
        hidden = ~oracles.expanded(mask, (case.b, case.h, case.i, case.j))
        return F.scaled_dot_product_attention(query, key, value, attn_mask=added.masked_fill(hidden, -math.inf))

    _is(attention, sdpa, case, setting)


@dataclass(frozen=True)
class HeadsCase:
    """A number of heads."""

    h: int


def _slopes_are_the_formula(slopes: Part, case: HeadsCase, setting: Setting = EXACT) -> None:
    found = list(slopes(case.h))
    require(len(found) == case.h, f"there must be a slope for each of {case.h} heads; got {len(found)}")
    expected = torch.tensor(_slopes_written_out(case.h), dtype=torch.float64, device="cpu")
    agree(torch.tensor(found, dtype=torch.float64, device="cpu"), expected, 1e-12, "the slopes", "h")


def _slopes_are_geometric(slopes: Part, case: HeadsCase, setting: Setting = EXACT) -> None:
    found = [float(slope) for slope in slopes(2**case.h)]
    ratio = found[0]
    for k, slope in enumerate(found):
        require(
            math.isclose(slope, ratio ** (k + 1), rel_tol=1e-9),
            f"slope {k} of {2**case.h} heads must be the first, {ratio}, to the power {k + 1}; got {slope}",
        )
    require(math.isclose(found[-1], 2**-8, rel_tol=1e-9), f"the last slope must be 2^-8; got {found[-1]}")


# Both: what attention functions that know positions have in common


def _is(attention: Part, oracle: Part, case: AttentionCase, setting: Setting) -> None:
    query, key, value, mask = case.tensors()
    here = None if mask is None else setting.put(mask)
    compare(
        setting,
        lambda q, k, v: attention(q, k, v, here),
        lambda q, k, v: oracle(q, k, v, mask),
        {"query": query, "key": key, "value": value},
        axes=AXES,
        seed=case.seed,
    )


def _only_distances_count(attention: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    """Hidden keys in front move every position by as many: nothing else may change."""
    query, key, value, mask = case.tensors()
    query, key, value = (setting.put(x) for x in (query, key, value))
    more = 1 + case.seed % 40
    source = generator(case.seed + 1)
    front_key = setting.put(fill(source, case.b, case.h, more, case.d))
    front_value = setting.put(fill(source, case.b, case.h, more, case.e))
    allowed = oracles.expanded(mask, (case.b, case.h, case.i, case.j))
    shifted = setting.put(F.pad(allowed, (more, 0)))
    with setting.running():
        expected = attention(query, key, value, setting.put(allowed))
        actual = attention(query, torch.cat([front_key, key], 2), torch.cat([front_value, value], 2), shifted)
    agree(actual, expected, setting.tolerance, f"the output {more} positions later", AXES)


# The cases


def _even(case: AttentionCase) -> AttentionCase:
    return replace(case, d=case.d + case.d % 2)


def _many_heads(case: AttentionCase) -> AttentionCase:
    """1, 2, 3, 5, 6, 8, 12: powers of two and others."""
    return replace(case, h=(1, 2, 3, 5, 6, 8, 12)[case.seed % 7])


rotary_cases = st.builds(
    RotaryCase,
    b=strategies.FEW,
    h=strategies.FEW,
    n=strategies.LENGTHS,
    d=st.sampled_from((4, 2, 6, 10)),
    first=st.sampled_from((0, 1, 7, -5, 5000)),
    step=st.sampled_from((1, 2, -1, 0)),
    base=st.sampled_from((10000.0, 100.0, 500000.0)),
    seed=strategies.SEEDS,
)
with_rows = strategies.attention_cases(empty_rows=False)
heads_cases = st.builds(HeadsCase, h=st.integers(1, 40))


def _check(name: str, subject: str, strategy: st.SearchStrategy[Any], body: Callable[..., None]) -> Check:
    return Check(name, subject, strategy, body, preflight=False)


ROTARY = (
    _check(
        "rotary positions are a multiplication by e^(ipθ), gradients too", "rotate", rotary_cases, _rotate_is_complex
    ),
    _check("a turn keeps the length of every row", "rotate", rotary_cases, _rotate_keeps_lengths),
    _check("two turns differ by the distance", "rotate", rotary_cases, _rotations_differ_by_the_distance),
    _check(
        "rotary attention equals a plain loop over turned queries and keys, gradients too",
        "rotary_attention",
        strategies.attention_cases().map(_even),
        _rotary_attention_is_loop,
    ),
    _check(
        "only distances count",
        "rotary_attention",
        strategies.attention_cases().map(_even),
        _only_distances_count,
    ),
)
ALIBI = (
    _check("the slopes are the paper's", "slopes", heads_cases, _slopes_are_the_formula),
    _check(
        "the slopes of 2^n heads are a geometric sequence that ends at 2^-8",
        "slopes",
        st.builds(HeadsCase, h=st.integers(0, 6)),
        _slopes_are_geometric,
    ),
    _check(
        "ALiBi equals a plain loop, gradients too, also for queries that may attend to nothing",
        "alibi_attention",
        strategies.attention_cases().map(_many_heads),
        _alibi_is_loop,
    ),
    _check(
        "ALiBi equals F.scaled_dot_product_attention with a mask of numbers, gradients too",
        "alibi_attention",
        with_rows.map(_many_heads),
        _alibi_is_sdpa,
    ),
    _check("only distances count", "alibi_attention", strategies.attention_cases(), _only_distances_count),
)
# Of the laws of every attention function, those that hold here too. The order of the keys is not irrelevant here, and
# the others are told with the plain attention's numbers.
SHARED_LAWS = (
    "queries that may attend to nothing get zeros and finite gradients",
    "a hidden key, another head and another example have no influence",
    "attention leaves its inputs as they are",
    "dropout acts in training and not in evaluation",
)


def _laws_of(subject: str) -> tuple[Check, ...]:
    laws = [law for law in ATTENTION_LAWS if law.name in SHARED_LAWS]
    return tuple(replace(law, subject=subject, preflight=False, strategy=law.strategy.map(_even)) for law in laws)


POSITIONS: tuple[Check, ...] = (
    *ROTARY,
    *_laws_of("rotary_attention"),
    *ALIBI,
    *_laws_of("alibi_attention"),
)
