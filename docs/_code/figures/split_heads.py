"""Features on their way to the heads: cut and moved, or counted off anew by a reshape."""

import torch
from einops import rearrange
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import Tensor

from figures.style import SEEN, to_html

HEADS = ("#c2571a", SEEN)  # differ in lightness too


def cut_or_counted(n: int, d: int) -> str:
    """x of n positions and 2 d features; its two heads, and what a reshape alone makes of it."""
    x = torch.arange(n * 2 * d).reshape(n, 2 * d)
    right = rearrange(x, "n (h d) -> h n d", h=2)
    counted = x.reshape(2, n, d)
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    layout = [["x", ".", "right 0", ".", "counted 0"], ["x", ".", "right 1", ".", "counted 1"]]
    parts = figure.subplot_mosaic(layout, width_ratios=[2, 0.1, 1, 0.1, 1])
    _table(parts["x"], x, d, "x: (n (h d))")
    for k in range(2):
        _table(parts[f"right {k}"], right[k], d, f"split_heads: head {k}")
        _table(parts[f"counted {k}"], counted[k], d, f"a reshape alone: “head {k}”")
    parts["x"].set_ylabel("position")
    parts["x"].set_xlabel("feature")
    description = (
        f"A table of {n} positions and {2 * d} features, the two tables that it is split into, left and right half, "
        "and the two that a reshape makes, which mix the halves."
    )
    caption = (
        "Orange: the features of head 0. Blue: of head 1. A reshape alone takes the numbers in the order in which they "
        "lie in memory, so what it calls a head is a mixture."
    )
    return to_html(figure, f"heads {n} {d}", description, caption)


def _table(axes: Axes, numbers: Tensor, d: int, title: str) -> None:
    """The numbers, each in the colour of the head that owns its feature."""
    owner = numbers % (2 * d) // d
    axes.pcolormesh(owner.numpy(), cmap=ListedColormap(HEADS), vmin=0, vmax=1, edgecolors="white", linewidth=1)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for i, row in enumerate(numbers.tolist()):
        for j, number in enumerate(row):
            axes.text(j + 0.5, i + 0.5, str(number), ha="center", va="center", color="white")
