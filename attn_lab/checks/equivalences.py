"""Equal to PyTorch: outputs and gradients of every part against the same part of PyTorch's, or a plain loop."""

from typing import Any

import torch
from torch import Tensor, nn

import attn_lab
from attn_lab.checks import oracles, strategies
from attn_lab.checks.building import Part, block_of
from attn_lab.checks.cases import (
    AttentionCase,
    EncoderCase,
    LanguageModelCase,
    MaskCase,
    MultiHeadCase,
    PositionsCase,
)
from attn_lab.checks.check import Check
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.checks.setting import EXACT, Setting


def _attention_is_sdpa(attention: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    _attention_is(attention, oracles.sdpa, case, setting)


def _attention_is_loop(attention: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    _attention_is(attention, oracles.attention_loop, case, setting)


def _attention_is(attention: Part, oracle: Part, case: AttentionCase, setting: Setting) -> None:
    query, key, value, mask = case.tensors()
    here = None if mask is None else setting.put(mask)
    compare(
        setting,
        lambda q, k, v: attention(q, k, v, here),
        lambda q, k, v: oracle(q, k, v, mask),
        {"query": query, "key": key, "value": value},
        axes="b h i e",
        seed=case.seed,
    )


def _multihead_is_pytorchs(module: Part, case: MultiHeadCase, setting: Setting = EXACT) -> None:
    ours = setting.build(lambda: module(case.dim, case.h, None, attention=attn_lab.attention))
    theirs = oracles.multihead(case.dim, case.h)
    oracles.share_weights(ours, theirs, oracles.MULTIHEAD, case.seed, case.weights_from_pytorch)
    query, key, value, mask = case.tensors()
    here = None if mask is None else setting.put(mask)
    compare(
        setting,
        lambda q, k, v: ours(q, k, v, here),
        lambda q, k, v: oracles.multihead_forward(theirs, q, k, v, mask),
        {"query": query, "key": key, "value": value},
        axes="b i dim",
        seed=case.seed,
        shared=(ours, theirs, oracles.MULTIHEAD),
    )


def _block_is_pytorchs(block: Part, case: EncoderCase, setting: Setting = EXACT) -> None:
    ours = setting.build(lambda: block_of(case, 0.0, block))
    _encoder_is(ours, oracles.block(case), oracles.block_forward, oracles.BLOCK, case, setting)


def _block_drops_as_pytorchs(block: Part, case: EncoderCase, setting: Setting = EXACT) -> None:
    ours = setting.build(lambda: block_of(case, 0.25, block))
    theirs = oracles.block(case, dropout=0.25)
    theirs.self_attn.dropout = 0.0  # that of the weights is the attention module's business
    with FixedDropout():
        _encoder_is(ours, theirs, oracles.block_forward, oracles.BLOCK, case, setting)


def _encoder_is_pytorchs(encoder: Part, case: EncoderCase, setting: Setting = EXACT) -> None:
    ours = setting.build(lambda: encoder(block_of(case, 0.0), case.n_blocks))
    theirs = oracles.encoder(oracles.block(case), case.n_blocks)
    _encoder_is(ours, theirs, oracles.encoder_forward, oracles.encoder_names(case.n_blocks), case, setting)


def _encoder_is(
    ours: nn.Module, theirs: nn.Module, forward: Part, names: oracles.Names, case: EncoderCase, setting: Setting
) -> None:
    oracles.share_weights(ours, theirs, names, case.seed, case.weights_from_pytorch)
    x, mask = case.tensors()
    here = None if mask is None else setting.put(mask)
    compare(
        setting,
        lambda x: ours(x, here),
        lambda x: forward(theirs, x, mask),
        {"x": x},
        axes="b n d_model",
        seed=case.seed,
        shared=(ours, theirs, names),
        smooth=False,
    )


def _positions_are_the_formula(positions: Part, case: PositionsCase, setting: Setting = EXACT) -> None:
    ours = setting.build(lambda: positions(case.d_model, 0.0, case.n + case.spare))
    table = oracles.sinusoids(case.n, case.d_model)
    compare(setting, ours, lambda x: x + table, {"x": case.tensor()}, axes="b n d_model", seed=case.seed)


def _late_positions_are_the_formula(positions: Part, case: PositionsCase, setting: Setting = EXACT) -> None:
    ours = setting.build(lambda: positions(case.d_model, 0.0, 5000))
    with setting.running():
        output = ours(setting.put(torch.zeros(1, 5000, case.d_model, device="cpu")))
    late = slice(4990, 5000)
    tolerance = max(setting.tolerance / 100, 1e-11)  # sharper than elsewhere: nothing is added up here
    agree(output[0, late], oracles.sinusoids(5000, case.d_model)[late], tolerance, "PE from position 4990", "n d_model")


def _mask_is_causal(mask: Part, case: MaskCase, setting: Setting = EXACT) -> None:
    with torch.device(setting.device):
        actual = mask(case.n)
    _same_mask(actual, [[j <= i for j in range(case.n)] for i in range(case.n)], "i j")


def _padding_hides_keys(padding: Part, case: MaskCase, setting: Setting = EXACT) -> None:
    lengths = case.lengths or ()
    actual = padding(torch.tensor(lengths, device=setting.device), case.n)
    _same_mask(actual, [[[[j < length for j in range(case.n)]]] for length in lengths], "b 1 1 j")


def _window_is_the_nearest(sliding_window: Part, case: MaskCase, setting: Setting = EXACT) -> None:
    with torch.device(setting.device):
        actual = sliding_window(case.n, case.window, case.causal)
    window = case.window or 0
    nearest = [[i - window < j < (i + 1 if case.causal else i + window) for j in range(case.n)] for i in range(case.n)]
    _same_mask(actual, nearest, "i j")


def _same_mask(actual: Tensor, expected: list[Any], axes: str) -> None:
    require(isinstance(actual, Tensor), f"a mask must be a tensor; got {type(actual).__name__}")
    require(actual.dtype == torch.bool, f"a mask must be boolean, True where a query may attend; got {actual.dtype}")
    agree(actual, torch.tensor(expected, device="cpu"), 0.0, "the mask", axes)


def _model_is_pytorchs(model: Part, case: LanguageModelCase, setting: Setting = EXACT) -> None:
    ours = setting.build(lambda: model(*case.sizes, dropout=0.0, **case.options))
    theirs, names = oracles.LanguageModel(case), oracles.language_model_names(case)
    oracles.share_weights(ours, theirs, names, case.seed, case.weights_from_pytorch)
    ids = case.ids()
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


without_empty_rows = strategies.attention_cases(empty_rows=False)

attention_is_sdpa = Check(
    "attention equals F.scaled_dot_product_attention, gradients too",
    "attention",
    without_empty_rows,
    _attention_is_sdpa,
)
attention_is_loop = Check(
    "attention equals a plain loop, gradients too, also for queries that may attend to nothing",
    "attention",
    strategies.attention_cases(),
    _attention_is_loop,
    only={"empty_rows": True},
)
multihead_is_pytorchs = Check(
    "multi-head attention equals nn.MultiheadAttention, gradients too",
    "attention_module",
    strategies.multihead_cases(),
    _multihead_is_pytorchs,
)
three_axes_are_per_example = Check(
    "a mask of three axes holds for one example each, in all heads",
    "attention_module",
    # Only where examples and heads are equally many can the one axis be taken for the other.
    strategies.multihead_cases(masks=("b i j",)).filter(lambda case: case.b == case.h > 1),
    _multihead_is_pytorchs,
    only={"mask": "b i j"},
)
block_is_pytorchs = Check(
    "an encoder block equals nn.TransformerEncoderLayer, gradients too",
    "block",
    strategies.encoder_cases(activations=("relu", "gelu")),
    _block_is_pytorchs,
)
block_drops_as_pytorchs = Check(
    "an encoder block drops where nn.TransformerEncoderLayer drops",
    "block",
    strategies.encoder_cases(activations=("relu", "gelu")),
    _block_drops_as_pytorchs,
)
encoder_is_pytorchs = Check(
    "a stack of blocks equals nn.TransformerEncoder, gradients too",
    "encoder",
    strategies.encoder_cases(activations=("relu", "gelu")),
    _encoder_is_pytorchs,
)
positions_are_the_formula = Check(
    "positions are the paper's sinusoids, along the text",
    "positions",
    strategies.positions_cases(),
    _positions_are_the_formula,
)
late_positions_are_the_formula = Check(
    "late positions are as exact as early ones",
    "positions",
    strategies.positions_cases(),
    _late_positions_are_the_formula,
)
mask_is_causal = Check(
    "the causal mask lets each query see itself and the past", "mask", strategies.mask_cases(), _mask_is_causal
)
padding_hides_keys = Check(
    "a padding mask lets every query see the real keys",
    "padding",
    strategies.padding_cases(),
    _padding_hides_keys,
    preflight=False,
)
window_is_the_nearest = Check(
    "a sliding window lets each query see the nearest keys",
    "sliding_window",
    strategies.window_cases(),
    _window_is_the_nearest,
    preflight=False,
)
model_is_pytorchs = Check(
    "the language model equals its twin built of nn.Transformer* parts, gradients too",
    "language_model",
    strategies.language_model_cases(),
    _model_is_pytorchs,
)

EQUIVALENCES = (
    attention_is_sdpa,
    attention_is_loop,
    multihead_is_pytorchs,
    three_axes_are_per_example,
    block_is_pytorchs,
    block_drops_as_pytorchs,
    encoder_is_pytorchs,
    positions_are_the_formula,
    late_positions_are_the_formula,
    mask_is_causal,
    padding_hides_keys,
    window_is_the_nearest,
    model_is_pytorchs,
)
