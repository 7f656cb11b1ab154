"""An implementation in disguise: it does what it does, and nothing else about it tells a right one from a wrong one.

A learner's property is handed one of these. Name, source, signature, class and traceback are the same for all; who asks
for them from the property's own file is refused, and told why.
"""

import dis
import inspect
import pydoc
import sys
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from attn_lab.course.shortcuts import Shortcut

ASKING_FOR_OTHERS = {module.__file__ for module in (inspect, dis, pydoc)}
# Of each class that is handed out: the class behind it, what it is called, and the files that may not ask.
_BEHIND: WeakKeyDictionary[type, tuple[type, str, Collection[str]]] = WeakKeyDictionary()
HARMLESS = "__class__"  # the same for all; isinstance asks for it
PEEKED: list[Shortcut] = []  # also what the property itself caught and kept quiet about


def disguised(implementation: Any, name: str, files: Collection[str]) -> Any:
    """A function or a module's class, to be handed to code in these files, anew each time.

    Args:
        implementation: what is called behind it.
        name: what it is called in sentences, such as "causal".
        files: whose code may call it and no more.
    """
    if not inspect.isclass(implementation):
        return Function(implementation, name, files)
    handed_out = type("MultiHeadSelfAttention", (Module,), {"__module__": __name__})
    _BEHIND[handed_out] = implementation, name, files
    return handed_out


class Function:
    """A function in disguise. It has no attributes, and cannot be given any."""

    __slots__ = ("_files", "_function", "_name")

    def __init__(self, function: Callable[..., Any], name: str, files: Collection[str]) -> None:
        for attribute, value in (("_function", function), ("_name", name), ("_files", files)):
            object.__setattr__(self, attribute, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _called(object.__getattribute__(self, "_function"), args, kwargs)

    def __getattribute__(self, attribute: str) -> Any:
        name, files = object.__getattribute__(self, "_name"), object.__getattribute__(self, "_files")
        _refuse_peeking(f"{name}.{attribute}", files, sys._getframe(1))
        return object.__getattribute__(self, attribute)

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(f"what a property is given stays as it is; it cannot get the attribute {attribute}")

    def __repr__(self) -> str:
        return f"<{object.__getattribute__(self, '_name')}>"


class Guarded(type):
    """The class of the classes that are handed out: attributes of theirs are not for the property's own file."""

    def __getattribute__(cls, attribute: str) -> Any:
        if cls in _BEHIND:
            _, name, files = _BEHIND[cls]
            _refuse_peeking(f"{name}.{attribute}", files, sys._getframe(1))
        return super().__getattribute__(attribute)


class Module(nn.Module, metaclass=Guarded):
    """A module in disguise: it shares all attributes with one of the class behind it, and has that one's forward."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        behind = _called(_class_behind(self), args, kwargs)
        object.__setattr__(self, "__dict__", behind.__dict__)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the class behind it has it, on the very same attributes."""
        behind = object.__new__(_class_behind(self))
        object.__setattr__(behind, "__dict__", self.__dict__)
        return _called(behind.forward, args, kwargs)


def _class_behind(module: Module) -> type[nn.Module]:
    return next(_BEHIND[base][0] for base in type(module).__mro__ if base in _BEHIND)  # or a subclass of it


def _called(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The result; an exception comes without the frames that it passed, which bear names."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        bare = error.with_traceback(None)
        bare.__cause__ = bare.__context__ = None
    raise bare


def _refuse_peeking(what: str, files: Collection[str], frame: FrameType | None) -> None:
    if what.endswith(HARMLESS):
        return
    while frame is not None and frame.f_code.co_filename in ASKING_FOR_OTHERS:
        frame = frame.f_back
    if frame is not None and frame.f_code.co_filename in files:
        refusal = Shortcut(
            f"{what} is looked at, line {frame.f_lineno}. A property judges what an implementation does, not what it "
            "is called or how it is written: call it, and look at what comes back"
        )
        PEEKED.append(refusal)
        raise refusal
