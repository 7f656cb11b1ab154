"""Outputs and gradients: taking them, and saying in a sentence where two of them differ."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from attn_lab.checks import oracles
from attn_lab.checks.cases import fill, generator
from attn_lab.checks.oracles import Names
from attn_lab.checks.setting import HALF, Setting

Forward = Callable[..., Tensor]


class Different(AssertionError):
    """Two tensors that should be equal: `place` is where they differ most."""

    def __init__(self, sentence: str, expected: Tensor, actual: Tensor, place: tuple[int, ...], axes: str) -> None:
        super().__init__(sentence)
        self.expected, self.actual, self.place, self.axes = expected, actual, place, axes


def require(holds: bool, otherwise: str) -> None:
    """Fails with the sentence `otherwise` unless it holds. (`assert` would be stripped by `python -O`.)"""
    if not holds:
        raise AssertionError(otherwise)


def agree(actual: Tensor, expected: Tensor, tolerance: float, what: str, axes: str = "") -> None:
    """Fails unless the two tensors are equal up to `tolerance` times the largest expected number (at least 1)."""
    require(isinstance(actual, Tensor), f"{what} must be a tensor; got {type(actual).__name__}")
    shape, wanted = tuple(actual.shape), tuple(expected.shape)
    require(shape == wanted, f"{what} must have the shape {_named(wanted, axes)}; got {_named(shape, axes)}")
    show = "{!r}" if expected.dtype == torch.bool else "{:.6g}"
    actual, expected = actual.detach().cpu(), expected.detach().cpu()
    at = _place(actual.double(), expected.double(), tolerance)
    if at is not None:
        wanted_number, number = expected[at].item(), actual[at].item()
        off = f" (off by {abs(number - wanted_number):.1e}; at most {tolerance:.0e} is allowed)" if tolerance else ""
        found = f"expected {show.format(wanted_number)}, got {show.format(number)}{off}"
        raise Different(f"{what} differs{_at(at, axes)}: {found}", expected, actual, at, axes)


def _place(actual: Tensor, expected: Tensor, tolerance: float) -> tuple[int, ...] | None:
    """Where the largest difference is, if it is too large."""
    if expected.numel() == 0:
        return None
    difference = (actual - expected).abs()
    # NaN and infinity compare as the largest difference of all, unless both sides have the same infinity.
    difference = difference.nan_to_num(nan=torch.inf).masked_fill(actual == expected, 0.0)
    size = expected.abs().masked_fill(~expected.isfinite(), 0.0).max()
    if difference.max() <= tolerance * max(1.0, float(size)):
        return None
    return _unravelled(int(difference.argmax()), expected.shape)


def _unravelled(index: int, shape: Sequence[int]) -> tuple[int, ...]:
    """The index in every axis. (torch.unravel_index imports all of sympy: a third of the time that a failure takes.)"""
    place: list[int] = []
    for size in reversed(shape):
        index, k = divmod(index, size)
        place.insert(0, k)
    return tuple(place)


def gradients(output: Tensor, leaves: Mapping[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
    """The gradient of sum(output * weights) with respect to each leaf; zeros where a leaf plays no part."""
    require(output.requires_grad, "the output is cut off from its inputs: it has no gradient")
    # Of a sum: grad(output, …, weights) is the same, but imports all of sympy first, a fifth of a verdict's time.
    with torch.inference_mode(False), torch.enable_grad():
        total = (output * weights.to(output.device, output.dtype)).sum()
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return {name: torch.zeros_like(leaf) if grad is None else grad for (name, leaf), grad in zip(leaves.items(), found)}


def leaf(tensor: Tensor) -> Tensor:
    """A copy that gradients are taken with respect to."""
    return tensor.detach().clone().requires_grad_()


def compare(
    setting: Setting,
    actual: Forward,
    expected: Forward,
    inputs: Mapping[str, Tensor],
    *,
    axes: str,
    seed: int,
    shared: tuple[nn.Module, nn.Module, Names] | None = None,
    smooth: bool = True,
) -> None:
    """Fails unless both forward passes have the same output and the same gradient for every input and parameter.

    `inputs` lie on the CPU in float64. What the implementation gets is rounded to the setting's dtype first, and the
    oracle gets those very numbers: the difference is then the implementation's own. `shared` names two modules and
    the table by which their parameters correspond. Where the function is not `smooth`, half precision may round a
    number across a ReLU's kink and rightly get another gradient: there it need only be finite.
    """
    ours, theirs, names = shared or (None, None, {})
    here = {name: setting.put(tensor) for name, tensor in inputs.items()}
    our_leaves = {name: leaf(tensor) for name, tensor in here.items()}
    with setting.running():
        output = actual(*our_leaves.values())
    if setting.autocast is None and isinstance(output, Tensor):
        require(output.dtype == setting.dtype, f"the output must be {setting.dtype}, as its inputs; got {output.dtype}")
    truth, true_gradients = oracles_answer(expected, here, theirs, names, seed)
    agree(output, truth, setting.tolerance, "the output", axes)
    our_leaves |= {name: oracles.parameter(ours, name) for name in names} if ours is not None else {}
    weights = fill(generator(seed), *truth.shape)
    loose = not smooth and (setting.autocast or setting.dtype) in HALF
    for name, gradient in gradients(output, our_leaves, weights).items():
        require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite")
        if not loose:
            agree(gradient, true_gradients[name], setting.tolerance, f"the gradient of {name}")


def oracles_answer(
    expected: Forward, here: Mapping[str, Tensor], theirs: nn.Module | None, names: Names, seed: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The oracle's output, and its gradients by our names, in float64 on the CPU."""
    leaves = {name: leaf(tensor.cpu().double()) for name, tensor in here.items()}
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        output = expected(*leaves.values())
    if theirs is not None:
        leaves |= {ours: oracles.parameter(theirs, name) for ours, (name, _) in names.items()}
    found = gradients(output, leaves, fill(generator(seed), *output.shape))
    return output, {name: oracles.third(grad, names.get(name, ("", None))[1]) for name, grad in found.items()}


def _named(shape: tuple[int, ...], axes: str) -> str:
    names = axes.split()
    return f"({axes}) = {shape}" if names and len(names) == len(shape) else str(shape)


def _at(index: tuple[int, ...], axes: str) -> str:
    names = axes.split()
    if not index:
        return ""
    if len(names) != len(index):
        return f" at {list(index)}"
    return " at " + ", ".join(f"{name} = {k}" for name, k in zip(names, index) if name != "1")
