"""Writing with a key/value cache is equal to reading the whole text each time, in every model that can do it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attn_lab import masks
from attn_lab.checks import oracles, strategies
from attn_lab.checks.building import Part
from attn_lab.checks.cases import AttentionCase, LanguageModelCase, fill, generator
from attn_lab.checks.check import Check
from attn_lab.checks.compare import agree, require
from attn_lab.checks.setting import EXACT, Setting
from attn_lab.efficient.local import LocalAttention, no_mask
from attn_lab.language_model import TransformerLanguageModel
from attn_lab.scaled_dot_product import attention, fused_attention
from attn_lab.variants.alibi import alibi_attention, fused_alibi_attention
from attn_lab.variants.grouped_query import GroupedQueryAttention
from attn_lab.variants.rotary import NoPositions, RotaryAttention

AXES = "b m ntoken"
LONGEST = 12


@dataclass(frozen=True)
class DecodingCase(LanguageModelCase):
    """A language model of some variant, a text, and the pieces in which it is read."""

    variant: str
    window: int
    pieces: int

    def parts(self) -> dict[str, Any]:
        """The variant, by the names of the model's arguments."""
        grouped = partial(GroupedQueryAttention, n_groups=math.gcd(self.h, 2))
        rotary: dict[str, Any] = {"positions": NoPositions, "attention": RotaryAttention()}
        local = LocalAttention(self.window)
        return {
            "plain": {},
            "fused": {"attention": fused_attention},
            "rotary": rotary,
            "rotary and sinusoids": {"attention": RotaryAttention(attention, halves=True)},
            "ALiBi": {"positions": NoPositions, "attention": alibi_attention},
            "ALiBi, grouped": {"attention": fused_alibi_attention, "attention_module": grouped},
            "grouped": {"attention_module": grouped},
            "window": {"attention": local},
            "window, no mask": {"attention": local, "mask": no_mask},
            "rotary, grouped, window": rotary | {"attention": RotaryAttention(local), "attention_module": grouped},
            "sliding mask": {"mask": partial(masks.sliding_window, window=self.window)},
            "uneven mask": {"mask": _strided},
        }[self.variant]

    def model(self, setting: Setting, dropout: float = 0.3, max_len: int = LONGEST) -> Any:
        """The model with random weights, in training mode, with a dropout that evaluation must switch off."""
        build: Part = TransformerLanguageModel
        parts = self.options | self.parts()
        model = setting.build(lambda: build(*self.sizes, dropout, max_len=max_len, **parts))
        oracles.randomise(model, self.seed, setting.dtype)
        return model.train()

    def ends(self) -> list[int]:
        """Where the pieces end, the last at n."""
        inner = torch.randperm(self.n, generator=generator(self.seed), device="cpu")[: self.pieces - 1]
        return sorted({*inner.tolist(), self.n} - {0})


def _strided(n: int) -> Tensor:
    """Each position sees itself and the past places that 3 divides: a mask that a shift changes."""
    place = torch.arange(n)
    return (place <= place[:, None]) & ((place % 3 == 0) | (place == place[:, None]))


VARIANTS = (
    "plain",
    "rotary",
    "window",
    "window, no mask",
    "rotary, grouped, window",
    "sliding mask",
    "uneven mask",
    "grouped",
    "ALiBi",
    "ALiBi, grouped",
    "rotary and sinusoids",
    "fused",
)


