"""The running softmax of one query: its largest score and its sum, block after block of keys."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.style import to_html

COLOURS = ("#3b6fd4", "#c2571a", "#5a8f3c", "#8a5fb0")


def running(scores: list[float], block: int) -> str:
    """Left: scores and the largest so far. Right: the sum after each block, and which block each part of it is from."""
    blocks = [scores[k : k + block] for k in range(0, len(scores), block)]
    largest = [max(scores[: k + len(part)]) for k, part in zip(range(0, len(scores), block), blocks)]
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    _draw_scores(left, blocks, largest)
    _draw_sums(right, blocks, largest)
    description = (
        f"{len(scores)} scores as bars in {len(blocks)} blocks with the largest so far as a line; beside it the sum "
        "of exponentials after each block, whose older parts shrink whenever the largest rises."
    )
    caption = (
        "Left: the scores of one query, and m, the largest so far. Right: the sum after each block, coloured by the "
        "block that each part came from. Where m rises, all that was there shrinks by exp(m - m'); where it stays, "
        "nothing changes."
    )
    return to_html(figure, f"online {len(scores)} {block}", description, caption)


def _draw_scores(axes: Axes, blocks: list[list[float]], largest: list[float]) -> None:
    start = 0
    for k, (part, m) in enumerate(zip(blocks, largest)):
        axes.bar(range(start, start + len(part)), part, color=COLOURS[k], width=0.75)
        axes.plot([start - 0.5, start + len(part) - 0.5], [m, m], color="#8a909c", linewidth=1.8)
        axes.annotate(f"m = {m:g}", (start + len(part) / 2 - 0.5, m), (0, 3), textcoords="offset points", ha="center")
        start += len(part)
    lowest = min(min(part) for part in blocks)
    axes.axhline(0, color="#8a909c", linewidth=0.8)
    axes.set(xlabel="key j", ylabel="score", title="scores, a block at a time", ylim=(lowest - 0.3, max(largest) + 0.8))
    axes.set_xticks(range(start))
    axes.spines[["top", "right"]].set_visible(False)


def _draw_sums(axes: Axes, blocks: list[list[float]], largest: list[float]) -> None:
    for at, m in enumerate(largest):
        bottom = 0.0
        for k, part in enumerate(blocks[: at + 1]):
            height = sum(math.exp(score - m) for score in part)
            axes.bar(at, height, bottom=bottom, color=COLOURS[k], width=0.6)
            bottom += height
        axes.annotate(f"{bottom:.2f}", (at, bottom), (0, 3), textcoords="offset points", ha="center")
    axes.set_xticks(range(len(blocks)), [f"after\nblock {k}" for k in range(len(blocks))])
    axes.set(title="the sum, relative to exp(m)")
    axes.margins(y=0.15)
    axes.spines[["top", "right"]].set_visible(False)
