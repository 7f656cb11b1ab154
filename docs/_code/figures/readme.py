"""The README's picture: two masks, and the attention they leave. Run `python -m figures.readme` in docs/_code."""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

from attn_lab import masks
from attn_lab.scaled_dot_product import masked_softmax
from figures.style import as_matrix, draw_mask, draw_weights

PICTURE = Path(__file__).parents[2] / "assets" / "attn-lab.png"
N, LENGTH = 10, 8


def picture() -> Figure:
    """On a card of its own, so that it reads on a light page and on a dark one."""
    causal, padding = masks.causal(N), masks.padding([LENGTH], N)[0, 0]
    scores = torch.randn(N, N, generator=torch.Generator().manual_seed(7)) * 1.3
    weights = masked_softmax(scores, causal & padding)
    figure = Figure(figsize=(8.4, 2.95))
    figure.patches.append(
        FancyBboxPatch(
            (0.012, 0.02), 0.976, 0.96, boxstyle="round,pad=0,rounding_size=0.03", mutation_aspect=2.8,
            transform=figure.transFigure, facecolor="#f7f8fb", edgecolor="#d3d8e2", linewidth=1, zorder=-1,
        )
    )  # fmt: skip
    panels = [figure.add_axes((left, 0.15, 0.27, 0.71)) for left in (0.055, 0.365, 0.69)]
    draw_mask(panels[0], causal, "masks.causal(n)")
    draw_mask(panels[1], padding.expand(N, N), "masks.padding(lengths, n)")
    draw_weights(panels[2], weights, causal & padding, 0.8)
    panels[2].set_title("attention weights")
    as_matrix(panels[2], N, N)
    for axes in panels:
        axes.set(xticks=[], yticks=[], ylabel="")
    panels[0].set_ylabel("query i")
    for x, sign in ((0.345, "&"), (0.6625, "→")):
        figure.text(x, 0.5, sign, fontsize=22, ha="center", va="center")
    for text in figure.findobj(Text):
        text.set_color("#1d2433")
    return figure


if __name__ == "__main__":
    picture().savefig(PICTURE, dpi=180)
