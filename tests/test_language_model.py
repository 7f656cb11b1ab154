"""The language model: its formula around the parts, the parts that it was given, and the text that it writes."""

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from attn_lab import (
    EncoderBlock,
    MultiHeadSelfAttention,
    PositionalEncoding,
    TransformerEncoder,
    TransformerLanguageModel,
    attention,
    masks,
)
from attn_lab.language_model import sample

SIZES = (11, 6, 2, 8, 3)  # ntoken, d_model, nhead, d_hid, nlayers


def model_of(*sizes: int, seed: int = 0, **options: Any) -> TransformerLanguageModel:
    """In float64 and eval mode, with every parameter drawn: the initial ones make all words about equally likely."""
    model = TransformerLanguageModel(*(sizes or SIZES), **options).double().eval()
    source = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape, generator=source, dtype=torch.float64)
    return model


def text(b: int, n: int, ntoken: int = 11, seed: int = 0) -> Tensor:
    return torch.randint(ntoken, (b, n), generator=torch.Generator().manual_seed(seed))


class Through(nn.Module):
    """Stands in for positions or an encoder: hands x on, and keeps what it was called with."""

    def __init__(self, *_: Any) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def forward(self, *inputs: Any) -> Tensor:
        self.calls.append(inputs)
        return inputs[0]


# What the model computes


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(2, 9), st.integers(2, 7)),
    switches=st.tuples(*[st.booleans()] * 3),
    seed=st.integers(0, 999),
)
def test_the_formula_around_the_parts(sizes: tuple[int, ...], switches: tuple[bool, ...], seed: int) -> None:
    """Catches √d_model left out, taken of another width or always taken, a softmax returned, weights not tied."""
    b, n, ntoken, d_model = sizes
    scaled, tied, norm_first = switches
    options = {"scale_embedding": scaled, "tie_weights": tied, "norm_first": norm_first}
    model = model_of(ntoken, d_model, 1, 8, 2, seed=seed, positions=Through, encoder=Through, **options)
    src = text(b, n, ntoken, seed)
    embedding, weight = model.embedding.weight, model.embedding.weight if tied else model.decoder.weight
    x = embedding[src] * (math.sqrt(d_model) if scaled else 1)
    if norm_first:
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        x = x * model.norm.weight + model.norm.bias
    torch.testing.assert_close(model(src), x @ weight.T + model.decoder.bias, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [1, 4, 7])
def test_its_own_mask(n: int) -> None:
    """Catches a mask that lets the future in, one kept from another length, and a mask in a bidirectional model."""
    encoder = Through()
    model = model_of(encoder=lambda *_: encoder)
    for length in (n, n + 1, n):
        model(text(2, length))
        assert encoder.calls[-1][1].tolist() == [[j <= i for j in range(length)] for i in range(length)]
    model.causal = False
    model(text(2, n))
    assert encoder.calls[-1][1] is None


@pytest.mark.parametrize("causal", [True, False])
def test_a_mask_that_is_passed_is_taken_as_it_is(causal: bool) -> None:
    """Catches a given mask that is ignored, or combined with the model's own."""
    encoder = Through()
    model = model_of(encoder=lambda *_: encoder, causal=causal)
    mask = torch.ones(4, 4, dtype=torch.bool)
    model(text(2, 4), mask)
    assert encoder.calls[-1][1] is mask


@given(st.integers(2, 8), st.integers(0, 999))
def test_the_future_is_hidden_only_from_a_causal_model(n: int, seed: int) -> None:
    """Catches causal=False that is not passed on, and a leak: both would show in the first position's logits."""
    src = text(3, n, seed=seed)
    changed = src.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 11
    for causal in (True, False):
        model = model_of(causal=causal)
        same = (model(src) == model(changed)).all(dim=-1)
        assert (same[:, :-1] == causal).all()
        assert not same[:, -1].any()


