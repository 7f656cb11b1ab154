"""A text, cut into rows, and the windows that go through them."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from figures.style import HIDDEN, SEEN, to_html

TARGET = "#c2571a"
COLOURS = ("#7fa3e8", "#f0b27a", "#8fc48a")


def rows_and_windows(n: int, batch_size: int, window: int) -> str:
    """The text as one line, its rows, and its windows: inputs in a frame, targets in another, one to the right."""
    length = n // batch_size
    figure = Figure(figsize=(8.4, 4.3), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=[1, 3.2])
    for k in range(n):
        row = k // length
        _cell(above, k, 0, str(k), COLOURS[row] if row < batch_size else HIDDEN)
    above.set(xlim=(-0.1, n + 0.1), ylim=(1.1, -0.1), title=f"the text: {n} tokens, {n - batch_size * length} left out")
    for k in range(batch_size * length):
        _cell(below, k % length, k // length, str(k), COLOURS[k // length])
    for start in range(0, length - 1, window):
        end = min(start + window, length - 1)
        style = {"fill": False, "linewidth": 2.2}
        below.add_patch(
            Rectangle((start + 0.06, -0.12), end - start - 0.12, batch_size + 0.24, edgecolor=SEEN, **style)
        )
        frame = Rectangle((start + 1.06, -0.22), end - start - 0.12, batch_size + 0.44, edgecolor=TARGET, **style)
        frame.set_linestyle("--")
        below.add_patch(frame)
    below.set(xlim=(-0.3, max(length, n * 0.62)), ylim=(batch_size + 0.6, -0.6))
    below.set_title(f"batchify: {batch_size} rows of {length}; windows of {window}", loc="left")
    x = length + 0.6
    for y, colour, dashes, text in ((0.6, SEEN, "-", "inputs"), (1.5, TARGET, "--", "their targets")):
        below.plot([x, x + 0.8], [y, y], dashes, color=colour, linewidth=2.2)
        below.text(x + 1.1, y, text, va="center")
    for axes in (above, below):
        axes.set_aspect("equal")
        axes.axis("off")
    description = (
        f"{n} numbered tokens in a line, then in {batch_size} rows of {length}, with windows of {window} framed."
    )
    caption = "A target stands one place to the right of its input. The last window is the shorter one."
    return to_html(figure, f"rows {n} {batch_size} {window}", description, caption)


def _cell(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    axes.add_patch(Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, facecolor=colour, edgecolor="none"))
    axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", color="#1d2433", fontsize=8.5)
