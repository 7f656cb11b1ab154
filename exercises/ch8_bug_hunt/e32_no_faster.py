"""A training on a device of one's choice: it runs wherever it is sent, and is no faster on a GPU than without one.

To write: the repair. The program has one bug, a matter of a line or two; run the file to see it at work. Given: all of
it, and this may not change: `train`'s arguments, and what it returns. Not allowed: attn_lab's `train_epoch`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_lab import TransformerLanguageModel, corpora
from attn_lab.training import batchify, windows


def device_of(model: nn.Module) -> torch.device:
    """Where the model's weights are: its inputs must be there too."""
    return next(model.parameters()).device


def train(
    model: nn.Module, rows: Tensor, window: int, n_epochs: int, device: torch.device | str, lr: float = 1e-2
) -> Tensor:
    """Train a language model on a device, with Adam, a step for each window; afterwards its weights are there.

    Args:
        model: from ids (b n) to logits (b n v).
        rows: the text in rows (batch length), wherever it is.
        window: how many words the model sees at a time; the last window of an epoch may be shorter.
        n_epochs: how often the text is read.
        device: where the work is done.
        lr: the learning rate.

    Returns:
        The loss of each step, in nats per word, before the step; on the device, so that no step waits for a number.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.to(device)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr)
    rows = rows.to(device_of(model))
    losses = []
    for _ in range(n_epochs):
        for inputs, targets in windows(rows, window):
            loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    return torch.stack(losses)


def kibibytes(model: nn.Module, kind: str) -> float:
    """How much of the model, its gradients too, is on devices of this kind ("cpu", "cuda", …)."""
    tensors = [t for w in model.parameters() for t in (w, w.grad) if t is not None] + list(model.buffers())
    return sum(t.numel() * t.element_size() for t in tensors if t.device.type == kind) / 2**10


def main() -> None:
    """Train on a GPU if there is one; else on "meta", a device that all computers have, and that keeps no numbers."""
    torch.manual_seed(0)
    corpus = corpora.load("toy")
    model = TransformerLanguageModel(len(corpus.vocabulary), d_model=32, nhead=2, d_hid=64, nlayers=1, max_len=64)
    kind = "cuda" if torch.cuda.is_available() else "meta"
    losses = train(model, batchify(corpus.train, 50), 21, n_epochs=2, device=kind)
    print(f"asked for: {kind}")
    print(f"{len(losses)} steps; the losses are on: {losses.device.type}")
    for place in (kind, "cpu"):
        print(f"weights and gradients on {place}: {kibibytes(model, place):.0f} KiB")


if __name__ == "__main__":
    main()
