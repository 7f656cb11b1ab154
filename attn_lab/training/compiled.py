"""The loss compiled: torch.compile turns its many small operations, and those of its gradients, into few."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

LossOf = Callable[[Tensor, Tensor], Tensor]


def compiled(loss: nn.Module, device: torch.device) -> nn.Module:
    """The same loss, compiled at its first call for each shape of window (a run has two: the last one is shorter).

    On CUDA as CUDA graphs: a step of a small model is mostly the launching of its kernels, and a graph is launched
    at once. They need `graph_safe` around the call.

    Raises:
        ValueError: this machine cannot compile.
    """
    check_compiles(device)
    mode = "reduce-overhead" if device.type == "cuda" else None
    return cast(nn.Module, torch.compile(loss, dynamic=False, mode=mode))


def graph_safe(loss_of: LossOf) -> LossOf:
    """The loss in memory of its own: a CUDA graph writes its results to the same place in each step."""

    def call(inputs: Tensor, targets: Tensor) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        return loss_of(inputs, targets).clone()

    return call


def check_compiles(device: torch.device) -> None:
    """Compile something small, so that a missing compiler is not told by the first step in a hundred lines.

    Raises:
        ValueError: it does not work here; with the reason and what to do.
    """
    try:
        torch.compile(_probe, dynamic=False)(torch.ones(3, device=device))
    except Exception as error:  # each of the backends has its own
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        needed = "a C++ compiler (g++ or clang++)" if device.type == "cpu" else "Triton and a C compiler"
        raise ValueError(
            f"torch.compile does not work here on {device.type}: {reason.rstrip('.')}. "
            f"It needs {needed}: install it, or leave --compile out"
        ) from error


def _probe(x: Tensor) -> Tensor:
    return x.sin() + 1
