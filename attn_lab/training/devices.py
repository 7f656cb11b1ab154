"""Devices and precisions, by accelerate."""

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

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


def accelerator_for(device: str, precision: str) -> Accelerator:
    """An Accelerator on that device, whose prepared models run in that precision.

    Raises:
        ValueError: the device or the precision is unknown or not to be had.
    """
    check_choice("precision", precision, PRECISIONS)
    device = resolve_device(device)
    # Accelerate's state is one for the process and would refuse a second run of another precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=device == "cpu", mixed_precision="no" if precision == "fp32" else precision)
