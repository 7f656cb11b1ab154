"""What the pictures show: each curve against the share of its training, beside the recipe's own."""

from pathlib import Path
from typing import Any

import pytest

from attn_lab.ablations import gallery
from attn_lab.ablations.results import Result
from attn_lab.ablations.variations import BUG, CHOICE, RECIPE


def result(name: str, group: str, curve: list[tuple[int, float]], **changes: Any) -> Result:
    valid = [(40, 1.5), (80, 2.0)] if curve else []
    plain = Result(name, group, name, "", 1, 0, 1, curve, valid, 1.0, 2.0, False)
    return Result(**{**vars(plain), **changes})


OWN = result("own", RECIPE, [(40, 3.0), (80, 1.0)])
LONG = result("long", CHOICE, [(k, float(k)) for k in range(1, 81)])
LOST = result("lost", BUG, [(40, 9.0)], valid=[], diverged=True)
NOT_BEGUN = result("not begun", BUG, [])


def test_groups() -> None:
    """Catches the recipe among its variations, and a picture without a curve."""
    assert gallery.groups([OWN, LONG, LOST, NOT_BEGUN]) == ([OWN], {CHOICE: [LONG], BUG: [LOST]})


def test_what_is_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Catches another run's curve, steps for shares, the last loss for the best, and a line at another height."""
    drawn: list[Any] = []
    plain = gallery._draw
    monkeypatch.setattr(gallery, "_draw", lambda axes, *rest: (drawn.append(axes), plain(axes, *rest)))
    gallery.draw_gallery(tmp_path / "shown.png", [LONG, LOST], [OWN], kneser_ney=1.25)
    first, second = drawn
    own, training, validation, n_gram = ([list(xy) for xy in line.get_data()] for line in first.lines)
    assert own == [[0.5, 1.0], [3.0, 1.0]]
    assert training == [[2 * k / 80 for k in range(1, 41)], [2 * k - 0.5 for k in range(1, 41)]]  # means of two
    assert validation == [[0.5, 1.0], [1.5, 2.0]]
    assert n_gram[1] == [1.25, 1.25]
    assert (first.get_title("left"), first.texts[0].get_text()) == ("long", "4.5")  # exp(1.5), the best
    assert (second.get_title("left"), second.texts[0].get_text()) == ("lost", "diverged")
    assert (tmp_path / "shown.png").read_bytes()[:4] == b"\x89PNG"
