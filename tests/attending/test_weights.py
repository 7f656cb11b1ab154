"""The weights read out of a model: those of its own softmax, whatever computes it, and nothing is disturbed."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attn_lab
from attn_lab import MultiHeadSelfAttention, Parts, TransformerLanguageModel, fused_attention
from attn_lab.attending import NoWeights, attention_weights
from attn_lab.efficient.local import LocalAttention, no_mask
from attn_lab.variants.alibi import fused_alibi_attention, slopes
from attn_lab.variants.grouped_query import GroupedQueryAttention
from attn_lab.variants.rotary import NoPositions, RotaryAttention

N, HEADS = 11, 4


def model_of(**parts: Any) -> nn.Module:
    torch.manual_seed(0)
    model = Parts(**parts).model(13, 16, HEADS, 20, 3, dropout=0.4)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.double()


def ids(n: int = N) -> Tensor:
    return torch.randint(13, (2, n), generator=torch.Generator().manual_seed(1))


def by_hand(model: Any, tokens: Tensor, score: Callable[..., float], sees: Callable[[int, int], bool]) -> list[Tensor]:
    """Layer by layer, query by query, in loops: (b h n n) each. `score` of query, key, their places and the head."""
    (b, n), weights = tokens.shape, []
    model.eval()
    with torch.no_grad():
        x = model.positions(model.embedding(tokens) * model.scale)
        mask = torch.tensor([[sees(i, j) for j in range(n)] for i in range(n)])
        for block in model.encoder.blocks:
            attn = block.attn
            query, key = attn.linear_query(x), attn.linear_key(x)
            d, shared = 16 // HEADS, 16 // key.shape[-1]
            layer = torch.zeros(b, HEADS, n, n, dtype=torch.float64)
            for example in range(b):
                for h in range(HEADS):
                    for i in range(n):
                        q = query[example, i, h * d : (h + 1) * d]
                        keys = [j for j in range(n) if sees(i, j)]
                        g = h // shared
                        ks = [key[example, j, g * d : (g + 1) * d] for j in keys]
                        scores = torch.tensor([score(q, k, i, j, h) for k, j in zip(ks, keys)], dtype=torch.float64)
                        layer[example, h, i, keys] = scores.exp() / scores.exp().sum()
            weights.append(layer)
            x = block(x, mask)
    return weights


def product(q: Tensor, k: Tensor, i: int, j: int, h: int) -> float:
    return float((q * k).sum()) / math.sqrt(len(q))


def penalised(q: Tensor, k: Tensor, i: int, j: int, h: int) -> float:
    return product(q, k, i, j, h) - slopes(HEADS)[h] * abs(i - j)


def rotated(q: Tensor, k: Tensor, i: int, j: int, h: int) -> float:
    """The pairs as complex numbers, each turned by its position."""
    angle = torch.tensor([10000.0 ** (-2 * p / len(q)) for p in range(len(q) // 2)], dtype=torch.float64)
    turned = [
        torch.view_as_complex(x.reshape(-1, 2).contiguous()) * torch.polar(torch.ones_like(angle), angle * place)
        for x, place in ((q, i), (k, j))
    ]
    return float((turned[0] * turned[1].conj()).real.sum()) / math.sqrt(len(q))


def causal(i: int, j: int) -> bool:
    return j <= i


def near(i: int, j: int) -> bool:
    return i - 2 < j <= i


CASES = {
    "fused": ({}, product, causal),
    "definition": ({"attention": attn_lab.attention}, product, causal),
    "rotary": ({"attention": RotaryAttention(fused_attention), "positions": NoPositions}, rotated, causal),
    "alibi": ({"attention": fused_alibi_attention, "positions": NoPositions}, penalised, causal),
    "grouped": ({"attention_module": partial(GroupedQueryAttention, n_groups=2)}, product, causal),
    "window": ({"attention": LocalAttention(2), "mask": no_mask}, product, near),
}


@pytest.mark.parametrize("case", CASES)
def test_the_weights_are_the_models_own(case: str) -> None:
    """Catches weights of another layer or head, without the rotation or the mask, and columns of the identity mixed up.

    A head is narrower here than the text is long: the identity goes through in three pieces.
    """
    parts, score, sees = CASES[case]
    model = model_of(**parts)
    expected = by_hand(model, ids(), score, sees)
    weights, logits = attention_weights(model, ids())
    assert len(weights) == 3
    for got, want in zip(weights, expected):
        assert got.shape == (2, HEADS, N, N)
        torch.testing.assert_close(got, want, rtol=0, atol=1e-11)
    assert torch.equal(logits, model(ids()))


@pytest.mark.parametrize("attention", [attn_lab.attention, fused_attention])
def test_the_weights_are_those_that_dropout_is_handed(attention: Callable[..., Tensor]) -> None:
    """Catches a read-out that agrees with itself alone: the definition shows its weights to its dropout."""
    handed = []
    model = model_of(attention=attention)

    def note(*arguments: Any) -> Tensor:
        return attn_lab.attention(*arguments[:4], dropout=lambda weights: handed.append(weights) or weights)

    listened = model_of(attention=note).eval()
    listened.load_state_dict(model.state_dict())
    with torch.no_grad():
        listened(ids())
    weights, _ = attention_weights(model, ids())
    for got, want in zip(weights, handed, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


def test_the_model_is_left_as_it_was() -> None:
    """Catches a listener that stays, a mode that is not put back, weights in training mode, and gradients kept."""
    model = model_of().train()
    model.encoder.blocks[1].eval()
    before = [(name, module.training, getattr(module, "attention", None)) for name, module in model.named_modules()]
    first, logits = attention_weights(model, ids())
    again, _ = attention_weights(model, ids())
    assert all(torch.equal(a, b) for a, b in zip(first, again))  # no dropout
    assert not logits.requires_grad
    assert before == [(n, m.training, getattr(m, "attention", None)) for n, m in model.named_modules()]
    assert all(module.__dict__.get("attention") is fused_attention for module in attentions(model))


def attentions(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, MultiHeadSelfAttention)]


def test_the_model_is_left_as_it_was_after_an_error() -> None:
    """Catches a model that goes on being listened to because a text was bad."""
    model = model_of().train()
    with pytest.raises(ValueError, match="token ids"):
        attention_weights(model, torch.tensor([[99]]))
    assert model.training
    assert all(module.attention is fused_attention for module in attentions(model))


class AsModule(nn.Module):
    """An attention function that is a module, in the way of a learner who likes classes."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Any = None, dropout: Any = None) -> Tensor:
        return fused_attention(query, key, value, mask, dropout)


