"""`attn-lab bench attention`: time and memory of each attention against the length of the text, side by side."""

import importlib.util
import math
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import psutil
import torch
from torch import Tensor

from attn_lab.bench.contenders import CAUSAL, CONTENDERS, Attend, Contender, Shape
from attn_lab.bench.side_by_side import Timing, take_turns

FORWARD, BOTH = "forward", "forward + backward"
PASSES = (FORWARD, BOTH)
SHARE_OF_MEMORY = 0.5  # of what is free: a contender that would need more is left out at that length


@dataclass(frozen=True)
class Measurement:
    """One contender at one length in one pass."""

    contender: str
    work: str
    n: int
    passes: str
    milliseconds: float
    to_first: float  # time, against the first contender's at the same length
    peak_mib: float | None  # above what the process held before, of training where it trains; else None


def measure(
    shape: Shape,
    lengths: Sequence[int],
    rounds: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    memory: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Measurement]:
    """All contenders at all lengths; at each they take turns, and memory is measured in a process each.

    Raises:
        ValueError: a contender does not compute what it is said to.
    """
    installed = [c for c in CONTENDERS if not c.package or importlib.util.find_spec(c.package)]
    check_equal(replace(shape, n=300), installed, device)
    found: list[Measurement] = []
    for n in lengths:
        here = replace(shape, n=n)
        fitting = [c for c in installed if _fits(c, here, device, dtype)]
        for passes in PASSES:
            progress(f"n = {n:,}: {passes}")
            able = [c for c in fitting if passes == FORWARD or _trains(c, device)]
            found += _times(able, here, passes, rounds, device, dtype)
        if memory:
            progress(f"n = {n:,}: memory")
            trained = {m.contender for m in found if m.n == n and m.passes == BOTH}
            found = [
                replace(m, peak_mib=peak_memory(m, here, device, dtype))
                if m.n == n and (m.passes == BOTH or m.contender not in trained)
                else m
                for m in found
            ]
    return found


def check_equal(shape: Shape, contenders: Iterable[Contender], device: str) -> None:
    """The same question to all, and to a softmax over the allowed keys that is written out in float64.

    Raises:
        ValueError: somebody answers otherwise, in output or gradient, by more than float32 explains.
    """
    inputs = shape.draw(device, torch.float32)
    for contender in contenders:
        attend = contender.build(shape, device)
        truth = _answers(lambda *qkv, work=contender.work: _written_out(shape, work, *qkv), inputs, torch.float64)
        answers = _answers(attend, inputs, torch.float32, gradients=_trains(contender, device))
        off = max(float((a.double() - t).abs().max()) for a, t in zip(answers, truth))
        if off > 1e-4:
            raise ValueError(
                f"{contender.name} was expected to compute attention ({contender.work}, window {shape.window}) as the "
                f"others do; at n = {shape.n} it differs by {off:.1e}. Has its package changed what it means?"
            )


def _answers(attend: Attend, inputs: Sequence[Tensor], dtype: torch.dtype, gradients: bool = True) -> list[Tensor]:
    leaves = [x.detach().to(dtype).requires_grad_(gradients) for x in inputs]
    output = attend(*leaves)
    return [output.detach(), *(torch.autograd.grad(output.sum(), leaves) if gradients else ())]


def _written_out(shape: Shape, work: str, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    position = torch.arange(shape.n, device=query.device)
    distance = position[:, None] - position
    hidden = (distance < 0) | (distance >= (shape.n if work == CAUSAL else shape.window))
    scores = (query @ key.mT / math.sqrt(shape.d)).masked_fill(hidden, -math.inf)
    return scores.softmax(dim=-1) @ value


def _trains(contender: Contender, device: str) -> bool:
    return not contender.trains_on or torch.device(device).type in contender.trains_on


def _fits(contender: Contender, shape: Shape, device: str, dtype: torch.dtype) -> bool:
    kind = torch.device(device).type
    free = torch.cuda.mem_get_info()[0] if kind == "cuda" else psutil.virtual_memory().available
    return contender.squares * shape.b * shape.h * shape.n**2 * dtype.itemsize < SHARE_OF_MEMORY * free


def _times(
    contenders: Sequence[Contender], shape: Shape, passes: str, rounds: int, device: str, dtype: torch.dtype
) -> Iterator[Measurement]:
    calls = {c.name: step(c, shape, passes, device, dtype) for c in contenders}
    times: dict[str, Timing] = take_turns(calls, rounds, warm_up=1)
    for c in contenders:
        yield Measurement(c.name, c.work, shape.n, passes, times[c.name].milliseconds, times[c.name].ratio, None)


def step(contender: Contender, shape: Shape, passes: str, device: str, dtype: torch.dtype) -> Callable[[], object]:
    """A call that does the contender's work once: without gradients, or with those of query, key and value."""
    inputs = shape.draw(device, dtype)
    attend = contender.build(shape, device)
    if passes == FORWARD:
        plain = [x.detach() for x in inputs]  # FlexAttention on a CPU asks what its inputs want, not whether it may
        return torch.no_grad()(lambda: attend(*plain))
    upstream = torch.ones_like(inputs[2])

    def both() -> None:
        torch.autograd.grad(attend(*inputs), inputs, upstream)

    return both


def peak_memory(measured: Measurement, shape: Shape, device: str, dtype: torch.dtype) -> float | None:
    """MiB that the work takes at most, in a process of its own: nothing else has touched its memory."""
    sizes = [str(x) for x in (shape.b, shape.h, shape.n, shape.d, shape.window)]
    words = [measured.contender, measured.passes, *sizes, device, str(dtype).removeprefix("torch.")]
    command = [sys.executable, "-m", "attn_lab.bench.attention_memory", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the memory of {measured.contender} could not be measured: {done.stderr.strip()[-300:]}")
    return float(done.stdout) if done.stdout.strip() else None


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The power with which y grows with x: the slope of the line through the logarithms."""
    xs, ys = ([math.log(value) for value in axis] for axis in zip(*points))
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / sum((x - mean_x) ** 2 for x in xs)
