"""The key/value cache: every property on every variant, what is kept, what is refused, and the texts it writes."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attn_lab import MultiHeadSelfAttention, PositionalEncoding, TransformerLanguageModel, attention, masks
from attn_lab.checks import Check, Setting
from attn_lab.checks.decoding import DECODING, VARIANTS
from attn_lab.checks.oracles import randomise
from attn_lab.efficient.decoding import CachedAttention, Decoder, generate
from attn_lab.efficient.local import LocalAttention
from attn_lab.efficient.places import MaskRows
from attn_lab.variants.grouped_query import GroupedQueryAttention
from attn_lab.variants.rotary import NoPositions, RotaryAttention
from tests.checks.no_float64 import DEVICE, NoFloat64

IMPLEMENTATIONS = {"decoder": Decoder, "batched_generate": generate, "cached_attention": CachedAttention}
WINDOWED = ("window", "window, no mask", "rotary, grouped, window")
LOWER = (
    Setting(dtype=torch.float32),
    Setting(dtype=torch.bfloat16),
    Setting(dtype=torch.float16),
    Setting(dtype=torch.float32, autocast=torch.bfloat16),
)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def text(b: int, n: int, seed: int = 0, ntoken: int = 11) -> Tensor:
    return torch.randint(ntoken, (b, n), generator=torch.Generator().manual_seed(seed))


def model_of(seed: int = 0, *, dropout: float = 0.3, max_len: int = 40, **options: Any) -> TransformerLanguageModel:
    """In float64, every parameter drawn, in training mode."""
    model = TransformerLanguageModel(11, 8, 2, 12, 2, dropout, max_len=max_len, **options).double()
    randomise(model, seed, torch.float64)
    return model


def on_every_variant() -> list[Any]:
    return [
        pytest.param(check, variant, id=f"{check.name}: {variant}")
        for check in DECODING
        if check.subject != "cached_attention"
        for variant in (WINDOWED if check.name.startswith("with a window") else VARIANTS)
    ]


@pytest.mark.parametrize(("check", "variant"), on_every_variant())
def test_every_variant_is_exact(check: Check, variant: str) -> None:
    """Catches positions counted from the new token, a mask of the wrong rows, keys that are lost or shared."""
    check.narrowed(variant=variant).run(IMPLEMENTATIONS[check.subject], max_examples=6)


@pytest.mark.parametrize("setting", LOWER, ids=str)
@pytest.mark.parametrize("check", [c for c in DECODING if c.subject != "batched_generate"], ids=lambda c: c.name)
def test_other_precisions(check: Check, setting: Setting) -> None:
    """Catches a cache of another dtype, and a model refused for its rounding. (Greedy texts may differ by rounding.)"""
    check.run(IMPLEMENTATIONS[check.subject], dtype=setting.dtype, autocast=setting.autocast, max_examples=6)


def test_the_cached_attention_is_exact() -> None:
    """Catches new keys in front of old ones, and queries that miss the newest key."""
    for check in DECODING:
        if check.subject == "cached_attention":
            check.run(CachedAttention, max_examples=50)


# What is computed and what is kept


def test_only_new_columns_are_computed() -> None:
    """Catches a cache that is equal because the whole text is read each time."""
    model = model_of()
    lengths: list[int] = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    decode, ids = Decoder(model), text(2, 9)
    lengths.clear()
    for n in (4, 5, 6, 9):
        assert decode(ids[:, :n]).shape[1] == lengths[-1]
    assert lengths == [4, 1, 1, 3]


@pytest.mark.parametrize("window", [1, 2, 5])
def test_a_window_forgets(window: int) -> None:
    """Catches a cache that grows beyond the window, and a view of its end that keeps a long prompt alive."""
    cached = CachedAttention(LocalAttention(window))
    assert cached.window == window
    for m in (9, 1, 1, 4, 1):
        x = normal(m, 2, 2, m, 4)
        cached(x, x, x)
        for held in (cached.key, cached.value):
            assert held.shape[-2] == window
            assert torch.equal(held[:, :, -1], x[:, :, -1])
            assert held.untyped_storage().nbytes() == held.numel() * 8
    cached.forget()
    assert cached.key is None
    assert cached.value is None


def test_a_window_of_ones_own() -> None:
    """Catches an argument that the attention's attribute overrules, and an attribute that is not looked for."""
    assert CachedAttention(attention).window is None
    assert CachedAttention(attention, window=3).window == 3
    assert CachedAttention(LocalAttention(5), window=3).window == 3
    assert CachedAttention(RotaryAttention(LocalAttention(5))).window == 5


