"""Encoder blocks and a stack of them as diagrams: boxes in a row, and the ways around them."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from figures.style import HIDDEN, INK, SEEN, to_html

NORM = "#c2571a"
AROUND = {"color": SEEN, "linewidth": 2.2, "solid_joinstyle": "round", "solid_capstyle": "butt"}
POST = ("x", "attention", "+", "norm1", "feed-forward", "+", "norm2", "out")
PRE = ("x", "norm1", "attention", "+", "norm2", "feed-forward", "+", "out")
WIDTHS = {"x": 0.5, "out": 0.6, "+": 0.5, "norm1": 1.0, "norm2": 1.0, "attention": 1.5, "feed-forward": 1.75}


def post_norm() -> str:
    """The paper's block."""
    figure = Figure(figsize=(8.4, 1.75))
    _row(_canvas(figure, 1, 1), POST)
    description = (
        "From left to right: x, attention, a sum, norm1, feed-forward, a sum, norm2, out. One line leads from x around "
        "the attention to the first sum, another from norm1 around the feed-forward network to the second sum."
    )
    caption = "Blue: the ways around. Each ends at a sum, and each sum is normalised."
    return to_html(figure, "post-norm", description, caption)


def pre_norm() -> str:
    """The block with its norms in front, below the paper's."""
    figure = Figure(figsize=(8.4, 3.7))
    for place, (title, parts) in enumerate((("post-norm (e13)", POST), ("pre-norm (e14)", PRE)), start=1):
        axes = _canvas(figure, 2, place)
        _row(axes, parts)
        axes.set_title(title, loc="left", fontsize=9)
    description = (
        "Two rows of boxes. Above, post-norm: x, attention, sum, norm1, feed-forward, sum, norm2, out; each way from x "
        "to out goes through both norms. Below, pre-norm: x, norm1, attention, sum, norm2, feed-forward, sum, out; the "
        "ways around lead from x over both sums to out and meet no norm."
    )
    caption = (
        "Follow the blue line from x to the end. Above it breaks off at each sum, for a norm. Below it arrives, and a "
        "norm stands only in front of what a sub-layer reads."
    )
    return to_html(figure, "pre-norm", description, caption)


def stack(n_blocks: int) -> str:
    """Copies of one block, each with the mask."""
    figure = Figure(figsize=(8.4, 2.3))
    axes = _canvas(figure, 1, 1)
    axes.set(xlim=(0, 2.2 * n_blocks + 1.6), ylim=(-0.9, 2.1))
    _text(axes, 0.3, 0, "x")
    for k in range(n_blocks):
        left = 2.2 * k + 1
        _arrow(axes, left - 0.5, left, 0)
        _box(axes, left, 1.6, f"blocks[{k}]", SEEN)
        axes.plot([left + 0.8] * 2, [1.4, 0.4], color=NORM, linewidth=1.4)
        axes.annotate("", (left + 0.8, 0.36), (left + 0.8, 0.7), arrowprops={"arrowstyle": "-|>", "color": NORM})
    last = 2.2 * n_blocks + 0.4
    _arrow(axes, last, last + 0.6, 0)
    _text(axes, last + 0.95, 0, "out")
    axes.plot([1.2, 2.2 * n_blocks - 0.4], [1.4, 1.4], color=NORM, linewidth=1.4)
    _text(axes, 0.7, 1.4, "mask")
    description = f"x goes through {n_blocks} blocks in a row. A line from the mask branches off to each of them."
    caption = "Copies of one block, with weights of their own. Each reads what the one before returned, and the mask."
    return to_html(figure, "stack", description, caption)


def _canvas(figure: Figure, n_rows: int, place: int) -> Axes:
    axes = figure.add_subplot(n_rows, 1, place)
    axes.set_axis_off()
    axes.set_aspect("equal")
    return axes


def _row(axes: Axes, parts: tuple[str, ...]) -> None:
    """The parts from left to right; the ways around leave in front of the first part behind x or behind a norm."""
    x, gap, leaves = 0.0, 0.55, 0.0
    after_sum = parts[1] == "norm1"  # pre-norm: the next way around starts at the sum itself
    for k, part in enumerate(parts):
        width = WIDTHS[part]
        middle = x + width / 2
        if k:
            _arrow(axes, x - gap, x, 0)
        if part == "+":
            axes.plot([leaves, leaves, middle, middle], [0, 1.0, 1.0, 0.3], **AROUND)
            axes.add_patch(Circle((middle, 0), 0.27, facecolor="none", edgecolor=INK, linewidth=1.2))
            _text(axes, middle, 0, "+")
        elif part in ("x", "out"):
            _text(axes, middle, 0, part)
        else:
            _box(axes, x, width, part, NORM if part.startswith("norm") else HIDDEN)
        if part == "x" or part == ("+" if after_sum else "norm1"):
            leaves = x + width + gap / 2
        if after_sum and part in ("x", "+"):
            axes.plot([x + width - 0.05 * (part == "x"), leaves], [0, 0], **AROUND)
        x += width + gap
    axes.set(xlim=(-0.1, x), ylim=(-0.6, 1.3))


def _box(axes: Axes, left: float, width: float, text: str, colour: str) -> None:
    style = "round,pad=0,rounding_size=0.1"
    axes.add_patch(FancyBboxPatch((left, -0.35), width, 0.7, style, facecolor="none", edgecolor=colour, linewidth=1.8))
    _text(axes, left + width / 2, 0, text)


def _text(axes: Axes, x: float, y: float, text: str) -> None:
    axes.text(x, y, text, ha="center", va="center", fontsize=9)


def _arrow(axes: Axes, start: float, end: float, y: float) -> None:
    style = {"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (end, y), (start, y), arrowprops=style)
