"""The table of sinusoidal positions."""

from matplotlib.figure import Figure

from attn_lab.positions import sinusoids
from figures.style import to_html

N, D_MODEL = 64, 32


def table() -> str:
    """The first positions as a heat map, and three of its columns as waves."""
    values = sinusoids(N, D_MODEL).numpy()
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.4])
    image = left.imshow(values, cmap="PuOr", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    left.set(xlabel="feature", ylabel="position p", title="the table")
    figure.colorbar(image, ax=left, ticks=[-1, 0, 1])
    for feature, dashes, colour in ((0, "-", "#3b6fd4"), (8, "--", "#c2571a"), (16, ":", "#5a8f3c")):
        right.plot(values[:, feature], dashes, color=colour, label=f"feature {feature}", linewidth=1.8)
    right.set(xlabel="position p", title="three of its columns", yticks=[-1, 0, 1])
    right.legend(frameon=False, loc="lower right", ncols=3, fontsize=8, bbox_to_anchor=(1, -0.02))
    right.set_ylim(-1.5, 1.15)
    right.spines[["top", "right"]].set_visible(False)
    return to_html(
        figure,
        "sinusoids",
        f"Heat map of sinusoidal positions, {N} positions by {D_MODEL} features, and three columns as waves, "
        "slower from left to right.",
        "Early features turn fast, late ones slowly, like the hands of a clock: together they tell every place.",
    )