def test_grouped_queries_make_the_cache_small() -> None:
    """Catches a cache of the repeated heads: of 2 heads in 1 group it holds 1."""
    model = model_of(attention_module=partial(GroupedQueryAttention, n_groups=1))
    decode = Decoder(model)
    decode(text(3, 6))
    caches = [module for module in decode._model.modules() if isinstance(module, CachedAttention)]
    assert [tuple(cache.key.shape) for cache in caches] == [(3, 1, 6, 4)] * 2


def test_mask_and_dropout_reach_the_attention() -> None:
    """Catches arguments lost on the way, given by place or by name, and a mask with columns that are not held."""
    seen: list[Any] = []

    def inside(query: Tensor, key: Tensor, value: Tensor, mask: Any = None, dropout: Any = None) -> Tensor:
        seen.append((tuple(mask.shape), bool(mask[0, 0]), dropout))
        return query

    dropout, x = nn.Dropout(0.1), normal(0, 1, 1, 3, 2)
    cached = CachedAttention(inside, window=2)
    mask = torch.ones(3, 8, dtype=torch.bool)
    mask[:, :4] = False
    cached(x, x, x, mask[:, :3], dropout)
    cached(x, x, x, mask=mask, dropout=dropout)
    assert seen == [((3, 3), False, dropout), ((3, 4), True, dropout)]


def test_no_table_for_the_causal_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches n x n numbers for a row of the mask, made anew for each token."""

    def no_table(*_: Any) -> Tensor:
        raise RuntimeError("a table")

    monkeypatch.setattr(MaskRows, "_grown", no_table)
    decode, ids = Decoder(model_of()), text(1, 6)
    for n in range(1, 7):
        decode(ids[:, :n])


def test_another_mask_is_made_anew_only_now_and_then() -> None:
    """Catches a mask of n x n for each token: the rows are those of a table that doubles."""
    asked: list[int] = []

    def rule(n: int) -> Tensor:
        asked.append(n)
        return masks.sliding_window(n, 3)

    decode, ids = Decoder(model_of(mask=rule)), text(1, 40)
    asked.clear()
    for n in range(1, 41):
        decode(ids[:, :n])
    assert len(asked) <= 8


# The weights, and texts that do not go on


def test_the_weights_are_shared() -> None:
    """Catches a copy of the weights: twice the memory, and stale after the next step of training."""
    model = model_of(tie_weights=True)
    decode = Decoder(model)
    assert {id(p) for p in decode._model.parameters()} == {id(p) for p in model.parameters()}
    shared = {id(x) for x in model.buffers()}
    assert {id(x) for x in decode._model.buffers()} == shared
    assert decode._model.decoder.weight is decode._model.embedding.weight


def test_learned_positions_may_change() -> None:
    """Catches a table of positions that is kept when a step of training has moved them."""

    class Learned(nn.Module):
        def __init__(self, d_model: int, dropout: float, max_len: int) -> None:
            super().__init__()
            self.places = nn.Parameter(normal(0, max_len, d_model))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.places[: x.shape[1]]

    model, ids = model_of(positions=Learned), text(1, 5)
    decode = Decoder(model)
    decode(ids[:, :3])
    with torch.no_grad():
        model.positions.places.add_(1.0).mul_(2.0)
    torch.testing.assert_close(decode(ids)[:, -1], model.eval()(ids)[:, -1], rtol=0, atol=1e-12)


def test_an_interrupt_does_not_leave_layers_ahead_of_others() -> None:
    """Catches a cache that goes on with what was half computed when an error came."""
    model, ids = model_of(), text(2, 6)
    broken = {"now": False}

    def maybe_fail(*_: Any) -> None:
        if broken["now"]:
            raise KeyboardInterrupt

    model.encoder.blocks[1].register_forward_pre_hook(maybe_fail)
    decode = Decoder(model)
    decode(ids[:, :3])
    broken["now"] = True
    with pytest.raises(KeyboardInterrupt):
        decode(ids[:, :4])
    broken["now"] = False
    torch.testing.assert_close(decode(ids[:, :5])[:, -1], model.eval()(ids[:, :5])[:, -1], rtol=0, atol=1e-12)


def test_the_callers_ids_may_change() -> None:
    """Catches a reference to the caller's tensor, which is written over in place: it would always seem the same."""
    model, ids = model_of(), text(2, 6)
    decode = Decoder(model)
    decode(ids[:, :3])
    ids[:, 0] = (ids[:, 0] + 1) % 11
    expected = model.eval()(ids)[:, -1]
    torch.testing.assert_close(decode(ids)[:, -1], expected, rtol=0, atol=1e-12)
    padding = torch.tensor([0, 1])
    decode(ids[:, :4], padding)
    padding[1] = 2
    expected = model(ids[1:, 2:])[0, -1]
    torch.testing.assert_close(decode(ids, padding)[1, -1], expected, rtol=0, atol=1e-12)


