"""A trainer, and a validation loss that does not hold still: the same model, asked five times, gives five numbers.

To write: the repair. The program has one bug, a matter of a line or two; run the file to see it at work. Given: all of
it, and this may not change: `Trainer`'s three arguments, and what `train` and `evaluate` take and return. Not allowed:
attn_lab's `evaluate` and `train_epoch`.
"""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_lab import TransformerLanguageModel, corpora
from attn_lab.training import batchify, windows


class Trainer:
    """A model and what is done with it, a whole text at a time: the text is in rows (batch length), read in windows."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, window: int) -> None:
        self.model, self.optimizer, self.window = model, optimizer, window

    def train(self, rows: Tensor) -> float:
        """Learn from the text, a step for each window; returns the loss per token, each before its step."""
        self.model.train()
        return mean(self.losses(rows))

    def evaluate(self, rows: Tensor) -> float:
        """The loss per token of a text that is not learned from. Training may go on afterwards."""
        # answer: the bug is here
        self.model.eval()
        # `losses` is a generator: calling it runs not one line of it. So the sum, which runs it, must be taken here,
        # before the mode is put back. Else every window meets a model in training mode, which drops and learns.
        loss = mean(self.losses(rows))
        self.model.train()
        return loss
        # instead of:
        # self.model.eval()
        # losses = self.losses(rows)
        # self.model.train()
        # return mean(losses)
        # end of answer

    def losses(self, rows: Tensor) -> Iterator[tuple[Tensor, int]]:
        """The loss of each window, summed over its tokens, and their number; in training mode the model learns."""
        for inputs, targets in windows(rows, self.window):
            with torch.set_grad_enabled(self.model.training):
                logits = self.model(inputs)
                loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
            if self.model.training:
                self.optimizer.zero_grad()
                (loss / targets.numel()).backward()
                self.optimizer.step()
            yield loss.detach(), targets.numel()


def mean(losses: Iterable[tuple[Tensor, int]]) -> float:
    """Per token, whatever the windows' lengths."""
    total, n_tokens = 0.0, 0
    for loss, n in losses:
        total, n_tokens = total + loss.item(), n_tokens + n
    return total / n_tokens


def main() -> None:
    """Two epochs, and then the same question five times."""
    torch.manual_seed(0)
    corpus = corpora.load("toy")
    model = TransformerLanguageModel(len(corpus.vocabulary), d_model=16, nhead=2, d_hid=32, nlayers=1, dropout=0.2)
    trainer = Trainer(model, torch.optim.Adam(model.parameters(), lr=3e-3), window=35)
    train, valid = batchify(corpus.train, 50), batchify(corpus.valid, 10)
    for epoch in (1, 2):
        print(f"epoch {epoch}: training {trainer.train(train):.3f}, validation {trainer.evaluate(valid):.3f}")
    for _ in range(5):
        print(f"the same model again: validation {trainer.evaluate(valid):.3f}")


if __name__ == "__main__":
    main()
