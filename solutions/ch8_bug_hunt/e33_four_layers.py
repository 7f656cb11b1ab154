"""A language model of four layers, each of which should learn something of its own: after training, all four are alike.

To write: the repair. The program has one bug, a matter of a line or two; run the file to see it at work. Given: all of
it, and this may not change: `Encoder`'s two arguments and its `blocks`, and that it leaves the block that it is given
as it is. Not allowed: attn_lab's `TransformerEncoder`.
"""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_lab import TransformerLanguageModel, corpora
from attn_lab.training import batchify, windows


class Encoder(nn.Module):
    """A stack of blocks, each with weights of its own.

    Args:
        block: what a layer looks like, called as `block(x, mask)`; it is built of PyTorch's layers.
        n_blocks: how many layers.
    """

    def __init__(self, block: nn.Module, n_blocks: int) -> None:
        super().__init__()
        # answer: the bug is here
        self.blocks = nn.ModuleList([deepcopy(block) for _ in range(n_blocks)])

        # A deep copy has weights of its own, and they begin with the very numbers of the block that was copied. Equal
        # layers get nearly equal gradients, and stay alike. So each draws its weights anew, the way its kind does.
        for layer in self.blocks:
            for part in layer.modules():
                if hasattr(part, "reset_parameters"):
                    part.reset_parameters()
        # instead of:
        # # A list of one block n times would be one layer, n times over: each needs weights of its own.
        # self.blocks = nn.ModuleList([deepcopy(block) for _ in range(n_blocks)])
        # end of answer

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Every block in turn, under the same mask."""
        for block in self.blocks:
            x = block(x, mask)
        return x


def train(model: nn.Module, rows: Tensor, window: int, n_epochs: int, lr: float = 3e-3) -> list[float]:
    """Train on a text in rows (batch length); returns the mean loss of each epoch, in nats per word."""
    optimizer = torch.optim.Adam(model.parameters(), lr)
    losses = []
    for _ in range(n_epochs):
        epoch = []
        for inputs, targets in windows(rows, window):
            loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            epoch.append(loss.item())
        losses.append(sum(epoch) / len(epoch))
    return losses


def likeness(model: nn.Module) -> Tensor:
    """How alike the layers' matrices are, (layer layer): 1 for the same numbers, 0 for unrelated ones."""
    blocks = model.encoder.blocks
    weights = [torch.cat([w.detach().flatten() for w in block.parameters() if w.ndim == 2]) for block in blocks]
    return torch.corrcoef(torch.stack(weights))


def main() -> None:
    """Train four layers, and compare what they have learned."""
    torch.manual_seed(0)
    corpus = corpora.load("toy")
    model = TransformerLanguageModel(
        len(corpus.vocabulary), d_model=32, nhead=2, d_hid=64, nlayers=4, dropout=0.0, encoder=Encoder
    )
    for number, loss in enumerate(train(model, batchify(corpus.train, 50), 21, n_epochs=4), start=1):
        print(f"epoch {number}: mean loss {loss:.2f} nats per word")
    print("how alike the four layers' weights are (1: the same, 0: nothing in common):")
    for row in likeness(model).tolist():
        print(*(f"{value:5.2f}" for value in row))


if __name__ == "__main__":
    main()
