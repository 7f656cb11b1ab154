"""What the training of e31 second epoch must do, from the simplest property to the strictest."""

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, require
from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.checks.strategies import FEW, SEEDS

V, D = 7, 4
LENGTHS = st.sampled_from((8, 6, 3, 12, 2))
WINDOWS = st.sampled_from((3, 2, 5, 4, 1, 100))
CLOSE = 1e-9


class Reader(nn.Module):
    """A small model in float64: a position is the mean of those that it may see. It keeps what it was given."""

    def __init__(self, seed):
        super().__init__()
        self.embedding = nn.Embedding(V, D, dtype=torch.float64)
        self.dropout = nn.Dropout(0.2)
        self.decoder = nn.Linear(D, V, dtype=torch.float64)
        self.inputs, self.masks = [], []
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(fill(generator(seed), *weight.shape))

    def forward(self, ids, mask=None):
        n = ids.shape[1]
        mask = causal(n) if mask is None else mask.expand(n, n)
        self.inputs.append(ids.clone())
        self.masks.append(mask)
        mixed = (mask / mask.sum(dim=1, keepdim=True)).double() @ self.embedding(ids)
        return self.decoder(self.dropout(mixed))


def causal(n):
    return torch.tensor([[j <= i for j in range(n)] for i in range(n)])


def text(b, length, seed):
    """A text in rows."""
    return torch.randint(V, (b, length), generator=generator(seed))


def optimizer_of(model):
    return torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.5)


def plain_loop(seed, rows, window, n_epochs):
    """The model and its losses after a training that is written out."""
    model, losses = Reader(seed), []
    optimizer = optimizer_of(model)
    for _ in range(n_epochs):
        for start in range(0, rows.shape[1] - 1, window):
            targets = rows[:, start + 1 : start + 1 + window]
            inputs = rows[:, start : start + targets.shape[1]]
            loss = F.cross_entropy(model(inputs, causal(inputs.shape[1])).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return model, losses


def check(answer, rows, window, n_epochs, seed):
    """What was read, under which masks, the losses and the weights: all as in a training that is written out."""
    ours = Reader(seed).eval()
    with FixedDropout():
        losses = answer.train(ours, optimizer_of(ours), rows, window, n_epochs)
        theirs, expected = plain_loop(seed, rows, window, n_epochs)
    n_windows = len(theirs.inputs) // n_epochs
    for k, (inputs, wanted) in enumerate(zip(ours.inputs, theirs.inputs)):
        place = f"in window {k % n_windows + 1} of epoch {k // n_windows + 1}"
        agree(inputs, wanted, 0.0, f"what is read {place}", "b n")
        agree(ours.masks[k], causal(inputs.shape[1]), 0.0, f"the mask {place}", "i j")
    require(ours.training, "the model was not in training mode")
    steps, wanted_steps = len(ours.inputs), len(theirs.inputs)
    require(steps == wanted_steps, f"{n_epochs} epochs of {n_windows} windows are {wanted_steps} steps; got {steps}")
    shape = [len(epoch) for epoch in losses]
    require(shape == [n_windows] * n_epochs, f"expected {n_windows} losses for each of {n_epochs} epochs; got {shape}")
    flat = torch.tensor([loss for epoch in losses for loss in epoch], dtype=torch.float64)
    agree(flat, torch.tensor(expected, dtype=torch.float64), CLOSE, "the loss", "step")
    for (name, weight), wanted in zip(ours.named_parameters(), theirs.parameters()):
        agree(weight, wanted, CLOSE, f"{name}, after the training,")


@given(FEW, LENGTHS, WINDOWS, SEEDS)
def test_one_epoch_is_a_plain_loop(answer, b, length, window, seed):
    """One epoch: every window of the text is read in turn, and there is a step for each of them."""
    check(answer, text(b, length, seed), window, 1, seed)


@given(FEW, st.sampled_from((2, 3, 1)), st.sampled_from((3, 2, 5, 1)), FEW, SEEDS)
def test_so_are_several_where_the_windows_fit(answer, b, n_windows, window, n_epochs, seed):
    """Several epochs of a text that is cut into full windows: a loss for each window of each, and a step."""
    check(answer, text(b, n_windows * window + 1, seed), window, n_epochs, seed)


@given(SEEDS)
def test_it_trains(answer, seed):
    """A text in which each word has but one successor is learned: the loss falls."""
    rows = (torch.arange(7) + torch.arange(3)[:, None]) % V
    model = Reader(seed)
    with FixedDropout():
        losses = answer.train(model, optimizer_of(model), rows, 3, 15)
    first, last = (sum(epoch) / len(epoch) for epoch in (losses[0], losses[-1]))
    require(last < first, f"the loss must fall over 15 epochs; it went from {first:.3f} to {last:.3f}")


@given(FEW, LENGTHS, WINDOWS, st.sampled_from((2, 3)), SEEDS)
def test_no_position_sees_the_future_in_any_epoch(answer, b, length, window, n_epochs, seed):
    """In every window of every epoch a position sees itself and the past: whatever the lengths of the windows."""
    check(answer, text(b, length, seed), window, n_epochs, seed)
