"""Grouped queries: equal to a plain loop over heads, to PyTorch's own grouping, and to nn.MultiheadAttention."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

import attn_lab
from attn_lab.checks import oracles, strategies
from attn_lab.checks.building import Part
from attn_lab.checks.cases import AttentionCase, MultiHeadCase
from attn_lab.checks.check import Check
from attn_lab.checks.compare import agree, compare, gradients, leaf
from attn_lab.checks.setting import EXACT, Setting

AXES = "b h i e"


@dataclass(frozen=True)
class GroupedCase(MultiHeadCase):
    """A multi-head attention whose h heads share `groups` heads of keys and values."""

    groups: int


class GroupedOracle(nn.Module):
    """Grouped-query attention a head at a time, with matrices of its own for every head and group."""

    def __init__(self, case: GroupedCase) -> None:
        super().__init__()
        self.case = case
        narrow = case.groups * case.d
        sizes = {"q": case.dim, "k": narrow, "v": narrow, "o": case.dim}
        zeros = partial(torch.zeros, dtype=torch.float64, device="cpu")
        self.w = nn.ParameterDict({name: nn.Parameter(zeros(width, case.dim)) for name, width in sizes.items()})
        self.b = nn.ParameterDict({name: nn.Parameter(zeros(width)) for name, width in sizes.items()})

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Head k with group k // (h / g), by the plain loop, then side by side and projected."""
        case, heads = self.case, []
        allowed = oracles.expanded(mask, (case.b, case.h, query.shape[1], key.shape[1]))
        for k in range(case.h):
            group = k // (case.h // case.groups)
            own, shared = (slice(n * case.d, (n + 1) * case.d) for n in (k, group))
            q, kk, v = (
                (x @ self.w[name][rows].T + self.b[name][rows])[:, None]
                for name, x, rows in (("q", query, own), ("k", key, shared), ("v", value, shared))
            )
            head = oracles.attention_loop(q, kk, v, allowed[:, k : k + 1])
            heads.append(head[:, 0])
        return torch.cat(heads, dim=-1) @ self.w["o"].T + self.b["o"]


GROUPED: oracles.Names = {
    f"{ours}.{kind}": (f"{kind[0]}.{letter}", None)
    for ours, letter in (("linear_query", "q"), ("linear_key", "k"), ("linear_value", "v"), ("linear_cat_attn", "o"))
    for kind in ("weight", "bias")
}


def _grouped_is_loop(module: Part, case: GroupedCase, setting: Setting = EXACT) -> None:
    _grouped_is(module, GroupedOracle(case), GroupedOracle.forward, GROUPED, case, setting)


def _one_group_a_head_is_multihead(module: Part, case: GroupedCase, setting: Setting = EXACT) -> None:
    case = replace(case, groups=case.h)
    theirs = oracles.multihead(case.dim, case.h)
    _grouped_is(module, theirs, oracles.multihead_forward, oracles.MULTIHEAD, case, setting)


def _grouped_is(
    module: Part,
    theirs: nn.Module,
    forward: Part,
    names: oracles.Names,
    case: GroupedCase,
    setting: Setting,
) -> None:
    make = partial(module, case.dim, case.h, None, n_groups=case.groups, attention=attn_lab.attention)
    ours = setting.build(make)
    oracles.share_weights(ours, theirs, names, case.seed, case.weights_from_pytorch)
    query, key, value, mask = case.tensors()
    here = None if mask is None else setting.put(mask)
    compare(
        setting,
        lambda q, k, v: ours(q, k, v, here),
        lambda q, k, v: forward(theirs, q, k, v, mask),
        {"query": query, "key": key, "value": value},
        axes="b i dim",
        seed=case.seed,
        shared=(ours, theirs, names),
    )


