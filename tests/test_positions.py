"""Sinusoidal positions against the paper's formula by Python's math, and the law that they were chosen for."""

import math
import re
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from attn_lab import PositionalEncoding
from attn_lab.positions import sinusoids


def number(position: int, column: int, d_model: int) -> float:
    """One number of the table, as section 3.5 has it: column 2k is a sine, column 2k + 1 a cosine of the same angle."""
    angle = position / 10000 ** (2 * (column // 2) / d_model)
    return math.cos(angle) if column % 2 else math.sin(angle)


def by_the_formula(positions: range, d_model: int) -> Tensor:
    rows = [[number(position, column, d_model) for column in range(d_model)] for position in positions]
    return torch.tensor(rows, dtype=torch.float64).reshape(len(positions), d_model)


@pytest.fixture(params=[torch.float64, torch.float32, torch.float16])
def default_dtype(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


@given(st.integers(0, 20), st.integers(1, 12))
def test_the_table_is_the_papers(n: int, d_model: int) -> None:
    """Catches halves concatenated, another base, an exponent of i / d, and an odd width that crashes."""
    table = sinusoids(n, d_model)
    assert table.dtype == torch.float64
    torch.testing.assert_close(table, by_the_formula(range(n), d_model), rtol=0, atol=1e-14)


@pytest.mark.parametrize("d_model", [8, 7])
def test_late_positions_are_exact_up_to_rounding(d_model: int) -> None:
    """Catches angles computed in float32: at position 5000 they are off by 3.5e-4, and here half a bit is allowed."""
    late = range(4900, 5000)
    table = PositionalEncoding(d_model).pe[4900:]
    assert table.dtype == torch.float32
    torch.testing.assert_close(table.double(), by_the_formula(late, d_model), rtol=0, atol=2**-25 + 1e-11)


def test_the_table_is_kept_in_the_default_dtype(default_dtype: torch.dtype) -> None:
    """Catches a float64 table that turns the whole model into float64, and a float32 one in a float64 model."""
    module = PositionalEncoding(6, dropout=0.0, max_len=9)
    assert module.pe.dtype == default_dtype
    assert module(torch.zeros(2, 4, 6)).dtype == default_dtype
    half_a_bit = torch.finfo(default_dtype).eps / 4  # of a number below 1
    expected = by_the_formula(range(9), 6)
    torch.testing.assert_close(module.pe.double(), expected, rtol=0, atol=half_a_bit + 1e-15)


@given(d_model=st.integers(1, 8).map(lambda k: 2 * k), p=st.integers(0, 400), shift=st.integers(0, 90))
def test_a_shift_is_a_rotation(d_model: int, p: int, shift: int) -> None:
    """Catches sines and cosines that do not belong together: no linear map would lead from a place to its neighbour."""
    table = sinusoids(p + shift + 1, d_model)
    here, there = table[p].unflatten(0, (-1, 2)), table[p + shift].unflatten(0, (-1, 2))
    for k in range(d_model // 2):
        angle = shift * 10000 ** (-2 * k / d_model)  # the shift's alone, whatever the position
        cos, sin = math.cos(angle), math.sin(angle)
        rotation = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)
        torch.testing.assert_close(there[k], rotation @ here[k], rtol=0, atol=1e-12)
    torch.testing.assert_close(here.norm(dim=1), torch.ones(d_model // 2, dtype=torch.float64))


@given(st.integers(1, 4), st.integers(0, 6), st.integers(1, 7), st.integers(0, 999))
def test_positions_are_added_along_the_text(b: int, n: int, d_model: int, seed: int) -> None:
    """Catches positions added along the batch (b = n hides the error), in place, or in place of the text."""
    x = torch.randn(b, n, d_model, generator=torch.Generator().manual_seed(seed))
    before = x.clone()
    module = PositionalEncoding(d_model, dropout=0.0, max_len=6)
    expected = torch.stack([text + by_the_formula(range(n), d_model).float() for text in x])
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-6)
    assert torch.equal(x, before)


def test_the_table_is_neither_saved_nor_trained() -> None:
    """Catches a table in the state: weights of a model with another max_len would not load."""
    module = PositionalEncoding(6, max_len=9)
    assert not module.state_dict()
    assert not list(module.parameters())
    PositionalEncoding(6, max_len=4).load_state_dict(module.state_dict())
    assert module.to(torch.bfloat16).pe.dtype == torch.bfloat16  # and yet it goes where the module goes


def test_defaults() -> None:
    """Catches a default that is not the notebook's: its code would mean something else."""
    module = PositionalEncoding(4)
    assert module.pe.shape == (5000, 4)
    assert isinstance(module.dropout, nn.Dropout)
    assert module.dropout.p == 0.1


def test_dropout_is_for_training_and_at_its_rate() -> None:
    """Catches dropout in eval mode, 1 - p for p, and dropout of the positions alone instead of the sum."""
    torch.manual_seed(4)
    module, x = PositionalEncoding(20, dropout=0.3, max_len=50), torch.full((30, 50, 20), 5.0)
    whole = x + by_the_formula(range(50), 20).float()
    torch.testing.assert_close(module.eval()(x), whole)
    output = module.train()(x)
    kept = output != 0
    torch.testing.assert_close(output[kept], whole[kept] / 0.7)
    n = output.numel()
    assert abs((~kept).sum().item() - 0.3 * n) < 5 * math.sqrt(0.3 * 0.7 * n)


@pytest.mark.parametrize(("d_model", "max_len"), [(0, 4), (-2, 4), (6, -1)])
def test_sizes_that_make_no_table(d_model: int, max_len: int) -> None:
    """Catches a table without columns, which adds nothing, and PyTorch's error, which names no argument."""
    with pytest.raises(ValueError, match=f"d_model >= 1 and max_len >= 0; got {d_model} and {max_len}"):
        PositionalEncoding(d_model, max_len=max_len)


def test_the_smallest_table() -> None:
    """Catches a table for no text, or of one column, that is refused: both are sizes that were promised."""
    assert PositionalEncoding(6, max_len=0)(torch.zeros(2, 0, 6)).shape == (2, 0, 6)
    assert PositionalEncoding(1, max_len=3).pe.shape == (3, 1)


def test_a_text_longer_than_the_table(no_shape_checker: None) -> None:
    """Catches a text cut short or broadcast in silence, and an error that does not say how to get a longer table."""
    module = PositionalEncoding(6, max_len=4)
    assert module(torch.zeros(2, 4, 6)).shape == (2, 4, 6)
    expected = "must have at most max_len = 4 tokens; got 5. Pass a larger max_len"
    with pytest.raises(ValueError, match=re.escape(expected)):
        module(torch.zeros(2, 5, 6))
    with pytest.raises(ValueError, match=re.escape("at most max_len = 1 tokens; got 3")):
        PositionalEncoding(6, max_len=1)(torch.zeros(2, 3, 6))  # a table of one row would broadcast
