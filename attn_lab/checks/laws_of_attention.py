"""Laws of the attention function: what holds whatever the numbers are."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from attn_lab.checks import oracles, strategies
from attn_lab.checks.building import Part
from attn_lab.checks.cases import AttentionCase, fill, generator
from attn_lab.checks.check import Check
from attn_lab.checks.compare import agree, gradients, leaf, require
from attn_lab.checks.setting import EXACT, Setting

AXES = "b h i e"


def _here(case: AttentionCase, setting: Setting) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    query, key, value, mask = case.tensors()
    return setting.put(query), setting.put(key), setting.put(value), None if mask is None else setting.put(mask)


def _by_loop(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, kept: Tensor | None = None) -> Tensor:
    q, k, v = (tensor.cpu().double() for tensor in (query, key, value))
    return oracles.attention_loop(q, k, v, None if mask is None else mask.cpu(), kept)


def _order_of_keys_is_irrelevant(attention: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = _here(case, setting)
    order = torch.randperm(case.j, generator=generator(case.seed), device="cpu").to(setting.device)
    with setting.running():
        expected = attention(query, key, value, mask)
        actual = attention(query, key[:, :, order], value[:, :, order], None if mask is None else mask[..., order])
    agree(actual, expected, setting.tolerance, "the output for keys and values in another order", AXES)


def _empty_rows_are_zero(attention: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = _here(case, setting)
    shape = (case.b, case.h, case.i, case.j)
    allowed = oracles.expanded(None if mask is None else mask.cpu(), shape).clone()
    allowed[:, :, case.seed % case.i] = False  # one empty row at least
    leaves = {"query": leaf(query), "key": leaf(key), "value": leaf(value)}
    with setting.running():
        output = attention(*leaves.values(), setting.put(allowed))
    rows = ~allowed.any(-1)
    require(bool((output.detach().cpu()[rows] == 0).all()), "a query that may attend to nothing must get zeros")
    for name, gradient in gradients(output, leaves, torch.ones(output.shape)).items():
        require(bool(gradient.isfinite().all()), f"a query that may attend to nothing makes the gradient of {name} NaN")


def _extreme_scores_are_exact(attention: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = _here(case, setting)
    # Scores of -1000 and 1000 and nothing between: all keys point along one axis, and so does each query.
    signs = fill(generator(case.seed), case.b, case.h, case.j).sign()
    big = 1000.0**0.5 * case.d**0.25
    query, key = torch.zeros_like(query), torch.zeros_like(key)
    query[..., 0], key[..., 0] = big, setting.put(signs * big)
    leaves = {"query": leaf(query), "key": leaf(key), "value": leaf(value)}
    with setting.running():
        output = attention(*leaves.values(), mask)
    expected = _by_loop(query, key, value, mask)
    agree(output, expected, setting.tolerance, "the output for scores of -1000 and 1000", AXES)
    for name, gradient in gradients(output, leaves, torch.ones(output.shape)).items():
        require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite for scores of ±1000")


def _hidden_keys_have_no_influence(attention: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = _here(case, setting)
    leaves = {"query": leaf(query), "key": leaf(key), "value": leaf(value)}
    with setting.running():
        output = attention(*leaves.values(), mask)
    b, h, i = (case.seed % size for size in (case.b, case.h, case.i))
    allowed = oracles.expanded(None if mask is None else mask.cpu(), (case.b, case.h, case.i, case.j))
    one_query = torch.zeros(output.shape, device="cpu")
    one_query[b, h, i] = fill(generator(case.seed), case.e)
    visible = torch.zeros(case.b, case.h, case.j, dtype=torch.bool, device="cpu")
    visible[b, h] = allowed[b, h, i]
    found = gradients(output, leaves, one_query)
    for name in ("key", "value"):
        leaked = found[name].cpu()[~visible]
        require(bool((leaked == 0).all()), f"a query's output depends on a {name} that it may not attend to")


def _inputs_stay_as_they_are(attention: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = _here(case, setting)
    given = {"query": query, "key": key, "value": value} | ({} if mask is None else {"mask": mask})
    before = {name: tensor.clone() for name, tensor in given.items()}
    with setting.running():
        attention(query, key, value, mask)
    for name, tensor in given.items():
        require(torch.equal(tensor, before[name]), f"{name} is changed in place")


def _dropout_acts_on_weights(attention: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = _here(case, setting)
    shape = (case.b, case.h, case.i, case.j)
    kept = 2.0 * (torch.rand(shape, generator=generator(case.seed), device="cpu") < 0.5).double()

    def drop(weights: Tensor) -> Tensor:
        require(
            tuple(weights.shape) == shape,
            f"dropout must get the weights, (b h i j) = {shape}; got {tuple(weights.shape)}",
        )
        return weights * kept.to(weights.device, weights.dtype)

    with setting.running():
        output = attention(query, key, value, mask, drop)
    expected = _by_loop(query, key, value, mask, kept)
    agree(output, expected, setting.tolerance, "the output under dropout of the weights", AXES)


def _dropout_is_for_training(attention: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    query, key, value, mask = _here(case, setting)
    dropout = nn.Dropout(0.5)
    with setting.running():
        plain = attention(query, key, value, mask)
        resting = attention(query, key, value, mask, dropout.eval())
        training = attention(query, key, value, mask, dropout.train())
    agree(resting, plain, setting.tolerance, "the output with dropout in eval mode", AXES)
    # A weight that is kept is doubled, so no draw leaves the output as it was.
    require(not torch.equal(training, plain), "dropout has no effect in training mode")


def _law(name: str, body: Part, *, empty_rows: bool = True, only: Mapping[str, object] | None = None) -> Check:
    return Check(name, "attention", strategies.attention_cases(empty_rows=empty_rows), body, only or {})


ATTENTION_LAWS = (
    _law("the order of keys, with their values, is irrelevant", _order_of_keys_is_irrelevant),
    _law(
        "queries that may attend to nothing get zeros and finite gradients",
        _empty_rows_are_zero,
        only={"empty_rows": True},
    ),
    _law("scores of ±1000 are handled exactly", _extreme_scores_are_exact),
    _law("a hidden key, another head and another example have no influence", _hidden_keys_have_no_influence),
    _law("attention leaves its inputs as they are", _inputs_stay_as_they_are),
    _law("dropout acts on the weights, after the softmax", _dropout_acts_on_weights),
    _law(
        "dropout acts in training and not in evaluation",
        _dropout_is_for_training,
        empty_rows=False,  # else there may be nothing to drop
    ),
)
