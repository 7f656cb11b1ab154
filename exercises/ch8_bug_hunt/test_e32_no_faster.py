"""What the training of e32 no faster must do, from the simplest property to the strictest.

"meta" stands in for a GPU, which not every computer has: what lies there has a shape and a type, but no numbers.
"""

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, require
from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.checks.strategies import FEW, SEEDS

V, D = 7, 4
LENGTHS = st.sampled_from((8, 6, 3, 12, 2))
WINDOWS = st.sampled_from((3, 2, 5, 1, 100))
EPOCHS = st.sampled_from((1, 2))
RATES = st.sampled_from((0.1, 0.01))
CLOSE = 1e-9


class Reader(nn.Module):
    """A small model in float64, with a table that is not learned; it keeps where it ran, and where its inputs lay."""

    def __init__(self, seed):
        super().__init__()
        self.embedding = nn.Embedding(V, D, dtype=torch.float64)
        self.dropout = nn.Dropout(0.2)
        self.decoder = nn.Linear(D, V, dtype=torch.float64)
        self.register_buffer("places", fill(generator(seed), 20, D))
        self.seen = []
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(fill(generator(seed), *weight.shape))

    def forward(self, ids):
        self.seen.append({"the inputs": ids.device.type, "the weights": self.decoder.weight.device.type})
        x = self.embedding(ids).cumsum(dim=1) + self.places[: ids.shape[1]]
        return self.decoder(self.dropout(x))


def text(b, length, seed):
    """A text in rows."""
    return torch.randint(V, (b, length), generator=generator(seed))


def plain_loop(model, rows, window, n_epochs, lr):
    """The losses of a training that is written out, on the CPU."""
    optimizer, losses = torch.optim.Adam(model.parameters(), lr), []
    for _ in range(n_epochs):
        for start in range(0, rows.shape[1] - 1, window):
            targets = rows[:, start + 1 : start + 1 + window]
            inputs = rows[:, start : start + targets.shape[1]]
            loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    return torch.stack(losses)


@given(FEW, LENGTHS, WINDOWS, EPOCHS, SEEDS)
def test_a_loss_for_each_step(answer, b, length, window, n_epochs, seed):
    """One tensor comes back: a loss for each window of each epoch, without gradients."""
    losses = answer.train(Reader(seed), text(b, length, seed), window, n_epochs, "cpu")
    require(isinstance(losses, torch.Tensor), f"train must return a tensor; got {type(losses).__name__}")
    n_steps = n_epochs * -(-(length - 1) // window)
    agree(torch.empty(losses.shape), torch.empty(n_steps), torch.inf, "the losses", "step")
    require(not losses.requires_grad, "the losses still hold on to the graphs of all steps: detach them")


@given(FEW, LENGTHS, WINDOWS, EPOCHS, RATES, SEEDS)
def test_on_the_cpu_it_is_a_plain_loop(answer, b, length, window, n_epochs, lr, seed):
    """On the CPU the losses, and the weights afterwards, are those of a training that is written out."""
    ours, theirs, rows = Reader(seed).eval(), Reader(seed), text(b, length, seed)
    with FixedDropout():
        losses = answer.train(ours, rows, window, n_epochs, torch.device("cpu"), lr)
        expected = plain_loop(theirs, rows, window, n_epochs, lr)
    agree(losses, expected, CLOSE, "the loss", "step")
    for (name, weight), wanted in zip(ours.named_parameters(), theirs.parameters()):
        agree(weight, wanted, CLOSE, f"{name}, after the training,")


@given(FEW, LENGTHS, WINDOWS, st.sampled_from(("meta", torch.device("meta"))), SEEDS)
def test_all_work_is_done_on_the_device_that_was_asked_for(answer, b, length, window, device, seed):
    """Inputs, weights, tables, gradients, losses and what the optimizer keeps: all lie on the device asked for."""
    model, rows, optimizers = Reader(seed), text(b, length, seed), []
    hook = register_optimizer_step_pre_hook(lambda optimizer, *_: optimizers.append(optimizer))
    try:
        losses = answer.train(model, rows, window, 1, device)
    finally:
        hook.remove()
    require(len(model.seen) > 0, "the model that was given was never asked: a copy of it was trained")
    places = model.seen[0] | {"the losses": losses.device.type}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        places[f"{name}, after the training,"] = tensor.device.type
    for name, weight in model.named_parameters():
        require(weight.grad is not None, f"{name} got no gradient")
        places[f"the gradient of {name}"] = weight.grad.device.type
    for what, place in places.items():
        require(place == "meta", f"{what} should be on the device asked for, meta; found on {place}")
    require(len(optimizers) == len(losses), f"expected {len(losses)} steps of the optimizer; got {len(optimizers)}")
    stepped = {id(weight) for group in optimizers[0].param_groups for weight in group["params"]}
    require(
        stepped == {id(weight) for weight in model.parameters()},
        "the optimizer's weights are not the model's any more: they were left behind when the model moved",
    )
    agree(rows, text(b, length, seed), 0.0, "the text, after the training,", "batch length")