class Around(nn.Module):
    """An attention function that keeps another one, by the same name."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = fused_attention

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Any = None, dropout: Any = None) -> Tensor:
        return self.attention(query * 0.5, key, value, mask, dropout)


class ByName(MultiHeadSelfAttention):
    """Keeps a method, and calls it by keywords."""

    def __init__(self, dim: int, n_heads: int, dropout: Any = None, *, attention: Any) -> None:
        super().__init__(dim, n_heads, dropout)
        del self.attention
        self.inner = attention

    def attention(self, query: Tensor, key: Tensor, value: Tensor, mask: Any = None, dropout: Any = None) -> Tensor:
        return self.inner(query, key, value, mask, dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Any = None) -> Tensor:
        q, k, v = (
            self._split(line(x))
            for line, x in ((self.linear_query, query), (self.linear_key, key), (self.linear_value, value))
        )
        return self.linear_cat_attn(self.attention(q, key=k, value=v, mask=mask).transpose(1, 2).flatten(2))


class OuterName(nn.Module):
    """A block of one's own that calls its attention module `attention`, too."""

    def __init__(self, attn: nn.Module, *sizes: Any, **options: Any) -> None:
        super().__init__()
        self.attention = attn

    def forward(self, x: Tensor, mask: Any = None) -> Tensor:
        return x + self.attention(x, x, x, mask)


