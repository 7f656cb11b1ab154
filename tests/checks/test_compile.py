"""torch.compile changes the speed and nothing else."""

import os
import shutil
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attn_lab import (
    EncoderBlock,
    MultiHeadSelfAttention,
    Parts,
    TransformerLanguageModel,
    attention,
    fused_attention,
    masks,
)
from attn_lab.checks.oracles import randomise

# Without the run-time shape checker: it is there in tests only, and the compiler would compile it too.
pytestmark = pytest.mark.usefixtures("no_shape_checker", "nothing_compiled")


@pytest.fixture
def nothing_compiled() -> Iterator[None]:
    """What another test compiled is forgotten, and so is what this one did."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def numbers(*shape: int) -> Tensor:
    source = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=source, dtype=torch.float64).requires_grad_()


def answer(function: Callable[..., Tensor], inputs: Sequence[Tensor | None], leaves: Sequence[Tensor]) -> list[Tensor]:
    """The output, and the gradient of a sum of its squares by each leaf."""
    output = function(*inputs)
    return [output, *torch.autograd.grad(output.square().sum(), leaves)]


def agree(one: Callable[..., Tensor], other: Callable[..., Tensor], inputs: Any, leaves: Sequence[Tensor]) -> None:
    found, expected = answer(one, inputs, leaves), answer(other, inputs, leaves)
    assert len(found) == 1 + len(leaves) > 1
    for mine, theirs in zip(found, expected):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def model(language_model: Callable[..., nn.Module], **options: Any) -> nn.Module:
    made = language_model(11, 6, 2, 8, 1, **options).double().eval()
    randomise(made, 0, torch.float64)
    return made


MASKS = {"no mask": None, "causal": masks.causal(5), "a query without keys": masks.padding([5, 0], 5)}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("function", [attention, fused_attention])
def test_attention(function: Callable[..., Tensor], mask: Tensor | None) -> None:
    """Catches a compiled attention that is in pieces, or whose empty rows are NaN or have no gradient."""
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    leaves = [numbers(2, 3, 5, 4), numbers(2, 3, 5, 4), numbers(2, 3, 5, 2)]
    agree(compiled, function, [*leaves, mask], leaves)


def test_a_block() -> None:
    """Catches a block whose einops or mask the compiler cannot follow."""
    block = EncoderBlock(MultiHeadSelfAttention(6, 2), 6, 8).double().eval()
    randomise(block, 0, torch.float64)
    x = numbers(2, 5, 6)
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True)
    agree(compiled, block, [x, masks.causal(5)], [x, *block.parameters()])


@pytest.mark.parametrize("part", [TransformerLanguageModel, Parts().model], ids=["attention", "fused_attention"])
def test_a_language_model(part: Callable[..., nn.Module]) -> None:
    """Catches a look at the token ids, for an error that names them, that stops the compiler."""
    eager = model(part, norm_first=True, tie_weights=True)
    ids = torch.arange(10).reshape(2, 5)
    compiled = torch.compile(eager, backend="aot_eager", fullgraph=True)
    agree(compiled, eager, [ids, masks.causal(5)], list(eager.parameters()))


def test_a_language_model_with_a_mask_of_its_own() -> None:
    """Catches a mask that is made for the first text's length and kept in the compiled code."""
    eager = model(Parts().model)
    compiled = torch.compile(eager, backend="eager")
    for n in (5, 3, 7):
        ids = torch.arange(2 * n).reshape(2, n) % 11
        agree(compiled, eager, [ids], list(eager.parameters()))


def test_inductor() -> None:
    """Catches code that PyTorch's own compiler translates to something else: -inf, and 0 times NaN."""
    compiler = any(shutil.which(name) for name in ("g++", "clang++", "c++", "cl"))
    if not compiler or not Path(sysconfig.get_path("include"), "Python.h").is_file():
        if os.environ.get("CI"):
            pytest.fail("no C++ compiler with Python's headers; it is required here (CI is set)")
        pytest.skip("no C++ compiler with Python's headers")
    import torch._inductor.config as inductor

    leaves = [numbers(2, 3, 5, 4), numbers(2, 3, 5, 4), numbers(2, 3, 5, 2)]
    with inductor.patch(compile_threads=1):  # in this process: no pool of others for three small kernels
        agree(torch.compile(attention, fullgraph=True), attention, [*leaves, MASKS["a query without keys"]], leaves)
