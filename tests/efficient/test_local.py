"""The sliding window: every way of computing it against a loop, what it costs in memory, and what it refuses."""

import copy
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attn_lab import EncoderBlock, MultiHeadSelfAttention, TransformerEncoder, TransformerLanguageModel, masks
from attn_lab.checks import Check, Setting
from attn_lab.checks.windows import WINDOWED_ATTENTION
from attn_lab.efficient import banded, flex, local
from attn_lab.efficient.blocks import Blocks, by_blocks
from attn_lab.efficient.local import LocalAttention, no_mask
from tests.checks.no_float64 import DEVICE, NoFloat64
from tests.efficient.no_square import NoSquare

EXACT = Setting()
SETTINGS = (
    EXACT,
    Setting(dtype=torch.float32),
    Setting(dtype=torch.bfloat16),
    Setting(dtype=torch.float16),
    Setting(dtype=torch.float32, autocast=torch.bfloat16),
)


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
    """The formula on all pairs, for texts too long for a loop; every row of the mask has a True."""
    scores = query @ key.mT / query.shape[-1] ** 0.5
    return scores.masked_fill(~allowed, -torch.inf).softmax(dim=-1) @ value


def same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-11)


@pytest.fixture(params=["as it is", "by blocks", "by hand"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of the ways computes what is longer than a window; by hand in pieces of one block each."""
    if request.param != "as it is":
        monkeypatch.setattr(local, "LONG", 0 if request.param == "by hand" else sys.maxsize)
        monkeypatch.setattr(local, "SHORT", 1)
        monkeypatch.setattr(banded, "SCORES", 1)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("check", WINDOWED_ATTENTION, ids=lambda check: check.name)
def test_every_property_in_every_way(check: Check, setting: Setting, way: None) -> None:
    """Catches a window off by one, aligned at the wrong end, or upside down; a wrong scale, a missing gradient."""
    check.run(
        LocalAttention, dtype=setting.dtype, autocast=setting.autocast, max_examples=25 if setting == EXACT else 8
    )


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [1, 5, 32, 33])
def test_every_remainder(window: int, causal: bool, way: None) -> None:
    """Catches a last block, or a last piece, that is cut wrongly: every length from 1 to three blocks and a bit."""
    attend = LocalAttention(window, causal)
    for n in range(1, 131):
        x = [normal(n + k, 1, 1, n, 3).requires_grad_() for k in range(3)]
        expected = dense(*x, masks.sliding_window(n, window, causal))
        actual = attend(*x)
        same(actual, expected)
        weights = normal(n, *actual.shape)
        for ours, theirs in zip(torch.autograd.grad(actual, x, weights), torch.autograd.grad(expected, x, weights)):
            same(ours, theirs)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("i", "j"), [(4099, 4099), (4096, 4096), (2049, 2100), (600, 4000)])
def test_long_texts(i: int, j: int, causal: bool) -> None:
    """Catches pieces of the size that is in use, at which no other test gets beyond the first, joined wrongly."""
    query, key, value = (normal(k, 1, 2, n, 4).requires_grad_() for k, n in enumerate((i, j, j)))
    mask = torch.rand(j, generator=torch.Generator().manual_seed(0)) < 0.9
    mask = mask | torch.ones(j, dtype=torch.bool).bitwise_xor(torch.arange(j) % 30 > 0)  # no empty row
    for given in (None, mask[None, None, None]):
        allowed = masks.sliding_window(j, 70, causal)[j - i :]
        expected = dense(query, key, value, allowed if given is None else allowed & given)
        actual = LocalAttention(70, causal)(query, key, value, given)
        same(actual, expected)
        weights, leaves = normal(5, *actual.shape), (query, key, value)
        for ours, theirs in zip(
            torch.autograd.grad(actual, leaves, weights), torch.autograd.grad(expected, leaves, weights)
        ):
            same(ours, theirs)


# What it costs


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("dropout", [None, nn.Dropout(0.1), torch.square], ids=["none", "nn.Dropout", "callable"])
def test_nothing_grows_with_the_square(dropout: Callable[[Tensor], Tensor] | None, causal: bool, way: None) -> None:
    """Catches an n x n mask, or scores, anywhere in forward or backward."""
    n = 3000
    leaves = [normal(k, 1, 1, n, 2, dtype=torch.float32).requires_grad_() for k in range(3)]
    with NoSquare(n) as watch:
        LocalAttention(16, causal)(*leaves, None, dropout).sum().backward()
    assert watch.elements < 150 * n


@pytest.mark.parametrize("shape", [("n", "n"), (1, 1, 1, "n"), (2, "n", "n"), (2, 1, "n", "n")])
def test_a_mask_costs_no_square_of_its_own(shape: tuple[int | str, ...], way: None) -> None:
    """Catches a given mask that is padded, combined or copied as a whole before its band is taken out."""
    n = 2000
    leaves = [normal(k, 2, 1, n, 2, dtype=torch.float32).requires_grad_() for k in range(3)]
    mask = torch.ones([n if m == "n" else m for m in shape], dtype=torch.bool)
    with NoSquare(n) as watch:
        LocalAttention(16)(*leaves, mask).sum().backward()
    assert watch.elements < 300 * n


@pytest.mark.parametrize("n", [700, 3000])
def test_a_window_wider_than_the_text_makes_no_mask(n: int) -> None:
    """Catches the square of a short text: there is nothing to cut off, so PyTorch's kernel needs no mask."""
    leaves = [normal(k, 1, 1, n, 2, dtype=torch.float32).requires_grad_() for k in range(3)]
    for causal in (True, False):
        with NoSquare(n):
            LocalAttention(n, causal)(*leaves).sum().backward()


def test_a_language_model_without_a_mask_makes_no_square() -> None:
    """Catches the n x n mask that the model makes by itself, if it is not told otherwise."""
    torch.manual_seed(0)
    ids = torch.randint(7, (1, 3000))
    parts = {"dropout": 0.1, "attention": LocalAttention(16)}
    model = TransformerLanguageModel(7, 4, 2, 4, 1, mask=no_mask, **parts)
    with NoSquare(3000):
        model(ids).sum().backward()
    with pytest.raises(AssertionError, match=r"made a tensor of 9000000 elements"), NoSquare(3000):
        TransformerLanguageModel(7, 4, 2, 4, 1, **parts)(ids)


def test_the_watch_sees_a_square() -> None:
    """Catches a watch that lets everything pass: a square in the backward pass, which no line of ours mentions."""
    x = torch.ones(50, 1, requires_grad=True)
    with pytest.raises(AssertionError, match=r"made a tensor of 2500 elements, shape \(50, 50\)"), NoSquare(50):
        x @ x.mT
    row = torch.ones(50, requires_grad=True)
    square = (row[:, None] * row).exp()
    with pytest.raises(AssertionError, match="made a tensor of 2500 elements"), NoSquare(50):
        square.sum().backward()
    with NoSquare(50) as watch:
        x.expand(50, 50).T.unsqueeze(0)  # a view is no memory
    assert watch.elements == 0


def test_few_queries_read_few_keys() -> None:
    """Catches a decoding step that costs more for a longer past: keys out of reach may even be NaN."""
    key, value = normal(0, 1, 2, 5000, 4), normal(1, 1, 2, 5000, 4)
    for i in (1, 3, 100):
        query = normal(2, 1, 2, i, 4)
        reached = i + 15
        expected = LocalAttention(16)(query, key[:, :, -reached:], value[:, :, -reached:])
        hidden = [x.clone() for x in (key, value)]
        for x in hidden:
            x[:, :, :-reached] = torch.nan
        with NoSquare(120) as watch:
            same(LocalAttention(16)(query, *hidden), expected)
        assert watch.elements < 2 * max(i, 32) * 100


# One query stands at the end; the reference's mask for it is the last row.


def test_a_step_of_decoding_is_the_last_row(way: None) -> None:
    """Catches queries taken for the first of the positions instead of the last."""
    query, key, value = (normal(k, 2, 3, 50, 4) for k in range(3))
    whole = LocalAttention(8)(query, key, value)
    for i in (1, 2, 9, 40):
        same(LocalAttention(8)(query[:, :, -i:], key, value), whole[:, :, -i:])
        mask = masks.causal(50)[-i:]
        same(LocalAttention(8)(query[:, :, -i:], key, value, mask), whole[:, :, -i:])


# Leading axes


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (2, 1, 3), (2, 0, 3), (1, 2, 1, 3)])
def test_any_leading_axes(lead: tuple[int, ...], way: None) -> None:
    """Catches an attention that knows four axes only, or mixes two heads up."""
    query, key, value = normal(0, *lead, 40, 4), normal(1, *lead, 45, 4), normal(2, *lead, 45, 5)
    window = masks.sliding_window(45, 7)[5:]
    for shape in [(40, 45), (1, 45), (*(1 for _ in lead), 40, 45), (*lead, 40, 45), (*lead[-1:], 1, 45)]:
        mask = torch.rand(shape, generator=torch.Generator().manual_seed(3)) < 0.7
        if len(lead) == 2 and len(shape) == 3:
            continue  # there three axes are (b i j), as everywhere
        mask = mask | (torch.arange(45) >= 5 + torch.arange(40)[:, None]) if mask.shape[-2] > 1 else mask | True
        same(LocalAttention(7)(query, key, value, mask), dense(query, key, value, window & mask))
    same(LocalAttention(7)(query, key, value), dense(query, key, value, window))


