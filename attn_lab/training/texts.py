"""The texts of a run as its loop reads them: long enough, in rows, and an epoch's windows."""

from collections.abc import Iterable

import torch
from torch import Tensor

from attn_lab.corpora import Corpus
from attn_lab.training.batches import Batches, n_windows
from attn_lab.training.recipe import Recipe


def batch_sizes(recipe: Recipe) -> dict[str, int]:
    """Rows of each split."""
    return {"train": recipe.batch_size, "valid": recipe.eval_batch_size, "test": recipe.eval_batch_size}


def check_lengths(corpus: Corpus, recipe: Recipe) -> None:
    """Refuse a corpus whose texts do not fill one window of each row.

    Raises:
        ValueError: a text is too short; with both numbers.
    """
    for split, rows in batch_sizes(recipe).items():
        n, window = len(corpus.split(split)), recipe.window
        if n < rows * (window + 1):
            raise ValueError(
                f"the {split} text of {corpus.name} must have at least batch x (window + 1) = {rows} x "
                f"{window + 1} = {rows * (window + 1):,} tokens; got {n:,}. Take a longer text"
            )


def steps_per_epoch(rows: Tensor, recipe: Recipe) -> int:
    """How many windows an epoch has, the same in each."""
    return n_windows(_shifted(rows, recipe, 0), recipe.window)


def epoch_windows(rows: Tensor, recipe: Recipe, batches: Batches, epoch: int) -> Iterable[tuple[Tensor, Tensor]]:
    """The windows of epoch 0, 1, …: a function of its number, so that a run resumed within it reads the same ones."""
    return batches.windows(_shifted(rows, recipe, epoch), recipe.window)


def _shifted(rows: Tensor, recipe: Recipe, epoch: int) -> Tensor:
    """The rows without up to a window at both ends, so that each epoch cuts them elsewhere."""
    if not recipe.random_offsets:
        return rows
    generator = torch.Generator().manual_seed(recipe.seed * 10_007 + epoch)  # not the global one: see epoch_windows
    offset = int(torch.randint(recipe.window, (), generator=generator))
    return rows[:, offset : rows.shape[1] - recipe.window + 1 + offset]
