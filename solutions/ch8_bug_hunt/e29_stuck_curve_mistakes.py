"""Repairs of e29 that hide the bug or break something else, each with what a teacher would say; and right variants."""

import torch
import torch.nn.functional as F
from torch import nn

from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

BREAKS = "test_each_row_that_the_model_reads_is_a_run_of_text"
NOT_ALLOWED = (
    "attn_lab.training.batches.batchify",
    "attn_lab.training.batches.windows",
    "attn_lab.training.loop.train_epoch",
)
N_PROBES = 12


def rows_of(ids, batch_size):
    """Runs of text, (batch length)."""
    length = len(ids) // batch_size
    return ids[: batch_size * length].view(batch_size, length)


def windows(rows, window):
    return list(zip(rows[:, :-1].split(window, dim=1), rows[:, 1:].split(window, dim=1)))


def training(cut, read=lambda model, inputs: model(inputs), accumulate=False):
    """A training: `cut(ids, batch_size, window)` gives the windows, and `read` asks the model."""

    def train(model, optimizer, ids, batch_size, window, n_epochs):
        model.train()
        losses = []
        for _ in range(n_epochs):
            epoch = []
            for inputs, targets in cut(ids, batch_size, window):
                loss = F.cross_entropy(read(model, inputs).flatten(0, 1), targets.flatten())
                if not accumulate:
                    optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                epoch.append(loss.item())
            losses.append(epoch)
        return losses

    return train


def right(ids, batch_size, window):
    return windows(rows_of(ids, batch_size), window)


def time_first(ids, batch_size, window):
    return [(inputs.T, targets.T) for inputs, targets in right(ids, batch_size, window)]


def inputs_turned(ids, batch_size, window):
    return [(inputs, targets.T) for inputs, targets in right(ids, batch_size, window)]


def targets_turned(ids, batch_size, window):
    return [(inputs.T, targets) for inputs, targets in right(ids, batch_size, window)]


def reshaped(ids, batch_size, window):
    return [tuple(x.T.reshape(x.shape) for x in pair) for pair in right(ids, batch_size, window)]


def one_row(ids, batch_size, window):
    return windows(ids[None, : len(ids) // batch_size * batch_size], window)


def one_row_at_a_time(ids, batch_size, window):
    return [pair for row in rows_of(ids, batch_size) for pair in windows(row[None], window)]


def every_nth_word(ids, batch_size, window):
    """Row r is the words r, r + b, r + 2b, …"""
    length = len(ids) // batch_size
    return windows(ids[: batch_size * length].view(length, batch_size).T, window)


def sizes_swapped(ids, batch_size, window):
    length = len(ids) // batch_size
    rows = rows_of(ids, batch_size).T.reshape(batch_size, length)
    return windows(rows, window)


def full_only(ids, batch_size, window):
    found = right(ids, batch_size, window)
    return [pair for pair in found if pair[0].shape[1] == window] or found[:1]


def wrapped(ids, batch_size, window):
    """Each row's last word is followed by its first."""
    rows = rows_of(ids, batch_size)
    return list(zip(rows.split(window, dim=1), rows.roll(-1, dims=1).split(window, dim=1)))


MISTAKES = (
    Mistake(
        "turns the inputs, and leaves the targets as they were",
        "The loss sees both as one long list: they must be turned together, or each word is compared with a stranger.",
        caught_by="test_a_model_without_memory_learns_the_pairs",
        train=training(inputs_turned),
    ),
    Mistake(
        "turns the targets, and leaves the inputs as they were",
        "The loss sees both as one long list: they must be turned together, or each word is compared with a stranger.",
        caught_by="test_a_model_without_memory_learns_the_pairs",
        train=training(targets_turned),
    ),
    Mistake(
        "turns the logits, and not what the model is given",
        "By then the model has read across the rows: it is its inputs that must be turned, and the targets with them.",
        caught_by="test_a_model_without_memory_learns_the_pairs",
        train=training(time_first, read=lambda model, inputs: model(inputs).transpose(0, 1)),
    ),
    Mistake(
        "reshapes each window to (b n) instead of turning it",
        "reshape fills the rows in the order of memory, one word of each run after the other: an axis is turned by .T.",
        caught_by=BREAKS,
        train=training(reshaped),
    ),
    Mistake(
        "reshapes the whole text to (batch length) instead of turning it",
        "reshape fills the rows in the order of memory, one word of each run after the other: an axis is turned by .T.",
        caught_by="test_a_loss_for_each_window",
        train=training(sizes_swapped),
    ),
    Mistake(
        "reads the text as a single row",
        "Side by side is right, and faster: it is which axis the runs lie along that matters.",
        caught_by="test_a_loss_for_each_window",
        train=training(one_row),
    ),
    Mistake(
        "reads one row after the other",
        "That is another training, of smaller steps: the rows are read side by side, as a batch.",
        caught_by="test_a_loss_for_each_window",
        train=training(one_row_at_a_time),
    ),
    Mistake(
        "takes every b-th word for a row",
        "A row is a run of neighbouring words: the text is cut into b pieces, not dealt out like cards.",
        caught_by="test_a_model_without_memory_learns_the_pairs",
        train=training(every_nth_word),
    ),
    Mistake(
        "leaves out a last window that is short",
        "Its words are text as well: a short window is a window.",
        caught_by="test_a_loss_for_each_window",
        train=training(full_only),
    ),
    Mistake(
        "lets the first word of a row follow its last",
        "A row's last word has no successor in the row: it is a target and no input.",
        caught_by="test_a_model_without_memory_learns_the_pairs",
        train=training(wrapped),
    ),
    Mistake(
        "lets gradients pile up from step to step",
        "zero_grad belongs to each step: else it is made of the gradients of all windows so far.",
        caught_by="test_a_model_without_memory_learns_the_pairs",
        train=training(right, accumulate=True),
    ),
)

VARIANTS = (
    Variant("rows from the beginning, cut along the second axis", train=training(right)),
    Variant(
        "time first all the way, turned for the model and back",
        train=training(time_first, read=lambda model, inputs: model(inputs.T).transpose(0, 1)),
    ),
    Variant(
        "contiguous copies",
        train=training(lambda *cut: [tuple(x.T.contiguous().T for x in pair) for pair in right(*cut)]),
    ),
)


class Reader(nn.Module):
    """A small model with a memory; it keeps what it is given."""

    def __init__(self, seed):
        super().__init__()
        self.embedding, self.decoder = nn.Embedding(6, 4), nn.Linear(4, 6)
        self.runs = []
        fill_parameters(self.double(), seed)

    def forward(self, ids):
        self.runs.append((self.training, ids.tolist()))
        return self.decoder(self.embedding(ids).cumsum(dim=1))


def observe(answer, seed):
    """Batches and windows of equal and unequal sizes, and of one; what the model was given counts too."""
    b, length, window = ((2, 8, 3), (3, 7, 3), (1, 7, 4), (4, 6, 100), (2, 4, 1), (2, 5, 2))[seed % 6]
    ids = torch.randint(6, (b * length + seed % b,), generator=torch.Generator().manual_seed(seed))
    model = Reader(seed).train(seed % 2 == 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.5)

    def used(ids):
        losses = answer.train(model, optimizer, ids, b, window, 1 + seed % 2)
        return {"losses": losses, "runs": model.runs, "weights": [w.detach() for w in model.parameters()]}

    torch.manual_seed(seed)
    with torch.enable_grad():
        return behaviour(used, ids)
