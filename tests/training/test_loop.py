"""The taught loop, against one written out by hand."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from attn_lab.training.loop import cross_entropy, train_epoch


class Bigram(nn.Module):
    """Logits of the next token from this one, and a layer that behaves differently in training."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 7, dtype=torch.float64)
        self.dropout = nn.Dropout(0.5)
        self.modes: list[bool] = []

    def forward(self, ids: Tensor) -> Tensor:
        self.modes.append(self.training)
        return self.table(ids)


def batches(n: int) -> list[tuple[Tensor, Tensor]]:
    source = torch.Generator().manual_seed(3)
    return [tuple(torch.randint(7, (2, 4, 5), generator=source)) for _ in range(n)]


def written_out(
    weight: Tensor, data: list[tuple[Tensor, Tensor]], lr: float, clip: float
) -> tuple[Tensor, list[float]]:
    """The same steps with the gradient of softmax cross-entropy in closed form: p - onehot."""
    weight, losses = weight.clone(), []
    for inputs, targets in data:
        gradient, loss = torch.zeros_like(weight), 0.0
        pairs = list(zip(inputs.flatten().tolist(), targets.flatten().tolist()))
        for i, t in pairs:
            p = weight[i].exp() / weight[i].exp().sum()
            loss -= math.log(p[t])
            gradient[i] += p / len(pairs)
            gradient[i, t] -= 1 / len(pairs)
        norm = math.sqrt(float((gradient**2).sum()))
        if norm > clip:
            gradient *= clip / (norm + 1e-6)  # torch's guard against division by zero
        weight -= lr * gradient
        losses.append(loss / len(pairs))
    return weight, losses


@pytest.mark.parametrize("clip", [0.01, 100.0])
def test_steps_equal_the_written_out_ones(clip: float) -> None:
    """Catches gradients that accumulate, clipping before backward or by value, a step before backward."""
    model, data = Bigram(), batches(4)
    expected, expected_losses = written_out(model.table.weight.detach(), data, lr=3.0, clip=clip)
    optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
    losses = [loss.item() for loss in train_epoch(model, data, optimizer, clip=clip)]
    torch.testing.assert_close(model.table.weight.detach(), expected, rtol=0, atol=1e-12)
    assert losses == pytest.approx(expected_losses, abs=1e-12)


def test_every_step_trains() -> None:
    """Catches a loop that goes on in eval mode after the caller evaluated between two steps."""
    model = Bigram()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in train_epoch(model, batches(3), optimizer, clip=1.0):
        model.eval()
    assert model.modes == [True, True, True]


def test_the_loss_holds_no_graph() -> None:
    """Catches a loss kept with its graph: a caller that collects losses would run out of memory."""
    model = Bigram()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert not any(loss.requires_grad for loss in train_epoch(model, batches(2), optimizer, clip=1.0))


def test_the_caller_may_stop_between_steps() -> None:
    """Catches a loop that does more than it was asked for: a checkpoint would be of another step."""
    model, data = Bigram(), batches(3)
    twin = copy.deepcopy(model)
    next(train_epoch(model, data, torch.optim.SGD(model.parameters(), lr=1.0), clip=1.0))
    list(train_epoch(twin, data[:1], torch.optim.SGD(twin.parameters(), lr=1.0), clip=1.0))
    assert torch.equal(model.table.weight, twin.table.weight)


def test_cross_entropy_of_known_probabilities() -> None:
    """Catches bits for nats, and targets matched to the wrong logits."""
    p = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]], dtype=torch.float64)
    targets = torch.tensor([[1, 2]])
    assert cross_entropy(p.log(), targets).item() == pytest.approx(-(math.log(0.25) + math.log(0.8)) / 2)
    assert cross_entropy(p.log(), targets, "sum").item() == pytest.approx(-(math.log(0.25) + math.log(0.8)))
