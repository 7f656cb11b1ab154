"""A sliding window in blocks: what is computed, what of it is used, and what is never computed at all."""

import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attn_lab import masks
from attn_lab.efficient.blocks import Blocks
from figures.style import HIDDEN, SEEN, as_matrix, to_html

COMPUTED = "#c8d6f2"
EDGE = "#c2571a"


def local_blocks(n: int, window: int, size: int) -> str:
    """The n x n pairs for a causal window and a two-sided one, with the span of each block of queries in a frame."""
    figure = Figure(figsize=(8.4, 4.5), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, causal in zip(panels, (True, False)):
        _draw(axes, n, Blocks(window, causal, size))
        axes.set_title("causal" if causal else "two-sided")
    description = (
        f"Two squares of {n} by {n} pairs. A blue band runs down the diagonal, in frames of {size} queries each; "
        "what lies in a frame and outside the band is pale blue, all the rest grey."
    )
    caption = (
        f"A window of {window} over {n} positions, in blocks of {size} queries. A frame is one block with its span of "
        "keys. Blue: in the window. Pale blue: computed with the block, and masked. Grey: never computed."
    )
    return to_html(figure, f"local blocks {n} {window} {size}", description, caption)


def _draw(axes: Axes, n: int, blocks: Blocks) -> None:
    position = torch.arange(n)
    start = (position // blocks.size * blocks.size)[:, None]
    in_span = (position >= start - blocks.before) & (position < start + blocks.size + blocks.after)
    kind = in_span.int() + masks.sliding_window(n, blocks.window, blocks.causal).int()
    colours = ListedColormap([HIDDEN, COMPUTED, SEEN])
    axes.pcolormesh(kind.numpy(), cmap=colours, vmin=0, vmax=2, edgecolors="white", linewidth=1)
    for start in range(0, n, blocks.size):
        low, high = max(0, start - blocks.before), min(n, start + blocks.size + blocks.after)
        frame = Rectangle((low, start), high - low, blocks.size, fill=False, edgecolor=EDGE, linewidth=2)
        axes.add_patch(frame)
    axes.set(xlim=(-0.1, n + 0.1), ylim=(-0.1, n + 0.1))
    as_matrix(axes, n, n)