def test_reset_forgets() -> None:
    """Catches a reset that keeps the old keys or the old ids."""
    decode, ids = Decoder(model_of()), text(2, 5)
    first = decode(ids)
    decode.reset()
    assert torch.equal(decode(ids), first)


def test_nothing_needs_a_gradient() -> None:
    """Catches a graph that grows with every token."""
    decode = Decoder(model_of())
    decode(text(1, 3))
    assert not decode(text(1, 4)).requires_grad
    assert torch.is_grad_enabled()
    assert all(not x.requires_grad for x in (decode._caches[0].key, decode._caches[0].value))


def test_beyond_the_longest_text() -> None:
    """Catches a cache that goes on where the positions end: the part's own error, as without a cache."""
    decode = Decoder(model_of(max_len=6))
    decode(text(1, 6))
    with pytest.raises(ValueError, match="at most max_len = 6 tokens; got 7"):
        decode(text(1, 7))
    free = model_of(max_len=6, positions=NoPositions, attention=RotaryAttention())
    ids = text(1, 9)
    decode = Decoder(free)
    found = torch.cat([decode(ids[:, :n]) for n in range(1, 10)], dim=1)
    torch.testing.assert_close(found, free.eval()(ids), rtol=0, atol=1e-12)


# Writing


@pytest.mark.parametrize("context", [None, 4, 1])
@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": 0.8, "top_k": 5}])
def test_generate_takes_the_decoder(context: int | None, options: dict) -> None:
    """Catches other texts than the model's own, also where the context slides beyond max_len."""
    model, prompt = model_of(max_len=9), text(3, 5)
    plain, cached = (
        model.generate(
            prompt, 10, context=context, generator=torch.Generator().manual_seed(5), logits_of=ask, **options
        )
        for ask in (None, Decoder(model))
    )
    assert torch.equal(plain, cached)


def test_generate_asks_what_it_is_given() -> None:
    """Catches a keyword that is ignored."""
    asked: list[Tensor] = []

    def always_seven(ids: Tensor) -> Tensor:
        asked.append(ids)
        return torch.eye(11)[7].expand(*ids.shape, 11)

    written = model_of().generate(text(2, 3), 4, temperature=0.0, context=5, logits_of=always_seven)
    assert (written[:, 3:] == 7).all()
    assert [ids.shape[1] for ids in asked] == [3, 4, 5, 5]


