"""Does context help? The loss by how many tokens of its window the model had seen."""

from pathlib import Path
from typing import Any

import numpy as np

from attn_lab.training.findings.scores import Losses, Scores
from attn_lab.training.pictures import KNESER_NEY, MODEL, picture

Bins = list[dict[str, Any]]


def measure(scores: Scores) -> Bins:
    """Mean losses, in nats per token, of contexts of 1, 2, 3, … tokens, the longer ones in groups.

    `error` is the standard error of the difference between the model and the unigram model, token by token.
    """
    bins = []
    for first, last in _groups(int(scores.context.max())):
        here = (scores.context >= first) & (scores.context <= last)
        if not here.any():
            continue
        told = (scores.unigram - scores.model)[here]
        means = {name: float(getattr(scores, name)[here].mean()) for name in ("model", "kneser_ney", "unigram")}
        bins.append(
            {"from": first, "to": last, "tokens": len(told), "error": float(told.std() / np.sqrt(len(told)))} | means
        )
    return bins


def _groups(longest: int) -> list[tuple[int, int]]:
    """1, 2, 3, … and then groups that are a quarter as wide as what comes before them: even steps on a log scale."""
    groups, first = [], 1
    while first <= longest:
        last = min(longest, first + first // 4)
        groups.append((first, last))
        first = last + 1
    return groups


def section(bins: Bins, file: Path) -> str:
    """The picture, drawn to `file`, and how to read it."""
    _draw(bins, file)
    return (
        "## Does context help?\n\n"
        f"![Loss by the number of tokens seen]({file.name})\n\n"
        "How to read it: from left to right the model has seen more of its window before the token that it predicts; "
        "where its line falls, it makes use of tokens that far back, and where it is flat, more of them tell it "
        "nothing. Some places happen to have harder words than others: each point is corrected by what the unigram "
        "model loses there more than elsewhere. The Kneser-Ney line is of the same tokens, each after the four before "
        "it wherever the window begins. The band is two standard errors."
    )


def corrected(bins: Bins, name: str) -> Losses:
    """The losses as they would be if every group had words as hard, to the unigram model, as the whole text."""
    loss, unigram, tokens = (np.array([group[key] for group in bins]) for key in (name, "unigram", "tokens"))
    return loss - unigram + np.average(unigram, weights=tokens)


def _draw(bins: Bins, file: Path) -> None:
    x = np.array([(group["from"] * group["to"]) ** 0.5 for group in bins])
    model, error = corrected(bins, "model"), np.array([group["error"] for group in bins])
    with picture(file) as figure:
        axes = figure.add_subplot()
        kneser_ney = corrected(bins, "kneser_ney")
        axes.plot(x, kneser_ney, "s--", color=KNESER_NEY, ms=4, lw=1.2, label="Kneser-Ney, always four tokens back")
        axes.fill_between(x, model - 2 * error, model + 2 * error, color=MODEL, alpha=0.15, lw=0)
        axes.plot(x, model, "o-", color=MODEL, ms=5, lw=1.8, label="this run")
        axes.set(xscale="log", xlabel="tokens of its window seen before the token", ylabel="loss, nats per token")
        ticks = [digit * 10**k for k in range(6) for digit in (1, 2, 5) if digit * 10**k <= bins[-1]["to"]]
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.legend(frameon=False)
