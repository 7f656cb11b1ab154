"""The cost formulas against what PyTorch counts, what is made, what is kept, and what a process holds."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from attn_lab import attention, fused_attention
from attn_lab.cost_table import in_bytes, show_cost
from attn_lab.efficient.cost import FORMS, Sizes, einsum_cost, fused_cost, local_cost, longest, online_cost
from attn_lab.efficient.local import LocalAttention
from attn_lab.efficient.online import online_attention
from tests.efficient.no_square import NoSquare

TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])
SIZES = [
    Sizes(b=2, h=3, n=96, d=8, window=16, block=32),
    Sizes(b=1, h=2, n=601, d=16, window=33, block=128),
    Sizes(b=1, h=1, n=2500, d=4, window=100, block=64),
    Sizes(b=1, h=2, n=50, d=70, window=8, block=64),  # a head wider than the text is long
    Sizes(b=2, h=1, n=50, d=3, window=8, block=64),  # a block longer than the text
]
LONG = [s for s in SIZES if s.n >= 512]  # shorter texts take the local form's other path


def attend(form: str, s: Sizes) -> Callable[..., Tensor]:
    return {
        "einsum": attention,
        "fused": fused_attention,
        "online": partial(online_attention, block=s.block),
        "local": LocalAttention(s.window),
    }[form]


def leaves(s: Sizes, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [torch.randn(s.b, s.h, s.n, s.d, dtype=dtype, requires_grad=True) for _ in range(3)]


def in_place_product(_: tuple, a: tuple, b: tuple, **__: object) -> int:
    """PyTorch's counter overlooks baddbmm_."""
    return 2 * a[0] * a[1] * a[2] * b[2]


@pytest.mark.parametrize(
    ("form", "s"),
    [(form, s) for form in ("einsum", "online") for s in SIZES] + [("local", s) for s in LONG],
    ids=str,
)
def test_flops_and_the_largest_tensor(form: str, s: Sizes) -> None:
    """Catches a product that is forgotten or counted twice, forward or backward, and a tensor beyond the stated one."""
    if form == "local" and TORCH < (2, 4):
        pytest.skip("that counter fails on a product into a given tensor")
    query, key, value = leaves(s)
    expected = FORMS[form](s)
    mapping = {torch.ops.aten.baddbmm_: in_place_product}
    with NoSquare(10**9) as watch:
        with FlopCounterMode(display=False, custom_mapping=mapping) as forward:
            output = attend(form, s)(query, key, value)
        with FlopCounterMode(display=False, custom_mapping=mapping) as backward:
            output.backward(torch.ones_like(output))
    assert forward.get_total_flops() == expected.forward_flops
    assert backward.get_total_flops() == expected.backward_flops
    assert watch.elements == expected.largest


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("form", ["einsum", "online", "fused", "local"])
@pytest.mark.parametrize("s", LONG, ids=str)
def test_what_is_kept(form: str, s: Sizes, dtype: torch.dtype) -> None:
    """Catches a tensor kept for the backward pass that the formula does not know; half precision keeps float32 too."""
    if dtype == torch.bfloat16 and form == "local":
        pytest.skip("on a CPU half precision takes the local form's other path")
    inputs = leaves(s, dtype)
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        output = attend(form, s)(*inputs)
    own = sum(size for place, size in kept.items() if place not in {x.data_ptr() for x in inputs})
    expected = FORMS[form](replace(s, width=torch.finfo(dtype).bits // 8)).kept_bytes
    assert own == pytest.approx(expected, rel=0 if form in ("einsum", "online") else 0.1, abs=64)
    del output


MEASURED = """
import sys, torch
from functools import partial
from attn_lab import attention, fused_attention
from attn_lab.bench.memory import resident_peak
from attn_lab.efficient.local import LocalAttention
from attn_lab.efficient.online import online_attention

torch.set_num_threads(1)
forms = {"einsum": attention, "fused": fused_attention, "online": online_attention, "local": LocalAttention(128)}
attend, n = forms[sys.argv[1]], int(sys.argv[2])

def train(n):
    output = attend(*(torch.randn(1, 8, n, 64, requires_grad=True) for _ in range(3)))
    output.backward(torch.randn_like(output))

train(600)
before = resident_peak()
train(n)
print(resident_peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.parametrize(("form", "n"), [("einsum", 1536), ("fused", 4096), ("online", 4096), ("local", 8192)])
def test_the_peak_of_a_process(form: str, n: int) -> None:
    """Catches a formula of memory that leaves out what the backward pass works in."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # freed memory goes back at once
    command = [sys.executable, "-c", MEASURED, form, str(n)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=200)
    sizes = Sizes(n=n)
    expected = FORMS[form](sizes).peak_bytes - FORMS[form](replace(sizes, n=600)).peak_bytes
    assert float(found.stdout) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("memory", [10**5, 10**7, 8 * 2**30])
@pytest.mark.parametrize("form", list(FORMS))
def test_the_longest_that_fits(form: str, memory: int) -> None:
    """Catches a search that stops one short, or one beyond."""
    n = longest(FORMS[form], Sizes(), memory)
    assert n == 0 or FORMS[form](Sizes(n=n)).peak_bytes <= memory
    assert FORMS[form](Sizes(n=n + 1)).peak_bytes > memory


def test_growth() -> None:
    """Catches a form whose memory or work grows with another power of n than it is there for."""
    short, long = Sizes(n=8192), Sizes(n=16384)
    assert einsum_cost(long).peak_bytes / einsum_cost(short).peak_bytes == pytest.approx(4, rel=0.02)
    for form in (fused_cost, online_cost, local_cost):
        assert form(long).peak_bytes / form(short).peak_bytes == pytest.approx(2, rel=0.05)
    assert online_cost(long).forward_flops == 4 * online_cost(short).forward_flops
    assert local_cost(long).forward_flops == 2 * local_cost(short).forward_flops
    assert local_cost(Sizes(n=64, window=64)) == fused_cost(Sizes(n=64))


@pytest.mark.parametrize("name", ["b", "h", "n", "d", "window", "block"])
def test_sizes_of_nothing(name: str, no_shape_checker: None) -> None:
    """Catches a cost of 0 that looks like a bargain."""
    with pytest.raises(ValueError, match=f"{name} must be at least 1; got 0"):
        Sizes(**{name: 0})


def test_a_width_that_is_no_precision(no_shape_checker: None) -> None:
    """Catches bits given for bytes."""
    with pytest.raises(ValueError, match="2, 4 or 8; got 32"):
        Sizes(width=32)


def test_the_table(tmp_path: Path) -> None:
    """Catches a table without one of the forms, and one that is not written."""
    text = StringIO()
    show_cost(Console(file=text, width=140), Sizes(n=4096), 8, tmp_path / "cost.md")
    written = (tmp_path / "cost.md").read_text(encoding="utf-8")
    for shown in (text.getvalue(), written):
        assert all(form in shown for form in FORMS)
        assert "103.08" in shown  # 12 b h n² d
        assert "9,363" in shown  # √(8 GiB / (3 x 8 heads x 4 bytes)), less what is linear
    with pytest.raises(ValueError, match="must be positive; got 0"):
        show_cost(Console(file=text), Sizes(), 0)


@pytest.mark.parametrize(
    ("size", "text"), [(5, "5 B"), (2048, "2 KiB"), (1.5 * 2**30, "1.5 GiB"), (3 * 2**50, "3,072.0 TiB")]
)
def test_bytes_in_words(size: float, text: str) -> None:
    """Catches a unit that is off by a factor of 1024."""
    assert in_bytes(size) == text
