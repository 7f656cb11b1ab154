"""What was measured of attention's growth with the length: four ways, and the powers of n that they follow."""

import csv
from pathlib import Path

from matplotlib.figure import Figure

from attn_lab.bench.attention import BOTH, exponent
from attn_lab.bench.attention_report import SHORTEST
from figures.style import to_html

MEASURED = Path(__file__).parents[2] / "cost" / "measured" / "attention.csv"

# What the measurement calls it, what it is called here, and a look: dashes and markers differ as the colours do.
WAYS = (
    ("attn_lab.attention (einsum)", "the definition", "#c2571a", "-", "o"),
    ("F.scaled_dot_product_attention, is_causal", "a fused kernel", "#3b6fd4", "-", "s"),
    ("attn_lab online_attention", "by blocks, in PyTorch", "#8a5fb0", "--", "^"),
    ("attn_lab LocalAttention", "a window of 128", "#5a8f3c", ":", "D"),
)

Points = list[tuple[int, float]]


def measured(what: str) -> dict[str, Points]:
    """`milliseconds` or `peak_mib` of forward and backward, for each of the four ways: (n, value)."""
    with MEASURED.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["passes"] == BOTH and row[what]]
    return {
        name: [(int(row["n"]), float(row[what])) for row in rows if row["contender"] == contender]
        for contender, name, *_ in WAYS
    }


def power(points: Points) -> float:
    """The p of the n^p that fits best, without the short texts: there a call's own cost hides the growth."""
    return exponent([(float(n), value) for n, value in points if n >= SHORTEST])


def time_and_memory() -> str:
    """Time beside memory. Both axes are logarithmic, so a power of n is a straight line, the steeper the higher."""
    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    for axes, what, title in zip(
        figure.subplots(1, 2), ("milliseconds", "peak_mib"), ("time, milliseconds", "peak memory, MiB")
    ):
        found = measured(what)
        for _, name, colour, dashes, marker in WAYS:
            label = f"{name}, ~ n^{power(found[name]):.2f}"
            axes.plot(*zip(*found[name]), dashes, marker=marker, markersize=4, color=colour, label=label)
        axes.set(title=title, xlabel="n, tokens", xscale="log", yscale="log")
        axes.set_xticks([256, 1024, 4096, 16384], ["256", "1,024", "4,096", "16,384"])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    description = "Time and peak memory of four ways of attention over the length n, both on logarithmic axes."
    caption = (
        "Forward and backward together, one example, 8 heads of width 64, float32, two processor cores. The powers are "
        f"fitted from n = {SHORTEST:,} on. All four are causal; only the window computes another function."
    )
    return to_html(figure, "measured growth", description, caption)
