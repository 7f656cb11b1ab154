"""What `attn-lab recipes` shows: each recipe's model, its work on its corpus, and what came of it."""

from dataclasses import dataclass

import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from attn_lab.parts import Parts
from attn_lab.scaled_dot_product import attention
from attn_lab.tables import Row, show_tables
from attn_lab.training.recipe import Recipe
from attn_lab.training.recipes import RECIPES


@dataclass(frozen=True)
class Trained:
    """What a recipe is for, and the test perplexity that it was seen to reach there; its command is on the page."""

    corpus: str
    types: int
    tokens: int  # of the training text
    perplexity: str


# docs/training/index.md and docs/training/recipes.md have the runs.
TRAINED = {
    "notebook": Trained("ptb", 9_922, 924_412, "161.0"),
    "quick": Trained("pydoc", 7_000, 65_000, "about 110"),
    "modern": Trained("ptb", 10_000, 929_589, "93.5"),
    "lstm": Trained("ptb", 10_000, 929_589, "114.4"),
    "strong": Trained("ptb", 10_000, 929_589, "open"),
}
HEADER = ("recipe", "corpus, tokens", "model", "parameters", "trained", "TFLOP", "test perplexity")


def show_recipes(console: Console) -> None:
    """The table, and what each is for."""
    show_tables(console, [("Recipes", HEADER, [row(recipe) for recipe in RECIPES.values()])], None)
    for recipe in RECIPES.values():
        console.print(f"{recipe.name}: {recipe.about}", highlight=False)
    console.print("Train one with: attn-lab train --corpus ptb --recipe modern", highlight=False)


def row(recipe: Recipe) -> Row:
    """A recipe's line."""
    trained = TRAINED[recipe.name]
    with torch.device("meta"):  # shapes alone
        parts = Parts(attention=attention) if recipe.architecture == "transformer" else Parts()  # einsum: is counted
        model = recipe.model(trained.types, parts)
    parameters = sum(weight.numel() for weight in model.parameters())
    return (
        recipe.name,
        f"{trained.corpus}, {recipe.tokenizer}",
        shape(recipe),
        f"{parameters / 1e6:.2f} M",
        f"{recipe.epochs} epochs, {recipe.optimizer}, windows of {recipe.window}",
        f"{recipe.epochs * trained.tokens * flops_per_token(model, recipe) / 1e12:,.0f}",
        trained.perplexity,
    )


def shape(recipe: Recipe) -> str:
    """Layers and widths, in words."""
    if recipe.architecture == "lstm":
        return f"LSTM, {recipe.nlayers} x {recipe.d_model}"
    return f"{recipe.nlayers} x {recipe.d_model}, {recipe.nhead} heads, {recipe.d_hid} inside"


def flops_per_token(model: torch.nn.Module, recipe: Recipe) -> float:
    """Of a training step, forward and backward, as PyTorch counts them; a multiplication and an addition are two."""
    ids = torch.zeros(1, recipe.window, dtype=torch.long, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(ids).sum().backward()
    return counter.get_total_flops() / recipe.window
