"""The average of the weights over the steps, beside the weights that are trained."""

from torch import nn
from torch.optim.swa_utils import AveragedModel

from attn_lab.training.recipes import Recipe


def averaged(model: nn.Module, recipe: Recipe) -> AveragedModel | None:
    """A copy of the model that takes the average of its weights at each `update_parameters`; None: no average is kept.

    It is what is evaluated and what best.safetensors and last.safetensors hold; its state is part of the checkpoint.
    """
    return None
