"""A causal window in blocks as long as itself: each block of queries, and the two blocks of keys that it meets."""

import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attn_lab import masks
from figures.style import HIDDEN, SEEN, as_matrix, to_html

COMPUTED = "#c8d6f2"
EDGE = "#c2571a"


def two_blocks(n: int, window: int) -> str:
    """The n x n pairs: in the window, computed and hidden, or never computed; and what lies before the text."""
    figure = Figure(figsize=(6.2, 4.6), layout="constrained")
    axes = figure.subplots()
    position = torch.arange(n)
    block = position // window
    gap = block[:, None] - block
    kind = ((gap == 0) | (gap == 1)).int() + masks.sliding_window(n, window).int()
    axes.pcolormesh(kind.numpy(), cmap=ListedColormap([HIDDEN, COMPUTED, SEEN]), edgecolors="white", linewidth=1)
    for start in range(0, n, window):
        frame = Rectangle((start - window, start), 2 * window, window, fill=False, edgecolor=EDGE, linewidth=2)
        axes.add_patch(frame)
    axes.text(-window / 2, window / 2, "nothing\nhere", ha="center", va="center", fontsize=8.5)
    axes.set(xlim=(-window - 0.1, n + 0.1), ylim=(-0.1, n + 0.1))
    as_matrix(axes, n, n)
    description = (
        f"A square of {n} by {n} pairs with a band of {window} below the diagonal. Frames of {window} queries by "
        f"{2 * window} keys cover it; the first one reaches out of the square to the left."
    )
    caption = (
        f"A window of {window} in blocks of {window} queries. A frame is a block with its two blocks of keys. Blue: in "
        "the window. Pale blue: computed with the block, and hidden. Grey: never computed. Before the first block is "
        "nothing."
    )
    return to_html(figure, f"blocked window {n} {window}", description, caption)
