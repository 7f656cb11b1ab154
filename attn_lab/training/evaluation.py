"""Evaluation: the mean loss of a text, every token counted once and equally."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Int
from torch import Tensor, nn

from attn_lab.training.batches import Batches
from attn_lab.training.loop import cross_entropy
from attn_lab.training.sliding import sliding_windows


def evaluate(
    model: nn.Module,
    batched: Int[Tensor, "batch length"],
    window: int,
    batches: Batches | None = None,
    *,
    stride: int | None = None,
) -> float:
    """Nats per token: -log p(token | the tokens before it in its window), averaged over tokens, not over windows.

    In eval mode; the model's mode is put back. Perplexity is `math.exp` of it. `batches` cuts the windows, the
    reference's by default. With a `stride` the windows overlap, and each goes on by that many tokens: see
    `attn_lab.training.sliding`.

    Raises:
        ValueError: window is below 1, or the stride is not between 1 and the window.
    """
    if stride is None:
        windows = (batches or Batches()).windows(batched, window)
    else:
        windows = sliding_windows(batched, window, stride)
    with evaluating(model):
        losses = [cross_entropy(model(inputs), targets, "sum") for inputs, targets in windows]
    n_targets = batched.shape[0] * (batched.shape[1] - 1)
    return math.fsum(torch.stack(losses).tolist()) / n_targets  # read once, at the end: no wait for the device between


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout and gradients; the model's mode is put back."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
