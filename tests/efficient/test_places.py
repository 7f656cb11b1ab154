"""Positions and masks by place: for columns in the middle of a text, and for texts with filler in front."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from attn_lab import PositionalEncoding, masks
from attn_lab.efficient.places import MaskRows, PositionsAt


def rows(rule, n: int, new: int, keys: int, shifts: list[int]) -> Tensor:
    place = torch.arange(n) - torch.tensor(shifts)[:, None]
    return MaskRows(rule)(place[:, n - new :], place[:, n - keys :], n)


def past_only(n: int) -> Tensor:
    """Without the position itself."""
    return masks.causal(n).tril(-1)


@pytest.mark.parametrize("rule", [masks.causal, past_only, partial(masks.sliding_window, window=3)])
@pytest.mark.parametrize(("new", "keys"), [(1, 7), (3, 7), (7, 7), (1, 3), (3, 5)])
def test_rows_are_the_last_of_the_mask(rule, new: int, keys: int) -> None:
    """Catches rows counted from the top, columns cut from the wrong side, and rows for columns."""
    assert torch.equal(rows(rule, 7, new, keys, [0])[0], rule(7)[-new:, -keys:])


def test_filler_is_seen_by_itself_alone() -> None:
    """Catches a key of the filler that a word sees, a row without keys, a mask that is not shifted with its text."""

    def strided(n: int) -> Tensor:
        place = torch.arange(n)
        return (place <= place[:, None]) & ((place % 2 == 0) | (place == place[:, None]))

    found = rows(strided, 5, 5, 5, [0, 3])
    assert torch.equal(found[0], strided(5))
    expected = torch.eye(5, dtype=torch.bool)
    expected[3:, 3:] = strided(2)
    assert torch.equal(found[1], expected)


def test_no_mask_hides_nothing_but_filler() -> None:
    """Catches no mask, for an attention that is causal itself, that ends in an error or shows filler."""
    found = rows(lambda n: None, 4, 2, 4, [0, 1])
    assert found[0].all()
    assert found[1].tolist() == [[False, True, True, True]] * 2


def test_positions_are_picked_by_place() -> None:
    """Catches positions from the table's start, one example's places for all, and a table made for every token."""
    part = PositionalEncoding(6, 0.0, max_len=20).double()
    calls: list[int] = []
    part.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0].shape[1]))
    at, x = PositionsAt(part, 20), torch.randn(2, 3, 6, dtype=torch.float64)
    at.place, at.end = torch.tensor([[4, 5, 6], [0, 1, 2]]), 7
    torch.testing.assert_close(at(x), x + torch.stack([part.pe[4:7], part.pe[:3]]))
    at.place, at.end = torch.tensor([[19, 0, 7]]), 20
    torch.testing.assert_close(at(x), x + part.pe[[19, 0, 7]])
    assert calls == [20]


def test_a_part_without_an_end_goes_on() -> None:
    """Catches a text that ends where `max_len` said it would, though its positions do not."""

    class Place(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.arange(x.shape[1])[:, None]

    at, x = PositionsAt(Place(), 4), torch.zeros(1, 1, 2)
    for end in (3, 9):
        at.place, at.end = torch.tensor([[end - 1]]), end
        assert at(x).flatten().tolist() == [end - 1] * 2