def test_padding_is_added_by_a_mask() -> None:
    """Catches a text whose logits depend on what it is padded with."""
    model, src, lengths = model_of(), text(3, 6), [6, 2, 4]
    logits = model(src, masks.causal(6) & masks.padding(lengths, 6))
    for k, length in enumerate(lengths):
        torch.testing.assert_close(logits[k, :length], model(src[k : k + 1, :length])[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("d_model", "nhead"), [(7, 1), (9, 3), (5, 5)])
def test_odd_widths(d_model: int, nhead: int) -> None:
    """Catches a table of positions that needs an even width."""
    model = TransformerLanguageModel(11, d_model, nhead, 8, 2)
    logits = model(text(2, 5))
    assert logits.shape == (2, 5, 11)
    assert logits.isfinite().all()


@pytest.mark.parametrize("shape", [(0, 5), (2, 0)])
def test_nothing_in_nothing_out(shape: tuple[int, int]) -> None:
    """Catches a look for the largest token id among none."""
    assert model_of()(torch.zeros(shape, dtype=torch.long)).shape == (*shape, 11)


# What it is made of


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_number_of_parameters(norm_first: bool) -> None:
    """Catches a bias or norm too many, a table of positions that is trained, and weights tied in name only."""
    v, d, _, d_hid, n_blocks = SIZES
    attn, feed_forward, norms = 4 * (d * d + d), (d * d_hid + d_hid) + (d_hid * d + d), 2 * 2 * d
    expected = v * d + n_blocks * (attn + feed_forward + norms) + norm_first * 2 * d + v * d + v
    for tied in (False, True):
        model = TransformerLanguageModel(*SIZES, norm_first=norm_first, tie_weights=tied)
        assert sum(weight.numel() for weight in model.parameters()) == expected - tied * v * d


def test_defaults() -> None:
    """Catches a default that is not the notebook's: its code would mean something else."""
    model = TransformerLanguageModel(*SIZES)
    assert model.causal is True
    assert model.scale == math.sqrt(6)
    assert model.max_len == model.positions.pe.shape[0] == 5000
    assert not any(block.norm_first for block in model.encoder.blocks)
    assert model.decoder.weight is not model.embedding.weight


def test_tied_weights_stay_one() -> None:
    """Catches weights that are equal at the start and part in the first step, or when they are loaded."""
    model = TransformerLanguageModel(*SIZES, tie_weights=True)
    assert model.decoder.weight is model.embedding.weight
    model.load_state_dict(TransformerLanguageModel(*SIZES, tie_weights=True).state_dict())
    model(text(2, 5)).logsumexp(dim=-1).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert model.decoder.weight is model.embedding.weight
    assert (model.embedding.weight.grad != 0).all()  # from the output, for words that are not in the text too
    apart = TransformerLanguageModel(*SIZES)
    assert apart.decoder.weight.data_ptr() != apart.embedding.weight.data_ptr()


@pytest.mark.parametrize("tied", [False, True])
def test_initial_weights(tied: bool) -> None:
    """Catches an embedding at PyTorch's default, ten times as large, and an output bias that is not 0."""
    torch.manual_seed(1)
    model = TransformerLanguageModel(500, 30, 2, 8, 1, tie_weights=tied)
    for weight in (model.embedding.weight, model.decoder.weight):
        assert weight.abs().max() <= 0.1
        assert weight.min() < -0.099
        assert weight.max() > 0.099
        assert weight.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.02)
    assert (model.decoder.bias == 0).all()
    blocks = model.encoder.blocks[0].linear1.weight
    assert blocks.abs().max() <= 1 / math.sqrt(30)
    assert blocks.abs().max() > 0.15  # the parts have drawn their own


def test_one_dropout_for_all() -> None:
    """Catches a part that keeps its own default: the weights', the blocks' and the positions' rates are the model's."""
    for p in (0.35, 0.5):
        model = TransformerLanguageModel(*SIZES, **({} if p == 0.5 else {"dropout": p}))
        rates = [m.p for m in model.modules() if isinstance(m, nn.Dropout)]
        assert set(rates) == {p}
        assert len(rates) >= 1 + 2 * 3  # positions, and attention and block of each of three
        assert model.encoder.blocks[2].attn.dropout.p == p