def test_no_example_and_no_position() -> None:
    """Catches a crash on an empty batch, or on a text without a token."""
    for shape in [(0, 2, 40, 4), (2, 2, 0, 4)]:
        x = torch.zeros(shape, requires_grad=True)
        output = LocalAttention(5)(x, x, x)
        assert output.shape == shape
        output.sum().backward()
    x = torch.zeros(0, 2, 700, 4, requires_grad=True)
    LocalAttention(5)(x, x, x).sum().backward()


# As a part


def test_it_is_copied_pickled_and_shown() -> None:
    """Catches an attention function that a stack of blocks cannot copy, or a saved model cannot hold."""
    attend = LocalAttention(5, causal=False)
    assert repr(attend) == "LocalAttention(window=5, causal=False)"
    assert pickle.loads(pickle.dumps(attend)) == attend == copy.deepcopy(attend)
    assert len({attend, LocalAttention(5, False), LocalAttention(5)}) == 2
    block = EncoderBlock(MultiHeadSelfAttention(8, 2, attention=attend), 8, 8)
    assert all(each.attn.attention == attend for each in TransformerEncoder(block, 2).blocks)


def test_the_models_own_causal_mask_changes_nothing() -> None:
    """Catches a causal mask that is taken for the window, or in place of it."""
    torch.manual_seed(0)
    ids = torch.randint(7, (2, 60))
    model = TransformerLanguageModel(7, 8, 2, 8, 2, attention=LocalAttention(9)).eval()
    with_mask = model(ids)
    model.mask = no_mask
    torch.testing.assert_close(model(ids), with_mask, rtol=0, atol=1e-5)
    assert no_mask(5) is None


