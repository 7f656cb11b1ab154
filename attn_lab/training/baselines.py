"""What a perplexity is measured against: models without a network, on the very text that a run was trained on."""

import json
import math

import numpy as np
import torch
from jaxtyping import Float64, Int
from rich.console import Console
from torch import Tensor

from attn_lab.corpora import Corpus
from attn_lab.files import write_text
from attn_lab.training.kneser_ney import KneserNey
from attn_lab.training.run_folder import RunFolder

ORDER = 5
KNESER_NEY = f"Kneser-Ney {ORDER}-gram"

A_MOMENT = 500_000  # tokens: about a second of counting


def unigram_loss(train: Int[Tensor, " n"], text: Int[Tensor, " m"], n_types: int) -> float:
    """Nats per token of `text` under the frequencies of `train`, one added to each: no context at all."""
    return math.fsum(unigram_losses(train, text, n_types)) / len(text)


def unigram_losses(train: Int[Tensor, " n"], text: Int[Tensor, " m"], n_types: int) -> Float64[np.ndarray, " m"]:
    """-log p of each token of `text`, in nats, under the frequencies of `train`, one added to each."""
    counts = torch.bincount(train, minlength=n_types).numpy() + 1
    return -np.log(counts / counts.sum())[text.numpy()]


def fit_kneser_ney(corpus: Corpus, console: Console) -> KneserNey:
    """The n-gram model of a corpus; says that it is counting where that takes more than a moment."""
    if len(corpus.train) > A_MOMENT:
        console.print(f"{KNESER_NEY}: counting the n-grams of {len(corpus.train):,} tokens", highlight=False)
    return KneserNey(corpus.train, len(corpus.vocabulary), ORDER)


def write_baselines(
    run: RunFolder, corpus: Corpus, console: Console | None = None, kneser_ney: KneserNey | None = None
) -> None:
    """baselines.json in the run's folder: what the n-gram model, fitted or not yet, makes of the corpus.

    Once a run: what is there stays.

    Raises:
        OSError: the file cannot be written.
    """
    if read_baselines(run):
        return
    kneser_ney = kneser_ney or fit_kneser_ney(corpus, console or Console(quiet=True))
    losses = {split: float(kneser_ney.losses(corpus.split(split)).mean()) for split in ("valid", "test")}
    write_text(run.path / "baselines.json", json.dumps({KNESER_NEY: losses}, indent=2) + "\n")


def read_baselines(run: RunFolder) -> dict[str, dict[str, float]]:
    """By model and split, nats per token; empty where nothing was measured, or the file is damaged."""
    try:
        found = json.loads((run.path / "baselines.json").read_text(encoding="utf-8"))
        return {model: {split: float(x) for split, x in losses.items()} for model, losses in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
