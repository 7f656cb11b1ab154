"""An epoch's windows: where they begin, how many there are, and that a resumed run reads the same ones."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attn_lab.training import recipe
from attn_lab.training.batches import Batches
from attn_lab.training.texts import epoch_windows, steps_per_epoch


@given(st.integers(1, 9), st.integers(0, 30), st.integers(0, 50), st.integers(0, 3))
def test_shifted_windows(window: int, more: int, epoch: int, seed: int) -> None:
    """Catches another number of windows in some epoch, a target that is not the next token, and an offset that is lost.

    A token's id is its place here.
    """
    r = replace(recipe("modern"), window=window, seed=seed)
    rows = torch.arange(2 * (window + 1 + more)).view(2, -1)
    cut = list(epoch_windows(rows, r, Batches(), epoch))
    assert len(cut) == steps_per_epoch(rows, r)
    inputs, targets = (torch.cat(parts, dim=1) for parts in zip(*cut))
    assert torch.equal(targets, inputs + 1)
    first = int(inputs[0, 0])
    assert 0 <= first < window
    assert torch.equal(inputs[0], torch.arange(first, first + inputs.shape[1]))
    assert inputs.shape[1] == rows.shape[1] - window  # all but a window at both ends together
    again = list(epoch_windows(rows, r, Batches(), epoch))
    assert all(torch.equal(a, b) for one, other in zip(cut, again) for a, b in zip(one, other))


def test_every_offset_comes_up() -> None:
    """Catches offsets that never reach the window's end, and the same one in each epoch or under each seed."""
    rows = torch.arange(40).view(1, -1)
    r = replace(recipe("modern"), window=4)
    seen = [int(next(iter(epoch_windows(rows, r, Batches(), epoch)))[0][0, 0]) for epoch in range(40)]
    assert set(seen) == {0, 1, 2, 3}
    other = replace(r, seed=1)
    assert seen != [int(next(iter(epoch_windows(rows, other, Batches(), epoch)))[0][0, 0]) for epoch in range(40)]


@pytest.mark.parametrize("epoch", [0, 7])
def test_the_offset_leaves_other_random_numbers_alone(epoch: int) -> None:
    """Catches an offset drawn from the global generator: processes would differ, and a resumed run as well."""
    before = torch.get_rng_state()
    list(epoch_windows(torch.arange(40).view(1, -1), replace(recipe("modern"), window=4), Batches(), epoch))
    assert torch.equal(before, torch.get_rng_state())


def test_without_offsets_every_epoch_is_the_whole_text() -> None:
    """Catches a shift that the notebook's recipe does not have."""
    rows = torch.arange(40).view(1, -1)
    inputs = torch.cat([x for x, _ in epoch_windows(rows, recipe("notebook"), Batches(), 3)], dim=1)
    assert torch.equal(inputs, rows[:, :-1])
