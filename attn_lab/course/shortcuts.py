"""No shortcuts: what an exercise asks for may not be called from the answer's own file, by whatever name.

A whole module, with all that is in it, may not be imported there.

Whoever else calls it may: PyTorch is the oracle, and the reference is given to later exercises as a part.
"""

import builtins
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from pathlib import Path
from types import CodeType, FrameType, MethodWrapperType, ModuleType
from typing import Any
from unittest.mock import patch

import hypothesis
import torch
from torch.overrides import TorchFunctionMode

TORCH = str(Path(torch.__file__).parent)
HYPOTHESIS = str(Path(hypothesis.__file__).parent)
ANSWER, PYTORCH, OTHERS = "the answer's", "PyTorch's", "somebody else's"
RUNNER = "Hypothesis's"  # which calls the test: the answer's code lies further in
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
        self.builtins: dict[Any, str] = {}
        self.codes: dict[int, tuple[CodeType, str]] = {}  # by identity: to compare code objects takes long
        self.modules: dict[str, str] = {}  # the file or folder of one that may not be used -> its name
        for name in names:
            target = pkgutil.resolve_name(name)
            if inspect.ismodule(target):
                self.modules[_place(target)] = name
                continue
            function = inspect.unwrap(target.__init__ if inspect.isclass(target) else target)
            if inspect.isfunction(function):
                self.codes[id(function.__code__)] = function.__code__, name
            else:
                self.builtins[function] = name
        self.whose = {str(answer): ANSWER}  # of each file that was met on the way

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """PyTorch's hook: every call of a PyTorch function passes here, also one imported by name long ago."""
        if not isinstance(func, MethodWrapperType):  # Tensor.shape and its like are no shortcuts
            name = self._shortcut(func, sys._getframe(1))
            if name is not None:
                raise Shortcut(_sentence(name))
        return func(*args, **(kwargs or {}))

    def _shortcut(self, func: Callable[..., Any], frame: FrameType | None) -> str | None:
        """The shortcut that the answer entered, with nothing but PyTorch's own code between the two; or None.

        From the operation outwards, since it is here for every operation: the first line of the answer ends it.
        """
        found = self.builtins.get(func)
        for _ in range(DEEPEST):
            if frame is None:
                return None
            code = frame.f_code
            whose = self.whose.get(code.co_filename) or self._look_up(code.co_filename)
            if whose == ANSWER:
                return found
            if whose == RUNNER:
                return None
            if id(code) in self.codes:
                found = self.codes[id(code)][1]
            elif whose in self.modules:
                found = self.modules[whose]
            elif whose == OTHERS:
                found = None  # somebody else's code, which may call what it likes
            frame = frame.f_back
        return None

    def _look_up(self, file: str) -> str:
        refused = next((place for place in self.modules if file.startswith(place)), OTHERS)
        self.whose[file] = PYTORCH if file.startswith(TORCH) else RUNNER if file.startswith(HYPOTHESIS) else refused
        return self.whose[file]


@contextmanager
def no_shortcuts(names: Iterable[str], answer: Path) -> Iterator[None]:
    """The answer's code runs inside, and what has one of these names is refused to it, with a tensor or without."""
    names = tuple(names)
    with NoShortcuts(names, answer), _guarded(names, answer):
        yield


@contextmanager
def _guarded(names: Iterable[str], answer: Path) -> Iterator[None]:
    """A function that takes no tensor passes no hook of PyTorch's: wherever attn_lab has it, a guard stands in.

    Where whole modules are refused, another one stands in for Python's own import.
    """
    with ExitStack() as stack:
        modules = [name for name in names if inspect.ismodule(pkgutil.resolve_name(name))]
        if modules:
            stack.enter_context(patch.object(builtins, "__import__", _import_guard(modules, answer)))
            stack.enter_context(patch.object(importlib, "import_module", _import_module_guard(modules, answer)))
        for name in names:
            target = pkgutil.resolve_name(name)
            if inspect.isclass(target) and not issubclass(target, torch.nn.Module):
                for method, function in _methods(target):
                    stack.enter_context(patch.object(target, method, _guard(function, name, answer)))
            elif inspect.isfunction(target) and "Tensor" not in str(inspect.signature(target)):
                guard = _guard(target, name, answer)
                for module in [m for m in sys.modules.values() if getattr(m, "__name__", "").startswith("attn_lab")]:
                    for public in [public for public, value in vars(module).items() if value is target]:
                        stack.enter_context(patch.object(module, public, guard))
        yield


def _methods(target: type) -> Iterator[tuple[str, Any]]:
    """The ways to make one: the constructor and the class methods."""
    for name, value in vars(target).items():
        if name == "__init__" or isinstance(value, classmethod):
            yield name, value


def _guard(function: Any, name: str, answer: Path) -> Any:
    """The same function (or class method), refused to the answer's own code."""
    plain = function.__func__ if isinstance(function, classmethod) else function

    @wraps(plain)
    def guard(*args: Any, **kwargs: Any) -> Any:
        if sys._getframe(1).f_code.co_filename == str(answer):
            raise Shortcut(_sentence(name))
        return plain(*args, **kwargs)

    return classmethod(guard) if isinstance(function, classmethod) else guard


def _import_guard(modules: list[str], answer: Path) -> Callable[..., Any]:
    """Python's own import, which refuses these modules, and what is in them, to the answer's own code."""
    plain = builtins.__import__

    def guard(
        name: str, globals: Any = None, locals: Any = None, fromlist: Sequence[str] | None = (), level: int = 0
    ) -> Any:
        if (globals or {}).get("__file__") == str(answer):
            _refuse_module([name, *(f"{name}.{part}" for part in fromlist or ())], modules)
        return plain(name, globals, locals, fromlist, level)

    return guard


def _import_module_guard(modules: list[str], answer: Path) -> Callable[..., Any]:
    """The same for importlib's."""
    plain = importlib.import_module

    def guard(name: str, package: str | None = None) -> Any:
        if sys._getframe(1).f_code.co_filename == str(answer):
            _refuse_module([name], modules)
        return plain(name, package)

    return guard


def _refuse_module(wanted: Iterable[str], modules: Iterable[str]) -> None:
    for name in wanted:
        for module in modules:
            if f"{name}.".startswith(f"{module}."):
                raise Shortcut(_sentence(module))


def _place(module: ModuleType) -> str:
    """The module's file; of a package its folder, where everything in it begins."""
    file = Path(str(module.__file__))
    return f"{file.parent}{os.sep}" if file.name == "__init__.py" else str(file)


def refuse_borrowed(answer: ModuleType, names: Iterable[str]) -> None:
    """Refuse an answer that is one of these itself, imported under its name, or a class that inherits from one.

    Raises:
        Shortcut: it is.
    """
    targets = {name: pkgutil.resolve_name(name) for name in names}
    forbidden = {id(inspect.unwrap(target)): name for name, target in targets.items()}
    modules = [name for name, target in targets.items() if inspect.ismodule(target)]
    for public, value in vars(answer).items():
        if public.startswith("_"):
            continue
        function = inspect.unwrap(value.func if isinstance(value, partial) else value)
        for target in function.__mro__ if inspect.isclass(function) else (function,):
            if id(target) in forbidden:
                raise Shortcut(_sentence(forbidden[id(target)]))
        _refuse_module([str(getattr(function, "__module__", ""))], modules)


def _sentence(name: str) -> str:
    return f"{name} does what you are asked to write here. Write it yourself: the parts that it is made of are allowed"
