"""How much of a block's work is attention's own, n² d, and how much is its projections and its network, n d²."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.style import to_html

LOOKS = (("#c2571a", "-"), ("#3b6fd4", "--"), ("#5a8f3c", ":"))


def share(n: int, d_model: int, d_hid: int) -> float:
    """Attention's products over all products of a block, for each token: 4 n d of 8 d² + 4 d d_hid + 4 n d."""
    attention = 4 * n * d_model
    return attention / (attention + 8 * d_model**2 + 4 * d_model * d_hid)


def shares(models: Sequence[tuple[str, int, int]]) -> str:
    """A line for each (name, d_model, d_hid), over the length, with the point where attention is half of it."""
    lengths = [round(2 ** (k / 4)) for k in range(20, 69)]
    figure = Figure(figsize=(6.6, 3.6), layout="constrained")
    axes = figure.subplots()
    for (name, d_model, d_hid), (colour, dashes) in zip(models, LOOKS):
        axes.plot(lengths, [share(n, d_model, d_hid) for n in lengths], dashes, color=colour, linewidth=2, label=name)
        half = 2 * d_model + d_hid
        axes.plot([half], [0.5], "o", color=colour, markersize=6)
        axes.annotate(f"{half:,}", (half, 0.5), (7, -11), textcoords="offset points", fontsize=8.5)
    axes.axhline(0.5, color="#8a909c", linewidth=0.8)
    axes.set(xscale="log", xlabel="n, tokens", ylabel="attention's share of the work", ylim=(0, 1))
    axes.set_xticks([32, 256, 2048, 16384, 131072], ["32", "256", "2,048", "16,384", "131,072"])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8.5, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    description = "The share of a block's work that is attention's own, rising with the length of the text."
    caption = (
        "Products alone, without a mask, forward. Below the point that is marked, the projections and the feed-forward "
        "network do most of the work; beyond it, attention does."
    )
    return to_html(figure, "attention share", description, caption)
