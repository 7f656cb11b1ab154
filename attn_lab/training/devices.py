"""Devices, precisions and several processes, by accelerate."""

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs

from attn_lab.choices import check_choice

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("fp32", "bf16")


def resolve_device(device: str) -> str:
    """ "auto" becomes the best device at hand: cuda, then mps, then cpu.

    Raises:
        ValueError: the name is unknown, or this machine has no such device.
    """
    check_choice("device", device, DEVICES)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, here in available.items() if here)
    if not available[device]:
        here = ", ".join(name for name, there in available.items() if there)
        raise ValueError(f"device {device!r} was asked for, but torch {torch.__version__} sees only: {here}")
    return device


def accelerator_for(device: str, precision: str, *, own_parts: bool = False, **options: Any) -> Accelerator:
    """An Accelerator on that device, whose prepared models run in that precision.

    Under a launcher (torchrun, accelerate launch) it joins the other processes. `own_parts`: the model may have
    parameters that its loss does not use, which the averaging of the gradients then looks for in each step.
    The other options are accelerate's own.

    Raises:
        ValueError: the device or the precision is unknown or not to be had.
    """
    check_choice("precision", precision, PRECISIONS)
    device = resolve_device(device)
    # Accelerate's state is one for the process and would refuse a second run of another precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    # The buffers are constants: sending them round in each forward pass would be for nothing.
    ddp = DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=own_parts)
    mixed_precision = "no" if precision == "fp32" else precision
    return Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision, kwargs_handlers=[ddp], **options)
