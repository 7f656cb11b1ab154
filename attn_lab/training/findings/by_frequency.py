"""Which words are learned? The loss by how often a token stands in the training text."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from attn_lab.corpora import Corpus
from attn_lab.training.findings.scores import Scores
from attn_lab.training.pictures import KNESER_NEY, MODEL, UNIGRAM, picture

Bins = list[dict[str, Any]]


def measure(scores: Scores, corpus: Corpus) -> Bins:
    """Mean losses, in nats per token, of the tokens that training had 0, 1 to 9, 10 to 99, … times."""
    counts = torch.bincount(corpus.train, minlength=len(corpus.vocabulary)).numpy()[scores.tokens]
    bins, first, last = [], 0, 0
    while first <= counts.max():
        here = (counts >= first) & (counts <= last)
        if here.any():
            bins.append({"from": first, "to": last, "tokens": int(here.sum())} | _means(scores, here))
        first, last = last + 1, last * 10 + 9
    return bins


def _means(scores: Scores, here: np.ndarray) -> dict[str, float]:
    return {name: float(getattr(scores, name)[here].mean()) for name in ("model", "kneser_ney", "unigram")}


def section(bins: Bins, file: Path) -> str:
    """The picture, drawn to `file`, and how to read it."""
    _draw(bins, file)
    total = sum(group["tokens"] for group in bins)
    gain = sum(_gain(group, total) for group in bins)
    return (
        "## Which words are learned?\n\n"
        f"![Loss by the frequency of the word]({file.name})\n\n"
        "How to read it: each column is the tokens of the validation text that the training text has that often. "
        "Above, the lower the better; the unigram model knows how frequent a word is and nothing else. Below, what "
        "each column brings the whole text: the bars add up to the difference from Kneser-Ney, "
        f"{gain:+.3f} nats per token. An orange bar is where Kneser-Ney is the better one."
    )


def _gain(group: dict[str, Any], total: int) -> float:
    return (group["kneser_ney"] - group["model"]) * group["tokens"] / total


def _draw(bins: Bins, file: Path) -> None:
    total, x = sum(group["tokens"] for group in bins), range(len(bins))
    with picture(file, height=6.0) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
        for name, label, look, colour in (
            ("unigram", "unigram", "^:", UNIGRAM),
            ("kneser_ney", "Kneser-Ney", "s--", KNESER_NEY),
            ("model", "this run", "o-", MODEL),
        ):
            above.plot(x, [group[name] for group in bins], look, color=colour, ms=6, lw=1.8, label=label)
        above.set(ylabel="loss, nats per token")
        above.set_ylim(0)
        above.legend(frameon=False)
        gains = [_gain(group, total) for group in bins]
        below.bar(x, gains, color=[MODEL if gain > 0 else KNESER_NEY for gain in gains], width=0.6)
        below.axhline(0, color="0.3", lw=0.8)
        below.set(ylabel="gain over\nKneser-Ney, nats", xlabel="times in the training text (share of this text)")
        below.set_xticks(list(x), [f"{_name(group)}\n({group['tokens'] / total:.1%})" for group in bins])


def _name(group: dict[str, Any]) -> str:
    return f"{group['from']:,}" if group["from"] == group["to"] else f"{group['from']:,} to {group['to']:,}"
