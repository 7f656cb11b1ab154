"""One packed weight of nn.MultiheadAttention, and the layers that its rows belong to."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from figures.style import to_html

ROLES = (("query", "#3b6fd4"), ("key", "#c2571a"), ("value", "#5a8f3c"))
BACK = "#8a909c"
E = 4


def unpacking() -> str:
    """Left theirs, right ours; a colour is a projection, a row is a feature that it makes."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    axes = figure.subplots()
    packed, ours, back = 0.0, 11.5, 24.0
    for k, (role, colour) in enumerate(ROLES):
        _block(axes, packed, k * E, colour)
        axes.text(packed - 0.5, (k + 0.5) * E, f"{_rows(k)}", ha="right", va="center", fontsize=8.5)
        top = k * (E + 0.9) - 0.9
        _block(axes, ours, top, colour)
        axes.text(ours + E + 1.9, top + E / 2, f"linear_{role}", ha="left", va="center", fontsize=9)
        arrow = {"arrowstyle": "->", "color": colour, "linewidth": 1.3}
        start, end = (packed + E + 1.9, (k + 0.5) * E), (ours - 0.4, top + E / 2)
        axes.annotate("", xy=end, xytext=start, arrowprops=arrow)
    _block(axes, back, E, BACK)
    axes.text(back + (E + 1.4) / 2, 2 * E + 0.5, "out_proj →\nlinear_cat_attn", ha="center", va="top", fontsize=9)
    for left in (packed, ours, back):
        top = E if left == back else 0.0 if left == packed else -0.9
        axes.text(left + E / 2, top - 0.35, "weight", ha="center", va="bottom", fontsize=8)
        axes.text(left + E + 0.9, top - 0.35, "bias", ha="center", va="bottom", fontsize=8)
    axes.text(packed + E / 2, 3 * E + 0.5, "in_proj_weight, in_proj_bias", ha="center", va="top", fontsize=9)
    axes.set(xlim=(-3.2, 31), ylim=(3 * E + 2.2, -2.2), aspect="equal")
    axes.axis("off")
    description = (
        "The packed weight of nn.MultiheadAttention, 3E rows by E columns, in three colours: the first E rows go to "
        "linear_query, the next to linear_key, the last to linear_value; out_proj goes to linear_cat_attn as it is."
    )
    caption = (
        "Left PyTorch's packed weight and bias for E = 4, and where their rows go. Nothing is turned or transposed."
    )
    return to_html(figure, "packed weights", description, caption)


def _rows(k: int) -> str:
    return f"{k * E} to {(k + 1) * E - 1}"


def _block(axes: Axes, left: float, top: float, colour: str) -> None:
    """E rows of a weight, and the E numbers of their bias beside it."""
    for i in range(E):
        for x in (*range(E), E + 0.4):
            cell = Rectangle((left + x, top + i), 1, 1, facecolor=colour, edgecolor="white", linewidth=0.8)
            axes.add_patch(cell)
