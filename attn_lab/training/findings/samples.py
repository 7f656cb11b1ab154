"""What does it write? A few texts of the model's own."""

import textwrap
from typing import Any

import torch

from attn_lab.corpora import Corpus
from attn_lab.training.saved_run import SavedRun

N_TEXTS, N_TOKENS, TEMPERATURE, SEED = 3, 30, 0.8, 0


def measure(saved: SavedRun, corpus: Corpus) -> dict[str, Any]:
    """Texts behind the most frequent tokens of the training text, each with a seed of its own."""
    counts = torch.bincount(corpus.train, minlength=len(corpus.vocabulary))
    if corpus.vocabulary.default_index is not None:
        counts[corpus.vocabulary.default_index] = 0
    prompts = counts.argsort(descending=True, stable=True)[: min(N_TEXTS, int((counts > 0).sum()))]
    texts = [
        saved.write_on(corpus.vocabulary.lookup_tokens([prompt]), N_TOKENS, temperature=TEMPERATURE, seed=SEED + k)
        for k, prompt in enumerate(prompts.tolist())
    ]
    return {"temperature": TEMPERATURE, "seed": SEED, "texts": texts}


def section(samples: dict[str, Any]) -> str:
    """The texts, and how to read them."""
    texts = "\n\n".join(
        textwrap.indent(textwrap.fill(" ".join(text), 96, break_long_words=False, break_on_hyphens=False), "    ")
        for text in samples["texts"]
    )
    return (
        "## What does it write?\n\n"
        f"How to read it: the model's own text, {N_TOKENS} tokens behind each of the most frequent words, at "
        f"temperature {samples['temperature']}, seeds from {samples['seed']} on. Look for how many words in a row hang "
        f"together.\n\n{texts}"
    )
