"""Batches and windows: every token is predicted once, from its own past."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.training import batchify, n_windows, windows

texts = st.tuples(st.integers(1, 7), st.integers(2, 40), st.integers(0, 6), st.integers(1, 45))


@given(texts)
def test_rows_are_contiguous_text(sizes: tuple[int, int, int, int]) -> None:
    """Catches rows and columns mixed: `reshape(-1, batch)` puts neighbours of the text into different rows."""
    batch, length, rest, _ = sizes
    ids = torch.arange(batch * length + min(rest, batch - 1))
    batched = batchify(ids, batch)
    assert batched.tolist() == [list(range(row * length, (row + 1) * length)) for row in range(batch)]


@given(texts)
def test_each_target_is_the_successor_of_its_input(sizes: tuple[int, int, int, int]) -> None:
    """Catches targets that are not shifted, and windows that overlap or leave a gap."""
    batch, length, _, window = sizes
    batched = batchify(torch.arange(batch * length), batch)
    seen = []
    for inputs, targets in windows(batched, window):
        assert torch.equal(targets, inputs + 1)  # the text counts: a token's successor is its number plus one
        assert inputs.shape[1] <= window
        seen += targets.flatten().tolist()
    first_of_rows = {row * length for row in range(batch)}
    assert sorted(seen) == sorted(set(range(batch * length)) - first_of_rows)  # each once; the last, short window too


@given(texts)
def test_the_number_of_windows_is_known_beforehand(sizes: tuple[int, int, int, int]) -> None:
    """Catches a progress bar, and a resumed run, that miscount by the last short window."""
    batch, length, _, window = sizes
    batched = batchify(torch.arange(batch * length), batch)
    assert n_windows(batched, window) == sum(1 for _ in windows(batched, window))


@pytest.mark.parametrize(("tokens", "batch", "rows"), [(924_412, 20, 46_220), (73_339, 10, 7_333), (82_114, 10, 8_211)])
def test_the_notebooks_rows(tokens: int, batch: int, rows: int) -> None:
    """Catches a batchify that drops or pads differently from the notebook's."""
    assert batchify(torch.arange(tokens), batch).shape == (batch, rows)


def test_too_little_text_is_refused() -> None:
    """Catches rows too short to hold an input and its target."""
    with pytest.raises(ValueError, match=r"needs at least 20 tokens.*got 19"):
        batchify(torch.arange(19), 10)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        batchify(torch.arange(19), 0)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        next(windows(torch.zeros(2, 5, dtype=torch.long), 0))