class Calls(TorchFunctionMode):
    """Keeps the names of the functions that were called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        self.names.add(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("p", [0.3, 0.7])
@pytest.mark.parametrize("n", [4, 100])
def test_dropout_drops_weights_at_its_rate(n: int, p: float) -> None:
    """Catches 1 - p for p, and dropout on the output: values that are the identity show the weights."""
    torch.manual_seed(1)
    query, key, value = torch.zeros(50, 2, n, 2), torch.zeros(50, 2, n, 2), torch.eye(n).expand(50, 2, n, n)
    weights = LocalAttention(4)(query, key, value, None, nn.Dropout(p))[:, :, 3:]  # rows of four equal weights
    kept = weights[weights != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 0.25 / (1 - p)))
    assert kept.numel() / (weights.shape[:3].numel() * 4) == pytest.approx(1 - p, abs=0.05 if n > 4 else 0.2)


def test_what_is_idle_is_no_reason_for_the_slow_way() -> None:
    """Catches the work of dropout where nothing is dropped: in eval mode, and at p = 0."""
    x = normal(0, 1, 1, 600, 4)
    for dropout, fused in [
        (None, False),
        (nn.Dropout(0.5).eval(), False),
        (nn.Dropout(0.0), False),
        (nn.Dropout(0.5), True),
    ]:
        with Calls() as calls:
            LocalAttention(9)(x, x, x, None, dropout)
        assert ("scaled_dot_product_attention" in calls.names) == fused


@pytest.mark.parametrize("masked", [False, True])
def test_a_gradient_of_the_gradient(masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a second gradient that is silently nothing, as that of a hand-written gradient would be."""
    monkeypatch.setattr(local, "LONG", 0)
    monkeypatch.setattr(local, "SHORT", 1)
    leaves = [normal(k, 1, 2, 9, 2).requires_grad_() for k in range(3)]
    mask = torch.rand(9, 9, generator=torch.Generator().manual_seed(0)) < 0.6 if masked else None
    assert torch.autograd.gradcheck(lambda *x: LocalAttention(3)(*x, mask), leaves)
    assert torch.autograd.gradgradcheck(lambda *x: LocalAttention(3)(*x, mask), leaves)


# What it refuses


