"""A recipe: everything that decides a training run besides the corpus."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from attn_lab.choices import check_choice
from attn_lab.corpora import TOKENIZERS
from attn_lab.parts import Parts
from attn_lab.training.losses import LOSSES
from attn_lab.training.models import ACTIVATIONS, ARCHITECTURES, POSITIONS, model_of
from attn_lab.training.optimizers import OPTIMIZERS
from attn_lab.training.schedules import SCHEDULES, warm_up

CHOICES = {
    "architecture": ARCHITECTURES,
    "optimizer": OPTIMIZERS,
    "loss": LOSSES,
    "schedule": SCHEDULES,
    "positions": POSITIONS,
    "activation": ACTIVATIONS,
    "tokenizer": TOKENIZERS,
}


@dataclass(frozen=True)
class Recipe:
    """A model's shape and how it is trained. Units: tokens for `window`, epochs for `epochs`, nats nowhere."""

    name: str
    about: str
    architecture: str = "transformer"  # "lstm": of the shape it takes d_model and nlayers alone
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
    tokenizer: str = "basic_english"
    positions: str = "sinusoids"
    activation: str = "relu"
    output_dropout: float = 0.0  # before the output layer
    random_offsets: bool = False  # each epoch's windows begin elsewhere
    average: float = 0.0  # how slowly the average of the weights follows; 0: none is kept
    optimizer: str = "sgd"
    lr: float = 5.0
    weight_decay: float = 0.0
    warmup: int = 0  # steps
    schedule: str = "staircase"
    gamma: float = 0.95  # the staircase's factor from one epoch to the next
    clip: float = 0.5  # the gradient's largest norm
    loss: str = "chunked"  # "plain": the table of all logits at once
    epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that no run could use, before one starts."""
        for name, valid in CHOICES.items():
            check_choice(name, getattr(self, name), valid)
        for name in ("d_model", "nhead", "d_hid", "nlayers", "window", "batch_size", "eval_batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        for name in ("dropout", "output_dropout", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1; got {getattr(self, name)}")
        if self.warmup < 0 or not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"warmup and weight_decay must be at least 0; got {self.warmup} and {self.weight_decay}")
        if not (math.isfinite(self.lr) and self.lr > 0 and self.clip > 0):
            raise ValueError(f"lr and clip must be positive; got {self.lr} and {self.clip}")

    def model(self, ntoken: int, parts: Parts) -> nn.Module:
        """The recipe's model, of these parts."""
        return model_of(self, ntoken, parts)

    def switches(self) -> dict[str, bool]:
        """The model's options that change what it computes: the preflight checks the model with these."""
        return {
            "scale_embedding": self.scale_embedding,
            "tie_weights": self.tie_weights,
            "norm_first": self.norm_first,
        }

    def optimizer_for(self, model: nn.Module) -> torch.optim.Optimizer:
        """The recipe's optimizer, over the model's parameters."""
        return OPTIMIZERS[self.optimizer](model, self.lr, self.weight_decay)

    def learning_rate(self, step: int, steps_per_epoch: int) -> float:
        """Before step 0, 1, … of the whole run."""
        factor = SCHEDULES[self.schedule](step, steps_per_epoch, self.epochs, self.gamma)
        return self.lr * warm_up(step, self.warmup) * factor

    def to_dict(self) -> dict[str, Any]:
        """For the run's config.json; `Recipe(**d)` reads it back."""
        return asdict(self)
