"""Repairs of e31 that hide the bug or break something else, each with what a teacher would say; and right variants."""

import torch
import torch.nn.functional as F
from torch import nn

from attn_lab.checks.fixed_dropout import FixedDropout
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

BREAKS = "test_no_position_sees_the_future_in_any_epoch"
NOT_ALLOWED = ("attn_lab.training.loop.train_epoch",)
N_PROBES = 24


def causal(n):
    return torch.ones(n, n, dtype=torch.bool).tril()


def windows(rows, window):
    return list(zip(rows[:, :-1].split(window, dim=1), rows[:, 1:].split(window, dim=1)))


def training(mask=lambda window: lambda n: causal(n), cut=windows, accumulate=False, epochs=lambda n: n):
    """A training: `mask(window)` is a function from lengths to masks, and `cut` cuts the text into windows."""

    def train(model, optimizer, rows, window, n_epochs):
        model.train()
        mask_of, losses = mask(window), []
        for _ in range(epochs(n_epochs)):
            epoch = []
            for inputs, targets in cut(rows, window):
                loss = F.cross_entropy(model(inputs, mask_of(inputs.shape[1])).flatten(0, 1), targets.flatten())
                if not accumulate:
                    optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                epoch.append(loss.item())
            losses.append(epoch)
        return losses

    return train


def full_windows(rows, window):
    return [pair for pair in windows(rows, window) if pair[0].shape[1] == window]


def more_than_one_token(rows, window):
    return [pair for pair in windows(rows, window) if pair[0].shape[1] > 1 or window == 1]


def last_one_overlaps(rows, window):
    found = windows(rows, window)
    if len(found) > 1 and found[-1][0].shape[1] < window:
        found[-1] = rows[:, -window - 1 : -1], rows[:, -window:]
    return found


def last_one_padded(rows, window):
    missing = -(rows.shape[1] - 1) % window
    return windows(F.pad(rows, (0, missing)), window)


def all_true_if_short(window):
    return lambda n: causal(n) if n == window else torch.ones(n, n, dtype=torch.bool)


def lower_left_part(window):
    return lambda n: causal(window)[window - n :, :n]


def new_if_it_does_not_fit(window):
    kept = causal(window)

    def mask(n):
        nonlocal kept
        try:
            kept.expand(n, n)
        except RuntimeError:
            kept = causal(n)
        return kept

    return mask


def diagonal_if_short(window):
    return lambda n: causal(n) if n == window else torch.eye(n, dtype=torch.bool)


def first_epoch_for_the_rest(model, optimizer, rows, window, n_epochs):
    """The losses of the first epoch, again and again."""
    return training()(model, optimizer, rows, window, 1) * n_epochs


MISTAKES = (
    Mistake(
        "leaves out a last window that is short",
        "Its tokens are text as well: the short window wants a mask that fits, not to be left out.",
        caught_by="test_one_epoch_is_a_plain_loop",
        train=training(cut=full_windows),
    ),
    Mistake(
        "leaves out a last window of one token",
        "One token is text as well; and what happens to the mask in a window of two?",
        caught_by="test_one_epoch_is_a_plain_loop",
        train=training(cut=more_than_one_token),
    ),
    Mistake(
        "moves the last window back until it is full",
        "Some tokens are then learned twice in an epoch: each is a target once, and the last window is short.",
        caught_by="test_one_epoch_is_a_plain_loop",
        train=training(cut=last_one_overlaps),
    ),
    Mistake(
        "fills a short window up with the word 0",
        "The model then learns to predict words that are not in the text: give the short window a mask of its length.",
        caught_by="test_one_epoch_is_a_plain_loop",
        train=training(cut=last_one_padded),
    ),
    Mistake(
        "lets every position of a short window see all others",
        "Short windows have a future too: their mask is causal, of their own length.",
        caught_by="test_one_epoch_is_a_plain_loop",
        train=training(mask=all_true_if_short),
    ),
    Mistake(
        "lets each position of a short window see itself alone",
        "Short windows have a past too: their mask is causal, of their own length.",
        caught_by="test_one_epoch_is_a_plain_loop",
        train=training(mask=diagonal_if_short),
    ),
    Mistake(
        "cuts the mask of a short window from the lower left of the full one",
        "The first query stands in the full mask's first row: a causal mask of length n is its upper left part.",
        caught_by="test_one_epoch_is_a_plain_loop",
        train=training(mask=lower_left_part),
    ),
    Mistake(
        "makes a new mask only where the old one raises an error",
        "A mask of one True fits every window, since it broadcasts: a mask belongs to a length, so ask for the length.",
        caught_by=BREAKS,
        train=training(mask=new_if_it_does_not_fit),
    ),
    Mistake(
        "trains for one epoch",
        "The later epochs are wanted too: each window of theirs as it was in the first.",
        caught_by="test_so_are_several_where_the_windows_fit",
        train=training(epochs=lambda n: 1),
    ),
    Mistake(
        "trains for one epoch and returns its losses for the others",
        "The later epochs are wanted too: each window of theirs as it was in the first.",
        caught_by="test_it_trains",
        train=first_epoch_for_the_rest,
    ),
    Mistake(
        "lets gradients pile up from step to step",
        "zero_grad belongs to each step: else it is made of the gradients of all windows so far.",
        caught_by="test_one_epoch_is_a_plain_loop",
        train=training(accumulate=True),
    ),
)


