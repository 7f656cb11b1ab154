"""The way of the features through multi-head attention: split by heads, attended in each, put side by side again."""

import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attn_lab.scaled_dot_product import masked_softmax
from figures.style import to_html

HEADS = ("#3b6fd4", "#c2571a", "#5a8f3c")
MIXED = "#8a909c"
N, D = 5, 2  # positions, and features of a head
GAP = 1.6  # between the matrices of two heads


def split_and_merge() -> str:
    """Five positions and three heads, every matrix with its shape."""
    figure = Figure(figsize=(8.4, 4.0), layout="constrained")
    axes = figure.subplots()
    h = len(HEADS)
    middle = (h * (N + GAP) - GAP - N) / 2
    of_heads = [colour for colour in HEADS for _ in range(D)]
    columns = {"projected": 0.0, "split": 10.5, "weights": 17.0, "found": 26.5, "merged": 33.0, "output": 43.5}
    _matrix(axes, columns["projected"], middle, [of_heads] * N)
    for k, colour in enumerate(HEADS):
        y = k * (N + GAP)
        _matrix(axes, columns["split"], y, [[colour] * D] * N)
        scores = 1.6 * torch.randn(N, N, generator=torch.Generator().manual_seed(k))
        weights = masked_softmax(scores, torch.ones(N, N, dtype=torch.bool)).tolist()
        _matrix(axes, columns["weights"], y, [[_faded(colour, w) for w in row] for row in weights])
        _matrix(axes, columns["found"], y, [[colour] * D] * N)
        axes.text(columns["split"] + D / 2, y - 0.35, f"head {k}", ha="center", va="bottom", fontsize=8)
    _matrix(axes, columns["merged"], middle, [of_heads] * N)
    _matrix(axes, columns["output"], middle, [[MIXED] * (h * D)] * N)
    below = h * (N + GAP) - GAP + 0.6
    for name, width, text in (
        ("projected", h * D, "linear_query(x)\nb n (h d)"),
        ("split", D, "split\nb h n d"),
        ("weights", N, "attention\nin each head"),
        ("found", D, "heads\nb h n d"),
        ("merged", h * D, "side by side\nb n (h d)"),
        ("output", h * D, "linear_cat_attn\nb n dim"),
    ):
        axes.text(columns[name] + width / 2, below, text, ha="center", va="top", fontsize=8.5, linespacing=1.5)
    for x in (8.25, 14.75, 24.25, 30.75, 41.25):
        axes.text(x, middle + N / 2, "→", ha="center", va="center", fontsize=15)
    axes.set(xlim=(-0.5, 50), ylim=(below + 2.4, -1.4), aspect="equal")
    axes.axis("off")
    description = (
        "The projected queries, five rows of six features, are cut into three heads of two features; each head has "
        "attention weights of its own; the heads' outputs are put side by side and projected."
    )
    caption = (
        "Rows are positions, and a colour is a head. The queries alone are shown on the way in: keys and values go the "
        "same way. Only the last projection mixes the heads."
    )
    return to_html(figure, "split and merge", description, caption)


def _matrix(axes: Axes, left: float, top: float, colours: list[list[str]]) -> None:
    for i, row in enumerate(colours):
        for j, colour in enumerate(row):
            cell = Rectangle((left + j, top + i), 1, 1, facecolor=colour, edgecolor="white", linewidth=0.8)
            axes.add_patch(cell)


def _faded(colour: str, weight: float) -> tuple[float, ...]:
    """The colour for a weight of 1, and nearly white for 0."""
    return tuple(1 - (0.08 + 0.92 * weight**0.7) * (1 - part) for part in to_rgb(colour))
