"""What an answer does, as evidence: result, gradients, exception, inputs changed in place; and whether two do alike."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Observation = dict[str, Any]


def behaviour(function: Callable[..., Any], *inputs: Any, **options: Any) -> Observation:
    """Call a function (or module) and note everything that a test could tell.

    Tensors among `inputs` are copied first. If the function is a module, the gradients of its parameters count too.
    """
    leaves = [x.detach().clone().requires_grad_() if _is_float(x) else x for x in inputs]
    # Not the leaves themselves: an answer that works in place shall be seen to do so, not be stopped by autograd.
    given = [x.clone() if isinstance(x, Tensor) else x for x in leaves]
    try:
        result = function(*given, **options)
    except Exception as error:
        return {"raises": type(error).__name__}
    parameters = list(function.parameters()) if isinstance(function, nn.Module) else []
    floats = [x for x in leaves if _is_float(x)] + parameters
    return {
        "result": _frozen(result),
        "gradients": _gradients(_tensors(result), floats),
        "changed in place": [
            k
            for k, (now, before) in enumerate(zip(given, leaves))
            if isinstance(before, Tensor) and not torch.equal(now.detach().nan_to_num(), before.detach().nan_to_num())
        ],
    }


def fill_parameters(module: nn.Module, seed: int) -> nn.Module:
    """Every parameter anew, by its name: equal names get equal numbers, whatever else the module has."""
    with torch.no_grad():
        for name, weight in module.named_parameters():
            source = torch.Generator().manual_seed(seed + zlib.crc32(name.encode()))
            spread = weight.shape[-1] ** -0.5 if weight.ndim > 1 else 0.5
            weight.copy_(spread * torch.randn(weight.shape, generator=source, dtype=torch.float64))
    return module


NOT_WRITTEN = {"raises": NotImplementedError.__name__}


def alike(one: Any, other: Any) -> bool:
    """Whether two observations are the same up to rounding; NaN is like NaN.

    What `one` has not written yet is like anything: an exercise may ask for several functions, one after the other.
    """
    if isinstance(one, Mapping) and one == NOT_WRITTEN:
        return True
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        if not one.dtype.is_floating_point:
            return torch.equal(one, other)
        exact = one.dtype == torch.float64
        return torch.allclose(one, other, rtol=1e-6 if exact else 1e-3, atol=1e-8 if exact else 1e-4, equal_nan=True)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (one != one and other != other) or abs(one - other) <= 1e-6 * max(abs(one), abs(other))
    return type(one) is type(other) and bool(one == other)


def _is_float(x: object) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, Mapping):
        return _tensors(list(result.values()))
    return [tensor for item in result for tensor in _tensors(item)] if isinstance(result, list | tuple) else []


def _frozen(result: Any) -> Any:
    if isinstance(result, Tensor):
        return result.detach().clone()
    if isinstance(result, Mapping):
        return {key: _frozen(value) for key, value in result.items()}
    return [_frozen(item) for item in result] if isinstance(result, list | tuple) else result


def _gradients(outputs: list[Tensor], leaves: list[Tensor]) -> Any:
    """Of one number that depends on every entry of every output; None where the outputs are cut off."""
    total: Any = 0.0
    for output in outputs:
        if output.requires_grad:
            weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            total = total + (output * weights.to(output.dtype)).sum()
    if not isinstance(total, Tensor) or not leaves:
        return None
    try:
        found = torch.autograd.grad(total, leaves, allow_unused=True)
    except RuntimeError:
        return "raises"
    return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, found)]
