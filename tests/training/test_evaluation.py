"""Evaluation: a mean over tokens, in eval mode, that changes nothing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from attn_lab.training import batchify, evaluate


class Bigram(nn.Module):
    """Logits from the token alone, so that windows do not matter; random in training."""

    def __init__(self, types: int = 9) -> None:
        super().__init__()
        self.table = nn.Embedding(types, types, dtype=torch.float64)
        self.dropout = nn.Dropout(0.9)

    def forward(self, ids: Tensor) -> Tensor:
        return self.dropout(self.table(ids))


@given(st.integers(1, 4), st.integers(2, 30), st.integers(1, 35), st.integers(0, 2**31))
def test_the_loss_is_the_mean_over_tokens(batch: int, length: int, window: int, seed: int) -> None:
    """Catches a mean of window means (the last window is short), dropout left on, the first token predicted."""
    torch.manual_seed(seed)
    model, batched = Bigram(), torch.randint(9, (batch, length))
    log_p = model.table.weight.detach().log_softmax(dim=-1)
    losses = [-log_p[row[t], row[t + 1]].item() for row in batched for t in range(length - 1)]
    assert evaluate(model, batched, window) == pytest.approx(sum(losses) / len(losses), rel=1e-12)


def test_the_mode_is_put_back_and_no_gradient_is_kept() -> None:
    """Catches an evaluation that trains, or that leaves the model in eval mode for the next epoch."""
    model = Bigram()
    before = model.table.weight.detach().clone()
    for training in (True, False):
        model.train(training)
        evaluate(model, batchify(torch.randint(9, (50,)), 2), 7)
        assert model.training is training
    assert model.table.weight.grad is None
    assert torch.equal(model.table.weight, before)


def test_the_mode_is_put_back_after_an_error() -> None:
    """Catches a model left in eval mode by an evaluation that failed."""
    model = Bigram().train()
    with pytest.raises(IndexError):
        evaluate(model, torch.full((2, 5), 99), 3)
    assert model.training
