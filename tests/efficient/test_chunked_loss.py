"""The chunked loss against the layer and the loss in two steps, as PyTorch has them."""

import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from attn_lab.efficient.chunked_loss import linear_cross_entropy
from tests.efficient.no_square import NoSquare


def made(seed: int, t: int, d: int, v: int, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor]:
    """Hidden states, weight and bias; and targets."""
    source = torch.Generator().manual_seed(seed)
    shapes = [(t, d), (v, d), (v,)]
    drawn = [torch.randn(shape, generator=source, dtype=torch.float64).to(dtype).requires_grad_() for shape in shapes]
    return drawn, torch.randint(v, (t,), generator=source)


@given(
    t=st.integers(1, 9),
    d=st.integers(1, 4),
    v=st.integers(1, 7),
    chunk=st.integers(1, 10),
    biased=st.booleans(),
    reduction=st.sampled_from(["mean", "sum"]),
    seed=st.integers(0, 10**6),
)
def test_it_is_the_loss_of_the_layer(
    t: int, d: int, v: int, chunk: int, biased: bool, reduction: str, seed: int
) -> None:
    """Catches a last chunk that is lost, a mean of the chunks' means, and gradients of one chunk only."""
    (hidden, weight, bias), targets = made(seed, t, d, v)
    inputs = [hidden, weight, *([bias] if biased else [])]
    own = bias if biased else None
    loss = linear_cross_entropy(hidden, weight, own, targets, chunk=chunk, reduction=reduction)
    expected = F.cross_entropy(F.linear(hidden, weight, own), targets, reduction=reduction)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
    # Not the loss itself but a function of it: its gradient here is neither 1 nor the same each time.
    found = torch.autograd.grad((3 * loss).sin(), inputs)
    wanted = torch.autograd.grad((3 * expected).sin(), inputs)
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("needed", range(3))
def test_only_some_inputs_need_a_gradient(needed: int) -> None:
    """Catches a gradient handed to the wrong input, and work for one that is frozen."""
    inputs, targets = made(0, 7, 3, 5)
    for k, x in enumerate(inputs):
        x.requires_grad_(k == needed)
    hidden, weight, bias = inputs
    linear_cross_entropy(hidden, weight, bias, targets, chunk=3).backward()
    (expected,) = torch.autograd.grad(F.cross_entropy(F.linear(hidden, weight, bias), targets), [inputs[needed]])
    torch.testing.assert_close(inputs[needed].grad, expected, rtol=0, atol=1e-12)
    assert [x.grad is None for x in inputs] == [k != needed for k in range(3)]


def test_without_gradients_none_is_taken() -> None:
    """Catches an evaluation that pays for a training."""
    (hidden, weight, bias), targets = made(0, 64, 4, 300)
    with torch.no_grad(), NoSquare(34) as watch:  # 34² = 1156: below weight's gradient, 1200
        loss = linear_cross_entropy(hidden, weight, bias, targets, chunk=2)
    assert not loss.requires_grad
    assert watch.elements <= 600


def test_no_table_of_logits() -> None:
    """Catches logits of all tokens, made or kept."""
    (hidden, weight, bias), targets = made(0, 128, 4, 200)
    kept = []
    with (
        NoSquare(10**6) as watch,
        torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x),
    ):
        linear_cross_entropy(hidden, weight, bias, targets, chunk=8).backward()
    assert watch.elements == 8 * 200
    assert sum(kept) == 128 * 4 + 200 * 4 + 200


