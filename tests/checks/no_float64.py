"""A device without float64, as Apple's GPUs are, that needs no such machine."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

# PyTorch knows this device everywhere and computes nothing on it; the numbers lie on the CPU behind its back.
DEVICE = "meta"

BETWEEN_DEVICES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class NoFloat64(TorchDispatchMode):
    """While it is on, `DEVICE` computes, refuses float64, and takes no tensor of another device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """PyTorch's hook: every operation passes here."""
        return _compute(func, args, kwargs or {})


class _There(Tensor):
    """A tensor that says that it lies on the device."""

    @staticmethod
    def __new__(cls, kept: Tensor) -> "_There":
        layout = {"strides": kept.stride(), "storage_offset": kept.storage_offset()}
        there = Tensor._make_wrapper_subclass(cls, kept.shape, **layout, dtype=kept.dtype, device=DEVICE)
        there.kept = kept
        return there

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})

    def __repr__(self) -> str:
        return f"There({self.kept})"


def _compute(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    given = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    there = any(isinstance(x, _There) for x in given)
    if there and func not in BETWEEN_DEVICES and any(not isinstance(x, _There) and x.ndim for x in given):
        raise RuntimeError(f"expected all tensors to be on the same device, in {func}")
    if func is torch.ops.aten._fused_sdp_choice.default:
        return 0  # by the formula, without a kernel of the device's own
    output = func(*tree_map(_on_cpu, args), **tree_map(_on_cpu, kwargs))
    if there and func._schema.is_mutable:
        return args[0]  # changed in place
    asked_for = kwargs.get("device")
    lands_there = there if asked_for is None else torch.device(asked_for).type == DEVICE
    return tree_map(_off_cpu, output) if lands_there else output


def _on_cpu(x: Any) -> Any:
    if isinstance(x, torch.device):
        return torch.device("cpu")
    return x.kept if isinstance(x, _There) else x


def _off_cpu(x: Any) -> Any:
    if not isinstance(x, Tensor):
        return x
    if x.dtype in (torch.float64, torch.complex128):
        raise TypeError(f"cannot convert to {x.dtype}: this device does not support it")
    return _There(x)
