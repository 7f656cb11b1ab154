"""What the training of e29 stuck curve must do, from the simplest property to the strictest."""

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, require
from attn_lab.checks.strategies import FEW, SEEDS

V, D = 7, 4
ROWS = st.sampled_from((8, 4, 6, 11, 2))  # words in each run of the text
WINDOWS = st.sampled_from((3, 2, 5, 1, 100))
EPOCHS = st.sampled_from((1, 2))
CLOSE = 1e-9


class Reader(nn.Module):
    """A small model in float64, of ids (b n), a text in each row: with `memory`, a word is the sum of those so far."""

    def __init__(self, seed, memory):
        super().__init__()
        self.embedding = nn.Embedding(V, D, dtype=torch.float64)
        self.decoder = nn.Linear(D, V, dtype=torch.float64)
        self.memory, self.inputs = memory, []
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(fill(generator(seed), *weight.shape))

    def forward(self, ids):
        self.inputs.append(ids.clone())
        x = self.embedding(ids)
        return self.decoder(x.cumsum(dim=1) if self.memory else x)


def text(n, seed):
    return torch.randint(V, (n,), generator=generator(seed))


def optimizer_of(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)


def expected_windows(ids, batch_size, window):
    """Inputs and targets (b n), word by word: row r is the r-th run of the text."""
    length = len(ids) // batch_size
    for start in range(0, length - 1, window):
        places = range(start, min(start + window, length - 1))
        rows = [[r * length + place for place in places] for r in range(batch_size)]
        yield ids[torch.tensor(rows)], ids[torch.tensor(rows) + 1]


def check_training(answer, memory, ids, batch_size, window, n_epochs, seed):
    """Losses and weights are those of a training that is written out."""
    ours, theirs = Reader(seed, memory).eval(), Reader(seed, memory)
    losses = answer.train(ours, optimizer_of(ours), ids, batch_size, window, n_epochs)
    optimizer, expected = optimizer_of(theirs), []
    for _ in range(n_epochs):
        for inputs, targets in expected_windows(ids, batch_size, window):
            loss = F.cross_entropy(theirs(inputs).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            expected.append(loss.item())
    shape, n_windows = [len(epoch) for epoch in losses], len(expected) // n_epochs
    require(shape == [n_windows] * n_epochs, f"expected {n_windows} losses for each of {n_epochs} epochs; got {shape}")
    flat = torch.tensor([loss for epoch in losses for loss in epoch], dtype=torch.float64)
    agree(flat, torch.tensor(expected, dtype=torch.float64), CLOSE, "the loss", "step")
    for (name, weight), wanted in zip(ours.named_parameters(), theirs.parameters()):
        agree(weight, wanted, CLOSE, f"{name}, after the training,")


@given(FEW, ROWS, WINDOWS, EPOCHS, SEEDS)
def test_a_loss_for_each_window(answer, batch_size, length, window, n_epochs, seed):
    """Every epoch has as many losses as there are windows, and each step sees all words of its window, in any order."""
    ids, model = (
        torch.randperm(V, generator=generator(seed)).repeat(12)[: batch_size * length],
        Reader(seed, memory=False),
    )
    losses = answer.train(model, optimizer_of(model), ids, batch_size, window, n_epochs)
    wanted = [inputs for inputs, _ in expected_windows(ids, batch_size, window)] * n_epochs
    shape = [len(epoch) for epoch in losses]
    require(sum(shape) == len(wanted), f"expected {len(wanted)} losses in {n_epochs} epochs; got {shape}")
    require(model.training, "the model was not in training mode")
    for step, (inputs, expected) in enumerate(zip(model.inputs, wanted), start=1):
        counts = [torch.bincount(found.flatten(), minlength=V) for found in (inputs, expected)]
        agree(*counts, 0.0, f"how often each word is read in step {step}", "word")


@given(FEW, ROWS, WINDOWS, EPOCHS, SEEDS)
def test_a_model_without_memory_learns_the_pairs(answer, batch_size, length, window, n_epochs, seed):
    """For a model that sees the last word only, losses and weights are those of a training that is written out."""
    check_training(
        answer, False, text(batch_size * length + seed % batch_size, seed), batch_size, window, n_epochs, seed
    )


@given(FEW, ROWS, WINDOWS, EPOCHS, SEEDS)
def test_each_row_that_the_model_reads_is_a_run_of_text(answer, batch_size, length, window, n_epochs, seed):
    """Each row of what the model is given is a piece of the text, word after word: a memory is of use then."""
    ids, model = text(batch_size * length, seed), Reader(seed, memory=True)
    answer.train(model, optimizer_of(model), ids, batch_size, window, n_epochs)
    wanted = [inputs for inputs, _ in expected_windows(ids, batch_size, window)] * n_epochs
    for step, (inputs, expected) in enumerate(zip(model.inputs, wanted), start=1):
        agree(inputs, expected, 0.0, f"what the model is given in step {step}", "b n")
    check_training(answer, True, ids, batch_size, window, n_epochs, seed)
