"""What e20 perplexity must do, from the simplest property to the strictest."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, require
from attn_lab.checks.strategies import FEW, SEEDS

V, D = 7, 4
SIZES = st.sampled_from((8, 6, 3, 12, 2))
WINDOWS = st.sampled_from((3, 2, 5, 1, 100))
CLOSE = 1e-6  # relative: a sum may be kept in float32


class Reader(nn.Module):
    """A small model in float64 that keeps what it was given, in which mode, and whether gradients were on.

    `context`: what it says of the next token depends on all tokens so far in the window, not on the last one alone.
    In training mode it doubles every other feature and hides the rest: dropout, but without chance.
    """

    def __init__(self, seed, context):
        super().__init__()
        self.embedding = nn.Embedding(V, D, dtype=torch.float64)
        self.decoder = nn.Linear(D, V, dtype=torch.float64)
        self.context = context
        self.modes, self.gradients = [], []
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(fill(generator(seed), *weight.shape))

    def forward(self, ids):
        self.modes.append(self.training)
        self.gradients.append(torch.is_grad_enabled() and not torch.is_inference_mode_enabled())
        x = self.embedding(ids)
        if self.context:
            x = x.cumsum(dim=1)
        return self.decoder(x * torch.tensor([2.0, 0.0, 2.0, 0.0]) if self.training else x)


class KnowsNothing(nn.Module):
    """All tokens are equally probable."""

    def __init__(self):
        super().__init__()
        self.score = nn.Parameter(torch.tensor(3.0, dtype=torch.float64))

    def forward(self, ids):
        return self.score.expand(*ids.shape, V)


def text(b, length, seed):
    """A text in rows."""
    return torch.randint(V, (b, length), generator=generator(seed))


@torch.no_grad()
def by_hand(model, batched, window):
    """The perplexity, one target at a time, each with the tokens before it in its window."""
    model.eval()
    losses = []
    for row in batched:
        for target in range(1, batched.shape[1]):
            start = (target - 1) // window * window
            logits = model(row[None, start:target])[0, -1]
            losses.append(float(torch.logsumexp(logits, 0) - logits[row[target]]))
    return math.exp(math.fsum(losses) / len(losses))


def close(actual, expected, what):
    """Fails unless the answer is a number, and the right one."""
    require(isinstance(actual, float), f"perplexity must return a float; got {type(actual).__name__}")
    agree(torch.tensor(actual, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64), CLOSE, what)


@given(FEW, SIZES, WINDOWS, SEEDS)
def test_whoever_knows_nothing_hesitates_between_all_words(answer, b, length, window, seed):
    """Where all v words are equally probable, the perplexity is v."""
    actual = answer.perplexity(KnowsNothing(), text(b, length, seed), window)
    close(actual, float(V), f"the perplexity of a model that finds all {V} words equally probable")


@given(FEW, SIZES, WINDOWS, SEEDS)
def test_every_token_counts_once_and_equally(answer, b, length, window, seed):
    """For a model that sees the last token only, the windows do not matter: exp of the mean loss of the whole text."""
    model, batched = Reader(seed, context=False), text(b, length, seed)
    expected = by_hand(model, batched, 10**6)
    actual = answer.perplexity(model, batched, window)
    close(actual, expected, f"the perplexity of {b} rows of {length} tokens in windows of {window}")


@given(FEW, SIZES, WINDOWS, SEEDS)
def test_each_window_begins_anew(answer, b, length, window, seed):
    """A token is predicted from those before it in its window, and from no others."""
    model, batched = Reader(seed, context=True), text(b, length, seed)
    expected = by_hand(model, batched, window)
    actual = answer.perplexity(model, batched, window)
    close(actual, expected, f"the perplexity of {b} rows of {length} tokens in windows of {window}")


@given(SIZES, WINDOWS, SEEDS, st.booleans())
def test_runs_in_eval_mode_and_puts_the_mode_back(answer, length, window, seed, training):
    """While it reads, the model is in eval mode; afterwards it is in the mode in which it was."""
    model = Reader(seed, context=False).train(training)
    answer.perplexity(model, text(2, length, seed), window)
    require(len(model.modes) > 0, "the model was never asked")
    require(not any(model.modes), "the model ran in training mode: dropout must rest while it is judged")
    name = {True: "training", False: "eval"}
    now = name[model.training]
    require(model.training == training, f"the model was in {name[training]} mode before, and is in {now} mode after")


@given(SIZES, WINDOWS, SEEDS)
def test_no_gradients_are_kept(answer, length, window, seed):
    """Gradients are off while the model runs; its weights, their gradients and the text stay as they are."""
    model, batched = Reader(seed, context=True), text(2, length, seed)
    before, copy = [weight.detach().clone() for weight in model.parameters()], batched.clone()
    try:
        answer.perplexity(model, batched, window)
        require(torch.is_grad_enabled(), "gradients must be on again afterwards")
    finally:
        torch.set_grad_enabled(True)
    require(not any(model.gradients), "gradients were on while the model ran: they cost time and memory for nothing")
    for (name, weight), was in zip(model.named_parameters(), before):
        agree(weight, was, 0.0, f"{name}, after the evaluation,")
        require(weight.grad is None, f"{name} has a gradient after the evaluation")
        require(weight.requires_grad, f"{name} is cut off from training after the evaluation")
    agree(batched, copy, 0.0, "the text, after the evaluation,", "batch length")
