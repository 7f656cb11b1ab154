"""The oracles: independent of what they judge, and right themselves."""

import ast
import importlib.util
import math
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.functional import dropout as imported_early

from attn_lab.checks import oracles
from attn_lab.checks.cases import LanguageModelCase
from attn_lab.checks.fixed_dropout import FixedDropout

INDEPENDENT = tuple(f"attn_lab.checks.{name}" for name in ("oracles", "cases", "fixed_dropout", "compare", "setting"))


def imports_of(module: str) -> set[str]:
    """What a module's source imports from us, wherever in it."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    found: set[str] = set()
    for node in ast.walk(ast.parse(Path(str(spec.origin)).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return {name for name in found if name.split(".")[0] == "attn_lab"}


@pytest.mark.parametrize("module", INDEPENDENT)
def test_an_oracle_uses_nothing_that_it_judges(module: str) -> None:
    """Catches a reference that is compared with itself: its mistakes would agree with themselves."""
    assert [name for name in imports_of(module) if not f"{name}.".startswith(tuple(f"{x}." for x in INDEPENDENT))] == []


def test_the_search_for_imports_finds_them() -> None:
    """Catches the test above looking at nothing."""
    assert "attn_lab.checks.cases.generator" in imports_of("attn_lab.checks.oracles")
    assert "attn_lab.scaled_dot_product.attention" in imports_of("attn_lab.checks.building")


class TestAttentionLoop:
    """One head; keys (1, 0, 0, 0) and (0, 0, 0, 0), so that the first key's score is half the query's first number."""

    QUERY = torch.tensor([[0.0, 1, 1, 1], [2 * math.log(3), 5, 5, 5]], dtype=torch.float64)[None, None]
    KEY = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.float64)[None, None]
    VALUE = torch.tensor([[8.0], [4.0]], dtype=torch.float64)[None, None]

    def rows(self, mask: Tensor | None = None, kept: Tensor | None = None) -> list[float]:
        return oracles.attention_loop(self.QUERY, self.KEY, self.VALUE, mask, kept).flatten().tolist()

    def test_by_hand(self) -> None:
        """Catches a wrong scale: weights 1/2 and 1/2 in the first row, 3/4 and 1/4 in the second."""
        assert self.rows() == pytest.approx([6, 7], abs=1e-14)

    def test_mask(self) -> None:
        """Catches a mask upside down or transposed, and an empty row that is not zero."""
        assert self.rows(torch.tensor([[True, False], [True, True]])) == pytest.approx([8, 7], abs=1e-14)
        assert self.rows(torch.tensor([[False, True], [False, False]])) == [4, 0]

    def test_kept_multiplies_weights(self) -> None:
        """Catches dropout before the softmax, or weights that are made to add up to 1 again."""
        kept = torch.tensor([[2.0, 0], [0, 2]], dtype=torch.float64)[None, None]
        assert self.rows(kept=kept) == pytest.approx([8, 2], abs=1e-14)

    def test_every_example_and_head_has_its_own(self) -> None:
        """Catches an oracle that mixes up b and h, which broadcasting would hide."""
        b, h = 2, 3
        value = torch.arange(b * h, dtype=torch.float64).reshape(b, h, 1, 1).expand(b, h, 2, 1)
        query, key = self.QUERY.expand(b, h, -1, -1), self.KEY.expand(b, h, -1, -1)
        output = oracles.attention_loop(query, key, value)
        assert torch.allclose(output, value)
        mask = torch.tensor([True, False]).reshape(b, 1, 1).expand(b, 2, 2)  # the second example sees nothing
        assert torch.allclose(oracles.attention_loop(query, key, value, mask)[1], torch.zeros(h, 2, 1).double())


SHAPE = (2, 3, 4, 5)  # b h i j
MASKS = {
    "i j": (4, 5),
    "b i j": (2, 4, 5),
    "b 1 1 j": (2, 1, 1, 5),
    "1 1 1 j": (1, 1, 1, 5),
    "b 1 i j": (2, 1, 4, 5),
    "b h i j": (2, 3, 4, 5),
}


def mask_of(axes: str) -> Tensor:
    mask = torch.rand(MASKS[axes], generator=torch.Generator().manual_seed(0)) < 0.5
    mask[..., 0] = True  # no empty row: before torch 2.5 PyTorch's answer to one is NaN
    return mask


def may_attend(mask: Tensor, axes: str, b: int, h: int, i: int, j: int) -> bool:
    """Our mask as it is read, one entry at a time."""
    index = {"b": b, "h": h, "i": i, "j": j, "1": 0}
    return bool(mask[tuple(index[axis] for axis in axes.split())])


class TestToMultihead:
    @pytest.mark.parametrize("axes", MASKS)
    def test_truth_table(self, axes: str) -> None:
        """Catches True taken for 'may attend', and heads and examples in the wrong order."""
        mask = mask_of(axes)
        attn_mask, padding = oracles.to_multihead(mask, SHAPE)
        assert (attn_mask is None) == (padding is not None) == axes.endswith("1 1 j")
        for b, h, i, j in product(*map(range, SHAPE)):
            hidden = padding[b, j] if padding is not None else attn_mask[b * SHAPE[1] + h, i, j]
            assert bool(hidden) == (not may_attend(mask, axes, b, h, i, j))

    @pytest.mark.parametrize("axes", MASKS)
    def test_pytorch_reads_it_so(self, axes: str) -> None:
        """Catches a conversion that is right by our own reading of PyTorch's documentation only."""
        b, h, i, j = SHAPE
        theirs = oracles.multihead(6, h).eval()
        mask = mask_of(axes)
        attn_mask, padding = oracles.to_multihead(mask, SHAPE)
        query, key = torch.randn(b, i, 6, dtype=torch.float64), torch.randn(b, j, 6, dtype=torch.float64)
        options = {"attn_mask": attn_mask, "key_padding_mask": padding}
        with oracles.no_fast_path():
            _, weights = theirs(query, key, key, **options, need_weights=True, average_attn_weights=False)
        for at in product(*map(range, SHAPE)):
            assert bool(weights[at] > 0) == may_attend(mask, axes, *at)

    def test_no_mask(self) -> None:
        """Catches a mask where there is none, which PyTorch takes another path for."""
        assert oracles.to_multihead(None, SHAPE) == (None, None)