@st.composite
def decoding_cases(draw: strategies.Draw, variants: tuple[str, ...] = VARIANTS) -> DecodingCase:
    """Models of every variant with every combination of switches; see `DecodingCase`."""
    case = draw(strategies.language_model_cases(causal=True))
    fields = {name: getattr(case, name) for name in LanguageModelCase.__dataclass_fields__} | {"d": 2 * (case.d // 2)}
    return DecodingCase(
        **fields,
        variant=draw(st.sampled_from(variants)),
        window=draw(st.sampled_from((2, 3, 1, 4))),
        pieces=draw(st.sampled_from((7, 1, 2, 3))),
    )


def _exactness(setting: Setting) -> float:
    return min(setting.tolerance, 1e-12) if setting == EXACT else setting.tolerance


def _whole(model: nn.Module, ids: Tensor, setting: Setting) -> Tensor:
    """What the model itself says of all of it, in eval mode; its mode is put back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with setting.running(), torch.no_grad():
        logits = model(ids)
    for module, training in modes.items():
        module.training = training
    return logits


def _pieces_are_the_whole(decoder: Part, case: DecodingCase, setting: Setting = EXACT) -> None:
    model, ids = case.model(setting), setting.put(case.ids())
    whole = _whole(model, ids, setting)
    with setting.running():
        decode, start = decoder(model), 0
        for end in case.ends():
            logits = decode(ids[:, :end])
            agree(logits, whole[:, start:end], _exactness(setting), f"the logits of tokens {start} to {end - 1}", AXES)
            start = end


def _another_text_starts_again(decoder: Part, case: DecodingCase, setting: Setting = EXACT) -> None:
    """A text cropped at its front, the same one, a shorter one, one that differs early on, one more example."""
    model, ids = case.model(setting), setting.put(case.ids())
    changed = ids.clone()
    changed[-1, 0] = (ids[-1, 0] + 1) % case.ntoken
    texts = [ids, ids[:, 1:], ids, ids, ids[:, :1], ids, changed, torch.cat([changed, ids]), ids[:, -1:]]
    with setting.running():
        decode = decoder(model)
        for text in texts:
            if text.shape[1]:
                last = decode(text)[:, -1]
                agree(last, _whole(model, text, setting)[:, -1], _exactness(setting), "the last logits", "b ntoken")


def _decoders_are_apart(decoder: Part, case: DecodingCase, setting: Setting = EXACT) -> None:
    model, ids = case.model(setting), setting.put(case.ids())
    other = ids.flip(1)
    texts = (ids, other)
    with setting.running():
        decoders = (decoder(model), decoder(model))
        for end in case.ends():
            for decode, text in zip(decoders, texts):
                expected = _whole(model, text[:, :end], setting)[:, -1]
                agree(decode(text[:, :end])[:, -1], expected, _exactness(setting), "the last logits", "b ntoken")


def _the_model_stays_as_it_is(decoder: Part, case: DecodingCase, setting: Setting = EXACT) -> None:
    model, ids = case.model(setting), setting.put(case.ids())
    model.encoder.eval()  # of its own, within a model in training mode
    before = [(id(module), module.training, list(vars(module).items())) for module in model.modules()]
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    with setting.running():
        decode = decoder(model)
        decode(ids)
        after = [(id(module), module.training, list(vars(module).items())) for module in model.modules()]
        same = [x[:2] for x in before] == [x[:2] for x in after] and all(
            [(name, id(value)) for name, value in one[2]] == [(name, id(value)) for name, value in two[2]]
            for one, two in zip(before, after)
        )
        require(same, "a module of the model, its mode or one of its attributes is another than before")
        unchanged = all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
        require(unchanged, "a weight of the model is changed")
        with torch.no_grad():  # the weights are shared: one more step of training shows, without a cache of old keys
            for weight in model.parameters():
                weight.mul_(0.5)
    with setting.running():  # anew, since autocast keeps its copies of the weights to the end
        logits = decode(torch.cat([ids, ids[:, :1]], dim=1))[:, -1]
    expected = _whole(model, torch.cat([ids, ids[:, :1]], dim=1), setting)[:, -1]
    agree(logits, expected, _exactness(setting), "the last logits after a step of training", "b ntoken")


def _filler_changes_nothing(decoder: Part, case: DecodingCase, setting: Setting = EXACT) -> None:
    model, ids = case.model(setting), setting.put(case.ids())
    fillers = torch.randint(case.n, (case.b,), generator=generator(case.seed), device="cpu")
    padding, start = setting.put(fillers), 0
    alone = [_whole(model, ids[b : b + 1, filler:], setting)[0] for b, filler in enumerate(fillers.tolist())]
    with setting.running():
        decode = decoder(model)
        for end in (end for end in case.ends() if end > fillers.max()):  # each text has begun
            logits = decode(ids[:, :end], padding)
            for b, filler in enumerate(fillers.tolist()):
                first = max(start, filler)
                expected = alone[b][first - filler : end - filler]
                found = logits[b, first - start :]
                agree(found, expected, _exactness(setting), f"the logits of text {b}, {filler} fillers", "m ntoken")
            start = end


def _prompts_are_written_one_by_one(write: Part, case: DecodingCase, setting: Setting = EXACT) -> None:
    """Greedily, over the end of the context; and sampled, where the same draws can be made: one prompt alone."""
    model, ids = case.model(setting), setting.put(case.ids())
    lengths = torch.randint(1, case.n + 1, (case.b,), generator=generator(case.seed), device="cpu").tolist()
    prompts = [row[:length] for row, length in zip(ids, lengths)]
    for context in (None, 3):
        options = {"temperature": 0.0, "context": context}
        with setting.running():
            written = write(model, prompts, 8, **options)
        for prompt, text in zip(prompts, written):
            expected = model.generate(prompt[None], 8, **options)[0]
            agree(text, expected, 0.0, f"the text behind a prompt of {len(prompt)} tokens, context {context}", "n")
    source, again = (torch.Generator(setting.device).manual_seed(case.seed) for _ in range(2))
    with setting.running():
        drawn = write(model, prompts[:1], 5, temperature=0.7, top_k=3, generator=source)[0]
    expected = model.generate(prompts[0][None], 5, temperature=0.7, top_k=3, generator=again)[0]
    agree(drawn, expected, 0.0, "the text that is drawn", "n")


def _remembers_keys(cached: Part, case: AttentionCase, setting: Setting = EXACT) -> None:
    """New queries over the keys of before, under the last rows of the causal mask."""
    query, key, value, _ = case.tensors()
    query = fill(generator(case.seed + 1), case.b, case.h, case.j, case.d)  # one for each key
    query, key, value = (setting.put(x) for x in (query, key, value))
    mask = setting.put(torch.ones(case.j, case.j, dtype=torch.bool, device="cpu").tril())
    with setting.running():
        whole, attend, start = attention(query, key, value, mask), cached(attention), 0
        while start < case.j:
            new = slice(start, min(case.j, start + 1 + (case.seed + start) % 3))
            found = attend(query[:, :, new], key[:, :, new], value[:, :, new], mask[new, : new.stop])
            agree(found, whole[:, :, new], setting.tolerance, f"the output of queries {start} on", "b h i e")
            start = new.stop


class _Made(TorchDispatchMode):
    """Counts the numbers, whole ones aside, that operations make."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        floating = [x for x in tree_leaves(found) if isinstance(x, Tensor) and x.is_floating_point()]
        if not func.is_view:
            self.numbers += sum(x.numel() for x in floating)
        return found


def _a_window_keeps_each_token_as_cheap(decoder: Part, case: DecodingCase, setting: Setting = EXACT) -> None:
    """What the 30th token makes, the 60th makes; with all keys it would make more."""
    model = case.model(setting, dropout=0.0, max_len=64)
    ids = setting.put(torch.randint(case.ntoken, (case.b, 60), generator=generator(case.seed), device="cpu"))
    made = {}
    with setting.running():
        decode = decoder(model)
        for n in (29, 30, 59, 60):
            with _Made() as count:
                decode(ids[:, :n])
            made[n] = count.numbers
    require(made[30] == made[60], f"token 30 makes {made[30]:,} numbers, and token 60 makes {made[60]:,}")


def _check(name: str, subject: str, strategy: st.SearchStrategy[Any], body: Callable[..., None]) -> Check:
    return Check(name, subject, strategy, body, preflight=False)


DECODING = (
    _check(
        "a text read piece by piece has the logits of the whole", "decoder", decoding_cases(), _pieces_are_the_whole
    ),
    _check("another text is read from its beginning", "decoder", decoding_cases(), _another_text_starts_again),
    _check("two decoders of a model do not disturb each other", "decoder", decoding_cases(), _decoders_are_apart),
    _check("the model stays as it is, its weights are shared", "decoder", decoding_cases(), _the_model_stays_as_it_is),
    _check("filler in front of a text changes nothing", "decoder", decoding_cases(), _filler_changes_nothing),
    _check(
        "with a window each token costs the same, however long the text",
        "decoder",
        decoding_cases(("window", "window, no mask", "rotary, grouped, window")),
        _a_window_keeps_each_token_as_cheap,
    ),
    _check(
        "prompts of unequal lengths are continued as one by one",
        "batched_generate",
        decoding_cases(),
        _prompts_are_written_one_by_one,
    ),
    _check(
        "an attention with a cache remembers keys and values",
        "cached_attention",
        strategies.attention_cases(masks=(None,)),
        _remembers_keys,
    ),
)
