"""The average of the weights over the steps, beside the weights that are trained."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from attn_lab.training.recipe import Recipe

Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged(model: nn.Module, recipe: Recipe) -> AveragedModel | None:
    r"""A copy of the model that takes the average of its weights at each `update_parameters`; None: no average is kept.

    $$\bar\theta_t = a_t \bar\theta_{t-1} + (1 - a_t)\,\theta_t, \quad a_t = \min(a, (1 + t) / (10 + t))$$

    It is what is evaluated and what best.safetensors and last.safetensors hold; its state is part of the checkpoint.
    The first steps count less, so that the random weights of the beginning are soon forgotten.

    Source: Polyak & Juditsky 1992; the exponential form with such a start as in Tan & Le 2019 (EfficientNet).
    """
    if not recipe.average:
        return None

    def follow(averages: Tensors, weights: Tensors, _: Tensor | int) -> None:
        t = int(average.n_averaged)  # stays on the CPU; the count that is handed over is on the device: a wait
        torch._foreach_lerp_(averages, weights, 1 - min(recipe.average, (1 + t) / (10 + t)))

    average = AveragedModel(model, multi_avg_fn=follow)
    return average