@pytest.mark.parametrize(
    "parts",
    [{"attention": AsModule()}, {"attention": Around()}, {"attention_module": ByName}, {"block": OuterName}],
    ids=lambda p: next(iter(p)),
)
def test_a_part_of_ones_own_is_read_too(parts: dict[str, Any]) -> None:
    """Catches a place that only the reference has, a submodule that is lost, and a block taken for its attention."""
    model = model_of(**parts).eval()
    names = [(name, vars(module).get("attention")) for name, module in model.named_modules()]
    weights, logits = attention_weights(model, ids())
    assert [w.shape for w in weights] == [(2, HEADS, N, N)] * 3
    assert torch.equal(logits, model(ids()))
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(2, HEADS, N, dtype=torch.float64))
    assert names == [(name, vars(module).get("attention")) for name, module in model.named_modules()]


class Inline(MultiHeadSelfAttention):
    """Attention without a function: nothing to listen to."""

    def __init__(self, *arguments: Any, attention: Any) -> None:
        super().__init__(*arguments)
        del self.attention

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Any = None) -> Tensor:
        return self.linear_cat_attn(value)


class Unused(MultiHeadSelfAttention):
    """Keeps a function and does not call it."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Any = None) -> Tensor:
        return self.linear_cat_attn(value)


def longer(query: Tensor, key: Tensor, value: Tensor, mask: Any = None, dropout: Any = None) -> Tensor:
    return 3 * fused_attention(query, key, value, mask, dropout)


def bent(query: Tensor, key: Tensor, value: Tensor, mask: Any = None, dropout: Any = None) -> Tensor:
    return fused_attention(query, key, value, mask, dropout) ** 3


def clipped(query: Tensor, key: Tensor, value: Tensor, mask: Any = None, dropout: Any = None) -> Tensor:
    """On the identity an average, and on values above 1 none."""
    return fused_attention(query, key, value, mask, dropout).clamp(max=1)


def negative(query: Tensor, key: Tensor, value: Tensor, mask: Any = None, dropout: Any = None) -> Tensor:
    return 2 * value - fused_attention(query, key, value, mask, dropout)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"attention_module": Inline}, r"`attention`.*TransformerLanguageModel has no such module"),
        ({"attention_module": Unused}, r"has 3 that keep one, and none of them called it"),
        ({"attention": longer}, r"encoder\.blocks\.0\.attn.*sum to 3\b"),
        ({"attention": bent}, r"average of the values|sum to"),
        ({"attention": clipped}, r"output that is the average of the values"),
        ({"attention": negative}, r"not negative"),
    ],
)
def test_where_no_weights_can_be_seen_it_is_said(parts: dict[str, Any], message: str) -> None:
    """Catches a map that is drawn of something that is no weight, or an error that does not say what was expected."""
    with pytest.raises(NoWeights, match=message):
        attention_weights(model_of(**parts), ids())


def test_a_query_that_sees_nothing_has_no_weights() -> None:
    """Catches an empty row taken for an error, and NaN in its place."""

    def but_the_first(n: int) -> Tensor:
        return torch.ones(n, n, dtype=torch.bool).tril(-1)

    weights, _ = attention_weights(model_of(mask=but_the_first), ids())
    assert bool((weights[0][:, :, 0] == 0).all())
    torch.testing.assert_close(weights[0][:, :, 1:].sum(-1), torch.ones(2, HEADS, N - 1, dtype=torch.float64))


def test_half_precision_is_read() -> None:
    """Catches limits that only float32 keeps, and weights that come back in bfloat16."""
    model = TransformerLanguageModel(13, 16, HEADS, 20, 2, attention=fused_attention)
    with torch.autocast("cpu", torch.bfloat16):
        weights, _ = attention_weights(model, ids())
    assert all(w.dtype == torch.float32 for w in weights)
    torch.testing.assert_close(weights[1].sum(-1), torch.ones(2, HEADS, N), rtol=0, atol=0.03)
