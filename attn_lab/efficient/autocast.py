"""Autocast, asked and switched off in the ways that every torch since 2.3 and every device understands."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def autocast_is_on(kind: str) -> bool:
    """Whether autocast is on for this kind of device."""
    try:
        return torch.is_autocast_enabled(kind)
    except (TypeError, RuntimeError):  # before torch 2.4 each device had a question of its own
        return torch.is_autocast_enabled() or torch.is_autocast_cpu_enabled()


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """What runs inside keeps the dtypes that it is given."""
    try:
        return torch.autocast(device.type, enabled=False)
    except RuntimeError:  # a device that knows no autocast
        return nullcontext()