def test_tied_weights() -> None:
    """Catches a gradient that replaces the embedding's share instead of joining it."""
    torch.manual_seed(0)
    embedding = nn.Embedding(11, 4, dtype=torch.float64)
    ids, targets = torch.randint(11, (2, 5)), torch.randint(11, (2, 5))
    linear_cross_entropy(embedding(ids).tanh(), embedding.weight, None, targets, chunk=3).backward()
    loss = F.cross_entropy(F.linear(embedding(ids).tanh(), embedding.weight).flatten(0, 1), targets.flatten())
    (expected,) = torch.autograd.grad(loss, [embedding.weight])
    torch.testing.assert_close(embedding.weight.grad, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
def test_other_precisions(dtype: torch.dtype, tolerance: float) -> None:
    """Catches sums in half precision: 2000 losses, and as many shares of a gradient, would stand still."""
    inputs, targets = made(1, 2000, 8, 30, dtype)
    loss = linear_cross_entropy(*inputs, targets, chunk=1 if dtype != torch.float32 else 64)
    assert loss.dtype == torch.float32  # a loss of 8 bits is no measure of progress
    exact = [x.detach().double().requires_grad_() for x in inputs]
    expected = F.cross_entropy(F.linear(*exact), targets)
    assert abs(loss.item() - expected.item()) < tolerance * expected.item()
    expected.backward()
    loss.backward()
    for ours, theirs in zip(inputs, exact):
        assert ours.grad.dtype == dtype
        assert (ours.grad - theirs.grad).abs().max() < 4 * tolerance * theirs.grad.abs().max()


def test_autocast_is_as_in_two_steps() -> None:
    """Catches a product that autocast does not round, or gradients that come back in half precision."""
    inputs, targets = made(2, 50, 8, 30, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(*inputs, targets, chunk=7)
        expected = F.cross_entropy(F.linear(*inputs), targets)
    assert loss.dtype == expected.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    found, wanted = torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs)
    for one, other in zip(found, wanted):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0, atol=2e-2 * other.abs().max().item())


def test_large_logits() -> None:
    """Catches exponentials that overflow: the largest must be taken out first."""
    hidden = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    weight = torch.tensor([[1.0], [-1.0]])
    loss = linear_cross_entropy(hidden, weight, None, torch.tensor([0, 0]), chunk=1)
    assert loss.item() == 1e4
    loss.backward()
    assert hidden.grad.tolist() == [[0.0], [-1.0]]


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3)])
def test_tokens_of_any_shape(shape: tuple[int, ...]) -> None:
    """Catches targets that are paired with the wrong token, and inputs that are changed."""
    hidden, weight = torch.randn(*shape, 4, dtype=torch.float64, requires_grad=True), torch.randn(5, 4).double()
    targets = torch.randint(5, shape)
    loss = linear_cross_entropy(hidden, weight, None, targets.int(), chunk=2)
    expected = F.cross_entropy((hidden @ weight.T).reshape(-1, 5), targets.reshape(-1))
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert hidden.grad.shape == hidden.shape


def test_there_is_no_second_derivative() -> None:
    """Catches a second derivative that is silently wrong."""
    (hidden, weight, bias), targets = made(0, 7, 3, 5)
    loss = linear_cross_entropy(hidden, weight, bias, targets).square()
    (gradient,) = torch.autograd.grad(loss, [hidden], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    ("h", "w", "b", "t"),
    [
        ((7, 3), (5, 4), None, (7,)),
        ((7, 3), (5, 3), None, (6,)),
        ((7, 3), (5, 3), (4,), (7,)),
        ((7, 3), (3,), None, (7,)),
    ],
)
def test_shapes_that_do_not_fit(h: tuple, w: tuple, b: tuple | None, t: tuple, no_shape_checker: None) -> None:
    """Catches a shape error of the third chunk, from deep inside."""
    expected = f"must be (… d), (v d), (v) or None, and (…); got {h}, {w}, {b} and {t}"
    with pytest.raises(ValueError, match=re.escape(expected)):
        linear_cross_entropy(
            torch.ones(h), torch.ones(w), None if b is None else torch.ones(b), torch.zeros(t, dtype=torch.long)
        )


def test_bad_arguments(no_shape_checker: None) -> None:
    """Catches a loss of nothing, targets outside the vocabulary or of another kind, and misspelt options."""
    (hidden, weight, bias), targets = made(0, 7, 3, 5)
    with pytest.raises(ValueError, match="at least one token"):
        linear_cross_entropy(hidden[:0], weight, bias, targets[:0])
    for wrong in (5, -1, -100):
        with pytest.raises(ValueError, match=f"between 0 and 4, the vocabulary's; got .*{wrong}"):
            linear_cross_entropy(hidden, weight, bias, torch.full((7,), wrong))
    with pytest.raises(TypeError, match=r"integers; got torch\.float32"):
        linear_cross_entropy(hidden, weight, bias, targets.float())
    with pytest.raises(ValueError, match="at least 1; got 0"):
        linear_cross_entropy(hidden, weight, bias, targets, chunk=0)
    with pytest.raises(ValueError, match="'mean' or 'sum'; got 'none'"):
        linear_cross_entropy(hidden, weight, bias, targets, reduction="none")
