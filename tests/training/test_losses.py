"""What a step minimises: the chunked loss is the plain one, and a model of one's own is never gone around."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from attn_lab import TransformerLanguageModel
from attn_lab.training import recipe
from attn_lab.training.losses import ChunkedLoss, PlainLoss, loss_of


class Own(TransformerLanguageModel):
    """A model of one's own that inherits `hidden`, which is not what it computes."""

    def forward(self, src: Tensor, src_mask: Tensor | None = None) -> Tensor:
        return -super().forward(src, src_mask)


@given(
    b=st.integers(1, 3),
    n=st.integers(1, 6),
    tied=st.booleans(),
    norm_first=st.booleans(),
    seed=st.integers(0, 999),
)
def test_both_losses_are_the_same(b: int, n: int, tied: bool, norm_first: bool, seed: int) -> None:
    """Catches a gradient that misses the embedding's share of a tied weight, the norm, or the output layer's bias."""
    torch.manual_seed(seed)
    model = TransformerLanguageModel(11, 8, 2, 6, 2, 0.0, tie_weights=tied, norm_first=norm_first).double()
    inputs, targets = torch.randint(11, (2, b, n))
    losses = [PlainLoss(model)(inputs, targets), ChunkedLoss(model)(inputs, targets)]
    one, other = (torch.autograd.grad(loss, list(model.parameters())) for loss in losses)
    torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=1e-12)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_autocast_reaches_into_the_chunks() -> None:
    """Catches a product with the vocabulary, most of the work, that stays in float32 under autocast."""
    model = TransformerLanguageModel(50, 8, 2, 6, 2, 0.0)
    inputs, targets = torch.randint(50, (2, 3, 5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain, chunked = (loss(inputs, targets) for loss in (PlainLoss(model), ChunkedLoss(model)))
    assert chunked.dtype == torch.float32
    torch.testing.assert_close(chunked, plain, rtol=1e-2, atol=0)
    assert chunked.item() != ChunkedLoss(model)(inputs, targets).item()


def test_a_model_of_ones_own_is_asked_itself() -> None:
    """Catches a loss that goes around the forward pass of a learner's model."""
    assert type(loss_of(TransformerLanguageModel(5, 4, 1, 4, 1), "chunked")) is ChunkedLoss
    own = Own(5, 4, 1, 4, 1, 0.0)
    assert type(loss_of(own, "chunked")) is PlainLoss
    assert type(loss_of(TransformerLanguageModel(5, 4, 1, 4, 1), "plain")) is PlainLoss


def test_a_run_learns_the_same_with_either(train_tiny: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a trainer that takes the plain loss whatever the recipe says, and a chunked run that ends elsewhere."""
    asked: list[str] = []
    forward = ChunkedLoss.forward
    monkeypatch.setattr(ChunkedLoss, "forward", lambda *args: asked.append("chunked") or forward(*args))
    _, chunked = train_tiny("chunked", recipe={"loss": "chunked"})
    n_steps = len(asked)
    assert n_steps > 10
    _, plain = train_tiny("plain", recipe={"loss": "plain"})
    assert len(asked) == n_steps
    # Another order of adding up, and hundreds of steps in which the rounding grows: near, not equal.
    assert chunked.test_loss == pytest.approx(plain.test_loss, rel=1e-2)


def test_an_unknown_loss_names_the_nearest() -> None:
    """Catches a misspelt loss that trains by the plain one in silence."""
    with pytest.raises(ValueError, match="unknown loss 'chunk'; did you mean 'chunked'"):
        replace(recipe("quick"), loss="chunk")