def test_its_state_fits_a_model_of_another_length() -> None:
    """Catches a table of positions that is saved with the weights."""
    longer = model_of(max_len=50, seed=1)
    shorter = model_of(max_len=8, seed=2)
    shorter.load_state_dict(longer.state_dict())
    assert torch.equal(shorter(text(2, 8)), longer(text(2, 8)))


def counted(part: type[nn.Module], calls: Counter[str], name: str) -> type[nn.Module]:
    class Counted(part):
        def forward(self, *inputs: Any) -> Tensor:
            calls[name] += 1
            return super().forward(*inputs)

    return Counted


def test_every_part_that_is_handed_in_is_at_work() -> None:
    """Catches a part that is accepted, and the reference used in its place."""
    calls: Counter[str] = Counter()

    def attend(*inputs: Any) -> Tensor:
        calls["attention"] += 1
        return attention(*inputs)

    def mask(n: int) -> Tensor:
        calls["mask"] += 1
        return masks.causal(n)

    modules = {
        "attention_module": MultiHeadSelfAttention,
        "block": EncoderBlock,
        "encoder": TransformerEncoder,
        "positions": PositionalEncoding,
    }
    parts = {name: counted(part, calls, name) for name, part in modules.items()}
    model = model_of(**parts, attention=attend, mask=mask, max_len=9, norm_first=True)
    logits = model(text(2, 5))
    assert calls == {"attention": 3, "attention_module": 3, "block": 3, "encoder": 1, "positions": 1, "mask": 1}
    assert torch.equal(logits, model_of(norm_first=True)(text(2, 5)))
    assert model.positions.pe.shape == (9, 6)
    assert [(b.linear1.out_features, b.norm_first, b.attn.n_heads) for b in model.encoder.blocks] == [(8, True, 2)] * 3


def test_the_mask_is_made_where_the_text_is() -> None:
    """Catches a mask on the default device: beside a text on another one, attention fails."""
    encoder = Through()
    model = model_of(encoder=lambda *_: encoder, mask=lambda n: torch.ones(n, n, dtype=torch.bool).tril())
    src = text(2, 4)
    with torch.device("meta"):
        model(src)
    assert encoder.calls[-1][1].device.type == "cpu"
    model.to("meta")(src.to("meta"))
    assert encoder.calls[-1][1].device.type == "meta"


def test_autocast() -> None:
    """Catches a softmax, mask or table that forces float32 on a bf16 run, and gradients that are not finite there."""
    torch.manual_seed(0)
    model, src = TransformerLanguageModel(*SIZES, dropout=0.0), text(2, 7)
    exact = model(src)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(src)
    assert logits.dtype == torch.bfloat16
    assert not torch.equal(logits.float(), exact)
    torch.testing.assert_close(logits.float(), exact, rtol=0, atol=0.02)
    logits.float().square().sum().backward()
    assert all(weight.grad.dtype == torch.float32 and weight.grad.isfinite().all() for weight in model.parameters())


# Bad input


@pytest.mark.parametrize(("src", "lowest", "highest"), [([[3, -1]], -1, 3), ([[2, 11]], 2, 11), ([[10, 99]], 10, 99)])
def test_token_ids_outside_the_vocabulary(src: list, lowest: int, highest: int, no_shape_checker: None) -> None:
    """Catches "index out of range in self", which names neither the id nor the vocabulary."""
    expected = f"must lie between 0 and 10, the vocabulary's; got {lowest} to {highest}. Were they made with another"
    with pytest.raises(ValueError, match=re.escape(expected)):
        model_of()(torch.tensor(src))
    assert model_of()(torch.tensor([[0, 10]])).shape == (1, 2, 11)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: model_of(max_len=4)(text(2, 5)),
            ValueError,
            "at most max_len = 4 tokens; got 5. Pass a larger max_len",
        ),
        (lambda: model_of(11, 7, 2, 8, 1), ValueError, "must be a multiple of n_heads; got dim = 7, n_heads = 2"),
        (lambda: model_of(11, 6, 2, 8, 0), ValueError, "n_blocks must be at least 1; got 0"),
        (lambda: model_of()(text(2, 5), torch.ones(5, 5)), TypeError, "must be boolean, True where a query may attend"),
        (
            lambda: model_of()(text(2, 5), torch.ones(4, 4) > 0),
            ValueError,
            "(2, 2, 5, 5), or be (b i j); got the shape (4, 4)",
        ),
    ],
)
def test_bad_input_is_refused(call: Callable, error: type, message: str, no_shape_checker: None) -> None:
    """Catches an error from deep inside, without what was expected and what came."""
    with pytest.raises(error, match=re.escape(message)):
        call()