class TestSinusoids:
    @pytest.mark.parametrize(
        ("d_model", "position", "row"),
        [
            (4, 0, [0, 1, 0, 1]),
            (4, 1, [0.8414709848078965, 0.5403023058681398, 0.0099998333341667, 0.9999500004166653]),
            (4, 2, [0.9092974268256817, -0.4161468365471424, 0.0199986666933331, 0.9998000066665778]),
            (3, 1, [0.8414709848078965, 0.5403023058681398, 0.0021544330233656]),  # sin(10000 ** (-2 / 3))
            (1, 3, [0.1411200080598672]),
        ],
    )
    def test_by_hand(self, d_model: int, position: int, row: list[float]) -> None:
        """Catches another base or exponent, sine and cosine in halves, and an odd width that ends in a cosine."""
        assert oracles.sinusoids(position + 1, d_model)[position].tolist() == pytest.approx(row, abs=1e-15)

    def test_late_positions(self) -> None:
        """Catches a table in float32, 3.5e-4 off at position 5000: sin(5000 / 100) is known."""
        assert oracles.sinusoids(5001, 4)[5000, 2].item() == pytest.approx(-0.26237485370392877, abs=1e-14)


class TestNoFastPath:
    @pytest.mark.parametrize("before", [True, False], ids=["on before", "off before"])
    def test_it_is_off_inside_and_put_back(self, before: bool) -> None:
        """Catches a process whose attention is slower, or NaN, ever after, also when the oracle raises."""
        outside = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(before)
        try:
            with oracles.no_fast_path():
                assert not torch.backends.mha.get_fastpath_enabled()
            assert torch.backends.mha.get_fastpath_enabled() == before
            with pytest.raises(KeyError), oracles.no_fast_path():
                raise KeyError
            assert torch.backends.mha.get_fastpath_enabled() == before
        finally:
            torch.backends.mha.set_fastpath_enabled(outside)


DROPOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.Dropout": lambda x: nn.Dropout(0.5)(x),
    "F.dropout": lambda x: F.dropout(x, 0.5),
    "imported early": lambda x: imported_early(x, 0.5),
    "by name": lambda x: imported_early(input=x, p=0.5, training=True),
    "torch.dropout": lambda x: torch.dropout(x, 0.5, True),
    "torch.dropout by name": lambda x: torch.dropout(input=x, p=0.5, train=True),
    "inplace": lambda x: nn.Dropout(0.5, inplace=True)(x.clone()),
}
RESTING: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.Dropout": lambda x: nn.Dropout(0.5).eval()(x),
    "F.dropout": lambda x: F.dropout(x, 0.5, False),
    "imported early": lambda x: imported_early(x, 0.5, training=False),
    "torch.dropout": lambda x: torch.dropout(x, 0.5, False),
    "torch.dropout by name": lambda x: torch.dropout(x, p=0.5, train=False),
    "p = 0": lambda x: F.dropout(x, 0.0),
}


