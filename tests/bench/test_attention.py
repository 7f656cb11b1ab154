"""The measurement of attention: all do the same work, growth is fitted right, and tables say what was found."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attn_lab.bench import attention_report
from attn_lab.bench.attention import BOTH, FORWARD, Measurement, check_equal, exponent, measure, peak_memory
from attn_lab.bench.contenders import CONTENDERS, WINDOW, Shape, contender
from attn_lab.bench.decoding import WAYS, measure_decoding

SHAPE = Shape(b=2, h=2, n=40, d=8, window=16)
PLAIN = [c for c in CONTENDERS if not c.package]  # what needs no package and no compiler
LOCAL = contender("attn_lab LocalAttention")


def made_up(power: float, name: str = LOCAL.name, passes: str = BOTH) -> list[Measurement]:
    lengths = (256, 2048, 4096, 8192)
    return [Measurement(name, WINDOW, n, passes, 3 * n**power / 1e3, 0.5, 7 * n**power / 1e3) for n in lengths]


def test_all_do_the_same_work() -> None:
    """Catches a contender that looks at more keys than another, or at fewer."""
    assert len(PLAIN) >= 6
    check_equal(SHAPE, PLAIN, "cpu")


@pytest.mark.parametrize("window", [15, 17])
def test_another_window_is_found_out(window: int) -> None:
    """Catches a race won by doing less: one key more or less in the window."""
    other = replace(LOCAL, build=lambda shape, device: LOCAL.build(replace(shape, window=window), device))
    with pytest.raises(ValueError, match="LocalAttention was expected to compute attention"):
        check_equal(SHAPE, [other], "cpu")


def test_a_wrong_gradient_is_found_out() -> None:
    """Catches a contender that is fast since it does no backward."""

    def cut_off(shape: Shape, device: str):
        attend = LOCAL.build(shape, device)
        return lambda q, k, v: attend(q, k, v.detach()) + 0 * v

    with pytest.raises(ValueError, match="differs by"):
        check_equal(SHAPE, [replace(LOCAL, build=cut_off)], "cpu")


@pytest.mark.parametrize("power", [0.0, 1.0, 1.7, 2.0])
def test_the_exponent_of_a_power_is_the_power(power: float) -> None:
    """Catches a fit on axes that are not logarithmic, or with x and y confused."""
    assert math.isclose(exponent([(n, 5 * n**power) for n in (10.0, 30.0, 500.0)]), power, abs_tol=1e-12)


def test_what_is_measured_is_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a length or a pass that is left out, and a first one that is not compared with itself."""
    monkeypatch.setattr("attn_lab.bench.attention.CONTENDERS", tuple(PLAIN))
    found = measure(SHAPE, [32, 48], rounds=1, memory=False)
    assert {(m.contender, m.n, m.passes) for m in found} == {
        (c.name, n, passes) for c in PLAIN for n in (32, 48) for passes in (FORWARD, BOTH)
    }
    assert all(m.milliseconds > 0 for m in found)
    assert all(m.to_first == 1.0 for m in found if m.contender == PLAIN[0].name)


def test_what_does_not_fit_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a benchmark that fills the memory and is killed at the longest text, its figures with it."""
    monkeypatch.setattr("attn_lab.bench.attention.CONTENDERS", tuple(PLAIN))
    monkeypatch.setattr("attn_lab.bench.attention.SHARE_OF_MEMORY", 1e-12)
    names = {m.contender for m in measure(SHAPE, [32], rounds=1, memory=False)}
    assert names == {c.name for c in PLAIN if not c.squares}
    assert len(names) < len(PLAIN)


def test_memory_is_that_of_the_work() -> None:
    """Catches a peak that is the process's own, or that does not grow: the einsum form holds n x n tables."""
    einsum = contender("attn_lab.attention (einsum)")
    shape = Shape(b=1, h=4, n=1024, d=8, window=16)
    table = 4 * shape.h * shape.n**2 / 2**20
    peak = peak_memory(
        Measurement(einsum.name, einsum.work, shape.n, BOTH, 1.0, 1.0, None), shape, "cpu", torch.float32
    )
    assert peak is None or 1.5 * table < peak < 12 * table


def test_the_tables_have_a_line_for_each() -> None:
    """Catches columns under the wrong length, and a gap that shifts what follows."""
    found = made_up(1.0) + [m for m in made_up(2.0, PLAIN[0].name) if m.n != 2048]
    header, rows = attention_report.memory(found, BOTH)
    assert header == ("attention", "256", "2,048", "4,096", "8,192")
    assert rows == [(PLAIN[0].name, "459", "", "117441", "469762"), (LOCAL.name, "2", "14", "29", "57")]
    _, rows = attention_report.times(found, BOTH)
    assert rows[1] == (LOCAL.name, "0.8 (0.50)", "6.1 (0.50)", "12.3 (0.50)", "24.6 (0.50)")


def test_growth_is_of_the_long_texts() -> None:
    """Catches an exponent fitted through the lengths at which a call's own cost hides the growth."""
    found = [replace(m, milliseconds=100.0) if m.n == 256 else m for m in made_up(1.0)]
    assert attention_report.growth(found)[1] == [(LOCAL.name, BOTH, "1.00", "1.00")]


def test_writing_is_measured_in_every_way() -> None:
    """Catches a cache that is read on with the wrong text, and so starts again each time: it could not keep up."""
    speeds = measure_decoding([8, 96], window=4, rounds=2)
    assert {(s.way, s.n) for s in speeds} == {(way, n) for way in WAYS for n in (8, 96)}
    header, rows = attention_report.writing(speeds)
    assert header == ("way", "8", "96")
    assert [row[0] for row in rows] == list(WAYS)
    assert all(float(cell) > 0 for row in rows for cell in row[1:])


def test_numbers_and_picture_are_written(tmp_path: Path) -> None:
    """Catches a file that cannot be read again, and a picture that fails on what has no memory figure."""
    found = made_up(1.0) + [replace(m, peak_mib=None) for m in made_up(2.0, PLAIN[0].name)]
    lines = attention_report.as_csv(found).splitlines()
    assert lines[0] == "contender,work,n,passes,milliseconds,to_first,peak_mib"
    assert len(lines) == len(found) + 1
    attention_report.draw(found, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
