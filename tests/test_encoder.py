"""The block against its formula written out, and the stack: order, mask, and initial weights of its own."""

import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attn_lab import EncoderBlock, MultiHeadSelfAttention, TransformerEncoder

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "tanh": torch.tanh, "gelu": F.gelu}


class Attend(nn.Module):
    """Stands in for an attention module: a linear map of the mean of the text, and a record of how it was called."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width))
        self.calls: list[tuple[Any, ...]] = []
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight)

    def forward(self, *inputs: Any) -> Tensor:
        self.calls.append(inputs)
        query, key, value, _ = inputs
        return (query + key.mean(dim=1, keepdim=True) - 0.5 * value) @ self.weight


class Threefold(TorchFunctionMode):
    """Dropout in training multiplies by 3, so that what is dropped shows in the output; the rates are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.dropout:
            return func(*args, **(kwargs or {}))
        named = dict(zip(("input", "p", "training"), args)) | (kwargs or {})
        self.rates.append(named["p"])
        return 3 * named["input"] if named["training"] else named["input"]


def drawn(module: nn.Module, seed: int) -> nn.Module:
    """In float64, with every parameter drawn: norms begin as the identity and would hide themselves."""
    source = torch.Generator().manual_seed(seed)
    for weight in module.double().parameters():
        weight.data = torch.randn(weight.shape, generator=source, dtype=torch.float64)
    return module


def norm(x: Tensor, layer: nn.LayerNorm, eps: float) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    return centred / (centred.square().mean(dim=-1, keepdim=True) + eps).sqrt() * layer.weight + layer.bias


def written_out(block: EncoderBlock, x: Tensor, eps: float, activation: Callable, factor: float = 1.0) -> Tensor:
    """The block by its formula; `factor` is what dropout makes of each number."""

    def attend(x: Tensor) -> Tensor:
        return factor * ((x + x.mean(dim=1, keepdim=True) - 0.5 * x) @ block.attn.weight)

    def feed_forward(x: Tensor) -> Tensor:
        inner = factor * activation(x @ block.linear1.weight.T + block.linear1.bias)
        return factor * (inner @ block.linear2.weight.T + block.linear2.bias)

    if block.norm_first:
        x = x + attend(norm(x, block.norm1, eps))
        return x + feed_forward(norm(x, block.norm2, eps))
    x = norm(x + attend(x), block.norm1, eps)
    return norm(x + feed_forward(x), block.norm2, eps)


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(2, 6), st.integers(1, 7)),
    eps=st.sampled_from([1e-5, 0.1, 3.0]),
    activation=st.sampled_from(list(ACTIVATIONS)),
    norm_first=st.booleans(),
    dropping=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_the_block_is_its_formula(
    sizes: tuple[int, ...], eps: float, activation: str, norm_first: bool, dropping: bool, seed: int
) -> None:
    """Catches a residual or norm in the wrong place, eps in one norm only, ReLU for all, a dropout missing."""
    b, n, d_model, d_hid = sizes
    function = ACTIVATIONS[activation]
    block = EncoderBlock(Attend(d_model), d_model, d_hid, eps, 0.25, norm_first=norm_first, activation=function)
    drawn(block, seed).train(dropping)
    x = torch.randn(b, n, d_model, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    with Threefold() as dropout:
        output = block(x)
    expected = written_out(block, x, eps, function, factor=3.0 if dropping else 1.0)
    torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-9)
    assert set(dropout.rates) == {0.25}


def test_names() -> None:
    """Catches a renamed part: weights are copied and saved by these names."""
    attn = MultiHeadSelfAttention(6, 2)
    block = EncoderBlock(attn, 6, 10)
    assert block.attn is attn
    own = {name: tuple(w.shape) for name, w in block.state_dict().items() if not name.startswith("attn.")}
    assert own == {
        "linear1.weight": (10, 6),
        "linear1.bias": (10,),
        "linear2.weight": (6, 10),
        "linear2.bias": (6,),
        "norm1.weight": (6,),
        "norm1.bias": (6,),
        "norm2.weight": (6,),
        "norm2.bias": (6,),
    }
    stack = TransformerEncoder(block, 2)
    assert {name.split(".")[1] for name in stack.state_dict()} == {"0", "1"}
    assert all(name.startswith("blocks.") for name in stack.state_dict())


def test_defaults() -> None:
    """Catches a default that is not the paper's or the notebook's: post-norm, ReLU, eps 1e-5, dropout 0.1."""
    block = EncoderBlock(Attend(4), 4, 5)
    assert (block.norm1.eps, block.norm2.eps) == (1e-5, 1e-5)
    assert {m.p for m in block.modules() if isinstance(m, nn.Dropout)} == {0.1}
    assert block.norm_first is False
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = written_out(drawn(block, 1).eval(), x, 1e-5, F.relu)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("norm_first", [False, True])
def test_attention_is_called_on_one_tensor_with_the_mask(norm_first: bool) -> None:
    """Catches a mask dropped on the way, and pre-norm of the query alone."""
    attn = Attend(4)
    block = EncoderBlock(attn, 4, 5, norm_first=norm_first)
    mask = torch.ones(3, 3, dtype=torch.bool)
    x = torch.randn(2, 3, 4)
    block(x, mask)
    block(x)
    (query, key, value, given_mask), (*_, no_mask) = attn.calls
    assert query is key is value
    assert (query is x) is not norm_first
    assert given_mask is mask
    assert no_mask is None