class TestFixedDropout:
    X = torch.linspace(1, 2, 60, dtype=torch.float64).reshape(3, 20)

    @pytest.mark.parametrize("drop", DROPOUTS.values(), ids=DROPOUTS)
    def test_one_pattern(self, drop: Callable[[Tensor], Tensor]) -> None:
        """Catches a call that slips by: its chance would be taken for a difference between the programs."""
        with FixedDropout():
            first, second = drop(self.X), drop(self.X)
            expected = F.dropout(self.X, 0.5)
        assert torch.equal(first, second)
        assert torch.equal(first, expected)
        assert set((first / self.X).flatten().tolist()) == {0.0, 2.0}

    @pytest.mark.parametrize("drop", RESTING.values(), ids=RESTING)
    def test_only_in_training(self, drop: Callable[[Tensor], Tensor]) -> None:
        """Catches a pattern in eval mode, which would hide a part that drops there."""
        with FixedDropout():
            assert torch.equal(drop(self.X), self.X)

    def test_the_pattern_is_of_the_shape(self) -> None:
        """Catches patterns that depend on the numbers, the dtype or the chance outside."""
        with FixedDropout():
            torch.manual_seed(1)
            expected = F.dropout(self.X, 0.5) / self.X
            torch.manual_seed(2)
            assert torch.equal(F.dropout(torch.ones(3, 20), 0.5).double(), expected)
            assert torch.equal(F.dropout(torch.ones(3, 20, dtype=torch.bfloat16), 0.5).double(), expected)
            assert not torch.equal(F.dropout(torch.ones(20, 3), 0.5).T.double(), expected)

    def test_gradients_are_those_of_the_pattern(self) -> None:
        """Catches a pattern that is cut off from the gradients."""
        x = self.X.clone().requires_grad_()
        with FixedDropout():
            kept = F.dropout(x, 0.5)
        (gradient,) = torch.autograd.grad(kept.sum(), x)
        assert torch.equal(gradient, (kept / x).detach())

    def test_no_number_is_drawn_and_chance_returns(self) -> None:
        """Catches a mode that moves the random numbers outside, or that stays on."""
        before = torch.get_rng_state()
        with FixedDropout():
            F.dropout(self.X, 0.5)
        assert torch.equal(torch.get_rng_state(), before)
        assert not torch.equal(F.dropout(self.X, 0.5), F.dropout(self.X, 0.5))

    def test_pytorchs_own_layers_use_it(self) -> None:
        """Catches a layer of PyTorch's that drops by a call of its own, so that it cannot be compared with ours."""
        layer = nn.TransformerEncoderLayer(8, 2, 8, 0.5, batch_first=True).train()
        layer.self_attn.dropout = 0.0
        x = torch.randn(2, 3, 8)
        with FixedDropout():
            first, second = layer(x), layer(x)
        assert torch.equal(first, second)
        assert not torch.equal(layer(x), layer(x))


class TestLanguageModel:
    CASE = LanguageModelCase(7, 2, 2, 4, 4, 8, 2, True, True, True, True, False, seed=0)

    def test_its_table_names_every_weight_once(self) -> None:
        """Catches a weight that is not copied, or is copied to two places."""
        copied = list(oracles.language_model_names(self.CASE).values())
        there = []
        for name, _ in oracles.LanguageModel(self.CASE).named_parameters(remove_duplicate=False):
            there += [(name, third) for third in ((0, 1, 2) if "in_proj" in name else (None,))]
        assert len(copied) == len(there)
        assert set(copied) == set(there)

    def test_its_future_is_hidden(self) -> None:
        """Catches a twin that leaks: it would agree with a model that does."""
        theirs, ids = oracles.LanguageModel(self.CASE).eval(), self.CASE.ids()
        other = ids.clone()
        other[:, 2:] = (other[:, 2:] + 1) % self.CASE.ntoken
        assert torch.equal(theirs(ids)[:, :2], theirs(other)[:, :2])
        assert not torch.allclose(theirs(ids)[:, 2:], theirs(other)[:, 2:])


def test_a_missing_weight_is_named() -> None:
    """Catches an AttributeError about '_modules' for a learner whose layer has another name."""
    with pytest.raises(AssertionError) as failure:
        oracles.parameter(nn.Linear(2, 2), "linear_query.weight")
    assert str(failure.value) == (
        "Linear must have the parameter linear_query.weight, since weights are copied by name; it has: weight, bias"
    )


def test_weights_are_random_and_equal_on_both_sides() -> None:
    """Catches biases left at 0 and layer norms at 1, which hide what they do, and a copy in one direction only."""
    for from_theirs in (True, False):
        ours, theirs = nn.LayerNorm(5).double(), nn.LayerNorm(5).double()
        names = {"weight": ("weight", None), "bias": ("bias", None)}
        oracles.share_weights(ours, theirs, names, 0, from_theirs)
        for name in names:
            assert torch.equal(ours.get_parameter(name), theirs.get_parameter(name))
            assert len(set(ours.get_parameter(name).tolist()) - {0.0, 1.0}) == 5
    with pytest.raises(AssertionError, match=r"weight must have the shape \(5,\); got \(4,\)"):
        oracles.share_weights(nn.LayerNorm(4), theirs, names, 0, True)
