"""What each token of a text costs, by the model and by the baselines, which are asked for the very same tokens."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from attn_lab.corpora import Corpus
from attn_lab.training.baselines import unigram_losses
from attn_lab.training.evaluation import evaluating
from attn_lab.training.kneser_ney import KneserNey
from attn_lab.training.loop import cross_entropy
from attn_lab.training.saved_run import SavedRun

Losses = Float64[np.ndarray, " n"]


@dataclass(frozen=True)
class Scores:
    """The tokens that were predicted, in no order that matters.

    Args:
        tokens: their ids.
        context: how many tokens of its window the model had seen before each.
        model, kneser_ney, unigram: -log p of each, in nats.
    """

    tokens: Int64[np.ndarray, " n"]
    context: Int64[np.ndarray, " n"]
    model: Losses
    kneser_ney: Losses
    unigram: Losses


def score(saved: SavedRun, corpus: Corpus, kneser_ney: KneserNey, split: str = "valid") -> Scores:
    """The tokens of a split as the run's own evaluation reads them, window by window.

    The baselines read the whole text in one, so an n-gram also sees what stands before a window.
    """
    ids, recipe = corpus.split(split), saved.settings.recipe
    places = saved.batches.batchify(torch.arange(len(ids)), recipe.eval_batch_size)
    targets, context, losses = [], [], []
    with evaluating(saved.model):
        for inputs, outputs in saved.batches.windows(places, recipe.window):
            logits = saved.model(ids[inputs].to(saved.device))
            losses.append(cross_entropy(logits, ids[outputs].to(saved.device), "none").float().cpu())
            targets.append(outputs.flatten())
            context.append(torch.arange(1, outputs.shape[1] + 1).expand_as(outputs).flatten())
    where = _numpy(targets)
    return Scores(
        tokens=ids.numpy()[where],
        context=_numpy(context),
        model=_numpy(losses).astype(np.float64),
        kneser_ney=kneser_ney.losses(ids)[where],
        unigram=unigram_losses(corpus.train, ids, len(corpus.vocabulary))[where],
    )


def _numpy(pieces: list[Tensor]) -> np.ndarray:
    return torch.cat(pieces).numpy()
