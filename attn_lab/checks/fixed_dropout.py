"""Dropout without chance, so that two programs that drop the same things agree to the last digit."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from attn_lab.checks.cases import generator


class FixedDropout(TorchFunctionMode):
    """While it is on, dropout in training takes the same places each time: shape and probability decide."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """PyTorch's hook: every call of a PyTorch function passes here."""
        if func not in (F.dropout, torch.dropout):
            return func(*args, **(kwargs or {}))
        return _drop(*args, **(kwargs or {}))


def _drop(input: Tensor, p: float = 0.5, training: bool = True, *others: bool, **more: bool) -> Tensor:
    """PyTorch calls it by position or by name: input, p, training (or train), inplace."""
    if p == 0 or not more.get("train", training):
        return input
    kept = torch.rand(input.shape, generator=generator(0), dtype=torch.float64, device="cpu") < 1 - p
    return input * (kept.to(input.device, input.dtype) / (1 - p))
