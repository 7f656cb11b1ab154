"""A training over several epochs: the first goes as it should, and from the second on the loss is too good to be true.

To write: the repair. The program has one bug, a matter of a line or two; run the file to see it at work. Given: all of
it, and this may not change: `train`'s arguments, and what it returns. Not allowed: attn_lab's `train_epoch`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_lab import TransformerLanguageModel, corpora, masks
from attn_lab.training import batchify, evaluate, windows


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, rows: Tensor, window: int, n_epochs: int
) -> list[list[float]]:
    """Train a language model, a step for each window.

    Args:
        model: from ids (b n) and a mask (n n), True where a position may see another, to logits (b n v).
        optimizer: of the model's weights.
        rows: the text in rows (batch length).
        window: how many tokens the model sees at a time; the last window of an epoch may be shorter.
        n_epochs: how often the text is read.

    Returns:
        For each epoch the loss of each window, in nats per token, before its step.
    """
    model.train()
    mask = masks.causal(window)
    losses = []
    for _ in range(n_epochs):
        epoch = []
        for inputs, targets in windows(rows, window):
            n = inputs.shape[1]
            if n < window:
                mask = mask[:n, :n]
            loss = F.cross_entropy(model(inputs, mask).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            epoch.append(loss.item())
        losses.append(epoch)
    return losses


def main() -> None:
    """Three epochs on sentences whose entropy is known, and a look at a text that was not learned from."""
    torch.manual_seed(0)
    corpus = corpora.load("toy")
    rows, window = batchify(corpus.train, 50)[:, :415], 7
    model = TransformerLanguageModel(len(corpus.vocabulary), d_model=32, nhead=2, d_hid=64, nlayers=1, dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    print(f"{rows.shape[0]} rows of {rows.shape[1]} tokens, in windows of {window}")
    for number, epoch in enumerate(train(model, optimizer, rows, window, n_epochs=3), start=1):
        print(f"epoch {number}: mean loss {sum(epoch) / len(epoch):.2f} nats per token")
    print(f"no model can do better than {corpus.entropy_floor:.2f} on this text")
    print(f"validation: {evaluate(model, batchify(corpus.valid, 10), window):.2f}")


if __name__ == "__main__":
    main()
