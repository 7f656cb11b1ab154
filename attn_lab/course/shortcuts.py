"""No shortcuts: what an exercise asks for may not be called from the answer's own file, by whatever name.

Whoever else calls it may: PyTorch is the oracle, and the reference is given to later exercises as a part.
"""

import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

TORCH = str(Path(torch.__file__).parent)
DEEPEST = 60  # frames between a tensor operation and the line of the answer that led to it


class Shortcut(Exception):
    """The answer calls the very thing that it is to replace."""


class NoShortcuts(TorchFunctionMode):
    """While it is on, every call of a PyTorch function asks who led to it; a shortcut of the answer is refused.

    Args:
        names: dotted names of functions and classes, such as "torch.nn.MultiheadAttention".
        answer: the file that may not call them.
    """

    def __init__(self, names: Iterable[str], answer: Path) -> None:
        super().__init__()
        self.file = str(answer)
        self.builtins: dict[Any, str] = {}
        self.codes: dict[CodeType, str] = {}
        for name in names:
            target = pkgutil.resolve_name(name)
            function = inspect.unwrap(target.__init__ if inspect.isclass(target) else target)
            if inspect.isfunction(function):
                self.codes[function.__code__] = name
            else:
                self.builtins[function] = name

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """PyTorch's hook: every call of a PyTorch function passes here, also one imported by name long ago."""
        for code in _called(self.file, sys._getframe(1)):
            if code in self.codes:
                raise Shortcut(_sentence(self.codes[code]))
            if not code.co_filename.startswith(TORCH):
                break  # somebody else's code, which may call what it likes
        else:
            if func in self.builtins and _is_near(self.file, sys._getframe(1)):
                raise Shortcut(_sentence(self.builtins[func]))
        return func(*args, **(kwargs or {}))


def _called(file: str, frame: FrameType | None) -> Iterator[CodeType]:
    """From the innermost line of this file on: what it called, what that called, and so on."""
    inner: list[CodeType] = []
    for _ in range(DEEPEST):
        if frame is None:
            return
        if frame.f_code.co_filename == file:
            yield from reversed(inner)
            return
        inner.append(frame.f_code)
        frame = frame.f_back


def _is_near(file: str, frame: FrameType | None) -> bool:
    """Whether only PyTorch's own code lies between this file and the frame."""
    while frame is not None and frame.f_code.co_filename.startswith(TORCH):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename == file


def _sentence(name: str) -> str:
    return f"{name} does what you are asked to write here. Write it yourself: the parts that it is made of are allowed"
