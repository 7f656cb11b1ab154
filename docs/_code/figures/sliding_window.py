"""How far each key lies behind each query, and the two windows that are cut out of it."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from attn_lab import masks
from figures.style import draw_mask, to_html


def distances(n: int, window: int) -> str:
    """The table of distances i - j, with the causal window and the two-sided one marked in it."""
    figure = Figure(figsize=(8.4, 4.0), layout="constrained")
    panels = figure.subplots(1, 2)
    position = torch.arange(n)
    distance = position[:, None] - position
    for axes, causal in zip(panels, (True, False)):
        mask = masks.sliding_window(n, window, causal)
        draw_mask(axes, mask, f"sliding_window({n}, {window}, causal={causal})")
        _numbers(axes, distance, mask)
    description = f"Two tables of {n} by {n} distances i - j; near pairs are blue, below the diagonal or on both sides."
    caption = (
        "The number is the distance i - j: 0 for the query's own position, negative for the future. Blue is what the "
        f"window of {window} lets through: 0 to {window - 1}, and on both sides {1 - window} to {window - 1}."
    )
    return to_html(figure, f"window {n} {window}", description, caption)


def _numbers(axes: Axes, table: Tensor, mask: Tensor) -> None:
    for i, row in enumerate(table.tolist()):
        for j, number in enumerate(row):
            colour = "white" if mask[i, j] else "#1d2433"
            axes.text(j + 0.5, i + 0.5, str(number), ha="center", va="center", color=colour, fontsize=8.5)
