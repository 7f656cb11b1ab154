"""Perplexity: how many words a model hesitates between, on average, when it reads a text that it was not trained on.

To write: `perplexity`. Given: its signature, and `windows`, as in e17. Not allowed: attn_lab's `evaluate`.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def windows(batched: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets (batch n) of each window of a text (batch length); n <= window, the last may be shorter."""
    inputs, targets = batched[:, :-1], batched[:, 1:]
    yield from zip(inputs.split(window, dim=1), targets.split(window, dim=1))


def perplexity(model: nn.Module, batched: Tensor, window: int) -> float:
    """exp of the mean of -log p(token | the tokens before it in its window), over all targets of the text.

    Every target counts once and equally, in whichever window it stands. The model runs in eval mode, and without
    gradients; afterwards it is in the mode in which it was before.

    Args:
        model: from ids (b n) to logits (b n v).
        batched: (batch length), a text in rows, as `batchify` makes it.
        window: how many tokens the model sees at a time.

    Returns:
        A Python number, not a tensor.
    """
    # answer: eval mode, mean loss over all tokens, exp
    was_training = model.training
    model.eval()
    total, n_targets = 0.0, 0
    try:
        # Without gradients PyTorch forgets each layer's input at once: half the time, and far less memory.
        with torch.no_grad():
            for inputs, targets in windows(batched, window):
                # The sum, not the mean: the short last window has fewer tokens, and its mean must count for less.
                loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), reduction="sum")
                total += loss.item()
                n_targets += targets.numel()
    finally:
        # Whatever happens: a model that is left in eval mode would go on to train without dropout.
        model.train(was_training)

    # First the mean, then exp: the mean of the windows' perplexities would be another, larger number.
    return math.exp(total / n_targets)
    # end of answer
