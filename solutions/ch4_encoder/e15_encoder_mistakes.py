"""Wrong answers to e15 that have been seen, each with what it does and what a teacher would say; and right variants."""

from copy import copy, deepcopy
from itertools import combinations

import torch
from torch import nn

from attn_lab.checks.cases import EncoderCase
from attn_lab.course.behaviour import behaviour, fill_parameters
from attn_lab.course.mistakes import Mistake, Variant

N_PROBES = 18
NOT_ALLOWED = ("torch.nn.TransformerEncoder", "attn_lab.TransformerEncoder")


def reset(part):
    if hasattr(part, "reset_parameters"):
        part.reset_parameters()


def copies(encoder, n_blocks):
    return [deepcopy(encoder).apply(reset) for _ in range(n_blocks)]


class Stack(nn.Module):
    """A right answer, in steps that can go wrong one at a time."""

    def __init__(self, encoder, n_blocks):
        super().__init__()
        if n_blocks < 1:
            raise ValueError(f"n_blocks must be at least 1; got {n_blocks}")
        self.keep(encoder, n_blocks)

    def keep(self, encoder, n_blocks):
        self.blocks = nn.ModuleList(copies(encoder, n_blocks))

    def forward(self, x, mask=None):
        for block in self.blocks:
            x = block(x, mask)
        return x


class OneBlock(Stack):
    def keep(self, encoder, n_blocks):
        self.blocks = nn.ModuleList([encoder] * n_blocks)


class OneCopy(Stack):
    def keep(self, encoder, n_blocks):
        self.blocks = nn.ModuleList(copies(encoder, 1) * n_blocks)


class GivenBlockFirst(Stack):
    def keep(self, encoder, n_blocks):
        self.blocks = nn.ModuleList([encoder, *copies(encoder, n_blocks - 1)])


class ShallowCopies(Stack):
    def keep(self, encoder, n_blocks):
        self.blocks = nn.ModuleList(copy(encoder) for _ in range(n_blocks)).apply(reset)


class IdenticalCopies(Stack):
    def keep(self, encoder, n_blocks):
        self.blocks = nn.ModuleList(deepcopy(encoder) for _ in range(n_blocks))


class IdenticalNewWeights(Stack):
    """Drawn anew once, and then copied."""

    def keep(self, encoder, n_blocks):
        block = copies(encoder, 1)[0]
        self.blocks = nn.ModuleList(deepcopy(block) for _ in range(n_blocks))


class GivenBlockReset(Stack):
    def keep(self, encoder, n_blocks):
        self.blocks = nn.ModuleList(deepcopy(encoder.apply(reset)) for _ in range(n_blocks))


class NotTheFirst(Stack):
    """The first copy keeps the weights of the block that was handed in."""

    def keep(self, encoder, n_blocks):
        self.blocks = nn.ModuleList([deepcopy(encoder), *copies(encoder, n_blocks - 1)])


class ChildrenOnly(Stack):
    def keep(self, encoder, n_blocks):
        self.blocks = nn.ModuleList(deepcopy(encoder) for _ in range(n_blocks))
        for block in self.blocks:
            for part in block.children():
                reset(part)


class BlocksOnly(Stack):
    """Asks the block itself, and not what is in it."""

    def keep(self, encoder, n_blocks):
        self.blocks = nn.ModuleList(deepcopy(encoder) for _ in range(n_blocks))
        for block in self.blocks:
            reset(block)


class LinearOnly(Stack):
    def keep(self, encoder, n_blocks):
        self.blocks = nn.ModuleList(deepcopy(encoder) for _ in range(n_blocks))
        for part in self.blocks.modules():
            if isinstance(part, nn.Linear):
                part.reset_parameters()


class XavierForMatrices(Stack):
    """As nn.Transformer does."""

    def keep(self, encoder, n_blocks):
        self.blocks = nn.ModuleList(deepcopy(encoder) for _ in range(n_blocks))
        for weight in self.blocks.parameters():
            if weight.ndim > 1:
                nn.init.xavier_uniform_(weight)


