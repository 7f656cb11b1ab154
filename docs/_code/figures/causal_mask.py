"""The causal mask over the words of a text, and how far a changed word is felt with it and without it."""

import torch
from matplotlib.figure import Figure

from attn_lab import attention, masks
from figures.style import draw_mask, to_html

WITHOUT, WITH = "#c2571a", "#3b6fd4"


def past_and_future(words: list[str], p: int) -> str:
    """The mask of this text; and the change of every output when the word at position p becomes another one."""
    n, source = len(words), torch.Generator().manual_seed(1)
    mask = masks.causal(n)
    text = torch.randn(3, 1, 1, n, 16, generator=source)  # query, key and value of every word
    other = text.clone()
    other[..., p, :] = torch.randn(3, 1, 1, 16, generator=source)
    figure = Figure(figsize=(8.4, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.35])
    draw_mask(left, mask, f"causal({n})")
    places = [k + 0.5 for k in range(n)]
    left.set_xticks(places, words, rotation=60)
    left.set_yticks(places, words)
    width = 0.38
    for shift, label, colour, hatch, used in (
        (-width / 2, "no mask", WITHOUT, "//", None),
        (width / 2, "causal mask", WITH, "", mask),
    ):
        change = (attention(*other, used) - attention(*text, used)).norm(dim=-1)[0, 0]
        bars = [k + shift for k in range(n)]
        right.bar(bars, change.tolist(), width, label=label, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
    right.set_xticks(range(n), words, rotation=60)
    right.set(title=f"how much each output changes with the word “{words[p]}”", ylabel="size of the change")
    right.legend(frameon=False)
    right.spines[["top", "right"]].set_visible(False)
    description = (
        f"Left, the causal mask of {n} words, a lower triangle. Right, bars: with the mask, no output before word {p} "
        "changes when that word does; without it, every output does."
    )
    caption = (
        f"Blue: may attend. On the right the word “{words[p]}” is replaced by another one: under the mask, nothing "
        "before it notices."
    )
    return to_html(figure, f"causal {n} {p}", description, caption)
