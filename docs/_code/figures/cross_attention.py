"""A rectangle of attention weights: one sequence asks, another one answers."""

import torch
from matplotlib.figure import Figure

from attn_lab.scaled_dot_product import masked_softmax
from figures.style import draw_weights, to_html

ASKING = ("the", "blue", "house", "sleeps")
MEMORY = ("la", "maison", "bleue", "dort", "(padding)", "(padding)")
NEAREST = (0, 2, 1, 3)  # which word of the memory is the translation of which


def translation() -> str:
    """An English text asks a French one, which is padded; the scores are made up."""
    mask = torch.tensor([not word.startswith("(") for word in MEMORY]).expand(len(ASKING), len(MEMORY))
    scores = 0.8 * torch.randn(mask.shape, generator=torch.Generator().manual_seed(3))
    scores[range(len(ASKING)), NEAREST] += 3.0
    figure = Figure(figsize=(6.4, 3.5), layout="constrained")
    axes = figure.subplots()
    image = draw_weights(axes, masked_softmax(scores, mask), mask, 1.0)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_xticks([j + 0.5 for j in range(len(MEMORY))], MEMORY)
    axes.set_yticks([i + 0.5 for i in range(len(ASKING))], ASKING)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="memory: keys and values, j", ylabel="x: queries, i")
    figure.colorbar(image, ax=axes, shrink=0.8, label="weight")
    description = (
        "Attention weights of four English words over six positions of a French text: a rectangle, dark where words "
        "translate each other, grey where the French text is padded."
    )
    caption = (
        "Each word of x spreads one unit of attention over the memory; the padding gets nothing. The order differs: "
        "“blue” finds “bleue” behind “maison”. (The scores are made up.)"
    )
    return to_html(figure, "cross attention", description, caption)
