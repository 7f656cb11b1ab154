"""What tests refuse: of the wrong masks and modules that the course knows, which ones properties catch and let pass."""

import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from attn_lab.course.answers import load
from attn_lab.course.catalogue import find
from attn_lab.course.mistakes import catalogue
from attn_lab.course.properties import Examination
from figures.style import HIDDEN, SEEN, to_html


def wrong_causal_masks() -> str:
    """Each wrong causal mask at n = 5, with the numbers of the solution's properties that refuse it."""
    seen = Examination(load(find("e35").solution), "causal")
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    for axes, wrong in zip(figure.subplots(2, 6).flat, seen.wrong):
        mask = wrong.code(5)
        axes.pcolormesh(
            (mask != 0).int().numpy(), cmap=ListedColormap([HIDDEN, SEEN]), vmin=0, vmax=1, edgecolors="white"
        )
        axes.set_aspect("equal")
        axes.invert_yaxis()
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        if mask.dtype != torch.bool:
            axes.text(2.5, 2.5, "numbers", ha="center", va="center", fontsize=9, color="white", weight="bold")
        names = [f"{k}" for k, name in enumerate(seen.properties, start=1) if not seen.results[name, wrong].accepts]
        axes.set_title(f"refused by {', '.join(names)}", fontsize=8)
    titles = [name.removeprefix("property_causal_").replace("_", " ") for name in seen.properties]
    listed = "; ".join(f"{k} {title}" for k, title in enumerate(titles, start=1))
    caption = (
        f"Twelve wrong causal masks, n = 5 (blue: True, or not 0), and the properties of our solution that refuse "
        f"them: {listed}. None of the three would be enough, and none can be spared."
    )
    return to_html(figure, "wrong causal masks", "Twelve small matrices, each a wrong causal mask.", caption)


# Tests that look reasonable, from e36's catalogue; what they do as the page says it.
WEAK = {
    "looks at the shape of the output alone": "compares shapes",
    "hands over the same tensor as query, key and value": "self-attention alone",
    "tries one head alone": "one head alone",
    "never hands over a mask": "no mask",
    "never asks for dropout": "no dropout",
}


def weak_tests() -> str:
    """Which wrong modules some weak tests let through."""
    known = catalogue(find("e36"))
    rows = {}
    for mistake in known.mistakes:
        if mistake.behaviour in WEAK:
            seen = Examination(known.answer(mistake), "multi_head")
            slipped = seen.slipped_through()
            rows[WEAK[mistake.behaviour]] = [wrong in slipped for wrong in seen.wrong]
    figure = Figure(figsize=(8.4, 2.0), layout="constrained")
    axes = figure.subplots()
    cells = torch.tensor(list(rows.values())).int().numpy()
    axes.pcolormesh(cells, cmap=ListedColormap([HIDDEN, SEEN]), vmin=0, vmax=1, edgecolors="white", linewidth=1)
    axes.invert_yaxis()
    labels = [f"{name}: {sum(slips)}" for name, slips in rows.items()]
    axes.set_yticks([k + 0.5 for k in range(len(rows))], labels, fontsize=8.5)
    n = cells.shape[1]
    axes.set(xticks=[], xlabel=f"{n} wrong modules")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    caption = (
        f"Five tests, and which of {n} wrong modules each lets through (blue). All five accept every right module, and "
        "each looks reasonable where it stands."
    )
    description = f"A table of five weak tests by {n} wrong modules: {'; '.join(labels)} slip through."
    return to_html(figure, "weak tests", description, caption)