class PlainList(Stack):
    def keep(self, encoder, n_blocks):
        self.blocks = copies(encoder, n_blocks)


class MaskForFirst(Stack):
    def forward(self, x, mask=None):
        for k, block in enumerate(self.blocks):
            x = block(x, mask if k == 0 else None)
        return x


class MaskForLast(Stack):
    def forward(self, x, mask=None):
        for k, block in enumerate(self.blocks):
            x = block(x, mask if k == len(self.blocks) - 1 else None)
        return x


class NoMask(Stack):
    def forward(self, x, mask=None):
        for block in self.blocks:
            x = block(x)
        return x


class SideBySide(Stack):
    def forward(self, x, mask=None):
        y = x
        for block in self.blocks:
            y = block(x, mask)
        return y


class SumOfBlocks(Stack):
    def forward(self, x, mask=None):
        return sum(block(x, mask) for block in self.blocks)


class AnotherResidual(Stack):
    def forward(self, x, mask=None):
        for block in self.blocks:
            x = x + block(x, mask)
        return x


class Reversed(Stack):
    def forward(self, x, mask=None):
        for block in reversed(self.blocks):
            x = block(x, mask)
        return x


class FirstBlockReturns(Stack):
    """As where the return stands inside the loop."""

    def forward(self, x, mask=None):
        return self.blocks[0](x, mask)


class Detached(Stack):
    def forward(self, x, mask=None):
        for block in self.blocks:
            x = block(x.detach(), mask)
        return x


class OneCopyKeptOnce(Stack):
    """One block in the list, called n times."""

    def keep(self, encoder, n_blocks):
        self.n_blocks, self.blocks = n_blocks, nn.ModuleList(copies(encoder, 1))

    def forward(self, x, mask=None):
        for _ in range(self.n_blocks):
            x = self.blocks[0](x, mask)
        return x


