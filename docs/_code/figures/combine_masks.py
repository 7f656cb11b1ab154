"""Three masks and what is left when all of them must agree, for two texts of a batch."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from attn_lab import masks
from figures.style import draw_mask, to_html


def conjunction(n: int, lengths: Sequence[int], window: int) -> str:
    """A row for each text: past & near & real = the mask."""
    figure = Figure(figsize=(8.4, 2.2 * len(lengths) + 0.3), layout="constrained")
    panels = figure.subplots(len(lengths), 4, squeeze=False)
    past, near = masks.causal(n), masks.sliding_window(n, window)
    for row, real, length in zip(panels, masks.padding(lengths, n), lengths):
        parts = (past, near, real[0].expand(n, n), past & near & real[0])
        titles = (f"causal({n})", f"& sliding_window({n}, {window})", f"& padding, {length} of {n}", "= the mask")
        for axes, mask, title in zip(row, parts, titles):
            draw_mask(axes, mask, title)
            axes.title.set_fontsize(9)
            axes.set(xlabel="", ylabel="")
    for b, row in enumerate(panels):
        row[0].set_ylabel(f"example {b}\nquery i")
    for axes in panels[-1]:
        axes.set_xlabel("key j")
    told = " and ".join(map(str, lengths))
    description = (
        f"Masks of {n} by {n} for texts of {told} words: causal, sliding window, padding, and all three at once."
    )
    caption = "Blue: may attend. The first two masks are the same for both texts; only padding knows which text it is."
    return to_html(figure, f"conjunction {n} {window} {told}", description, caption)
