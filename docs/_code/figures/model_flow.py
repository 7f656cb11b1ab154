"""The language model as a chain of steps, with the shape after each."""

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from figures.style import to_html

STEPS = (
    ("ids", "b n", "#d9dde5"),
    ("embedding\n· √d_model", "b n d_model", "#b9cdf3"),
    ("positions\n+ PE", "b n d_model", "#b9cdf3"),
    ("encoder", "b n d_model", "#7fa3e8"),
    ("norm\n(pre-norm only)", "b n d_model", "#b9cdf3"),
    ("decoder", "b n v", "#b9cdf3"),
)


def flow() -> str:
    """From ids to logits, the mask coming in from below, the tied weights as an arc above."""
    figure = Figure(figsize=(8.4, 2.9), layout="constrained")
    axes = figure.subplots()
    width, gap = 1.25, 0.5
    for k, (name, shape, colour) in enumerate(STEPS):
        x = k * (width + gap)
        axes.add_patch(
            FancyBboxPatch((x, 0), width, 0.9, boxstyle="round,pad=0.02", facecolor=colour, edgecolor="none")
        )
        axes.text(x + width / 2, 0.45, name, ha="center", va="center", color="#1d2433", fontsize=8.8)
        axes.text(x + width / 2, -0.22, shape, ha="center", va="center", fontsize=8.2, style="italic")
        if k:
            axes.annotate(
                "", (x - 0.03, 0.45), (x - gap + 0.03, 0.45), arrowprops={"arrowstyle": "->", "color": "#8a909c"}
            )
    encoder = 3 * (width + gap) + width / 2
    axes.annotate(
        "mask(n), or the mask that is passed", (encoder, -0.36), (encoder, -0.95), ha="center", va="center",
        arrowprops={"arrowstyle": "->", "color": "#c2571a"}, fontsize=8.8,
    )  # fmt: skip
    first, last = (width + gap) + width / 2, 5 * (width + gap) + width / 2
    axes.annotate(
        "", (last, 0.95), (first, 0.95),
        arrowprops={"arrowstyle": "<->", "color": "#5a8f3c", "linestyle": "--", "connectionstyle": "arc3,rad=-0.16"},
    )  # fmt: skip
    axes.text((first + last) / 2, 1.72, "one weight, if they are tied", ha="center", va="center", fontsize=8.8)
    axes.set(xlim=(-0.1, 6 * (width + gap) - gap + 0.1), ylim=(-1.15, 1.95))
    axes.axis("off")
    description = "Six boxes in a row: ids, embedding, positions, encoder, norm, decoder; a mask goes into the encoder."
    return to_html(figure, "model flow", description, "Below each box the shape of what comes out of it.")