@dataclass(frozen=True)
class GroupedAttentionCase(AttentionCase):
    """An attention whose h heads of queries share `groups` heads of keys and values."""

    groups: int

    def grouped(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Query, narrow key and value, and mask."""
        query, key, value, mask = self.tensors()
        return query, key[:, : self.groups], value[:, : self.groups], mask


def _grouped_function_is(oracle: Part) -> Part:
    def body(attention: Part, case: GroupedAttentionCase, setting: Setting = EXACT) -> None:
        query, key, value, mask = case.grouped()
        here = None if mask is None else setting.put(mask)
        compare(
            setting,
            lambda q, k, v: attention(q, k, v, here),
            lambda q, k, v: oracle(q, k, v, mask),
            {"query": query, "key": key, "value": value},
            axes=AXES,
            seed=case.seed,
        )

    return body


def _by_heads(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """The plain loop, after each head has picked its group."""
    groups = [k // (query.shape[1] // key.shape[1]) for k in range(query.shape[1])]
    return oracles.attention_loop(query, key[:, groups], value[:, groups], mask)


def _by_sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """PyTorch's own grouping; before 2.5, which has none, the loop again."""
    if not HAS_ENABLE_GQA:
        return _by_heads(query, key, value, mask)
    full = None if mask is None else oracles.expanded(mask, (*query.shape[:3], key.shape[2]))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=full, enable_gqa=True)


HAS_ENABLE_GQA = "enable_gqa" in (F.scaled_dot_product_attention.__doc__ or "")


def _grouped_gradients_add_up(attention: Part, case: GroupedAttentionCase, setting: Setting = EXACT) -> None:
    """A group's value serves all its heads: for weights that add to 1, its gradients add to heads times queries."""
    query, key, value, _ = case.grouped()
    leaves = {name: leaf(setting.put(x)) for name, x in (("query", query), ("key", key), ("value", value))}
    with setting.running():
        output = attention(*leaves.values())
    total = gradients(output, leaves, torch.ones(output.shape))["value"].double().sum(2)
    expected = torch.full_like(total, case.i * case.h / case.groups)
    agree(
        total, expected, setting.tolerance * case.i, "the gradient of a group's values, summed over the keys", "b g e"
    )


def _grouped_attention(case: AttentionCase, groups: int, share: int) -> GroupedAttentionCase:
    fields = {name: getattr(case, name) for name in AttentionCase.__dataclass_fields__}
    return GroupedAttentionCase(**fields | {"h": groups * share}, groups=groups)


def _grouped_module(case: MultiHeadCase, groups: int, share: int) -> GroupedCase:
    fields = {name: getattr(case, name) for name in MultiHeadCase.__dataclass_fields__}
    return GroupedCase(**fields | {"h": groups * share}, groups=groups)


sharing = {"groups": strategies.FEW, "share": strategies.FEW}
grouped_cases = st.builds(_grouped_attention, strategies.attention_cases(), **sharing)
grouped_with_rows = st.builds(_grouped_attention, strategies.attention_cases(empty_rows=False), **sharing)
grouped_module_cases = st.builds(_grouped_module, strategies.multihead_cases(), **sharing)


def _check(name: str, subject: str, strategy: st.SearchStrategy[Any], body: Callable[..., None]) -> Check:
    return Check(name, subject, strategy, body, preflight=False)


GROUPED_QUERY: tuple[Check, ...] = (
    _check(
        "grouped attention equals a plain loop", "grouped_attention", grouped_cases, _grouped_function_is(_by_heads)
    ),
    _check(
        "grouped attention equals F.scaled_dot_product_attention(enable_gqa=True)",
        "grouped_attention",
        grouped_with_rows,
        _grouped_function_is(_by_sdpa),
    ),
    _check(
        "a group's values get the gradients of all their heads",
        "grouped_attention",
        grouped_cases,
        _grouped_gradients_add_up,
    ),
    _check(
        "grouped-query attention equals a plain loop over heads, gradients too",
        "grouped_query_attention",
        grouped_module_cases,
        _grouped_is_loop,
    ),
    _check(
        "with a group for each head it equals nn.MultiheadAttention, gradients too",
        "grouped_query_attention",
        grouped_module_cases,
        _one_group_a_head_is_multihead,
    ),
)