class Step(nn.Module):
    """A block that tells the order of its copies: x -> a x + 1, with a of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(()))
        self.masks: list[Any] = []
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.uniform_(self.a, 2, 3)

    def forward(self, x: Tensor, mask: Any = None) -> Tensor:
        self.masks.append(mask)
        return self.a * x + 1


@given(st.integers(1, 5), st.booleans())
def test_every_block_in_turn_under_the_same_mask(n_blocks: int, masked: bool) -> None:
    """Catches blocks in another order, one left out or used twice, and a mask for the first block only."""
    stack = TransformerEncoder(Step(), n_blocks)
    mask = torch.ones(3, 3, dtype=torch.bool) if masked else None
    expected = 0.5
    for block in stack.blocks:
        expected = block.a.item() * expected + 1
    output = stack(torch.full((2, 3, 4), 0.5), mask)
    torch.testing.assert_close(output, torch.full((2, 3, 4), expected))
    assert [block.masks for block in stack.blocks] == [[mask]] * n_blocks
    assert len({block.a.item() for block in stack.blocks}) == n_blocks  # a bare parameter is drawn anew too


def test_blocks_have_initial_weights_of_their_own() -> None:
    """Catches copies of one initialisation, shared parameters, and a draw that PyTorch's layers would not make."""
    torch.manual_seed(0)
    width, d_hid = 64, 48
    stack = TransformerEncoder(EncoderBlock(MultiHeadSelfAttention(width, 4), width, d_hid), 3)
    states = [block.state_dict() for block in stack.blocks]
    for one, other in itertools.combinations(states, 2):
        for name, weight in one.items():
            assert name.startswith("norm") or not torch.equal(weight, other[name])
    for name, weight in itertools.chain.from_iterable(state.items() for state in states):
        if name.startswith("norm"):
            assert (weight == (1 if name.endswith("weight") else 0)).all()
            continue
        bound = 1 / math.sqrt(d_hid if name.startswith("linear2") else width)  # nn.Linear's own, for weight and bias
        assert weight.abs().max() <= bound
        assert name.endswith("bias") or weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    parameters = list(stack.parameters())
    assert len({weight.data_ptr() for weight in parameters}) == len(parameters) == 3 * len(states[0])


def test_the_given_block_is_left_as_it_is() -> None:
    """Catches a stack that uses the given block as its first, or draws its weights anew."""
    block = EncoderBlock(MultiHeadSelfAttention(6, 2), 6, 8)
    before = copy.deepcopy(block.state_dict())
    stack = TransformerEncoder(block, 2)
    assert all(torch.equal(weight, before[name]) for name, weight in block.state_dict().items())
    own = {weight.data_ptr() for weight in block.parameters()}
    assert own.isdisjoint(weight.data_ptr() for weight in stack.parameters())


def test_copies_keep_what_the_block_was_made_with() -> None:
    """Catches a stack that builds blocks of its own instead of copying the one it was given."""

    def attend(*inputs: Any) -> Tensor:
        return inputs[2]

    attn = MultiHeadSelfAttention(6, 2, 0.25, attention=attend)
    for block in TransformerEncoder(EncoderBlock(attn, 6, 8, 0.5, 0.3, norm_first=True, activation=F.gelu), 2).blocks:
        assert block.attn.attention is attend
        assert block.attn.dropout.p == 0.25
        assert (block.norm1.eps, block.dropout.p, block.norm_first, block.activation) == (0.5, 0.3, True, F.gelu)


def test_a_seed_decides_the_initial_weights() -> None:
    """Catches weights drawn from another source than torch's generator: a run could not be repeated."""
    states = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        states.append(TransformerEncoder(EncoderBlock(Attend(4), 4, 5), 2).blocks[1].linear1.weight)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("n_blocks", [0, -1])
def test_too_few_blocks(n_blocks: int, no_shape_checker: None) -> None:
    """Catches a stack of nothing, which would hand back its input."""
    with pytest.raises(ValueError, match=f"n_blocks must be at least 1; got {n_blocks}"):
        TransformerEncoder(Step(), n_blocks)


def test_a_mask_that_is_not_boolean_is_refused_inside(no_shape_checker: None) -> None:
    """Catches a block that converts or drops a mask before attention sees it."""
    stack = TransformerEncoder(EncoderBlock(MultiHeadSelfAttention(6, 2), 6, 8), 2)
    with pytest.raises(TypeError, match=r"must be boolean.*got torch\.float32.*mask\.bool\(\)"):
        stack(torch.zeros(2, 3, 6), torch.ones(3, 3))
    with pytest.raises(ValueError, match=r"\(2, 2, 3, 3\).*got the shape \(4, 4\)"):
        stack(torch.zeros(2, 3, 6), torch.ones(4, 4, dtype=torch.bool))
