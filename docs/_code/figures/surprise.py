"""What each token of a text costs, and two ways to make one number of it."""

import math

from matplotlib.figure import Figure

from figures.style import SEEN, to_html


def per_token(tokens: list[str], losses: list[float], window: int) -> str:
    """A bar for each token; the mean over tokens, and the mean of the windows' means, which is another number."""
    parts = [losses[k : k + window] for k in range(0, len(losses), window)]
    means = [sum(part) / len(part) for part in parts]
    right, wrong = sum(losses) / len(losses), sum(means) / len(means)
    figure = Figure(figsize=(8.4, 3.3), layout="constrained")
    axes = figure.subplots()
    axes.bar(range(len(losses)), losses, color=SEEN, width=0.75)
    for k, mean in enumerate(means):
        start, end = k * window - 0.5, k * window + len(parts[k]) - 0.5
        axes.plot([start + 0.1, end - 0.1], [mean, mean], color="#1d2433", linewidth=1.6)
        if k:
            axes.axvline(start, color="#8a909c", linewidth=0.8, linestyle=":")
    lines = (("-", right, "#5a8f3c", "mean over tokens"), ("--", wrong, "#c2571a", "mean of the windows' means"))
    for dashes, value, colour, name in lines:
        text = f"{name}: {value:.2f} nats, perplexity {math.exp(value):.0f}"
        axes.axhline(value, color=colour, linestyle=dashes, linewidth=1.4, label=text)
    axes.set_xticks(range(len(tokens)), tokens, rotation=35, ha="right")
    axes.set(ylabel="-log p, in nats", ylim=(0, max(losses) * 1.32))
    axes.legend(frameon=False, loc="upper left", ncols=2, fontsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    description = f"The loss of {len(losses)} tokens as bars in windows of {window}, with two different means as lines."
    caption = (
        f"Windows of {window}; short black lines are their means. The last window is short; its mean counts as much "
        "as a full one's in the wrong line."
    )
    return to_html(figure, f"surprise {len(losses)} {window}", description, caption)
