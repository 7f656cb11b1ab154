"""How work and memory of each form of attention grow with the length of the text."""

from dataclasses import replace

from matplotlib.figure import Figure

from attn_lab.efficient.cost import FORMS, Sizes, longest
from figures.style import to_html

LOOKS = {
    "einsum": ("#c2571a", "-", 1.8),
    "fused": ("#3b6fd4", "-", 1.8),
    "online": ("#8a5fb0", "--", 1.8),
    "local": ("#5a8f3c", ":", 2.6),
}


def growth(sizes: Sizes, memory_gib: float) -> str:
    """Left: FLOPs of a step of training. Right: bytes held at once, and a memory that they must fit into."""
    lengths = [2**k for k in range(8, 18)]
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    work, memory = figure.subplots(1, 2)
    for name, form in FORMS.items():
        colour, dashes, width = LOOKS[name]
        costs = [form(replace(sizes, n=n)) for n in lengths]
        flops = [(cost.forward_flops + cost.backward_flops) / 1e9 for cost in costs]
        held = [cost.peak_bytes / 2**30 for cost in costs]
        work.plot(lengths, flops, dashes, color=colour, linewidth=width, label=name)
        memory.plot(lengths, held, dashes, color=colour, linewidth=width, label=name)
    memory.axhline(memory_gib, color="#8a909c", linewidth=1)
    memory.annotate(f"{memory_gib:g} GiB", (lengths[0], memory_gib), (0, 3), textcoords="offset points")
    work.set(title="work, forward and backward", ylabel="GFLOP")
    memory.set(title="held at once in training", ylabel="GiB")
    for axes in (work, memory):
        axes.set(xscale="log", yscale="log", xlabel="n, positions")
        axes.set_xticks([256, 2048, 16384, 131072], ["256", "2,048", "16,384", "131,072"])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    work.legend(frameon=False, fontsize=8.5)
    n = longest(FORMS["einsum"], sizes, int(memory_gib * 2**30))
    description = "Two plots with logarithmic axes: work and memory of four forms of attention over the length n."
    caption = (
        f"h = {sizes.h}, d = {sizes.d}, window {sizes.window}, block {sizes.block}, float32. Fused and online "
        "attention do the definition's work, and a little more, in memory that grows with n alone; only a window "
        f"also does less work. The definition leaves {memory_gib:g} GiB at n = {n:,}."
    )
    return to_html(figure, f"cost {memory_gib}", description, caption)