@pytest.mark.parametrize("window", [0, -1])
def test_a_window_without_the_query_itself(window: int, no_shape_checker: None) -> None:
    """Catches a window of 0 that divides by it, or hides everything."""
    with pytest.raises(ValueError, match=rf"must be at least 1; got {window}"):
        LocalAttention(window)


@pytest.mark.parametrize("window", [2.0, "3", None, True])
def test_a_window_that_is_no_number_of_keys(window: object, no_shape_checker: None) -> None:
    """Catches n / 4, a float, that fails only when blocks are cut."""
    with pytest.raises(TypeError, match=re.escape(f"window must be a whole number of keys; got {window!r}")):
        LocalAttention(window)


@pytest.mark.parametrize(
    ("q", "k", "v"),
    [
        ((2, 3, 4, 5), (2, 3, 6, 4), (2, 3, 6, 7)),  # widths of query and key
        ((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 5, 7)),  # lengths of key and value
        ((2, 3, 4, 5), (1, 3, 6, 5), (1, 3, 6, 7)),  # batches: PyTorch would broadcast
        ((2, 3, 4, 5), (2, 1, 6, 5), (2, 1, 6, 7)),  # heads
        ((2, 3, 4, 5), (2, 3, 6, 5), (6, 7)),
        ((5,), (5,), (5,)),
    ],
)
def test_inputs_that_do_not_fit(q: tuple, k: tuple, v: tuple, no_shape_checker: None) -> None:
    """Catches tensors that PyTorch would broadcast to an answer nobody asked for."""
    with pytest.raises(ValueError, match=re.escape(f"got {q}, {k} and {v}.")):
        LocalAttention(2)(torch.ones(q), torch.ones(k), torch.ones(v))


def test_more_queries_than_keys(no_shape_checker: None) -> None:
    """Catches cross attention through a window, which has no place to stand."""
    with pytest.raises(ValueError, match="got 5 queries and 4 keys"):
        LocalAttention(2)(torch.ones(1, 1, 5, 2), torch.ones(1, 1, 4, 2), torch.ones(1, 1, 4, 2))


@pytest.mark.parametrize("n", [2, 40, 600])
def test_masks_that_are_refused(n: int, no_shape_checker: None) -> None:
    """Catches a mask that is not boolean, or does not broadcast, on any of the ways."""
    x = torch.ones(2, 3, n, 2)
    with pytest.raises(TypeError, match="must be boolean, True where a query may attend"):
        LocalAttention(4)(x, x, x, torch.ones(n, n))
    for shape in [(n,), (n, n + 1), (3, n, n), (1, 2, n, n), (1, 1, 1, n, n)]:
        with pytest.raises(ValueError, match=r"must broadcast to \(b h i j\)"):
            LocalAttention(4)(x, x, x, torch.ones(shape, dtype=torch.bool))
    for shape in [(2, 2, n, n), (4, n, n), (1, 1, 1, 1, n, n)]:
        with pytest.raises(ValueError, match="must broadcast to"):
            LocalAttention(4)(x[None], x[None], x[None], torch.ones(shape, dtype=torch.bool))
    with pytest.raises(TypeError, match="must be boolean"):
        LocalAttention(4)(x[None], x[None], x[None], torch.ones(1, 2, 3, n, n))


# Blocks


@pytest.mark.parametrize(("window", "size", "before"), [(1, 32, 0), (2, 32, 32), (33, 32, 32), (34, 32, 64), (5, 1, 4)])
def test_a_span_is_whole_blocks_and_no_more_than_needed(window: int, size: int, before: int) -> None:
    """Catches a span a block too long, which costs time, or too short, which costs keys."""
    assert Blocks(window, True, size).span == before + size
    assert Blocks(window, False, size).span == 2 * before + size


# FlexAttention

needs_flex = pytest.mark.skipif(not flex.is_there(), reason="FlexAttention came with torch 2.5")
FLEX_SHAPES = [(300, 300, 50), (130, 400, 140), (256, 256, 1), (1, 200, 7), (129, 129, 200)]


