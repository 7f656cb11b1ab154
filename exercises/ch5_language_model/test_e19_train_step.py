"""What e19 train step must do, from the simplest property to the strictest."""

import copy
import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attn_lab.checks.cases import fill, generator
from attn_lab.checks.compare import agree, require
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import FEW, LENGTHS, SEEDS

V, D = 7, 4
NO_CLIP = 1e6
CLIPPED = 1e-5  # relative: PyTorch adds 1e-6 to the norm before it divides, and one need not


class Bigram(nn.Module):
    """A small model whose dropout is no chance: in training mode it doubles every other feature and hides the rest."""

    def __init__(self, seed):
        super().__init__()
        self.embedding = nn.Embedding(V, D, dtype=torch.float64)
        self.decoder = nn.Linear(D, V, dtype=torch.float64)
        self.modes = []
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(fill(generator(seed), *weight.shape))

    def forward(self, ids):
        self.modes.append(self.training)
        x = self.embedding(ids)
        return self.decoder(x * torch.tensor([2.0, 0.0, 2.0, 0.0]) if self.training else x)


def batch(b, n, seed):
    """Inputs and targets (b n), and others each time that they are asked for with another seed."""
    source = generator(seed)
    return torch.randint(V, (b, n), generator=source), torch.randint(V, (b, n), generator=source)


def sgd(model, lr=0.5, momentum=0.0):
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)


def loss_by_hand(model, inputs, targets):
    """The mean of -log p(target) over all tokens, one token at a time, in training mode."""
    logits = model.train()(inputs)
    places = [(i, j) for i in range(inputs.shape[0]) for j in range(inputs.shape[1])]
    return sum(torch.logsumexp(logits[p], 0) - logits[p][targets[p]] for p in places) / len(places)


def step_by_hand(model, inputs, targets, clip, velocity=None, lr=0.5, momentum=0.0):
    """What a step of SGD is, written out; `velocity` is where its momentum is kept from step to step."""
    weights = list(model.parameters())
    loss = loss_by_hand(model, inputs, targets)
    gradients = torch.autograd.grad(loss, weights)
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    shortened = [g * min(1.0, clip / norm) for g in gradients]
    velocity = {} if velocity is None else velocity
    with torch.no_grad():
        for k, (weight, gradient) in enumerate(zip(weights, shortened)):
            velocity[k] = momentum * velocity.get(k, 0.0) + gradient
            weight -= lr * velocity[k]
    return loss.detach(), norm


def same_weights(model, twin, tolerance, when):
    for (name, ours), theirs in zip(model.named_parameters(), twin.parameters()):
        agree(ours, theirs, tolerance, f"{name}, {when},")


@given(FEW, LENGTHS, SEEDS)
def test_the_loss_comes_back(answer, b, n, seed):
    """Returned is the mean of -log p(target) over all tokens, in training mode, before the step; a detached scalar."""
    model, (inputs, targets) = Bigram(seed), batch(b, n, seed)
    twin, given_ids = copy.deepcopy(model), (inputs.clone(), targets.clone())
    loss = answer.train_step(model, inputs, targets, sgd(model), NO_CLIP)
    require(isinstance(loss, torch.Tensor), f"train_step must return the loss, a tensor; got {type(loss).__name__}")
    agree(loss, loss_by_hand(twin, *given_ids).detach(), EXACT.tolerance, "the loss")
    require(not loss.requires_grad, "the loss must be detached: as it is, it keeps the whole graph of the batch alive")
    agree(inputs, given_ids[0], 0.0, "the inputs, after the step,", "b n")
    agree(targets, given_ids[1], 0.0, "the targets, after the step,", "b n")


@given(FEW, LENGTHS, SEEDS)
def test_the_model_is_in_training_mode(answer, b, n, seed):
    """Whatever mode the model was left in, the step runs it in training mode, once, and leaves it there."""
    model, (inputs, targets) = Bigram(seed).train(seed % 2 == 0), batch(b, n, seed)
    answer.train_step(model, inputs, targets, sgd(model), NO_CLIP)
    require(len(model.modes) == 1, f"the model must run once in a step; it ran {len(model.modes)} times")
    require(model.modes[0], "the model ran in eval mode: without dropout, it trains another model than it should")
    require(model.training, "the model must be in training mode after the step")


@given(FEW, LENGTHS, SEEDS)
def test_one_step_goes_down_the_gradient(answer, b, n, seed):
    """With a clip that is never reached, the weights are those of a step of SGD that is written out."""
    model, (inputs, targets) = Bigram(seed), batch(b, n, seed)
    twin = copy.deepcopy(model)
    answer.train_step(model, inputs, targets, sgd(model), NO_CLIP)
    step_by_hand(twin, inputs, targets, NO_CLIP)
    same_weights(model, twin, EXACT.tolerance, "after one step")


@given(FEW, LENGTHS, SEEDS, st.sampled_from((0.5, 0.1, 0.9)))
def test_a_long_gradient_is_shortened(answer, b, n, seed, share):
    """A gradient longer than `clip` is scaled to that norm, all parameters together; its direction stays."""
    model, (inputs, targets) = Bigram(seed), batch(b, n, seed)
    twin = copy.deepcopy(model)
    _, norm = step_by_hand(copy.deepcopy(model), inputs, targets, NO_CLIP)
    answer.train_step(model, inputs, targets, sgd(model), share * norm)
    step_by_hand(twin, inputs, targets, share * norm)
    same_weights(
        model, twin, CLIPPED, f"after a step with a gradient of norm {norm:.3g} and a clip of {share * norm:.3g}"
    )


@given(FEW, LENGTHS, SEEDS)
def test_gradients_do_not_accumulate(answer, b, n, seed):
    """Two steps on two batches in a row: the second goes by the gradient of the second batch alone."""
    model, twin = Bigram(seed), Bigram(seed)
    optimizer = sgd(model)
    for k in range(2):
        answer.train_step(model, *batch(b, n, seed + k), optimizer, NO_CLIP)
        step_by_hand(twin, *batch(b, n, seed + k), NO_CLIP)
    same_weights(model, twin, EXACT.tolerance, "after two steps")


@given(FEW, LENGTHS, SEEDS)
def test_gradients_from_elsewhere_do_not_count(answer, b, n, seed):
    """Somebody else has left gradients behind before the first step: they play no part in it."""
    model, (inputs, targets) = Bigram(seed), batch(b, n, seed)
    twin = copy.deepcopy(model)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    answer.train_step(model, inputs, targets, sgd(model), NO_CLIP)
    step_by_hand(twin, inputs, targets, NO_CLIP)
    same_weights(model, twin, EXACT.tolerance, "after a step")


@given(FEW, LENGTHS, SEEDS)
def test_the_step_is_the_optimizer_s(answer, b, n, seed):
    """The optimizer takes the step, with its learning rate and its memory: here SGD with momentum, three steps."""
    model, twin, velocity = Bigram(seed), Bigram(seed), {}
    optimizer = sgd(model, lr=0.2, momentum=0.9)
    for k in range(3):
        answer.train_step(model, *batch(b, n, seed + k), optimizer, NO_CLIP)
        step_by_hand(twin, *batch(b, n, seed + k), NO_CLIP, velocity, lr=0.2, momentum=0.9)
    same_weights(model, twin, EXACT.tolerance, "after three steps with momentum")
