"""Features of a few positions before and after a layer norm."""

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from figures.style import HIDDEN, SEEN, to_html

FEATURES = 8


def before_and_after() -> str:
    """Three positions with ranges of their own, and what becomes of them, on one scale."""
    noise = torch.randn(3, FEATURES, generator=torch.Generator().manual_seed(5))
    x = noise * torch.tensor([0.5, 2.0, 1.0])[:, None] + torch.tensor([3.0, 0.0, -2.5])[:, None]
    normalised = F.layer_norm(x, (FEATURES,))
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for n in range(3):
        _bars(panels[0][n], x[n], HIDDEN)
        _bars(panels[1][n], normalised[n], SEEN)
        panels[0][n].set_title(f"position {n}")
        panels[1][n].set_xlabel("feature")
    panels[0][0].set_ylabel("x")
    panels[1][0].set_ylabel("normalised")
    description = (
        "Bars: eight features of three positions. Before, one position lies high with small differences, one around "
        "zero with large ones, one low. After the layer norm all three lie around zero with the same spread, and "
        "within a position every feature has kept its place among the others."
    )
    caption = (
        "The line is the mean of a position's features, the band one standard deviation to each side. Below, every "
        "position has the mean 0 and the standard deviation 1; what is left is how its features compare."
    )
    return to_html(figure, "layer norm", description, caption)


def _bars(axes: Axes, features: Tensor, colour: str) -> None:
    mean, deviation = float(features.mean()), float(features.std(correction=0))
    axes.axhspan(mean - deviation, mean + deviation, color="#c2571a", alpha=0.18, linewidth=0)
    axes.bar(range(FEATURES), features.tolist(), color=colour)
    axes.axhline(mean, color="#c2571a", linewidth=1.5)
    axes.axhline(0, color="#8a909c", linewidth=0.8)
    axes.set_xticks(range(FEATURES))
    axes.spines[["top", "right"]].set_visible(False)