# Writing


def test_greedy_text_is_the_argmax_step_by_step() -> None:
    """Catches logits of the first position, or of the prompt alone, and a draw where the likeliest is asked for."""
    model, prompt = model_of(), text(3, 4)
    written = prompt
    for _ in range(6):
        best = [max(range(11), key=scores.__getitem__) for scores in model(written)[:, -1].tolist()]
        written = torch.cat([written, torch.tensor(best)[:, None]], dim=1)
    before = prompt.clone()
    for options in ({"temperature": 0.0}, {"top_k": 1}, {"top_k": 1, "temperature": 3.0}, {"temperature": 1e-6}):
        assert torch.equal(model.generate(prompt, 6, **options), written)
    assert torch.equal(prompt, before)


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.5, None), (2.0, 3), (0.7, 4), (1.3, 99)])
def test_words_are_drawn_at_their_probabilities(temperature: float, top_k: int | None) -> None:
    """Catches the temperature applied after the softmax, k - 1 words kept, and the top k of another position."""
    model, draws = model_of(5, 4, 2, 8, 1), 20_000
    model.decoder.weight.data *= 0.3
    prompt = torch.tensor([[1, 4, 2]])
    logits = model(prompt)[0, -1].tolist()
    likely = sorted(range(5), key=logits.__getitem__, reverse=True)[: top_k or 5]
    weights = {token: math.exp(logits[token] / temperature) for token in likely}
    source = torch.Generator().manual_seed(11)
    written = model.generate(prompt.expand(draws, 3), 1, temperature=temperature, top_k=top_k, generator=source)
    seen = Counter(written[:, -1].tolist())
    assert set(seen) <= set(likely)
    expected = {token: draws * weight / sum(weights.values()) for token, weight in weights.items()}
    assert min(expected.values()) > 20  # else chi-square is no measure
    assert sum((seen[token] - n) ** 2 / n for token, n in expected.items()) < 20  # at most 4 degrees of freedom: p 5e-4


def test_each_text_of_a_batch_is_drawn_for_itself() -> None:
    """Catches one draw for the whole batch, as many words kept as there are texts, and ids of another row."""
    logits = torch.full((6, 9), -50.0)
    logits[torch.arange(6), torch.tensor([8, 0, 3, 3, 7, 1])] = 50.0
    for top_k in (None, 1, 4):
        assert sample(logits, 1.0, top_k).tolist() == [8, 0, 3, 3, 7, 1]
    source = torch.Generator().manual_seed(0)
    assert len(set(sample(torch.zeros(50, 9), generator=source).tolist())) > 1
    assert len({sample(torch.zeros(1, 9), generator=source).item() for _ in range(50)}) > 1


@pytest.mark.parametrize("context", [1, 3, None])
def test_the_context_is_cropped(context: int | None) -> None:
    """Catches a text that outgrows max_len, and a context cut from its beginning instead of its end."""
    model = model_of(max_len=5)
    seen: list[Tensor] = []
    model.embedding.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for n in (3, 8):
        seen.clear()
        written = model.generate(text(2, n), 6, temperature=0.0, context=context)
        assert written.shape == (2, n + 6)
        for step, src in enumerate(seen):
            assert torch.equal(src, written[:, max(0, n + step - (context or 5)) : n + step])
        assert len(seen) == 6


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_put_back(training: bool, no_shape_checker: None) -> None:
    """Catches dropout while writing, a model left in eval mode, also by an error, and a graph that is kept."""
    model = model_of(dropout=0.9).train(training)
    modes: list[tuple[bool, bool]] = []
    model.encoder.register_forward_pre_hook(lambda module, _: modes.append((module.training, torch.is_grad_enabled())))
    written = model.generate(text(2, 3), 4, temperature=0.0)
    assert torch.equal(written, model_of(dropout=0.0).generate(text(2, 3), 4, temperature=0.0))
    assert modes == [(False, False)] * 4
    for prompt, options in (
        (torch.tensor([[99]]), {}),
        (text(1, 2), {"temperature": -1.0}),
        (text(1, 2), {"context": 0}),
    ):
        with pytest.raises(ValueError, match="got"):
            model.generate(prompt, 2, **options)
    assert all(module.training is training for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())
    assert torch.is_grad_enabled()


