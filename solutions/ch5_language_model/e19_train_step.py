"""One step of training: from a batch to weights that predict it a little better.

To write: `train_step`. Given: its signature; the model, and an optimizer that holds its parameters, are arguments.
Not allowed: attn_lab's `train_epoch`.
"""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def train_step(model: nn.Module, inputs: Tensor, targets: Tensor, optimizer, clip: float) -> Tensor:
    """The model in training mode; its loss on the batch; the gradient of that, clipped; one step of the optimizer.

    Args:
        model: from ids (b n) to logits (b n v).
        inputs: (b n)
        targets: (b n), of each input the token after it.
        optimizer: a torch.optim.Optimizer of the model's parameters.
        clip: the largest norm that the gradient may have, all parameters taken together as one long vector. A longer
            gradient is shortened to it and keeps its direction; a shorter one stays as it is.

    Returns:
        The loss, a tensor without axes: the mean over all tokens of the batch of -log p(target), in nats, before the
        step. It is cut off from the graph. Gradients that were there before the call do not count.
    """
    # answer: train mode, clear, forward, loss, backward, clip, step
    # In here, since the caller may have evaluated in between, and left the model in eval mode, without dropout.
    model.train()

    # backward() adds to what is there. Whatever is there, from the last step or from elsewhere, is of no use any more.
    optimizer.zero_grad()

    # Every position of every text is a prediction of its own; the loss takes them as one long list, in equal order.
    logits = model(inputs)
    loss = F.cross_entropy(rearrange(logits, "b n v -> (b n) v"), rearrange(targets, "b n -> (b n)"))

    # Now there is a gradient, and only now is there something to clip; and once the step is taken it is too late.
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()

    # The number alone: whoever keeps the losses of an epoch shall not keep the graphs of all its batches with them.
    return loss.detach()
    # end of answer
