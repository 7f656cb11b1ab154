"""One look for all pictures: colours, and the way from matplotlib into a page."""

import io
import re

import matplotlib
import torch

matplotlib.use("svg")

from html import escape

from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from torch import Tensor

# Blue for "may attend", a pale grey for "hidden": far apart in lightness, so no reader needs to tell hues apart.
SEEN, HIDDEN = "#3b6fd4", "#b8bec9"
WEIGHTS = LinearSegmentedColormap.from_list("weights", ["#e8eefb", "#7fa3e8", "#3b6fd4", "#16337a"])
INK = "#010203"  # stands for the page's text colour, light or dark; `to_html` replaces it

matplotlib.rcParams.update(
    {
        "svg.fonttype": "none",  # text stays text: searchable, and in the reader's font
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "axes.titlecolor": INK,
        "axes.titlesize": 10,
        "xtick.color": INK,
        "ytick.color": INK,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
    }
)


def to_svg(figure: Figure, salt: str) -> str:
    """The figure as an SVG element. Equal input gives equal text: no date, and ids from the salt."""
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    # Several pictures share a page, and matplotlib names parts of each alike: only the ids that are used stay.
    return re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", svg)


def to_html(figure: Figure, name: str, description: str, caption: str = "") -> str:
    """The figure for a page, in the page's text colour; the description is for those who cannot see it."""
    svg = to_svg(figure, name).replace(INK, "currentColor")
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(description, quote=True)}" ', 1)
    svg = re.sub(r"\s*\n\s*", " ", svg)  # Markdown ends raw HTML at a blank line
    text = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="figure">{svg}{text}</figure>'


def draw_mask(axes: Axes, mask: Tensor, title: str = "") -> None:
    """A boolean mask (i j): blue where query i may attend to key j."""
    n_queries, n_keys = mask.shape
    colours = ListedColormap([HIDDEN, SEEN])
    axes.pcolormesh(mask.int().numpy(), cmap=colours, vmin=0, vmax=1, edgecolors="white", linewidth=1)
    as_matrix(axes, n_queries, n_keys)
    axes.set_title(title)


def draw_weights(axes: Axes, weights: Tensor, mask: Tensor, highest: float) -> QuadMesh:
    """Attention weights (i j): the darker the heavier, and what the mask hides in the masks' own grey."""
    image = axes.pcolormesh(weights.numpy(), cmap=WEIGHTS, vmin=0, vmax=highest, edgecolors="white", linewidth=1)
    hidden = torch.where(mask, torch.nan, 0.0).numpy()
    axes.pcolormesh(hidden, cmap=ListedColormap([HIDDEN]), edgecolors="white", linewidth=1)
    return image


def as_matrix(axes: Axes, n_queries: int, n_keys: int) -> None:
    """Rows are queries from the top, columns keys."""
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_xlabel("key j")
    axes.set_ylabel("query i")
    for name, n in (("x", n_keys), ("y", n_queries)):
        places = range(0, n, max(1, n // 8))
        axes.set(**{f"{name}ticks": [p + 0.5 for p in places], f"{name}ticklabels": [str(p) for p in places]})
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