def test_the_prompt_is_kept() -> None:
    """Catches a prompt cut to the context, and a token too many or too few."""
    model, prompt = model_of(max_len=4), text(3, 7)
    for n_new in (0, 1, 5):
        written = model.generate(prompt, n_new)
        assert written.shape == (3, 7 + n_new)
        assert torch.equal(written[:, :7], prompt)
        assert written.dtype == prompt.dtype


def test_the_same_seed_writes_the_same_text() -> None:
    """Catches a generator that is not used, or that is not the only source of randomness."""
    model = model_of()
    model.decoder.weight.data *= 0.1
    state = torch.get_rng_state()
    texts = [model.generate(text(2, 3), 20, generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(texts[0], texts[1])
    assert not torch.equal(texts[0], texts[2])
    torch.manual_seed(8)
    first = model.generate(text(2, 3), 20)
    torch.manual_seed(8)
    assert torch.equal(model.generate(text(2, 3), 20), first)


@pytest.mark.parametrize(
    ("prompt", "n_new", "options", "message"),
    [
        (text(2, 0), 3, {}, "a prompt of at least 1 token, n_new >= 0 and 1 <= context <= 5; got 0, 3 and 5"),
        (text(2, 3), -1, {}, "got 3, -1 and 5"),
        (text(2, 3), 3, {"context": 0}, "1 <= context <= 5; got 3, 3 and 0"),
        (text(2, 3), 3, {"context": 6}, "1 <= context <= 5; got 3, 3 and 6"),
        (text(2, 3), 3, {"temperature": -0.5}, "temperature >= 0 and top_k >= 1 or None; got -0.5 and None"),
        (text(2, 3), 3, {"top_k": 0}, "temperature >= 0 and top_k >= 1 or None; got 1.0 and 0"),
        (text(2, 3), 3, {"top_k": -2, "temperature": 0.0}, "got 0.0 and -2"),
    ],
)
def test_bad_arguments_of_generate(
    prompt: Tensor, n_new: int, options: dict, message: str, no_shape_checker: None
) -> None:
    """Catches an argument out of its range that is taken for another, such as top_k = 0 for all."""
    with pytest.raises(ValueError, match=re.escape(message)):
        model_of(max_len=5).generate(prompt, n_new, **options)


def test_the_coldest_temperature_is_greedy() -> None:
    """Catches logits that overflow when they are divided by it."""
    logits = torch.tensor([[3.0, -2.0, 5.0, 4.9]])
    for temperature in (1e-45, 1.2e-38, 1e-30):
        assert sample(logits, temperature=temperature).item() == 2


def test_sampling_is_at_the_models_own_probabilities_by_default() -> None:
    """Catches a default that sharpens or flattens."""
    logits = torch.tensor([[0.0, 1.0, 2.0, 1.5]]).expand(50, 4)
    own, given = (torch.Generator().manual_seed(0) for _ in range(2))
    assert torch.equal(sample(logits, generator=own), sample(logits, 1.0, generator=given))


@pytest.mark.parametrize("temperature", [float("nan"), float("inf")])
def test_a_temperature_must_be_a_number(temperature: float) -> None:
    """Catches NaN, which is neither below 0 nor above it."""
    with pytest.raises(ValueError, match="finite temperature"):
        sample(torch.zeros(1, 3), temperature=temperature)
