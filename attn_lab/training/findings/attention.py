"""What do its heads look at? A summary of each, over windows of the validation text."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from attn_lab.attending import AttentionSummary, HeadSummary, NoWeights, attention_summary
from attn_lab.corpora import Corpus
from attn_lab.training.saved_run import SavedRun

LONGEST = 64  # tokens of a window: a map of more is not to be read, and fills the file


def measure(saved: SavedRun, corpus: Corpus) -> dict[str, Any] | None:
    """The heads and their mean maps; None where the model shows no weights."""
    recipe = saved.settings.recipe
    rows = saved.batches.batchify(corpus.valid, recipe.eval_batch_size).to(saved.device)
    try:
        summary = attention_summary(saved.model, rows, min(recipe.window, LONGEST))
    except NoWeights:
        return None
    maps = [[[[round(x, 5) for x in row] for row in head] for head in layer.tolist()] for layer in summary.mean_maps]
    return {
        "heads": [asdict(head) for head in summary.heads],
        "mean_maps": maps,
        "n_windows": summary.n_windows,
        "window": summary.window,
    }


def section(found: dict[str, Any] | None, file: Path) -> str:
    """The picture, drawn to `file`, the table, and how to read them."""
    title = "## What do its heads look at?\n\n"
    if found is None:
        return title + "Not measured: a part of this model does not show its weights."
    heads = [HeadSummary(**head) for head in found["heads"]]
    maps = [torch.tensor(layer) for layer in found["mean_maps"]]
    summary = AttentionSummary(heads, maps, found["n_windows"], found["window"])
    summary.draw(file)
    return (
        f"{title}![Mean attention of each head]({file.name})\n\n"
        f"How to read it: each square is a head, its weights averaged over {summary.n_windows} windows of "
        f"{summary.window} tokens; a row is a query, a column a key. A dark diagonal is a head that looks at a fixed "
        "distance, whatever the words are; an even row is one that looks everywhere."
        f"\n\n{summary.markdown()}"
    )
