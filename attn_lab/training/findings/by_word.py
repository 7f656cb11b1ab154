"""Where is the difference made? The words on which the model gains most over Kneser-Ney, and loses most."""

from typing import Any

import numpy as np
import torch

from attn_lab.corpora import Corpus
from attn_lab.tables import Row, markdown_table
from attn_lab.training.findings.scores import Scores

Words = list[dict[str, Any]]
N_WORDS = 12  # of each kind


def measure(scores: Scores, corpus: Corpus) -> dict[str, Words]:
    """The words of the largest total gain and of the largest total loss, in nats over the whole text."""
    n_types = len(corpus.vocabulary)
    trained = torch.bincount(corpus.train, minlength=n_types).numpy()
    tokens = np.bincount(scores.tokens, minlength=n_types)
    model, kneser_ney = (
        np.bincount(scores.tokens, weights=losses, minlength=n_types) for losses in (scores.model, scores.kneser_ney)
    )
    gain = kneser_ney - model

    def row(i: int) -> dict[str, Any]:
        return {
            "word": corpus.vocabulary.tokens[i],
            "tokens": int(tokens[i]),
            "trained": int(trained[i]),
            "model": float(model[i] / tokens[i]),
            "kneser_ney": float(kneser_ney[i] / tokens[i]),
            "gain": float(gain[i]),
        }

    order = np.argsort(gain, kind="stable").tolist()
    return {
        "improved": [row(i) for i in reversed(order[-N_WORDS:]) if gain[i] > 0],
        "worsened": [row(i) for i in order[:N_WORDS] if gain[i] < 0],
    }


def section(words: dict[str, Words]) -> str:
    """Two tables, and how to read them."""
    text = (
        "## Where is the difference made?\n\n"
        "How to read it: the words on which the run gains most nats over Kneser-Ney in the whole validation text, and "
        "those on which it loses most. A frequent word with a small gain each time may stand before a rare one with a "
        "large gain: this is where the perplexity comes from."
    )
    parts = [text]
    for kind, title in (("improved", "Better than Kneser-Ney"), ("worsened", "Worse than Kneser-Ney")):
        if words[kind]:
            parts.append(f"**{title}**\n\n{_table(words[kind])}")
    return "\n\n".join(parts)


def _table(words: Words) -> str:
    header = (
        "word", "times here", "times in training", "this run, nats", "Kneser-Ney, nats", "difference in all, nats",
    )  # fmt: skip
    rows: list[Row] = [
        (
            code(word["word"]),
            f"{word['tokens']:,}",
            f"{word['trained']:,}",
            f"{word['model']:.2f}",
            f"{word['kneser_ney']:.2f}",
            f"{word['gain']:+,.0f}" if abs(word["gain"]) >= 10 else f"{word['gain']:+.1f}",
        )
        for word in words
    ]
    return markdown_table(header, rows)


def code(word: str) -> str:
    """A word as it is, whatever signs it has: a code span whose fence is longer than any in it."""
    longest = max((len(run) for run in "".join(c if c == "`" else " " for c in word).split()), default=0)
    pad = " " if word.startswith("`") or word.endswith("`") else ""
    return f"{'`' * (longest + 1)}{pad}{word}{pad}{'`' * (longest + 1)}"
