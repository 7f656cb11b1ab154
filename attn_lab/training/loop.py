"""The training loop, as one would write it on a blackboard; what stands around it (devices, saving) is elsewhere."""

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def train_epoch(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    *,
    clip: float,
    loss_of: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Iterator[Tensor]:
    """One optimizer step for each batch; yields its loss, in nats per token, as a scalar on the model's device.

    A generator, so that the caller decides what happens between two steps: show, save, stop. The loss belongs to
    the weights before the step. `loss_of(inputs, targets)` is the model's loss by another way (losses.py).
    """
    for inputs, targets in batches:
        model.train()  # in here: the caller may have evaluated in between
        optimizer.zero_grad()
        loss = cross_entropy(model(inputs), targets) if loss_of is None else loss_of(inputs, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)  # of the gradient of this step: after backward, before step
        optimizer.step()
        yield loss.detach()


def cross_entropy(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """-log p(target), in nats: the mean over all tokens, or their sum. Logits are (b n v), targets (b n)."""
    return F.cross_entropy(
        rearrange(logits, "b n v -> (b n) v"), rearrange(targets, "b n -> (b n)"), reduction=reduction
    )
