"""What e15 encoder must do, from the simplest property to the strictest."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attn_lab.checks import oracles
from attn_lab.checks.building import block_of
from attn_lab.checks.compare import agree, compare, require
from attn_lab.checks.setting import EXACT
from attn_lab.checks.strategies import encoder_cases

AXES = "b n d_model"
CASES = encoder_cases()  # blocks of both kinds, post-norm and pre-norm
N_BLOCKS = st.integers(1, 4)
SEVERAL = st.integers(2, 4)


def five_to_six(*weights):
    """Fills parameters with numbers from 5 to 6, so that it can be seen who filled them."""
    for weight in weights:
        nn.init.uniform_(weight, 5.0, 6.0)


class Linear(nn.Linear):
    """A linear layer that draws from 5 to 6."""

    def reset_parameters(self):
        five_to_six(self.weight, self.bias)


class Scale(nn.Module):
    """A part with a bare parameter, and so with a `reset_parameters` of its own."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3))
        self.reset_parameters()

    def reset_parameters(self):
        five_to_six(self.weight)

    def forward(self, x):
        return self.weight * x


class Block(nn.Module):
    """A small block, with a parameter of its own and parts within parts, that notes what it gets."""

    def __init__(self):
        super().__init__()
        self.linear = Linear(3, 3)
        self.rest = nn.Sequential(nn.LayerNorm(3), Scale())
        self.bias = nn.Parameter(torch.empty(3))
        self.reset_parameters()
        self.got = []

    def reset_parameters(self):
        five_to_six(self.bias)

    def answer_to(self, x):
        return self.rest(self.linear(x)) + self.bias

    def forward(self, x, mask=None):
        self.got.append((x, mask))
        return self.answer_to(x)


def spent_block():
    """A block that has been used before: its weights are no longer the ones that it began with."""
    block = Block()
    with torch.no_grad():
        for weight in block.parameters():
            weight.fill_(0.5)
    return block


@given(N_BLOCKS)
def test_every_block_has_parameters_of_its_own(answer, n_blocks):
    """blocks is an nn.ModuleList of n_blocks blocks, and no two of them share a parameter."""
    stack = answer.TransformerEncoder(Block(), n_blocks)
    require(hasattr(stack, "blocks"), "expected the blocks under the name blocks")
    kind = type(stack.blocks).__name__
    require(isinstance(stack.blocks, nn.ModuleList), f"blocks must be an nn.ModuleList; it is a {kind}")
    require(len(stack.blocks) == n_blocks, f"expected {n_blocks} blocks; got {len(stack.blocks)}")
    names = [name for name, _ in Block().named_parameters()]
    expected = sorted(f"blocks.{k}.{name}" for k in range(n_blocks) for name in names)
    # A parameter that is shared has one name only.
    got = sorted(name for name, _ in stack.named_parameters())
    missing = ", ".join(sorted(set(expected) - set(got))) or "none"
    more = ", ".join(sorted(set(got) - set(expected))) or "none"
    require(got == expected, f"parameters that are shared or missing: {missing}; parameters too many: {more}")


@given(N_BLOCKS)
def test_the_given_block_is_left_as_it_is(answer, n_blocks):
    """The block that is handed in is copied: it keeps its weights, and the stack does not train it."""
    block = spent_block()
    stack = answer.TransformerEncoder(block, n_blocks)
    for name, weight in block.named_parameters():
        agree(weight, torch.full_like(weight, 0.5), 0.0, f"{name} of the block that was handed in")
    shared = {id(weight) for weight in block.parameters()} & {id(weight) for weight in stack.parameters()}
    require(not shared, "the stack uses parameters of the block that was handed in; it must use copies")


@given(SEVERAL)
def test_no_two_blocks_start_alike(answer, n_blocks):
    """Each block has initial weights of its own: no matrix of it equals another block's, or one of another stack."""
    block = Block()
    blocks = [*answer.TransformerEncoder(block, n_blocks).blocks, *answer.TransformerEncoder(block, 1).blocks]
    for i, one in enumerate(blocks):
        for j, other in enumerate(blocks[:i]):
            which = f"blocks {j} and {i}" if i < n_blocks else f"block {j} and the block of another stack"
            same = torch.equal(one.linear.weight, other.linear.weight)
            require(not same, f"{which} start with the same matrix: each must draw its own")


@given(N_BLOCKS)
def test_every_part_draws_its_own_weights(answer, n_blocks):
    """Every part that has a reset_parameters is drawn anew by it, however deep it lies, and the block itself too."""
    for k, block in enumerate(answer.TransformerEncoder(spent_block(), n_blocks).blocks):
        norm, scale = block.rest
        for name, weight in {"linear": block.linear.weight, "rest[1]": scale.weight, "the block": block.bias}.items():
            drawn = bool(((weight >= 5) & (weight <= 6)).all())
            got = weight.flatten()[:3].tolist()
            require(drawn, f"block {k}: reset_parameters of {name} would have drawn from 5 to 6; got {got}")
        agree(norm.weight, torch.ones(3), 0.0, f"block {k}: the weight of its nn.LayerNorm")
        agree(norm.bias, torch.zeros(3), 0.0, f"block {k}: the bias of its nn.LayerNorm")


@given(CASES)
def test_every_block_gets_the_mask(answer, case):
    """The blocks are called in turn, each on what the one before returned, and each with the mask."""
    x, mask = case.tensors()
    x = x[..., :3]
    stack = EXACT.build(lambda: answer.TransformerEncoder(Block(), case.n_blocks))
    output = stack(x, mask)
    for k, block in enumerate(stack.blocks):
        times = len(block.got)
        require(times == 1, f"block {k} must be called once in a forward pass; it was called {times} times")
        its_x, its_mask = block.got[0]
        agree(its_x, x, EXACT.tolerance, f"what block {k} gets", AXES)
        if mask is None:
            require(its_mask is None, f"without a mask, block {k} must get None for one")
        else:
            require(its_mask is not None, f"the mask must be handed on to block {k}; it got none")
            agree(its_mask, mask, 0.0, f"the mask that block {k} gets", case.mask)
        x = block.answer_to(x)
    agree(output, x, EXACT.tolerance, "the output, against what the last block returned,", AXES)


@given(CASES)
def test_equals_pytorch(answer, case):
    """Outputs and all gradients are nn.TransformerEncoder's, with any mask or none."""
    ours = EXACT.build(lambda: answer.TransformerEncoder(block_of(case, 0.0), case.n_blocks))
    theirs, names = oracles.encoder(oracles.block(case), case.n_blocks), oracles.encoder_names(case.n_blocks)
    oracles.share_weights(ours, theirs, names, case.seed, case.weights_from_pytorch)
    x, mask = case.tensors()
    compare(
        EXACT,
        lambda x: ours(x, mask),
        lambda x: oracles.encoder_forward(theirs, x, mask),
        {"x": x},
        axes=AXES,
        seed=case.seed,
        shared=(ours, theirs, names),
    )
