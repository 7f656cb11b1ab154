"""Ids in, weights and a report out."""

from attn_lab.training.batches import Batches, batchify, n_windows, windows
from attn_lab.training.evaluation import evaluate
from attn_lab.training.failures import Diverged
from attn_lab.training.interrupt import Interrupted
from attn_lab.training.loop import train_epoch
from attn_lab.training.proof import PreflightFailed
from attn_lab.training.recipe import Recipe
from attn_lab.training.recipes import RECIPES, recipe
from attn_lab.training.run_folder import RunFolder
from attn_lab.training.settings import Settings
from attn_lab.training.start import train
from attn_lab.training.trainer import Outcome

__all__ = [
    "RECIPES",
    "Batches",
    "Diverged",
    "Interrupted",
    "Outcome",
    "PreflightFailed",
    "Recipe",
    "RunFolder",
    "Settings",
    "batchify",
    "evaluate",
    "n_windows",
    "recipe",
    "train",
    "train_epoch",
    "windows",
]
