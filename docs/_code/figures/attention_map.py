"""Attention weights as a map, and one query of it from its scores to its weights."""

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from figures.style import HIDDEN, SEEN, WEIGHTS, as_matrix, draw_weights, to_html


def one_query(scores: Tensor, mask: Tensor, weights: Tensor, i: int) -> str:
    """The scores and weights, (i j), as a map with row i marked, and that row as bars."""
    n = weights.shape[-1]
    figure = Figure(figsize=(8.4, 3.5), layout="constrained")
    parts = figure.subplot_mosaic([["map", "scores"], ["map", "weights"]], width_ratios=[1, 1.3])
    image = draw_weights(parts["map"], weights, mask, 1.0)
    as_matrix(parts["map"], *weights.shape)
    parts["map"].add_patch(Rectangle((0, i), n, 1, fill=False, edgecolor="#c2571a", linewidth=2))
    parts["map"].set_title("weights")
    figure.colorbar(image, ax=parts["map"], shrink=0.8)
    colours = [SEEN if seen else HIDDEN for seen in mask[i]]
    parts["scores"].bar(range(n), scores[i].tolist(), color=colours)
    parts["scores"].set(title=f"scores of query {i}: hidden keys are pale", xticks=range(n))
    parts["scores"].axhline(0, color="#8a909c", linewidth=0.8)
    parts["weights"].bar(range(n), weights[i].tolist(), color=colours)
    parts["weights"].set(title="its weights, after the mask and the softmax", xlabel="key j", xticks=range(n))
    for name in ("scores", "weights"):
        parts[name].spines[["top", "right"]].set_visible(False)
    description = f"Attention weights of {n} queries and keys as a map, and scores and weights of query {i} as bars."
    caption = "The marked row of the map is the lower row of bars. It sums to one."
    return to_html(figure, f"query {i} of {n}", description, caption)


def heads(weights: Tensor) -> str:
    """The weights of one text, (h i j): a map for each head."""
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    panels = figure.subplots(1, len(weights))
    for h, (axes, head) in enumerate(zip(panels, weights)):
        # As an image: a cell is a pixel, where a path for each would weigh more than the rest of the page.
        image = axes.imshow(head.numpy(), cmap=WEIGHTS, vmin=0, vmax=float(weights.quantile(0.99)))
        axes.set(title=f"head {h}", xlabel="key j", ylabel="query i")
    figure.colorbar(image, ax=panels, shrink=0.7)
    n = weights.shape[-1]
    description = f"Attention weights of {len(weights)} heads over a window of {n} tokens; nothing above the diagonal."
    return to_html(figure, f"heads {n}", description, "Each row is a query and sums to one; the future is empty.")
