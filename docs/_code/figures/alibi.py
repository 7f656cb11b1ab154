"""What distance alone makes of the weights, at the slope of each head."""

import torch
from matplotlib.figure import Figure

from attn_lab import masks
from attn_lab.scaled_dot_product import masked_softmax
from attn_lab.variants.alibi import bias, slopes
from figures.style import as_matrix, draw_weights, to_html

N, HEADS = 10, 8
SHOWN = (0, 2, 4, 7)


def heads() -> str:
    """The weights of four of eight heads where every score is 0: the penalty is all that speaks."""
    nothing = torch.zeros(1, HEADS, N, 2)
    mask = masks.causal(N)
    weights = masked_softmax(bias(nothing, nothing), mask)
    figure = Figure(figsize=(8.4, 2.6), layout="constrained")
    panels = figure.subplots(1, len(SHOWN))
    for axes, h in zip(panels, SHOWN):
        image = draw_weights(axes, weights[h], mask, 1.0)
        as_matrix(axes, N, N)
        axes.set_title(f"head {h}: slope 1/{round(1 / slopes(HEADS)[h])}")
        if h != SHOWN[0]:
            axes.set(ylabel="", yticks=[])
    figure.colorbar(image, ax=panels, label="weight", shrink=0.8, pad=0.01)
    description = (
        f"Four causal tables of attention weights, {N} by {N}. In the first head nearly all weight lies on the "
        "last few keys; from head to head it spreads, and in the last one all past keys weigh nearly the same."
    )
    caption = (
        "All scores are 0 here, so that the penalty alone decides. A steep head reads what stands right behind it, a "
        "flat one the whole past. What query and key have to say to each other is added to this."
    )
    return to_html(figure, "alibi heads", description, caption)
