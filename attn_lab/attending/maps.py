"""Attention weights as pictures: a map for a head, and small ones of all heads side by side."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from attn_lab.attending.heads import HeadSummary
from attn_lab.files import atomic

_COLOURS = ["#eef3fd", "#7fa3e8", "#3b6fd4", "#10265c"]
WEIGHTS = LinearSegmentedColormap.from_list("weights", _COLOURS).with_extremes(bad="white")
LONGEST = 18  # characters of a token that are drawn
MOST_LABELS = 70  # tokens that are named; of a longer text, every second, third, …


def draw_head(weights: Float[Tensor, "n n"], tokens: Sequence[str], title: str, path: Path) -> None:
    """One head's map with the tokens on its axes, as a PNG: a row is a query, and sums to 1.

    Raises:
        OSError: the file cannot be written.
    """
    n = len(tokens)
    side = min(max(2.2, 0.19 * n), 13.0)
    figure = Figure(figsize=(side + 2.4, side + 1.4), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    image = _draw(axes, weights)
    step = -(-n // MOST_LABELS)
    places = list(range(0, n, step))
    labels = [drawable(tokens[place]) for place in places]
    # Without parse_math a token of two dollar signs would be read as a formula.
    axes.set_xticks(places, labels, rotation=90, fontsize=8, parse_math=False)
    axes.set_yticks(places, labels, fontsize=8, parse_math=False)
    axes.set(xlabel="looks at (key)", ylabel="this token (query)")
    axes.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.8, label="weight", ticks=TICKS)
    _save(figure, path)


def draw_overview(maps: Sequence[Float[Tensor, "h n n"]], heads: Sequence[HeadSummary], path: Path) -> None:
    """All heads side by side, a row for each layer, as a PNG.

    Args:
        maps: of each layer, a map for each head.
        heads: their summaries, in the same order.
        path: the file to write.

    Raises:
        OSError: the file cannot be written.
    """
    columns = max(len(layer) for layer in maps)
    size = 2.0 if columns <= 6 else 1.3
    width, height = max(columns * size + 1.1, 4.2), len(maps) * (size + 0.25) + 0.3
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    panels = figure.subplots(len(maps), columns, squeeze=False)
    for axes in panels.flat:
        axes.axis("off")
    by_place = {(head.layer, head.head): head for head in heads}
    for row, layer in enumerate(maps):
        for column, head in enumerate(layer):
            axes = panels[row, column]
            axes.axis("on")
            _draw(axes, head)
            axes.set(xticks=[], yticks=[])
            kind = by_place[row + 1, column + 1].kind
            axes.set_title(f"{row + 1}.{column + 1}  {kind}", fontsize=9 if columns <= 6 else 7)
    panels[0, 0].set_ylabel("query ↓", fontsize=8)
    panels[-1, 0].set_xlabel("key →", fontsize=8)
    bar = ScalarMappable(norm=_norm(), cmap=WEIGHTS)
    figure.colorbar(bar, ax=panels, shrink=0.9, label="weight", ticks=TICKS)
    _save(figure, path)


TICKS = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1]


def _norm() -> PowerNorm:
    """From 0 to 1 in every picture, so that heads compare; by the root, so that small weights are not all white."""
    return PowerNorm(0.5, 0, 1)


def _draw(axes: Axes, weights: Float[Tensor, "n n"]) -> AxesImage:
    values = weights.double().numpy().copy()
    values[values == 0] = float("nan")  # what is not seen is white
    image = axes.imshow(values, cmap=WEIGHTS, norm=_norm(), interpolation="nearest")
    axes.spines[:].set_color("#8a909c")
    axes.tick_params(length=0)
    return image


def drawable(token: str) -> str:
    """A token as a label: not too long, and of characters that can be drawn."""
    token = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in token)
    return token if len(token) <= LONGEST else token[: LONGEST - 1] + "…"


def _save(figure: Figure, path: Path) -> None:
    with atomic(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a script without a font shows boxes
        figure.savefig(temporary, format="png")
