"""Evaluation: the mean loss of a text, every token counted once and equally."""

import math

import torch
from jaxtyping import Int
from torch import Tensor, nn

from attn_lab.training.batches import Batches
from attn_lab.training.loop import cross_entropy


@torch.no_grad()
def evaluate(
    model: nn.Module, batched: Int[Tensor, "batch length"], window: int, batches: Batches | None = None
) -> float:
    """Nats per token: -log p(token | the tokens before it in its window), averaged over tokens, not over windows.

    In eval mode; the model's mode is put back. Perplexity is `math.exp` of it. `batches` cuts the windows, the
    reference's by default.
    """
    windows = (batches or Batches()).windows
    was_training = model.training
    model.eval()
    try:
        losses = [cross_entropy(model(inputs), targets, "sum") for inputs, targets in windows(batched, window)]
    finally:
        model.train(was_training)
    n_targets = batched.shape[0] * (batched.shape[1] - 1)
    return math.fsum(torch.stack(losses).tolist()) / n_targets  # read once, at the end: no wait for the device between