MISTAKES = (
    Mistake(
        "uses the block that it was given n times",
        "One block used n times is one set of weights: make a deepcopy for each place in the stack.",
        caught_by="test_every_block_has_parameters_of_its_own",
        TransformerEncoder=OneBlock,
    ),
    Mistake(
        "uses one copy n times",
        "[block] * n is n times the same block: make the deepcopy inside the loop, one for each place.",
        caught_by="test_every_block_has_parameters_of_its_own",
        TransformerEncoder=OneCopy,
    ),
    Mistake(
        "keeps one block, and calls it n times",
        "n calls of one block are one set of weights: keep n of them, and make a deepcopy for each place in the stack.",
        caught_by="test_every_block_has_parameters_of_its_own",
        TransformerEncoder=OneCopyKeptOnce,
    ),
    Mistake(
        "makes the block that it was given the first of the stack",
        "Copy it for the first place too: it belongs to the caller, who may build another stack from it.",
        caught_by="test_the_given_block_is_left_as_it_is",
        TransformerEncoder=GivenBlockFirst,
    ),
    Mistake(
        "makes shallow copies",
        "copy.copy copies the shell, and the parameters stay the same ones: use copy.deepcopy.",
        caught_by="test_every_block_has_parameters_of_its_own",
        TransformerEncoder=ShallowCopies,
    ),
    Mistake(
        "leaves all copies with the weights of the block that was given",
        "Copies start out as one: let every part of every copy that has reset_parameters draw its weights anew.",
        caught_by="test_no_two_blocks_start_alike",
        TransformerEncoder=IdenticalCopies,
    ),
    Mistake(
        "draws new weights once, and copies those",
        "Copy first and draw then, in each copy: else all blocks start out with the same new weights.",
        caught_by="test_no_two_blocks_start_alike",
        TransformerEncoder=IdenticalNewWeights,
    ),
    Mistake(
        "draws the weights of the given block anew, and copies that",
        "Draw in the copy: the block that was handed in keeps its weights.",
        caught_by="test_the_given_block_is_left_as_it_is",
        TransformerEncoder=GivenBlockReset,
    ),
    Mistake(
        "leaves the first copy with the weights of the block that was given",
        "Every copy begins anew, the first one too.",
        caught_by="test_every_part_draws_its_own_weights",
        TransformerEncoder=NotTheFirst,
    ),
    Mistake(
        "resets the direct children of a block, not what lies deeper",
        "children() goes one level down, and the attention has layers inside it: use modules(), or apply().",
        caught_by="test_every_part_draws_its_own_weights",
        TransformerEncoder=ChildrenOnly,
    ),
    Mistake(
        "resets the block itself, not the parts in it",
        "A block rarely has a reset_parameters, its layers do: walk through block.modules().",
        caught_by="test_every_part_draws_its_own_weights",
        TransformerEncoder=BlocksOnly,
    ),
    Mistake(
        "resets linear layers alone",
        "Ask every part whether it has reset_parameters: layer norms and parts of your own have weights too.",
        caught_by="test_every_part_draws_its_own_weights",
        TransformerEncoder=LinearOnly,
    ),
    Mistake(
        "draws all matrices by Xavier's rule, and nothing else",
        "Each part knows how its weights begin: call its reset_parameters, not one rule for all matrices.",
        caught_by="test_every_part_draws_its_own_weights",
        TransformerEncoder=XavierForMatrices,
    ),
    Mistake(
        "keeps its blocks in a plain list",
        "PyTorch does not look into a list: in an nn.ModuleList the blocks are found, trained, moved and saved.",
        caught_by="test_every_block_has_parameters_of_its_own",
        TransformerEncoder=PlainList,
    ),
    Mistake(
        "hands the mask to the first block alone",
        "Every block attends anew, so every one needs the mask: block(x, mask) in the loop.",
        caught_by="test_every_block_gets_the_mask",
        TransformerEncoder=MaskForFirst,
    ),
    Mistake(
        "hands the mask to the last block alone",
        "Every block attends anew, so every one needs the mask: block(x, mask) in the loop.",
        caught_by="test_every_block_gets_the_mask",
        TransformerEncoder=MaskForLast,
    ),
    Mistake(
        "does not hand the mask to the blocks",
        "Call block(x, mask): without it, every position sees everything, the future and the padding too.",
        caught_by="test_every_block_gets_the_mask",
        TransformerEncoder=NoMask,
    ),
    Mistake(
        "returns what the last block makes of the stack's own input",
        "Each block works on what the one before returned: x = block(x, mask).",
        caught_by="test_every_block_gets_the_mask",
        TransformerEncoder=SideBySide,
    ),
    Mistake(
        "adds up what all blocks make of the stack's input",
        "A stack, not a sum: each block works on what the one before returned, x = block(x, mask).",
        caught_by="test_every_block_gets_the_mask",
        TransformerEncoder=SumOfBlocks,
    ),
    Mistake(
        "puts one more residual around each block",
        "The residuals are inside the block: the stack only hands on, x = block(x, mask).",
        caught_by="test_every_block_gets_the_mask",
        TransformerEncoder=AnotherResidual,
    ),
    Mistake(
        "runs through the blocks from the last to the first",
        "blocks[0] is the first to see x.",
        caught_by="test_every_block_gets_the_mask",
        TransformerEncoder=Reversed,
    ),
    Mistake(
        "returns after the first block",
        "The return stands inside the loop: move it one level to the left.",
        caught_by="test_every_block_gets_the_mask",
        TransformerEncoder=FirstBlockReturns,
    ),
    Mistake(
        "cuts each block off from the one before",
        "The gradient has to reach the first block: no detach() between blocks.",
        caught_by="test_equals_pytorch",
        TransformerEncoder=Detached,
    ),
)


class ByWalking(Stack):
    """Through the children by recursion, the block first."""

    def keep(self, encoder, n_blocks):
        self.blocks = nn.ModuleList()
        for _ in range(n_blocks):
            self.blocks.append(deepcopy(encoder))
            self.walk(self.blocks[-1])

    def walk(self, part):
        reset(part)
        for child in part.children():
            self.walk(child)