@needs_flex
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("i", "j", "window"), FLEX_SHAPES)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_is_the_window(
    i: int, j: int, window: int, causal: bool, padded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a rule for FlexAttention that is not the window's, and queries without keys; not compiled."""
    from torch.nn.attention.flex_attention import flex_attention

    monkeypatch.setattr(flex, "compiled", lambda: flex_attention)
    monkeypatch.setattr(local, "SHORT", 1)
    query, key, value = normal(0, 2, 3, i, 16), normal(1, 2, 3, j, 16), normal(2, 2, 3, j, 17)
    real = torch.rand(2, j, generator=torch.Generator().manual_seed(0)) < 0.6 if padded else None
    if real is not None:
        real[0, : j // 2] = False
    with torch.no_grad():
        actual = flex.flex_local_attention(query, key, value, real, window=window, causal=causal)
        mask = None if real is None else real[:, None, None]
        expected = by_blocks(query, key, value, mask, window=window, causal=causal)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)


@needs_flex
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("i", "j", "window"), [*FLEX_SHAPES, (1000, 1000, 128), (1024, 1100, 129)])
def test_flex_leaves_out_what_the_window_leaves_out(i: int, j: int, window: int, causal: bool) -> None:
    """Catches a table of tiles with one too few, which the kernel skips in silence, or with too many."""
    table = flex.tiles(window, causal, i, j, "cpu").to_dense()[0, 0].bool()
    allowed = masks.sliding_window(j, window, causal)[j - i :]
    room = torch.zeros(table.shape[0] * flex.TILE, table.shape[1] * flex.TILE, dtype=torch.bool)
    room[:i, :j] = allowed
    touched = room.unflatten(0, (-1, flex.TILE)).unflatten(2, (-1, flex.TILE)).any(dim=3).any(dim=1)
    assert (table | ~touched).all()
    assert (table.sum(-1) <= touched.sum(-1) + 1).all()  # the last row of tiles may reach a tile further than its text


@needs_flex
def test_the_tiles_are_kept() -> None:
    """Catches a table that is made for every call."""
    assert flex.tiles(9, True, 300, 300, "cpu") is flex.tiles(9, True, 300, 300, "cpu")
    assert flex.tiles(9, True, 300, 300, "cpu") is not flex.tiles(9, False, 300, 300, "cpu")


@needs_flex
@pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("c++") is None, reason="compiling needs a C++ compiler"
)
def test_flex_compiled() -> None:
    """Catches a rule that FlexAttention's compiler does not take."""
    query, key, value = (normal(k, 1, 2, 200, 16, dtype=torch.float32) for k in range(3))
    real = torch.arange(200)[None] < 150
    with torch.no_grad():
        actual = flex.flex_local_attention(query, key, value, real, window=20, causal=True)
        expected = by_blocks(query, key, value, real[:, None, None], window=20, causal=True)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("padded", [False, True])
def test_on_cuda(padded: bool) -> None:
    """Catches a CUDA path that differs from the CPU's, gradients too."""
    leaves = [normal(k, 2, 3, 700, 32, dtype=torch.float32).requires_grad_() for k in range(3)]
    mask = masks.padding([700, 555], 700) if padded else None
    there = [x.detach().cuda().requires_grad_() for x in leaves]
    expected = LocalAttention(50)(*leaves, mask)
    actual = LocalAttention(50)(*there, None if mask is None else mask.cuda())
    torch.testing.assert_close(actual.cpu(), expected, rtol=0, atol=1e-2)
    actual.sum().backward()
    expected.sum().backward()
    for ours, theirs in zip(there, leaves):
        torch.testing.assert_close(ours.grad.cpu(), theirs.grad, rtol=0, atol=1e-2)


# Other machines


def test_on_a_device_without_float64() -> None:
    """Catches a path for other devices that passes through float64, or mixes devices, as a Mac would not."""
    leaves = [normal(k, 2, 2, 200, 4, dtype=torch.float32) for k in range(3)]
    mask = masks.padding([200, 150], 200)
    expected = LocalAttention(20)(*leaves, mask)
    with NoFloat64():
        there = [x.to(DEVICE).requires_grad_() for x in leaves]
        actual = LocalAttention(20)(*there, mask.to(DEVICE))
        actual.sum().backward()
        torch.testing.assert_close(actual.detach().cpu(), expected, rtol=0, atol=1e-5)
        assert all(bool(x.grad.cpu().isfinite().all()) for x in there)


COMPILED = """
import torch
from attn_lab.efficient.local import LocalAttention

compiled = torch.compile(LocalAttention(20), backend="eager", fullgraph=True)
for n in (300, 260, 333):
    x = torch.randn(3, 1, 2, n, 4)
    torch.testing.assert_close(compiled(*x), LocalAttention(20)(*x))
"""


@pytest.mark.skipif(not flex.is_there(), reason="torch 2.3 cannot trace it")
def test_compiled_for_several_lengths() -> None:
    """Catches a length that only Python knows, at which a compiled model breaks; traced, without a C++ compiler.

    In a process of its own: the run-time shape checker cannot be traced.
    """
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