def test_generate_puts_each_modules_mode_back() -> None:
    """Catches a model that comes back with parts in training mode that were in eval mode before."""
    model = model_of()
    model.encoder.blocks[0].eval()
    before = [module.training for module in model.modules()]
    model.generate(text(1, 3), 2)
    assert [module.training for module in model.modules()] == before
    assert True in before
    assert False in before


def test_prompts_of_one_length_are_drawn_as_a_batch() -> None:
    """Catches draws in another order than the model's own: with equal lengths the same generator writes the same."""
    model, prompts = model_of(), text(4, 5)
    written = generate(model, list(prompts), 6, temperature=0.9, generator=torch.Generator().manual_seed(3))
    expected = model.generate(prompts, 6, temperature=0.9, generator=torch.Generator().manual_seed(3))
    assert torch.equal(torch.stack(written), expected)


def test_a_batch_of_prompts_is_read_once() -> None:
    """Catches prompts that are read again for each token."""
    model = model_of()
    lengths: list[int] = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    written = generate(model, [text(1, 6)[0], text(1, 2)[0]], 4)
    assert lengths[-4:] == [6, 1, 1, 1]
    assert [len(ids) for ids in written] == [10, 6]


def test_an_attention_that_cannot_answer_without_keys() -> None:
    """Catches filler that sees nothing: NaN from a plain softmax, which reaches every word by way of its value."""

    def plain(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: Any = None) -> Tensor:
        scores = query @ key.mT / query.shape[-1] ** 0.5
        return scores.masked_fill(~mask, -torch.inf).softmax(-1) @ value

    model, prompts = model_of(attention=plain), [text(1, 6)[0], text(1, 2, seed=1)[0]]
    written = generate(model, prompts, 5, temperature=0.0)
    for prompt, ids in zip(prompts, written):
        assert torch.equal(ids, model.generate(prompt[None], 5, temperature=0.0)[0])


def test_no_new_tokens() -> None:
    """Catches prompts that come back as the caller's own tensors, or not at all."""
    prompts = [text(1, 3)[0], text(1, 2)[0]]
    written = generate(model_of(), prompts, 0)
    assert all(torch.equal(x, y) and x is not y for x, y in zip(written, prompts))


def test_a_device_without_float64() -> None:
    """Catches a table or a place on the CPU, or in float64, where the model is elsewhere: `NoFloat64` stands in."""
    options = {"positions": NoPositions, "attention": RotaryAttention(), "dropout": 0.0}
    prompts = [text(1, 6)[0], text(1, 2)[0]]
    expected = generate(model_of(**options).float(), prompts, 4, temperature=0.0)
    with NoFloat64():
        model = model_of(**options).float().to(DEVICE)
        written = generate(model, [prompt.to(DEVICE) for prompt in prompts], 4, temperature=0.0)
        assert [ids.to("cpu").tolist() for ids in written] == [ids.tolist() for ids in expected]


# What is refused


class AddsToTheFirst(PositionalEncoding):
    """Positions that a single token cannot be given: they depend on the length of the text."""

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[: x.shape[1]].flip(0)


