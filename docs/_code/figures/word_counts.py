"""How often the words of a text occur, by rank, and how much of the text the first of them make up."""

from collections import Counter

from matplotlib.figure import Figure

from figures.style import SEEN, to_html


def by_rank(tokens: list[str], title: str) -> str:
    """Counts by rank on logarithmic axes, and the share of the text that the most frequent types cover."""
    counts = sorted(Counter(tokens).items(), key=lambda pair: (-pair[1], pair[0]))
    numbers = [count for _, count in counts]
    covered, share = 0, []
    for number in numbers:
        covered += number
        share.append(covered / len(tokens))
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    ranks = range(1, len(numbers) + 1)
    shown = sorted({min(len(numbers), round(1.04**k)) for k in range(300)})  # as many as can be told apart
    left.loglog(shown, [numbers[rank - 1] for rank in shown], ".", color=SEEN, markersize=3)
    for rank in (1, 10, 100):
        word, number = counts[rank - 1]
        left.annotate(f"{rank}: “{word}”", (rank, number), xytext=(6, 4), textcoords="offset points", fontsize=8.5)
    left.set(xlabel="rank", ylabel="count", title=title, ylim=(0.7, 4 * numbers[0]))
    right.semilogx(shown, [share[rank - 1] for rank in shown], color=SEEN)
    half = next(rank for rank, part in zip(ranks, share) if part >= 0.5)
    right.plot([half, half, 1], [0, 0.5, 0.5], ":", color="#c2571a")
    right.annotate(f"{half} types make up half of it", (half, 0.5), xytext=(8, -12), textcoords="offset points")
    right.set(xlabel="the most frequent types", ylabel="share of the text", ylim=(0, 1.02), title="what they cover")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    once = sum(number == 1 for number in numbers)
    description = (
        f"Counts of {len(numbers)} types by rank, nearly a straight line on logarithmic axes, and their share."
    )
    caption = f"{len(tokens):,} tokens of {len(numbers):,} types; {once:,} types occur once, and stand at the very end."
    return to_html(figure, f"word counts {len(tokens)}", description, caption)
