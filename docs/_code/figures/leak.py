"""The validation loss of the coding test's training: with the right mask, with none, and with one upside down."""

from matplotlib.figure import Figure

from figures.style import SEEN, to_html

# Nats per token after each epoch of e37's own `train`, six epochs in place of three, on one core; Python 3.11's help
# texts, torch 2.13, seed 0. Kept here because the three runs take a minute.
RUNS = (
    ("the causal mask", "-", "o", SEEN, (7.761, 5.399, 5.186, 4.922, 4.800, 4.746, 4.733)),
    ("no mask", "--", "s", "#c2571a", (7.764, 5.334, 4.847, 3.547, 2.204, 1.386, 0.978)),
    ("the mask upside down", ":", "^", "#7a4fa3", (7.770, 4.790, 2.979, 1.775, 1.124, 0.833, 0.669)),
)
UNIGRAM, BIGRAM = 5.353, 4.734


def learning_curves() -> str:
    """Three curves between the two lines that the test draws."""
    figure = Figure(figsize=(8.4, 3.9), layout="constrained")
    axes = figure.subplots()
    for name, dashes, marker, colour, losses in RUNS:
        axes.plot(range(len(losses)), losses, dashes, marker=marker, color=colour, label=name, linewidth=1.8)
    axes.axhline(UNIGRAM, color="#5a8f3c", linewidth=1)
    axes.text(6.05, UNIGRAM + 0.1, "the unigram model", ha="right", fontsize=8.5)
    leak = BIGRAM - 1
    axes.axhspan(0, leak, color="#c2571a", alpha=0.08, linewidth=0)
    axes.text(6.05, leak - 0.35, "below the leak line: too good to be true", ha="right", fontsize=8.5)
    axes.axvline(3, color="#8a909c", linewidth=0.8, linestyle=":")
    axes.text(3.05, 7.6, "the test's training ends here", fontsize=8.5)
    axes.set(xlabel="epoch", ylabel="validation loss, nats per token", ylim=(0, 8.1), xlim=(-0.1, 6.1))
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 0.02))
    axes.spines[["top", "right"]].set_visible(False)
    description = "Three learning curves over six epochs; without a causal mask the loss falls far below the leak line."
    caption = (
        "A loss that falls is not yet a good sign. Both wrong programs run without an error, and their curves look far "
        "better than the right one's."
    )
    return to_html(figure, "leak", description, caption)