def one_for_each_length(window):
    kept = {}
    return lambda n: kept.setdefault(n, causal(n))


def part_of_the_full_one(window):
    full = causal(window)
    return lambda n: full[:n, :n]


def new_if_the_length_differs(window):
    kept = causal(window)

    def mask(n):
        nonlocal kept
        if n != len(kept):
            kept = causal(n)
        return kept

    return mask


def one_for_each_epoch(model, optimizer, rows, window, n_epochs):
    return [training(mask=cut_and_kept)(model, optimizer, rows, window, 1)[0] for _ in range(n_epochs)]


def cut_and_kept(window):
    kept = causal(window)

    def mask(n):
        nonlocal kept
        kept = kept[:n, :n]
        return kept

    return mask


VARIANTS = (
    Variant("a new mask for each window", train=training()),
    Variant("a part of the full mask", train=training(mask=part_of_the_full_one)),
    Variant("a mask for each length, kept", train=training(mask=one_for_each_length)),
    Variant("a new mask whenever the length differs", train=training(mask=new_if_the_length_differs)),
    Variant("a new mask at the start of each epoch: only the last window is short", train=one_for_each_epoch),
    Variant("no mask: the model makes its own", train=training(mask=lambda window: lambda n: None)),
)


class Reader(nn.Module):
    """A small model whose positions are means of those that they may see; it keeps how it was run."""

    def __init__(self, seed):
        super().__init__()
        self.embedding, self.dropout, self.decoder = nn.Embedding(6, 4), nn.Dropout(0.2), nn.Linear(4, 6)
        self.runs = []
        fill_parameters(self.double(), seed)

    def forward(self, ids, mask=None):
        n = ids.shape[1]
        mask = causal(n) if mask is None else mask.expand(n, n)
        self.runs.append((self.training, ids.tolist(), mask.tolist()))
        mixed = (mask / mask.sum(dim=1, keepdim=True)).double() @ self.embedding(ids)
        return self.decoder(self.dropout(mixed))


def observe(answer, seed):
    """Last windows of every length, one epoch or several; what the model was given counts too."""
    b, length, window = ((2, 8, 3), (3, 5, 3), (1, 7, 4), (2, 6, 100), (2, 4, 1), (1, 6, 4), (2, 7, 3), (2, 8, 4))[
        seed % 8
    ]
    rows = torch.randint(6, (b, length), generator=torch.Generator().manual_seed(seed))
    model = Reader(seed).train(seed % 2 == 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.5)

    def used(rows):
        losses = answer.train(model, optimizer, rows, window, 1 + seed % 3)
        return {"losses": losses, "runs": model.runs, "weights": [w.detach() for w in model.parameters()]}

    torch.manual_seed(seed)
    with torch.enable_grad(), FixedDropout():
        return behaviour(used, rows)
