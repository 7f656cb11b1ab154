"""Peak memory of one attention; run as a process of its own: python -m attn_lab.bench.attention_memory NAME PASSES …"""

import sys

import torch

from attn_lab.bench.attention import step
from attn_lab.bench.contenders import Shape, contender
from attn_lab.bench.memory import peak_above


def main(name: str, passes: str, *rest: str) -> None:
    """Print MiB above what the process held before; nothing where the system does not tell."""
    *sizes, device, dtype = rest
    shape = Shape(*map(int, sizes))
    # What the kernels' libraries take on their first call, and a compiler, is not the attention's.
    small = Shape(shape.b, shape.h, 32, shape.d, shape.window)
    step(contender(name), small, passes, device, getattr(torch, dtype))()
    peak = peak_above(lambda: step(contender(name), shape, passes, device, getattr(torch, dtype))(), device)
    print("" if peak is None else peak)


if __name__ == "__main__":
    main(*sys.argv[1:])