class AllAtOnce(Stack):
    def keep(self, encoder, n_blocks):
        self.blocks = deepcopy(nn.ModuleList([encoder]))
        self.blocks.extend(deepcopy(self.blocks[0]) for _ in range(n_blocks - 1))
        for part in self.modules():
            if part is not self and callable(getattr(part, "reset_parameters", None)):
                part.reset_parameters()


class Indexed(Stack):
    def forward(self, x, mask=None):
        for k in range(len(self.blocks)):
            x = self.blocks[k](x, mask=mask)
        return x


VARIANTS = (
    Variant("apply on each copy", TransformerEncoder=Stack),
    Variant("a walk through the children", TransformerEncoder=ByWalking),
    Variant("copies first, weights then", TransformerEncoder=AllAtOnce),
    Variant("blocks by their number, the mask by its name", TransformerEncoder=Indexed),
)


class Linear(nn.Linear):
    """A linear layer that draws from 5 to 6, so that it can be seen who has drawn."""

    def reset_parameters(self):
        nn.init.uniform_(self.weight, 5.0, 6.0)
        nn.init.uniform_(self.bias, 5.0, 6.0)


class Scale(nn.Module):
    """A part with a bare parameter, drawn from 5 to 6."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(4))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.uniform_(self.weight, 5.0, 6.0)

    def forward(self, x):
        return self.weight * x


class Block(Scale):
    """Adds to each position a mix of those that the mask lets it see; has parts within parts, and is soon computed."""

    def __init__(self):
        super().__init__()
        self.linear = Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.rest = nn.Sequential(Linear(4, 4), nn.Sequential(Scale()))

    def forward(self, x, mask=None):
        b, n, _ = x.shape
        seen = torch.ones(n, n, dtype=x.dtype) if mask is None else mask.expand(b, 1, n, n)[:, 0].to(x.dtype)
        return x + self.weight * self.rest(self.norm(torch.tanh(self.linear(seen @ x))))


def observe(answer, seed):
    """How the blocks begin, then what a stack of blocks with other weights computes, under any mask or none."""
    torch.default_generator.manual_seed(seed)
    n_blocks = 1 + seed % 3
    block = fill_parameters(Block(), seed)
    before = deepcopy(block.state_dict())
    stack = answer.TransformerEncoder(block, n_blocks)
    if seed < 3:
        return beginning(stack, answer.TransformerEncoder(block, 1), block, before)
    for k, own in enumerate(stack.blocks):
        fill_parameters(own, seed + k)
    mask = ("i j", None, "b 1 1 j", "b 1 i j")[seed // 3 % 4]
    b, n = ((2, 3), (3, 3), (1, 5), (2, 1))[seed % 4]
    case = EncoderCase(b, 1, n, 4, 4, n_blocks, False, "relu", mask, 0.5, False, True, seed)
    for own in stack.blocks:
        own.double()  # where PyTorch does not find them, they stay behind
    return behaviour(stack.double().train(seed % 2 == 0), *case.tensors())


def beginning(stack, another, block, before):
    """Facts about the initial weights, not the weights: an answer may draw them in another order."""
    blocks = list(stack.blocks)
    pairs = combinations([*blocks, *another.blocks], 2)
    return {
        "kind": type(stack.blocks).__name__,
        "parameters": [name for name, _ in stack.named_parameters()],
        "the given block's": [any(weight is its for its in block.parameters()) for weight in stack.parameters()],
        "given block changed": [not torch.equal(weight, before[name]) for name, weight in block.named_parameters()],
        "alike": [torch.equal(one.linear.weight, other.linear.weight) for one, other in pairs],
        "drawn": [[is_drawn(name, weight) for name, weight in own.named_parameters()] for own in blocks],
        "as given": [[torch.equal(weight, before[name]) for name, weight in own.named_parameters()] for own in blocks],
    }


def is_drawn(name, weight):
    """Whether the numbers are such as the part's reset_parameters draws."""
    if name.startswith("norm"):
        return bool((weight == name.endswith("weight")).all())
    return bool(((weight >= 5) & (weight <= 6)).all())
