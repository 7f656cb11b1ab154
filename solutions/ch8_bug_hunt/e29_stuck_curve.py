"""A training of a language model whose loss falls, and then stays where a table of word pairs would do.

To write: the repair. The program has one bug, a matter of a line or two; run the file to see it at work. Given: all of
it, and this may not change: `train`'s arguments, and what it returns; the model is right, too. Not allowed: attn_lab's
`batchify`, `windows` and `train_epoch`.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_lab import TransformerLanguageModel, corpora


def batchify(ids: Tensor, batch_size: int) -> Tensor:
    """The text (n) as columns (length batch), to be read side by side: each of them is a run of text."""
    length = len(ids) // batch_size
    return ids[: batch_size * length].view(batch_size, length).T.contiguous()


def windows(columns: Tensor, window: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets, `window` words of each column at a time; the target of a word is its successor."""
    # answer: the bug is here
    for start in range(0, len(columns) - 1, window):
        targets = columns[start + 1 : start + 1 + window]
        inputs = columns[start : start + len(targets)]
        # The columns have time first, and the model wants the batch first: each of its rows is a text. Turned round,
        # a "text" would be one word of each column, and nothing says so: shapes fit, and every target still is its
        # input's successor.
        yield inputs.T, targets.T
    # instead of:
    # for start in range(0, len(columns) - 1, window):
    #     targets = columns[start + 1 : start + 1 + window]
    #     inputs = columns[start : start + len(targets)]
    #     yield inputs, targets
    # end of answer


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, ids: Tensor, batch_size: int, window: int, n_epochs: int
) -> list[list[float]]:
    """Train a language model, a step for each window.

    Args:
        model: from ids (b n), a text in each row, to logits (b n v) of each next word.
        optimizer: of the model's weights.
        ids: the text, (n).
        batch_size: how many runs of the text are read side by side.
        window: how many words of each are read at a time; the last window of an epoch may be shorter.
        n_epochs: how often the text is read.

    Returns:
        For each epoch the loss of each window, in nats per word, before its step.
    """
    model.train()
    columns, losses = batchify(ids, batch_size), []
    for _ in range(n_epochs):
        epoch = []
        for inputs, targets in windows(columns, window):
            loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            epoch.append(loss.item())
        losses.append(epoch)
    return losses


def alone(ids: Tensor, length: int) -> float:
    """The entropy of the next word, in nats, given only the last one and its place in a sentence of `length` words."""
    v = int(ids.max()) + 1
    seen = ids[:-1] * length + torch.arange(len(ids) - 1) % length
    counts = torch.bincount(seen * v + ids[1:], minlength=v * v * length).view(v * length, v).double()
    p = counts / counts.sum(dim=1, keepdim=True).clamp_min(1)
    return -torch.special.xlogy(counts, p).sum().item() / len(ids)


def main() -> None:
    """Four epochs on sentences of seven words, whose entropy is known."""
    torch.manual_seed(0)
    corpus = corpora.load("toy")
    model = TransformerLanguageModel(len(corpus.vocabulary), d_model=64, nhead=2, d_hid=128, nlayers=1, dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for number, epoch in enumerate(train(model, optimizer, corpus.train, 30, 21, n_epochs=4), start=1):
        print(f"epoch {number}: mean loss {sum(epoch) / len(epoch):.2f} nats per word")
    print(f"from the last word and its place alone: {alone(corpus.train, 7):.2f}")
    print(f"the best possible: {corpus.entropy_floor:.2f}")


if __name__ == "__main__":
    main()