class LooksAround(MultiHeadSelfAttention):
    """An attention module that looks at its input by another way than its attention function."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(query, key, value, mask) + query.cumsum(1)


class NoAttribute(nn.Module):
    """An attention module that keeps no attention function."""

    def __init__(self, *sizes: Any, **options: Any) -> None:
        super().__init__()
        self.inside = partial(MultiHeadSelfAttention(*sizes).double())

    def forward(self, *inputs: Any) -> Tensor:
        return self.inside(*inputs)


def shared_encoder(block: nn.Module, n: int) -> nn.Module:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = block

        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            return self.block(self.block(x, mask), mask)

    return Twice()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"causal": False}, "a cache needs a causal model"),
        ({"attention_module": NoAttribute}, "has 0 such modules and positions"),
        ({"attention_module": LooksAround}, "does not go token by token: its answers"),
        ({"positions": AddsToTheFirst}, "does not go token by token"),
        ({"encoder": shared_encoder}, "does not go token by token"),
        ({"mask": partial(masks.sliding_window, window=2, causal=False)}, "lets a query see a later key"),
        ({"mask": lambda n: masks.sliding_window(n, n // 2 + 1)}, "changes with the length"),
        ({"mask": lambda n: masks.causal(n)[None]}, "the model's is (1, 1, 1)"),
    ],
)
def test_models_that_cannot_be_decoded(options: dict, message: str, no_shape_checker: None) -> None:
    """Catches a wrong text, written without a word, by a model that a cache does not fit."""
    with pytest.raises(ValueError, match=re.escape(message)):
        Decoder(model_of(**options))


def test_a_mask_that_changes_later_is_refused() -> None:
    """Catches a mask whose early rows change when the text grows: what was computed under them is stale."""

    def rule(n: int) -> Tensor:
        return masks.sliding_window(n, 2 if n <= 8 else 3)

    decode = Decoder(model_of(mask=rule))
    decode(text(1, 4))
    with pytest.raises(ValueError, match="changes with the length"):
        decode(text(1, 9))


def test_a_part_with_an_attention_within_an_attention() -> None:
    """Catches keys that are remembered twice: a block's `attention` that is a module with an `attention` of its own."""

    class Block(nn.Module):
        def __init__(self, attn: nn.Module, *_: Any, **__: Any) -> None:
            super().__init__()
            self.attention = attn

        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            return x + self.attention(x, x, x, mask)

    model, ids = model_of(block=Block), text(2, 6)
    decode = Decoder(model)
    found = torch.cat([decode(ids[:, :n]) for n in range(1, 7)], dim=1)
    torch.testing.assert_close(found, model.eval()(ids), rtol=0, atol=1e-12)


def test_a_model_without_positions() -> None:
    """Catches an error from deep inside for a model with other names than ours."""
    model = model_of()
    model.places = model.positions
    del model.positions
    with pytest.raises(ValueError, match="2 such modules and no positions"):
        Decoder(model)


@pytest.mark.parametrize("padding", [[0], [0, 5], [-1, 0], [[0, 0]], [0, 0, 0]])
def test_bad_padding(padding: list, no_shape_checker: None) -> None:
    """Catches filler for another batch, and a text that is nothing but filler."""
    decode = Decoder(model_of())
    with pytest.raises(
        ValueError, match=re.escape(f"b = 2 numbers between 0 and n - 1 = 4, one for each text; got {padding}")
    ):
        decode(text(2, 5), torch.tensor(padding))


def test_no_ids() -> None:
    """Catches an empty text that fails far away."""
    with pytest.raises(ValueError, match="at least one token"):
        Decoder(model_of())(text(2, 0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: generate(m, [], 2), "got prompts of [] tokens, 2 and 6"),
        (lambda m: generate(m, [text(1, 3)[0], text(1, 0)[0]], 2), "got prompts of [3, 0] tokens, 2 and 6"),
        (lambda m: generate(m, [text(1, 3)[0]], -1), "got prompts of [3] tokens, -1 and 6"),
        (lambda m: generate(m, [text(1, 3)[0]], 2, context=7), "1 <= context <= 6; got prompts of [3] tokens, 2 and 7"),
        (lambda m: generate(m, [text(1, 3)[0]], 2, context=0), "2 and 0"),
        (lambda m: generate(m, [text(1, 3)[0]], 2, temperature=-1.0), "finite temperature"),
        (lambda m: generate(m, [text(1, 3)[0]], 2, top_k=0), "top_k >= 1"),
    ],
)
def test_bad_arguments_of_generate(call: Callable, message: str, no_shape_checker: None) -> None:
    """Catches an argument out of its range that is taken for another, and an error without the numbers."""
    with pytest.raises(ValueError, match=re.escape(message)):
        call(model_of(max_len=6))
