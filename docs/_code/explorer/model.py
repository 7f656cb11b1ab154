"""The explorer's model, read from its weights, and the scores of its heads.

The weights are in the repository (140 kB), not trained while the site is built: a training makes much of the last digit
of a sum, which differs from torch to torch and from processor to processor. So every build shows the same heads, and
what the page says about them stays true. `explorer.train` makes them again.
"""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from einops import einsum
from safetensors import safe_open
from torch import Tensor

from attn_lab import Parts, TransformerLanguageModel, attention, corpora
from attn_lab.corpora import Vocabulary
from attn_lab.training.checkpoints import load_weights
from attn_lab.training.recipe import Recipe
from attn_lab.training.recipes import recipe

WEIGHTS = Path(__file__).parent / "model.safetensors"

RECIPE: Recipe = replace(
    recipe("quick"),
    name="explorer",
    about="small enough to lie in the repository, large enough for heads that differ",
    d_model=64,
    nhead=4,
    d_hid=128,
    dropout=0.1,
    window=28,  # four sentences of the toy language
)


def keeping(kept: list[Tensor]) -> Callable[..., Tensor]:
    """`attn_lab.attention`, which also keeps the scores q·k/√d of every call: all of them, before any mask.

    The page needs scores, since it changes the mask and the temperature; from weights alone they are not to be had.
    A function, not an object: the encoder copies its block, and an object in it, for every layer.
    """

    def attend(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        dropout: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        kept.append(einsum(query, key, "b h i d, b h j d -> b h i j") / math.sqrt(query.shape[-1]))
        return attention(query, key, value, mask, dropout)

    return attend


@cache
def load(attend: Callable[..., Tensor] = attention) -> tuple[TransformerLanguageModel, Vocabulary]:
    """The trained model, in eval mode, around this attention function; and its vocabulary.

    In float64 every torch finds the same scores to twelve digits, so the page is the same too.

    Raises:
        OSError, ValueError: a file is missing or damaged.
    """
    vocabulary = corpora.load("toy").vocabulary
    model = RECIPE.model(len(vocabulary), Parts(attention=attend))
    load_weights(model, WEIGHTS)
    return model.double().eval(), vocabulary


def about() -> dict[str, str | float]:
    """What is written in the file of weights: the command, the versions, the test loss and its floor, the licence."""
    with safe_open(WEIGHTS, "pt") as file:
        return json.loads(file.metadata()["about"])


@cache
@torch.no_grad()
def scores_of(sentence: str) -> list[Tensor]:
    """The scores of each layer, (h n n), of a sentence as the model reads it: causally."""
    kept: list[Tensor] = []
    model, vocabulary = load(keeping(kept))
    model(vocabulary.encode(sentence.split())[None])
    return [scores[0] for scores in kept]
