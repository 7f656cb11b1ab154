"""A batch of texts of unequal length, filled up, and the mask that each of them gets."""

from collections.abc import Sequence

from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from attn_lab import masks
from figures.style import HIDDEN, SEEN, draw_mask, to_html


def batch(texts: Sequence[str]) -> str:
    """The texts as a table (b n), and for each its row of the mask, repeated for every query."""
    words = [text.split() for text in texts]
    lengths, b = [len(row) for row in words], len(words)
    n = max(lengths)
    padding = masks.padding(lengths, n)
    figure = Figure(figsize=(8.4, 4.4), layout="constrained")
    layout = [["texts"] * b, [f"mask {k}" for k in range(b)]]
    parts = figure.subplot_mosaic(layout, height_ratios=[1, 1.7])
    table = parts["texts"]
    real = padding[:, 0, 0]
    table.pcolormesh(real.int().numpy(), cmap=ListedColormap([HIDDEN, SEEN]), vmin=0, vmax=1, edgecolors="white")
    table.invert_yaxis()
    table.set_title("the batch (b n): blue is text, grey is padding")
    table.set_xticks([j + 0.5 for j in range(n)], [str(j) for j in range(n)])
    table.set_yticks([k + 0.5 for k in range(b)], [f"example {k}" for k in range(b)])
    table.tick_params(length=0)
    for spine in table.spines.values():
        spine.set_visible(False)
    for k, row in enumerate(words):
        for j in range(n):
            text, colour = (row[j], "white") if j < len(row) else ("<pad>", "#1d2433")
            table.text(j + 0.5, k + 0.5, text, ha="center", va="center", color=colour)
    for k, length in enumerate(lengths):
        draw_mask(parts[f"mask {k}"], padding[k, 0].expand(n, n), f"mask[{k}], for {length} of {n}")
    told = ", ".join(map(str, lengths))
    description = (
        f"A table of {b} texts with {told} words, filled up to {n}; below it, a mask of {n} by {n} for each text, in "
        "which the columns of the padding are hidden."
    )
    caption = (
        "The padding's columns are hidden, for every query alike: mask[b] has one row, which broadcasts over the "
        "queries, as here, and over the heads."
    )
    return to_html(figure, f"padding {told}", description, caption)
