"""A gradient of two numbers, clipped by its norm and clipped number by number."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from figures.style import HIDDEN, SEEN, to_html

GRADIENTS = ((2.6, 0.7), (0.5, 0.35))
WRONG = "#c2571a"


def by_norm_and_by_value(clip: float = 1.0) -> str:
    """Two gradients, a long one and a short one, before and after: the direction stays, or it does not."""
    figure = Figure(figsize=(8.4, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.add_patch(Circle((0, 0), clip, fill=False, edgecolor="#8a909c", linestyle=":"))
    right.add_patch(Rectangle((-clip, -clip), 2 * clip, 2 * clip, fill=False, edgecolor="#8a909c", linestyle=":"))
    for x, y in GRADIENTS:
        norm = (x * x + y * y) ** 0.5
        factor = min(1.0, clip / norm)
        for axes, (a, b), colour in (
            (left, (factor * x, factor * y), SEEN),
            (right, (min(x, clip), min(y, clip)), WRONG),
        ):
            _arrow(axes, x, y, HIDDEN, 4.0)
            _arrow(axes, a, b, colour, 1.8)
    left.set_title("by norm: shorter, the same direction")
    right.set_title("by value: another direction")
    for axes in (left, right):
        axes.set(xlim=(-0.25, 2.85), ylim=(-0.25, 1.25), aspect="equal", xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.axhline(0, color="#8a909c", linewidth=0.6)
        axes.axvline(0, color="#8a909c", linewidth=0.6)
    description = (
        "A long and a short gradient as arrows: clipped by norm they keep their direction, by value they do not."
    )
    caption = "Grey: the gradients of a long and of a short step. Coloured: what is left of them. Dotted: the limit."
    return to_html(figure, "clipping", description, caption)


def _arrow(axes: Axes, x: float, y: float, colour: str, width: float) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": width, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x, y), (0, 0), arrowprops=style)
