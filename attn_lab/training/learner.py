"""What learns in a run: the model and the average of its weights, the loss, the optimizer; on its device, ready."""

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from attn_lab.parts import Parts
from attn_lab.training.averaging import averaged
from attn_lab.training.checkpoints import Progress, load_state, save_state
from attn_lab.training.fused import use_fused
from attn_lab.training.objective import training_loss
from attn_lab.training.settings import Settings


class Learner:
    """Built of a recipe and parts, with the recipe's seed.

    Raises:
        ValueError: the loss is to be compiled, and this machine cannot.
    """

    def __init__(self, settings: Settings, n_types: int, parts: Parts, accelerator: Accelerator) -> None:
        recipe = settings.recipe
        torch.manual_seed(recipe.seed)
        self.bare_model = recipe.model(n_types, parts)
        self.average = averaged(self.bare_model, recipe)
        # On its device, in its precision; the gradients are averaged over the processes through the loss.
        self.model = accelerator.prepare_model(self.bare_model, evaluation_mode=True)
        if self.average is not None:
            self.average.module = accelerator.prepare_model(self.average.module, evaluation_mode=True)
        self.loss_of = training_loss(self.bare_model, recipe.loss, accelerator, settings.compile)
        self.optimizer = recipe.optimizer_for(self.bare_model)
        use_fused(self.optimizer, accelerator.device)
        if accelerator.process_index:  # the weights are the same in all processes, dropout is not
            torch.manual_seed(recipe.seed + 1_000_003 * accelerator.process_index)

    @property
    def evaluated(self) -> nn.Module:
        """The model whose losses are reported: the average of the weights where there is one."""
        return self.model if self.average is None else self.average.module

    def set_learning_rate(self, rate: float) -> None:
        """For the next step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def after_step(self) -> None:
        """Take the new weights into the average."""
        if self.average is not None:
            self.average.update_parameters(self.bare_model)

    def is_finite(self) -> bool:
        """Whether every weight is a number."""
        return all(bool(weight.isfinite().all()) for weight in self.bare_model.parameters())

    def save(self, path: Path, progress: Progress, random: list[dict[str, Any]]) -> None:
        """The full state, with the generators of all processes."""
        save_state(path, self.bare_model, self.optimizer, progress, self.average, random)

    def load(self, path: Path, process: int) -> Progress:
        """Put back what was saved, and this process's generators."""
        return load_state(path, self.bare_model, self.optimizer, self.average, process)
