"""The probabilities of a next token at several temperatures, and among the most probable only."""

from matplotlib.figure import Figure

from figures.style import HIDDEN, SEEN, to_html


def distributions(words: list[str], panels: list[tuple[str, list[float]]]) -> str:
    """A panel of bars for each setting; tokens that cannot be drawn are marked."""
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    rows = figure.subplots(1, len(panels), sharey=True)
    for axes, (title, probabilities) in zip(rows, panels):
        places = range(len(words))
        axes.barh(places, probabilities, color=SEEN)
        for place, p in zip(places, probabilities):
            text = f"{p:.2f}" if p else "0"
            axes.text(p + 0.02, place, text, va="center", fontsize=8, color=None if p else HIDDEN)
        axes.set(title=title, xlim=(0, 1.2), xticks=[])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    rows[0].set_yticks(range(len(words)), words)
    rows[0].invert_yaxis()
    names = ", ".join(title for title, _ in panels)
    description = f"Probabilities of {len(words)} words as bars, in {len(panels)} settings: {names}."
    caption = "The same logits each time. A low temperature sharpens, a high one flattens, top_k cuts off the rest."
    return to_html(figure, "next token", description, caption)
