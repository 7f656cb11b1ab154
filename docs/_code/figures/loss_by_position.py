"""How the loss falls from the beginning of a window to its end."""

from typing import Any

from matplotlib.figure import Figure

from attn_lab.training.findings.by_position import corrected
from figures.style import SEEN, to_html

RIVAL = "#c2571a"


def loss_by_position(bins: list[dict[str, Any]]) -> str:
    """A run's measured losses by the number of tokens seen, beside those of Kneser-Ney on the same tokens."""
    x = [(group["from"] * group["to"]) ** 0.5 for group in bins]
    model, error = corrected(bins, "model"), [group["error"] for group in bins]
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.errorbar(x, model, [2 * e for e in error], fmt="o-", color=SEEN, linewidth=1.8, capsize=3, label="the model")
    label = "Kneser-Ney: four tokens back, across the window's edge"
    axes.plot(x, corrected(bins, "kneser_ney"), "s--", color=RIVAL, markersize=4, linewidth=1.2, label=label)
    axes.set(xscale="log", xlabel="tokens of its window seen before the token", ylabel="nats per token")
    ticks = [tick for tick in (1, 2, 3, 5, 10, 20, 35) if tick <= bins[-1]["to"]]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5)
    description = (
        f"The model's loss against the number of tokens seen: {model[0]:.2f} nats after one token, {model[-1]:.2f} at "
        "the end of the window; that of Kneser-Ney stays level."
    )
    caption = (
        "Validation text, plain windows. Each point is corrected by what the unigram model loses on its tokens more "
        "than on all; the bars are two standard errors."
    )
    return to_html(figure, "loss by position", description, caption)
