"""Recipes: everything that decides a training run besides the corpus, under one name."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from attn_lab.choices import check_choice
from attn_lab.parts import Parts
from attn_lab.training.losses import LOSSES


@dataclass(frozen=True)
class Recipe:
    """A model's shape and how it is trained. Units: tokens for `window`, epochs for `epochs`, nats nowhere."""

    name: str
    about: str
    d_model: int = 200
    nhead: int = 2
    d_hid: int = 200
    nlayers: int = 2
    dropout: float = 0.1
    scale_embedding: bool = True
    tie_weights: bool = False
    norm_first: bool = False
    window: int = 35
    batch_size: int = 20
    eval_batch_size: int = 10
    optimizer: str = "sgd"
    lr: float = 5.0
    gamma: float = 0.95  # the learning rate's factor from one epoch to the next
    clip: float = 0.5  # the gradient's largest norm
    loss: str = "chunked"  # "plain": the table of all logits at once
    epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that no run could use, before one starts."""
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("loss", self.loss, LOSSES)
        for name in ("d_model", "nhead", "d_hid", "nlayers", "window", "batch_size", "eval_batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1; got {self.dropout}")
        if not (math.isfinite(self.lr) and self.lr > 0 and self.clip > 0):
            raise ValueError(f"lr and clip must be positive; got {self.lr} and {self.clip}")

    def model(self, ntoken: int, parts: Parts) -> nn.Module:
        """The recipe's model, of these parts."""
        shape = (self.d_model, self.nhead, self.d_hid, self.nlayers)
        return parts.model(ntoken, *shape, dropout=self.dropout, **self.switches())

    def switches(self) -> dict[str, bool]:
        """The model's options that change what it computes: the preflight checks the model with these."""
        return {
            "scale_embedding": self.scale_embedding,
            "tie_weights": self.tie_weights,
            "norm_first": self.norm_first,
        }

    def optimizer_for(self, model: nn.Module) -> torch.optim.Optimizer:
        """The recipe's optimizer, over the model's parameters."""
        return OPTIMIZERS[self.optimizer](model.parameters(), lr=self.lr)

    def learning_rate(self, step: int, steps_per_epoch: int) -> float:
        """Before step 0, 1, … of the whole run: a staircase, as torch's StepLR with a step of one epoch."""
        return self.lr * self.gamma ** (step // steps_per_epoch)

    def to_dict(self) -> dict[str, Any]:
        """For the run's config.json; `Recipe(**d)` reads it back."""
        return asdict(self)


OPTIMIZERS = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="notebook",
            about="the recipe of the notebook that this project grew from, with the paper's √d on the embedding",
        ),
        Recipe(
            name="quick",
            about="a small model that learns the embedded corpus in about a minute on two cores",
            d_model=128,
            d_hid=256,
            dropout=0.35,
            tie_weights=True,
            window=32,
            batch_size=16,
            optimizer="adamw",
            lr=2e-3,
            gamma=0.85,
            clip=1.0,
            epochs=14,
        ),
    )
}


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    return RECIPES[check_choice("recipe", name, RECIPES)]
