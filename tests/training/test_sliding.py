"""Sliding windows, beside a loop that gives each token its own context."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from attn_lab.training import evaluate, windows
from attn_lab.training.sliding import IGNORED, sliding_windows


class Rolling(nn.Module):
    """Logits from all the tokens so far and their distances: another context is another loss."""

    def __init__(self, types: int = 7) -> None:
        super().__init__()
        self.table = nn.Embedding(types, types, dtype=torch.float64)
        self.largest = 0  # windows read at once

    def forward(self, ids: Tensor) -> Tensor:
        self.largest = max(self.largest, len(ids))
        x, total, out = self.table(ids), 0.0, []
        for t in range(ids.shape[1]):
            total = 0.7 * total + x[:, t]
            out.append(total)
        return torch.stack(out, dim=1)


sizes = st.tuples(st.integers(1, 3), st.integers(2, 40), st.integers(1, 12)).flatmap(
    lambda s: st.tuples(*map(st.just, s), st.integers(1, s[2]), st.integers(0, 2**31))
)


@given(sizes)
def test_each_token_is_judged_on_its_own_context(size: tuple[int, int, int, int, int]) -> None:
    """Catches a token counted twice or not at all, one with too little context, a wrong end of the text."""
    batch, length, window, stride, seed = size
    torch.manual_seed(seed)
    model, batched = Rolling(), torch.randint(7, (batch, length))
    losses = []
    for row in batched:
        for target in range(1, length):
            start = 0
            while target > start + window:  # the first window that reaches the token
                start += stride
            log_p = model(row[None, start:target])[0, -1].log_softmax(dim=-1)
            losses.append(-log_p[row[target]].item())
            assert start == 0 or target - start >= window - stride + 1
    expected = math.fsum(losses) / len(losses)
    assert evaluate(model, batched, window, stride=stride) == pytest.approx(expected, rel=1e-12)


@given(sizes)
def test_a_stride_of_a_window_is_no_sliding(size: tuple[int, int, int, int, int]) -> None:
    """Catches a last window that is moved back, so that its tokens see more than the plain windows show them."""
    batch, length, window, _, seed = size
    torch.manual_seed(seed)
    model, batched = Rolling(), torch.randint(7, (batch, length))
    assert evaluate(model, batched, window, stride=window) == pytest.approx(evaluate(model, batched, window), rel=1e-12)
    plain, slid = ([t for _, t in cut] for cut in (windows(batched, window), sliding_windows(batched, window, window)))
    assert sum(t.numel() for t in plain) == sum(t.numel() for t in slid)
    assert not any((t == IGNORED).any() for t in slid)


@given(sizes)
def test_the_counted_targets_are_the_text(size: tuple[int, int, int, int, int]) -> None:
    """Catches inputs and targets that do not belong together, and a text that is changed by the counting."""
    batch, length, window, stride, _ = size
    batched = torch.arange(batch * length).reshape(batch, length)
    before = batched.clone()
    counted = []
    for inputs, targets in sliding_windows(batched, window, stride):
        assert inputs.shape == targets.shape
        fresh = targets != IGNORED
        assert torch.equal(targets[fresh], inputs[fresh] + 1)
        counted += targets[fresh].tolist()
    assert sorted(counted) == sorted(batched[:, 1:].flatten().tolist())
    assert torch.equal(batched, before)


def test_many_windows_are_read_at_once_and_not_all() -> None:
    """Catches a stride of 1 that is a loop over tokens, and one whose logits fill the memory."""
    model = Rolling()
    evaluate(model, torch.randint(7, (2, 3000)), 10, stride=1)
    assert 100 <= model.largest <= 1000


@pytest.mark.parametrize(("window", "stride"), [(0, 1), (5, 0), (5, 6), (5, -1)])
def test_a_stride_that_leaves_tokens_out_is_refused(window: int, stride: int) -> None:
    """Catches windows with gaps between them, whose tokens would count as predicted for nothing."""
    with pytest.raises(ValueError, match=r"must be (at least 1; got 0|between 1 and the window, 5)"):
        evaluate(Rolling(), torch.randint(7, (2, 30)), window, stride=stride)
