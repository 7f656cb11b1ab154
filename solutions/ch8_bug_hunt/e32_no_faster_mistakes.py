"""Repairs of e32 that hide the bug or break something else, each with what a teacher would say; and right variants."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

BREAKS = "test_all_work_is_done_on_the_device_that_was_asked_for"
NOT_ALLOWED = ("attn_lab.training.loop.train_epoch",)
N_PROBES = 12


def loop(model, optimizer, rows, window, n_epochs, place=lambda x: x, keep=lambda loss: loss.detach(), step=True):
    """The losses of a training, in a list; `place` acts on inputs and targets."""
    model.train()
    losses = []
    for _ in range(n_epochs):
        for inputs, targets in zip(rows[:, :-1].split(window, dim=1), rows[:, 1:].split(window, dim=1)):
            loss = F.cross_entropy(model(place(inputs)).flatten(0, 1), place(targets).flatten())
            optimizer.zero_grad()
            loss.backward()
            if step:
                optimizer.step()
            losses.append(keep(loss))
    return losses


def adam(model, lr):
    return torch.optim.Adam(model.parameters(), lr)


def losses_moved(model, rows, window, n_epochs, device, lr=1e-2):
    return torch.stack(loop(model, adam(model, lr), rows, window, n_epochs)).to(device)


def moved_afterwards(model, rows, window, n_epochs, device, lr=1e-2):
    losses = torch.stack(loop(model, adam(model, lr), rows, window, n_epochs))
    model.to(device)
    return losses.to(device)


def text_moved(model, rows, window, n_epochs, device, lr=1e-2):
    return torch.stack(loop(model, adam(model, lr), rows.to(device), window, n_epochs))


def model_moved(model, rows, window, n_epochs, device, lr=1e-2):
    model.to(device)
    return torch.stack(loop(model, adam(model, lr), rows, window, n_epochs))


def logits_brought_back(model, rows, window, n_epochs, device, lr=1e-2):
    """The inputs are moved, and the logits moved back to the targets."""
    model.to(device)
    optimizer, losses = adam(model, lr), []
    model.train()
    for _ in range(n_epochs):
        for inputs, targets in zip(rows[:, :-1].split(window, dim=1), rows[:, 1:].split(window, dim=1)):
            logits = model(inputs.to(device)).to(targets.device)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    return torch.stack(losses)


def copy_trained(model, rows, window, n_epochs, device, lr=1e-2):
    model = deepcopy(model).to(device)
    return torch.stack(loop(model, adam(model, lr), rows.to(device), window, n_epochs))


def optimizer_first(model, rows, window, n_epochs, device, lr=1e-2):
    optimizer = adam(model, lr)
    model.to(device)
    return torch.stack(loop(model, optimizer, rows.to(device), window, n_epochs))


def numbers_read(model, rows, window, n_epochs, device, lr=1e-2):
    model.to(device)
    return torch.tensor(loop(model, adam(model, lr), rows.to(device), window, n_epochs, keep=lambda loss: loss.item()))


def graphs_kept(model, rows, window, n_epochs, device, lr=1e-2):
    model.to(device)
    return torch.stack(loop(model, adam(model, lr), rows.to(device), window, n_epochs, keep=lambda loss: loss))


def single_precision(model, rows, window, n_epochs, device, lr=1e-2):
    model.to(device, torch.float32)
    return torch.stack(loop(model, adam(model, lr), rows.to(device), window, n_epochs))


def no_step(model, rows, window, n_epochs, device, lr=1e-2):
    model.to(device)
    return torch.stack(loop(model, adam(model, lr), rows.to(device), window, n_epochs, step=False))


def one_epoch(model, rows, window, n_epochs, device, lr=1e-2):
    model.to(device)
    return torch.stack(loop(model, adam(model, lr), rows.to(device), window, 1))


MISTAKES = (
    Mistake(
        "moves the losses, after all work is done elsewhere",
        "It is the work that should be done on the device, not its record: where are the weights?",
        caught_by=BREAKS,
        train=losses_moved,
    ),
    Mistake(
        "moves the model when the training is over",
        "The weights must be there before the first step: where is the work done?",
        caught_by=BREAKS,
        train=moved_afterwards,
    ),
    Mistake(
        "moves the text, and not the model",
        "Weights and inputs must be on one device: on a GPU this raises an error in the first step.",
        caught_by=BREAKS,
        train=text_moved,
    ),
    Mistake(
        "moves the model and the inputs, and takes the logits back to the targets",
        "Each step then waits for its logits: the targets should go where the logits are.",
        caught_by=BREAKS,
        train=logits_brought_back,
    ),
    Mistake(
        "trains a copy of the model",
        "The model that was given learns nothing: move it itself, model.to(device) does that in place.",
        caught_by="test_on_the_cpu_it_is_a_plain_loop",
        train=copy_trained,
    ),
    Mistake(
        "makes the optimizer before the model is moved",
        "Moving may make new parameters, and the optimizer would go on with the old ones: first move, then make it.",
        caught_by=BREAKS,
        train=optimizer_first,
    ),
    Mistake(
        "reads each loss as a Python number",
        "loss.item() waits for the device in every step: keep loss.detach(), and read the numbers at the end.",
        caught_by=BREAKS,
        train=numbers_read,
    ),
    Mistake(
        "keeps the graphs of all steps",
        "A loss that is kept with its graph keeps everything that led to it in memory: loss.detach().",
        caught_by="test_a_loss_for_each_step",
        train=graphs_kept,
    ),
    Mistake(
        "changes the weights' precision on the way",
        "A device was asked for, not another dtype: the weights keep theirs.",
        caught_by="test_on_the_cpu_it_is_a_plain_loop",
        train=single_precision,
    ),
    Mistake(
        "takes no step",
        "The model must still learn: optimizer.step() after loss.backward().",
        caught_by="test_on_the_cpu_it_is_a_plain_loop",
        train=no_step,
    ),
    Mistake(
        "trains for one epoch",
        "The text is to be read n_epochs times.",
        caught_by="test_a_loss_for_each_step",
        train=one_epoch,
    ),
)


def windows_moved(model, rows, window, n_epochs, device, lr=1e-2):
    model.to(device)
    return torch.stack(loop(model, adam(model, lr), rows, window, n_epochs, place=lambda x: x.to(device)))


def result_kept(model, rows, window, n_epochs, device, lr=1e-2):
    model, rows = model.to(device), rows.to(device)
    return torch.stack(loop(model, adam(model, lr), rows, window, n_epochs, keep=lambda loss: loss.detach().clone()))


def part_by_part(model, rows, window, n_epochs, device, lr=1e-2):
    for part in model.children():
        part.to(device)
    for name, buffer in list(model.named_buffers(recurse=False)):
        setattr(model, name, buffer.to(device))
    for name, weight in list(model.named_parameters(recurse=False)):
        setattr(model, name, nn.Parameter(weight.detach().to(device)))
    return torch.stack(loop(model, adam(model, lr), rows.to(device), window, n_epochs))


VARIANTS = (
    Variant("each window moved when it is read", train=windows_moved),
    Variant("what `to` returns is kept for both", train=result_kept),
    Variant("part by part", train=part_by_part),
)


class Reader(nn.Module):
    """A small model with a table that is not learned; it keeps where it ran."""

    def __init__(self, seed):
        super().__init__()
        self.embedding, self.dropout, self.decoder = nn.Embedding(6, 4), nn.Dropout(0.2), nn.Linear(4, 6)
        self.register_buffer("places", torch.arange(40.0).view(10, 4).sin())
        self.runs = []
        fill_parameters(self.double(), seed)

    def forward(self, ids):
        self.runs.append((self.training, tuple(ids.shape), ids.device.type, self.decoder.weight.device.type))
        x = self.embedding(ids).cumsum(dim=1) + self.places[: ids.shape[1]]
        return self.decoder(self.dropout(x))


def observe(answer, seed):
    """On the CPU and on "meta": the losses, the weights, and where everything lies."""
    b, length, window = ((2, 8, 3), (3, 4, 3), (1, 7, 4), (2, 6, 100), (2, 4, 1))[seed % 5]
    device, n_epochs = ("cpu", "meta")[seed % 2], 1 + seed // 2 % 2
    rows = torch.randint(6, (b, length), generator=torch.Generator().manual_seed(seed))
    model, optimizers = Reader(seed), []

    def used(rows):
        try:
            losses = answer.train(model, rows, window, n_epochs, device, 0.1)
        except (RuntimeError, NotImplementedError) as error:  # PyTorch's own, for what does not lie together
            return {"raises": type(error).__name__, "runs": model.runs}
        tensors = [*model.parameters(), *model.buffers(), losses]
        stepped = [{id(w) for group in o.param_groups for w in group["params"]} for o in optimizers]
        return {
            "runs": model.runs,
            "places": [tensor.device.type for tensor in tensors],
            "shape": tuple(losses.shape),
            "dtypes": [tensor.dtype for tensor in tensors],
            "graph": losses.requires_grad,
            "steps": [ids == {id(w) for w in model.parameters()} for ids in stepped],
            "values": [t.detach().clone() for t in tensors if t.device.type == "cpu"],
            "gradients": [w.grad is None or w.grad.device.type for w in model.parameters()],
        }

    torch.manual_seed(seed)
    hook = register_optimizer_step_pre_hook(lambda optimizer, *_: optimizers.append(optimizer))
    try:
        with torch.enable_grad(), FixedDropout():
            return behaviour(used, rows)
    finally:
        hook.remove()
