"""Which heads of queries share which heads of keys and values."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from figures.style import INK, SEEN, to_html

HEADS = 8
KINDS = ((8, "multi-head: g = h"), (2, "grouped-query: g = 2"), (1, "multi-query: g = 1"))
SHARED = "#c2571a"


def sharing() -> str:
    """Eight heads of queries over eight, two and one heads of keys and values."""
    figure = Figure(figsize=(8.4, 2.1), layout="constrained")
    for axes, (groups, title) in zip(figure.subplots(1, len(KINDS)), KINDS):
        _panel(axes, groups)
        axes.set_title(title)
    description = (
        "Three panels of eight boxes, the query heads, above boxes for the heads of keys and values: eight, each tied "
        "to one query head; two, each tied to four query heads side by side; one, tied to all."
    )
    caption = (
        f"Above the {HEADS} heads of queries, below the heads of keys and values that they read. What must be kept for "
        "each token while a text is written are the boxes below."
    )
    return to_html(figure, "grouped queries", description, caption)


def _panel(axes: Axes, groups: int) -> None:
    share = HEADS // groups
    for g in range(groups):
        middle = g * share + (share - 1) / 2
        for k in range(g * share, (g + 1) * share):
            axes.plot([k, middle], [1, 0], color=INK, linewidth=0.8, alpha=0.5, zorder=0)
        _box(axes, middle, 0, SHARED)
    for k in range(HEADS):
        _box(axes, k, 1, SEEN)
    axes.set(xlim=(-0.7, HEADS - 0.3), ylim=(-0.4, 1.4), xticks=[], yticks=[0, 1])
    axes.set_yticklabels(["keys,\nvalues", "queries"])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _box(axes: Axes, x: float, y: float, colour: str) -> None:
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch((x - 0.36, y - 0.2), 0.72, 0.4, boxstyle=style, facecolor=colour, linewidth=0))
