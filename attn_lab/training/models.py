"""From a recipe and parts to a model. What a recipe adds to the paper goes around its modules, not into them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from attn_lab.parts import Parts
from attn_lab.training.lstm import LSTMLanguageModel
from attn_lab.variants.rotary import NoPositions, RotaryAttention

if TYPE_CHECKING:
    from attn_lab.training.recipe import Recipe

ARCHITECTURES = ("transformer", "lstm")
POSITIONS = ("sinusoids", "rotary", "none")


def squared_relu(x: Tensor) -> Tensor:
    """max(0, x)². Source: So et al. 2021 (Primer), section 4.1."""
    return F.relu(x).square()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "squared_relu": squared_relu}


def model_of(recipe: "Recipe", ntoken: int, parts: Parts) -> nn.Module:
    """The recipe's model, of these parts.

    Raises:
        ValueError: the recipe drops features before the output layer, and a model of one's own has no `norm` there; or
            its model has no place for parts.
    """
    if recipe.architecture == "lstm":
        return _lstm(recipe, ntoken, parts)
    shape = (recipe.d_model, recipe.nhead, recipe.d_hid, recipe.nlayers)
    model = dressed(recipe, parts).model(ntoken, *shape, dropout=recipe.dropout, **recipe.switches())
    if recipe.output_dropout:
        norm = getattr(model, "norm", None)
        if not isinstance(norm, nn.Module):
            raise ValueError(
                f"output_dropout = {recipe.output_dropout} goes behind the model's last norm; expected a module "
                f"`norm`, {type(model).__name__} has none. Take a recipe without it"
            )
        model.norm = nn.Sequential(norm, nn.Dropout(recipe.output_dropout))
    return model


def _lstm(recipe: "Recipe", ntoken: int, parts: Parts) -> nn.Module:
    if own := parts.replaced():
        raise ValueError(
            f"the model of the recipe {recipe.name!r} is an LSTM, which has no place for parts of attention; got "
            f"{', '.join(own)}. Leave --parts out, or take another recipe"
        )
    return LSTMLanguageModel(
        ntoken,
        recipe.d_model,
        recipe.nlayers,
        recipe.dropout,
        recipe.output_dropout,
        scale_embedding=recipe.scale_embedding,
        tie_weights=recipe.tie_weights,
    )


def dressed(recipe: "Recipe", parts: Parts) -> Parts:
    """The parts with the recipe's positions and activation."""
    if recipe.positions == "rotary":
        parts = replace(parts, attention=RotaryAttention(parts.attention))
    if recipe.positions != "sinusoids":
        parts = replace(parts, positions=NoPositions)
    if recipe.activation != "relu":
        parts = replace(parts, block=partial(parts.block, activation=ACTIVATIONS[recipe.activation]))
    return parts


def left_out(recipe: "Recipe", parts: Parts) -> list[str]:
    """Parts that are not the reference's and that this recipe has no place for."""
    return [name for name in parts.replaced() if name == "positions" and recipe.positions != "sinusoids"]
