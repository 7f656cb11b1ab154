"""Masks side by side, small enough for a phone, each with the share of pairs that it lets through."""

from collections.abc import Mapping
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from figures.style import HIDDEN, SEEN, as_matrix, to_html

WIDTH, HEIGHT = 2.75, 3.05  # inches of a panel


def mask_row(masks: Mapping[str, Tensor]) -> str:
    """One panel for each boolean mask (i j), under its name."""
    figure = Figure(figsize=(WIDTH * len(masks), HEIGHT), layout="constrained")
    for axes, (name, mask) in zip(figure.subplots(1, len(masks), squeeze=False)[0], masks.items()):
        _draw(axes, mask)
        axes.set_title(name)
        axes.set_xlabel(f"key j\n{mask.float().mean():.0%} of the pairs")
    sizes = " and ".join(f"{name}, {tuple(mask.shape)}" for name, mask in masks.items())
    description = f"Blue where query i may attend to key j: {sizes}."
    return to_html(figure, "row " + " ".join(masks), description)


def _draw(axes: Axes, mask: Tensor) -> None:
    """As `style.draw_mask`, but in runs and lines: a page of twenty masks is a fifth as heavy."""
    n_queries, n_keys = mask.shape
    axes.broken_barh([(0, n_keys)], (0, n_queries), color=HIDDEN, linewidth=0)
    for i, row in enumerate(mask.tolist()):
        axes.broken_barh(runs(row), (i, 1), color=SEEN, linewidth=0)
    grid = {"color": "white", "linewidth": 1}
    axes.hlines(range(n_queries + 1), 0, n_keys, **grid)
    axes.vlines(range(n_keys + 1), 0, n_queries, **grid)
    axes.set(xlim=(0, n_keys), ylim=(0, n_queries))
    as_matrix(axes, n_queries, n_keys)


def runs(row: list[bool]) -> list[tuple[int, int]]:
    """Where the True ones stand, as (first, how many)."""
    found, start = [], 0
    for seen, group in groupby(row):
        length = len(list(group))
        if seen:
            found.append((start, length))
        start += length
    return found
