"""A query and a key, turned by their positions: the angle between them knows the distance alone."""

import math

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Circle

from attn_lab.variants.rotary import rotate
from figures.style import HIDDEN, INK, SEEN, to_html

QUERY, KEY = SEEN, "#c2571a"
SPEED = 0.45  # radians a position, in the picture
PLACES = ((3, 1), (9, 7))
D, FARTHEST = 64, 100


def turns() -> str:
    """One pair of features at two places, and the score of a query with its own key against the distance."""
    figure = Figure(figsize=(8.4, 2.9), layout="constrained")
    first, second, scores = figure.subplots(1, 3, width_ratios=(1, 1, 1.5))
    for axes, (i, j) in zip((first, second), PLACES):
        _pair(axes, i, j)
    _scores(scores)
    description = (
        "Two circles with an arrow for a query and one for a key. In the second circle both stand six positions later "
        "and point elsewhere, with the same angle between them. Beside them a curve: the score of a query with an "
        "equal key, which falls from 1 with the distance and wavers."
    )
    caption = (
        "Left: one pair of features, query and key equal before they are turned. Six positions later both point "
        "elsewhere, and the angle between them is the same. Right: all 32 pairs of a head together, a query with an "
        "equal key at each distance: the fast pairs soon point anywhere, the slow ones still agree."
    )
    return to_html(figure, "rotary turns", description, caption)


def _pair(axes: Axes, i: int, j: int) -> None:
    axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=HIDDEN, linewidth=1.2))
    for place, colour, name in ((i, QUERY, "query"), (j, KEY, "key")):
        x, y = math.cos(SPEED * place), math.sin(SPEED * place)
        arrow = {"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0, "linewidth": 2}
        axes.annotate("", (x, y), (0, 0), arrowprops=arrow)
        axes.text(1.3 * x, 1.22 * y, f"{name}\nat {place}", color=colour, ha="center", va="center", fontsize=8.5)
    axes.add_patch(
        Arc((0, 0), 0.9, 0.9, theta1=math.degrees(SPEED * j), theta2=math.degrees(SPEED * i), color=INK, linewidth=1)
    )
    middle = SPEED * (i + j) / 2
    axes.text(0.72 * math.cos(middle), 0.72 * math.sin(middle), f"{i - j} θ", ha="center", va="center", fontsize=9)
    axes.set(xlim=(-1.65, 1.65), ylim=(-1.45, 1.45), xticks=[], yticks=[])
    axes.set_aspect("equal")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _scores(axes: Axes) -> None:
    x = torch.ones(1, 1, 1, D, dtype=torch.float64)
    keys = rotate(x.expand(1, 1, FARTHEST + 1, D), -torch.arange(FARTHEST + 1))
    axes.plot((keys[0, 0] @ x[0, 0, 0] / D).tolist(), color=SEEN)
    axes.set(xlabel="distance i - j", ylabel="score, as a share of the first", xlim=(0, FARTHEST), ylim=(0, 1.05))
    axes.spines[["top", "right"]].set_visible(False)
