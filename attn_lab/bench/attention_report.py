"""What `attn-lab bench attention` shows and writes: tables, files of numbers, and pictures with fitted exponents."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import torch
from rich.console import Console

from attn_lab.bench.attention import BOTH, PASSES, Measurement, exponent, measure
from attn_lab.bench.contenders import CONTENDERS, WINDOW, Shape
from attn_lab.bench.decoding import WAYS, Speed, measure_decoding
from attn_lab.files import write_text
from attn_lab.tables import Row, show_tables

LONGEST_WRITTEN = 4096  # tokens: without a cache each one costs a pass over the whole text
SHORTEST = 2048  # exponents are fitted from here on: below, what a call costs at least hides the growth


def show_attention(
    console: Console, shape: Shape, lengths: Sequence[int], rounds: int, device: str, dtype: str, out: Path | None
) -> None:
    """Measure, print, and write tables, numbers and pictures into the folder `out` if it is given."""
    with console.status("measuring") as status:
        found = measure(shape, lengths, rounds, device, getattr(torch, dtype), progress=status.update)
        status.update("writing token by token")
        speeds = measure_decoding([n for n in lengths if n <= LONGEST_WRITTEN], shape.window, 3 * rounds, device)
    where = f"B{shape.b} H{shape.h} D{shape.d}, window {shape.window}, {dtype}, {device}"
    tables = [(f"{passes}: ms, and times the first's ({where})", *times(found, passes)) for passes in PASSES]
    tables.append((f"{BOTH}: peak memory, MiB", *memory(found, BOTH)))
    tables.append((f"growth: the power of n, fitted from n = {SHORTEST:,} on", *growth(found)))
    tables.append(("writing: tokens a second, one text, the notebook's model", *writing(speeds)))
    if out is None:
        show_tables(console, tables, None)
        return
    out.mkdir(parents=True, exist_ok=True)
    show_tables(console, tables, out / "attention.md")
    write_text(out / "attention.csv", as_csv(found))
    draw(found, out / "attention.png")
    draw_writing(speeds, out / "decoding.png")


def _by_contender(found: Iterable[Measurement], passes: str) -> dict[str, dict[int, Measurement]]:
    rows: dict[str, dict[int, Measurement]] = {c.name: {} for c in CONTENDERS}
    for m in found:
        if m.passes == passes:
            rows[m.contender][m.n] = m
    return {name: row for name, row in rows.items() if row}


def times(found: Sequence[Measurement], passes: str) -> tuple[Row, list[Row]]:
    """A line a contender, a column a length."""
    lengths = sorted({m.n for m in found})
    rows = [
        (name, *(f"{row[n].milliseconds:.1f} ({row[n].to_first:.2f})" if n in row else "" for n in lengths))
        for name, row in _by_contender(found, passes).items()
    ]
    return ("attention", *(f"{n:,}" for n in lengths)), rows


def memory(found: Sequence[Measurement], passes: str) -> tuple[Row, list[Row]]:
    """The same of peak memory."""
    lengths = sorted({m.n for m in found})
    peaks = {name: {n: m.peak_mib for n, m in row.items()} for name, row in _by_contender(found, passes).items()}
    rows = [
        (name, *(f"{row[n]:.0f}" if row.get(n) is not None else "" for n in lengths)) for name, row in peaks.items()
    ]
    return ("attention", *(f"{n:,}" for n in lengths)), rows


def growth(found: Sequence[Measurement]) -> tuple[Row, list[Row]]:
    """The fitted exponents of forward and backward together, or of forward alone where there is no backward."""
    rows: list[Row] = []
    both = _by_contender(found, BOTH)
    for name, row in (_by_contender(found, PASSES[0]) | both).items():
        passes = BOTH if name in both else PASSES[0]
        rows.append((name, passes, _fitted(row.values(), "milliseconds"), _fitted(row.values(), "peak_mib")))
    return ("attention", "of", "time", "memory"), rows


def _fitted(row: Iterable[Measurement], what: str) -> str:
    points = [(float(m.n), getattr(m, what)) for m in row if m.n >= SHORTEST and getattr(m, what)]
    return f"{exponent(points):.2f}" if len(points) > 1 else ""


def writing(speeds: Sequence[Speed]) -> tuple[Row, list[Row]]:
    """A line a way of decoding, a column a length of the text so far."""
    lengths = sorted({s.n for s in speeds})
    of = {(s.way, s.n): f"{s.tokens_per_second:.0f}" for s in speeds}
    return ("way", *(f"{n:,}" for n in lengths)), [(way, *(of[way, n] for n in lengths)) for way in WAYS]


def as_csv(found: Sequence[Measurement]) -> str:
    """A line a measurement."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Measurement)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(m) for m in found)
    return text.getvalue()


def draw(found: Sequence[Measurement], file: Path) -> None:
    """Time and memory of forward and backward against the length, on logarithmic axes; solid: window, dashed: all."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.5), layout="constrained")
    panels = figure.subplots(1, 2)
    colours = [f"C{k}" for k in range(10)]
    rows = _by_contender(found, BOTH)
    for panel, what, label in zip(panels, ("milliseconds", "peak_mib"), ("ms", "MiB above the start")):
        for name, colour in zip(rows, colours):
            points = [(m.n, getattr(m, what)) for m in rows[name].values() if getattr(m, what)]
            if not points:
                continue
            windowed = next(iter(rows[name].values())).work == WINDOW
            power = _fitted(rows[name].values(), what)
            panel.plot(
                *zip(*points),
                color=colour,
                marker="o",
                markersize=4,
                linestyle="-" if windowed else "--",
                label=f"{name}{f' ~ n^{power}' if power else ''}",
            )
        panel.set(xscale="log", yscale="log", xlabel="n, tokens", ylabel=label)
        panel.set_xscale("log", base=2)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1))  # below: lines are everywhere above
    panels[0].set_title("time, forward + backward")
    panels[1].set_title("peak memory, forward + backward")
    figure.savefig(file, dpi=120)


def draw_writing(speeds: Sequence[Speed], file: Path) -> None:
    """Milliseconds a token against the text so far."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    panel = figure.subplots()
    for way in WAYS:
        points = [(s.n, s.milliseconds) for s in speeds if s.way == way]
        panel.plot(*zip(*points), marker="o", markersize=4, label=way)
    panel.set(yscale="log", xlabel="tokens so far", ylabel="ms for one more", title="writing token by token")
    panel.set_xscale("log", base=2)
    panel.grid(alpha=0.3)
    panel.legend()
    figure.savefig(file, dpi=120)
