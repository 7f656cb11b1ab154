"""What the trainer of e34 restless scores must do, from the simplest property to the strictest."""

from copy import deepcopy

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
WINDOWS = st.sampled_from((3, 2, 5, 1, 100))
RATES = st.sampled_from((0.5, 0.1))
EXACT, CLOSE = 1e-9, 1e-6  # CLOSE: a sum may be kept in float32


class Reader(nn.Module):
    """A small model in float64, with dropout; it keeps in which mode it ran, and whether gradients were on."""

    def __init__(self, seed, dropout=0.5):
        super().__init__()
        self.embedding = nn.Embedding(V, D, dtype=torch.float64)
        self.dropout = nn.Dropout(dropout)
        self.decoder = nn.Linear(D, V, dtype=torch.float64)
        self.modes, self.gradients = [], []
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(fill(generator(seed), *weight.shape))

    def forward(self, ids):
        self.modes.append(self.training)
        self.gradients.append(torch.is_grad_enabled())
        return self.decoder(self.dropout(self.embedding(ids).cumsum(dim=1)))


def text(b, length, seed):
    """A text in rows."""
    return torch.randint(V, (b, length), generator=generator(seed))


def trainer(answer, model, rate, window):
    return answer.Trainer(model, torch.optim.SGD(model.parameters(), lr=rate, momentum=0.5), window)


def plain_loop(model, rows, window, optimizer=None):
    """The loss per token, written out; a step for each window if there is an optimizer."""
    model.train(optimizer is not None)
    total = 0.0
    for start in range(0, rows.shape[1] - 1, window):
        targets = rows[:, start + 1 : start + 1 + window]
        inputs = rows[:, start : start + targets.shape[1]]
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        total += loss.item() * targets.numel()
    return total / rows[:, 1:].numel()


def same_number(actual, expected, what):
    require(isinstance(actual, float), f"{what} must be a Python float; got {type(actual).__name__}")
    agree(torch.tensor(actual, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64), CLOSE, what)


def same_weights(model, expected, when):
    for (name, weight), wanted in zip(model.named_parameters(), expected.parameters()):
        agree(weight, wanted, EXACT, f"{name}, {when},")


@given(FEW, LENGTHS, WINDOWS, SEEDS)
def test_it_trains(answer, b, length, window, seed):
    """A text that is learned from costs less and less: `train` and `evaluate` both say so, in Python floats."""
    rows = (torch.arange(length) + torch.arange(b)[:, None]) % V
    ours = trainer(answer, Reader(seed, dropout=0.0), 0.05, window)
    before = ours.evaluate(rows)
    losses = [ours.train(rows) for _ in range(15)]
    after = ours.evaluate(rows)
    for what, value in (("the validation loss", before), ("the training loss", losses[0])):
        require(isinstance(value, float), f"{what} must be a Python float; got {type(value).__name__}")
    require(losses[-1] < losses[0], f"the training loss must fall; it went from {losses[0]:.3f} to {losses[-1]:.3f}")
    require(after < before, f"the loss of a text that was learned must fall; it went from {before:.3f} to {after:.3f}")


@given(FEW, LENGTHS, WINDOWS, SEEDS)
def test_an_evaluation_is_the_mean_over_all_tokens(answer, b, length, window, seed):
    """Without dropout, and at a learning rate of 0, `evaluate` is the mean loss of all tokens, each counted once."""
    model, rows = Reader(seed, dropout=0.0), text(b, length, seed)
    loss = trainer(answer, model, 0.0, window).evaluate(rows)
    same_number(loss, plain_loop(Reader(seed, dropout=0.0), rows, window), "the validation loss")


@given(FEW, LENGTHS, WINDOWS, RATES, SEEDS)
def test_an_evaluation_is_only_a_look(answer, b, length, window, rate, seed):
    """To be evaluated changes nothing about a model: asked twice it gives the same number, and it learns nothing."""
    model, rows, valid = Reader(seed), text(b, length, seed), text(2, 6, seed + 1)
    ours = trainer(answer, model, rate, window)
    with FixedDropout():
        ours.train(rows)
        before, steps = deepcopy(model), deepcopy(ours.optimizer.state_dict())
        model.modes.clear()
        model.gradients.clear()
        first, second = ours.evaluate(valid), ours.evaluate(valid)
        expected = plain_loop(before, valid, window)
    same_weights(model, before, "after an evaluation")
    require(not any(model.modes), "the model ran in training mode while it was evaluated: dropout was on")
    require(not any(model.gradients), "gradients were on while the model was evaluated")
    same_number(first, expected, "the validation loss")
    same_number(second, expected, "the validation loss, asked again,")
    momentum = [state["momentum_buffer"] for state in ours.optimizer.state_dict()["state"].values()]
    for now, was in zip(momentum, steps["state"].values()):
        agree(now, was["momentum_buffer"], 0.0, "the optimizer's momentum, after an evaluation,")


@given(FEW, LENGTHS, WINDOWS, RATES, SEEDS)
def test_training_goes_on_after_an_evaluation(answer, b, length, window, rate, seed):
    """After an evaluation training goes on as if nothing had happened: its steps, its dropout, its chance."""
    model, rows = Reader(seed), text(b, length, seed)
    ours = trainer(answer, model, rate, window)
    chance = torch.get_rng_state()
    with FixedDropout():
        ours.evaluate(text(2, 6, seed + 1))
        require(torch.equal(torch.get_rng_state(), chance), "the evaluation changed the chance that training draws")
        require(torch.is_grad_enabled(), "gradients are off after the evaluation")
        require(model.training, "the model is in eval mode after the evaluation")
        twin = Reader(seed)
        twin.load_state_dict(model.state_dict())
        optimizer = torch.optim.SGD(twin.parameters(), lr=rate, momentum=0.5)
        optimizer.load_state_dict(deepcopy(ours.optimizer.state_dict()))
        model.eval()  # whoever has left it so: training switches back by itself
        loss = ours.train(rows)
        expected = plain_loop(twin, rows, window, optimizer)
    same_number(loss, expected, "the training loss after an evaluation")
    same_weights(model, twin, "after an evaluation and an epoch of training")
