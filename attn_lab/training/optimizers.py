"""Optimizers, by the names that recipes use."""

from collections.abc import Callable

import torch
from torch import nn


def sgd(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """Plain gradient descent."""
    return torch.optim.SGD(model.parameters(), lr=lr, weight_decay=weight_decay)


def adamw(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), on matrices: biases and norms are not to shrink."""
    weights = list(model.parameters())
    matrices, vectors = [w for w in weights if w.ndim >= 2], [w for w in weights if w.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr)


OPTIMIZERS: dict[str, Callable[[nn.Module, float, float], torch.optim.Optimizer]] = {"sgd": sgd, "adamw": adamw}
