"""One token more: what is computed, what is remembered, and what a window forgets."""

import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from attn_lab import masks
from figures.style import HIDDEN, SEEN, as_matrix, to_html

N = 9
BEFORE = "#a9c1ee"
FUTURE, OLD, NEW = 0, 1, 2


def one_more(window: int) -> str:
    """The pairs of queries and keys when the last token comes, and the keys that are held for it."""
    figure = Figure(figsize=(8.4, 3.7), layout="constrained")
    for axes, w, title in zip(figure.subplots(1, 2), (N, window), ("all keys are held", f"a window of {window}")):
        _pairs(axes, w)
        axes.set_title(title)
    legend = [
        Patch(color=SEEN, label="computed for the new token"),
        Patch(color=BEFORE, label="computed before, not again"),
        Patch(color=HIDDEN, label="never seen"),
        Patch(facecolor="none", edgecolor="#c2571a", linewidth=2, label="keys and values in the cache"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    description = (
        f"Two tables of {N} queries by {N} keys. Only the last row is computed for the new token; the rows above were "
        f"computed before. All keys of the row are held on the left, the last {window} on the right."
    )
    caption = (
        "Reading the whole text again computes every row for each new token. With a cache it is one row: the new query "
        "over the keys that are held. A window holds as many keys at the thousandth token as at the tenth."
    )
    return to_html(figure, f"cache {window}", description, caption)


def _pairs(axes: Axes, window: int) -> None:
    seen = masks.sliding_window(N, window)
    kinds = torch.where(seen, OLD, FUTURE)
    kinds[-1] = torch.where(seen[-1], NEW, FUTURE)
    colours = ListedColormap([HIDDEN, BEFORE, SEEN])
    axes.pcolormesh(kinds.numpy(), cmap=colours, vmin=0, vmax=2, edgecolors="white", linewidth=1)
    as_matrix(axes, N, N)
    first = N - min(N, window)
    edge = {"color": "#c2571a", "linewidth": 2, "clip_on": False}
    axes.plot([first, N, N, first, first], [N - 1, N - 1, N, N, N - 1], **edge)
