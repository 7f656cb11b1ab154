"""The masks, each as a matrix."""

from matplotlib.figure import Figure
from torch import Tensor

from attn_lab import masks
from figures.style import draw_mask, to_html

N = 10


def gallery() -> str:
    """All masks of the paper files side by side, at the same length."""
    panels: list[tuple[str, Tensor]] = [
        ("causal(10)", masks.causal(N)),
        ("sliding_window(10, 3)", masks.sliding_window(N, 3)),
        ("sliding_window(10, 3, causal=False)", masks.sliding_window(N, 3, causal=False)),
        ("padding([7], 10)", masks.padding([7], N)[0, 0].expand(N, N)),
        ("causal & padding", (masks.causal(N) & masks.padding([7], N))[0, 0]),
        ("sliding_window & padding", (masks.sliding_window(N, 3) & masks.padding([7], N))[0, 0]),
    ]
    figure = Figure(figsize=(8.4, 6.0), layout="constrained")
    for axes, (title, mask) in zip(figure.subplots(2, 3).flat, panels):
        draw_mask(axes, mask, title)
        axes.title.set_fontsize(8.5)
    names = ", ".join(title for title, _ in panels)
    caption = "Blue: query i (row) may attend to key j (column). Padding repeats its one row for every query."
    return to_html(figure, "masks", f"Six masks as matrices of ten by ten: {names}.", caption)
