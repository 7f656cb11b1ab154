"""Pairs of sinusoidal features as the hands of clocks, and a shift as a turn of each hand."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from attn_lab.positions import sinusoids
from figures.style import HIDDEN, SEEN, to_html

N, D_MODEL, SHIFT = 7, 16, 2
# Where a shift starts, its colour, and how far from the rim its arrow runs.
SHIFTS = ((0, "#c2571a", 0.8), (3, SEEN, 0.6))


def clocks() -> str:
    """The first three pairs: where each points at the first positions, and how far a shift turns it."""
    table = sinusoids(N, D_MODEL)
    figure = Figure(figsize=(8.4, 3.1), layout="constrained")
    for k, axes in enumerate(figure.subplots(1, 3)):
        _clock(axes, table[:, 2 * k : 2 * k + 2], k)
    starts = " and ".join(str(start) for start, _, _ in SHIFTS)
    description = (
        "Three clocks, one for each of the first three pairs of features. Numbers on the rim say where the pair points "
        f"at positions 0 to {N - 1}; from clock to clock they lie closer together. Two arrows on each show a shift "
        f"by {SHIFT} positions, from positions {starts}: both turn by the same angle."
    )
    caption = (
        "A pair of features, the sine to the right and the cosine upwards, is a hand of a clock: it turns by the same "
        f"angle from each position to the next, and each pair has a speed of its own. So a shift by {SHIFT} positions "
        "turns a hand equally far, wherever it starts."
    )
    return to_html(figure, "positions as clocks", description, caption)


def _clock(axes: Axes, pair: Tensor, k: int) -> None:
    axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=HIDDEN, linewidth=1.2))
    for start, colour, radius in SHIFTS:
        _turn(axes, k, start, colour, radius)
    for p, (x, y) in enumerate(pair.tolist()):
        axes.plot(x, y, ".", color=SEEN, markersize=6)
        axes.text(1.15 * x, 1.15 * y, str(p), ha="center", va="center", fontsize=8)
    axes.plot(0, 0, ".", color=HIDDEN, markersize=5)
    axes.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), xticks=[], yticks=[], title=f"features {2 * k} and {2 * k + 1}")
    axes.set_aspect("equal")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _turn(axes: Axes, k: int, start: int, colour: str, radius: float) -> None:
    """An arrow along the way that the hand takes from one position to the other."""
    angles = torch.linspace(start, start + SHIFT, 60, dtype=torch.float64) / 10000 ** (2 * k / D_MODEL)
    x, y = (radius * angles.sin()).tolist(), (radius * angles.cos()).tolist()
    for end in (0, -1):
        axes.plot([0, x[end]], [0, y[end]], color=colour, linewidth=0.8, alpha=0.6)
    axes.plot(x, y, color=colour, linewidth=2)
    arrow = {"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9}
    axes.annotate("", (x[-1], y[-1]), (x[-4], y[-4]), arrowprops=arrow)
