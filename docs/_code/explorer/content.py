"""What the explorer's script reads: of each sentence the tokens and all scores, and what the heads are called."""

from functools import cache
from typing import Any

from torch import Tensor

from attn_lab.attending.page import as_script
from explorer.model import RECIPE, scores_of
from explorer.sentences import FAR, LAST, SENTENCES
from explorer.trades import best, names

UNIT = 10_000  # scores are written in ten-thousandths, so a weight at temperature 1 is off by 0.000025 at most


def data() -> str:
    """The data as an element for the page."""
    return f'<script type="application/json" id="data">{as_script(content())}</script>'


@cache
def content() -> dict[str, Any]:
    """Scores are integers, layer by layer, head by head, row by row; `unit` of them are one."""
    return {
        "unit": UNIT,
        "layers": RECIPE.nlayers,
        "heads": RECIPE.nhead,
        "names": names(),
        "start": {"sentence": FAR, "layer": best()[0], "head": best()[1], "query": LAST},
        "sentences": [
            {"tokens": sentence.split(), "scores": [_rounded(layer) for layer in scores_of(sentence)]}
            for sentence in SENTENCES
        ],
    }


def _rounded(scores: Tensor) -> list[list[list[int]]]:
    return (scores * UNIT).round().long().tolist()
